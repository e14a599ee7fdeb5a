"""ComBat: what scanners and sites add to features, estimated on training rows and taken from new rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from gc_ray.errors import TableError
from gc_ray.models.inputs import predictors

CONVERGED = 1e-4  # largest relative change of a step of the empirical Bayes iteration that ends it, as in sva
FEWEST_FEATURES = 2  # fewer say nothing about how effects spread over features
EFFECTS = ("mean", "sd", "shift", "stretch")  # what a row is adjusted by, in the order of ``ComBat.effects``
REFERENCE_ROWS = 20  # rows of a batch below which its own mean and variance cannot carry an adaptation


@dataclass(frozen=True)
class _Effects:
    """What was estimated: p features, b batches, c covariates."""

    batches: tuple[str, ...]
    mean: np.ndarray  # (p,) grand mean, or that of the reference batch
    slopes: np.ndarray  # (c, p) of the covariates
    sd: np.ndarray  # (p,) pooled
    shift: np.ndarray  # (b, p) additive effect, in pooled SD
    stretch: np.ndarray  # (b, p) variance ratio
    adjusted: np.ndarray  # (p,) bool; the others, constant within a batch, pass through unchanged as in sva


class ComBat:
    """Empirical Bayes adjustment for batches.

    parametric: normal and inverse gamma priors, else those that the features draw. mean_only: no adjustment of
    variances. ref_batch: the batch that stays as it is and to which the others are brought. Source: Johnson et al.,
    Biostatistics 2007; 8:118, as in Bioconductor's sva.
    """

    def __init__(self, parametric: bool = True, mean_only: bool = False, ref_batch: str | None = None) -> None:
        self.parametric, self.mean_only, self.ref_batch = parametric, mean_only, ref_batch
        self._effects: _Effects | None = None

    def fit(self, x: np.ndarray, batch: Sequence[str], covariates: np.ndarray | None = None) -> Self:
        """Estimates the effects on rows x features; covariates (rows, c) are numbers whose effects are kept.

        No outcome may be among the covariates: a new row has none. Raises TableError for fewer than 2 batches, too
        few rows in one (2, or 1 with ``mean_only``; 20 in each but the reference with ``ref_batch``), an unknown
        reference, fewer than 2 features that vary in every batch, or batches that covariates determine.
        """
        x = predictors(x)
        batch = _labels(batch, len(x))
        names = tuple(np.unique(batch).tolist())
        self._check_batches(names, batch)
        member = batch[:, None] == np.array(names)
        covariates = _covariates(covariates, len(x))
        adjusted = ~np.any([np.ptp(x[of], axis=0) == 0 for of in member.T if of.sum() > 1], axis=0)
        if adjusted.sum() < FEWEST_FEATURES:
            raise TableError(
                f"ComBat: wanted at least {FEWEST_FEATURES} features that vary within every batch, got "
                f"{adjusted.sum()}; leave harmonisation out"
            )
        mean, slopes, sd = self._location(x[:, adjusted], member, covariates, names)
        z = (x[:, adjusted] - mean - covariates @ slopes) / sd
        shift, stretch = self._batch_effects(z, member)
        if self.ref_batch is not None:
            shift[names.index(self.ref_batch)], stretch[names.index(self.ref_batch)] = 0.0, 1.0
        self._effects = _Effects(names, mean, slopes, sd, shift, stretch, adjusted)
        return self

    def transform(self, x: np.ndarray, batch: Sequence[str], covariates: np.ndarray | None = None) -> np.ndarray:
        """Rows x features without the effects of their batches; TableError for a batch that the fit has not seen."""
        effects = self._fitted()
        x = predictors(x)
        batch = _labels(batch, len(x))
        unknown = sorted(set(batch.tolist()) - set(effects.batches))
        if unknown:
            raise TableError(
                f"ComBat: wanted rows of {', '.join(effects.batches)}, got {', '.join(unknown[:5])}; fit with rows "
                f"of that batch or score it without harmonisation"
            )
        if x.shape[1] != len(effects.adjusted):
            raise TableError(f"ComBat: wanted the {len(effects.adjusted)} features of the fit, got {x.shape[1]}")
        covariates = _covariates(covariates, len(x))
        if covariates.shape[1] != len(effects.slopes):
            raise TableError(
                f"ComBat: wanted the {len(effects.slopes)} covariates of the fit, got {covariates.shape[1]}"
            )
        which = np.searchsorted(effects.batches, batch)
        located = effects.mean + covariates @ effects.slopes
        z = (x[:, effects.adjusted] - located) / effects.sd
        out = x.copy()
        out[:, effects.adjusted] = (z - effects.shift[which]) / np.sqrt(effects.stretch[which]) * effects.sd + located
        if self.ref_batch is not None:
            out[batch == self.ref_batch] = x[batch == self.ref_batch]  # to the bit
        return out

    def effects(self, batch: str) -> np.ndarray:
        """What a row of a batch is adjusted by, (4, p): mean, pooled SD, shift in SD, and variance ratio.

        For a fit without covariates; NaN for features that pass through unchanged.
        """
        held = self._fitted()
        at = held.batches.index(batch)
        out = np.full((len(EFFECTS), len(held.adjusted)), np.nan)
        out[:, held.adjusted] = held.mean, held.sd, held.shift[at], held.stretch[at]
        return out

    def _fitted(self) -> _Effects:
        if self._effects is None:
            raise TableError("ComBat: wanted a fit before this, there was none; call fit with training rows")
        return self._effects

    def _check_batches(self, names: tuple[str, ...], batch: np.ndarray) -> None:
        if len(names) < 2:
            raise TableError(f"ComBat: wanted at least 2 batches, got {len(names)}; leave harmonisation out")
        if self.ref_batch is not None and self.ref_batch not in names:
            raise TableError(
                f"ComBat: wanted rows of the reference batch {self.ref_batch}, got {', '.join(names[:5])}"
            )
        for name in names:
            least = 1 if self.mean_only else 2
            if self.ref_batch is not None and name != self.ref_batch:
                least = REFERENCE_ROWS
            rows = int((batch == name).sum())
            if rows < least:
                raise TableError(
                    f"ComBat: wanted at least {least} rows of batch {name}, got {rows}; gather more of it"
                )

    def _location(
        self, x: np.ndarray, member: np.ndarray, covariates: np.ndarray, names: tuple[str, ...]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean, slopes of the covariates and pooled SD, by least squares with a mean for each batch."""
        design = np.column_stack([member, covariates])
        if np.linalg.matrix_rank(design) < design.shape[1]:
            raise TableError(
                "ComBat: wanted batches that the covariates do not determine, they are confounded; drop covariates"
            )
        effects = np.linalg.lstsq(design, x, rcond=None)[0]
        residual = x - design @ effects
        b = len(names)
        if self.ref_batch is None:
            mean, sd = member.mean(axis=0) @ effects[:b], np.sqrt((residual**2).mean(axis=0))
        else:
            ref = names.index(self.ref_batch)
            mean, sd = effects[ref], np.sqrt((residual[member[:, ref]] ** 2).mean(axis=0))
        return mean, effects[b:], sd

    def _batch_effects(self, z: np.ndarray, member: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Shrunk shift and variance ratio of each batch, (b, p)."""
        shift = np.array([z[of].mean(axis=0) for of in member.T])
        stretch = np.ones_like(shift)
        if not self.mean_only:
            stretch = np.array([z[of].var(axis=0, ddof=1) for of in member.T])
        shrink = _by_priors if self.parametric else _by_features
        for i, of in enumerate(member.T):
            new = shrink(z[of], shift[i], stretch[i], self.mean_only)
            shift[i], stretch[i] = new
        return shift, stretch


def _by_priors(
    z: np.ndarray, shift: np.ndarray, stretch: np.ndarray, mean_only: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Posterior means under a normal prior for shifts and an inverse gamma one for variances, (p,) each."""
    n, centre, spread = len(z), shift.mean(), shift.var(ddof=1)
    if mean_only:
        return (spread * shift + centre) / (spread + 1), stretch  # one row's worth of evidence, as sva has it
    m, s2 = stretch.mean(), stretch.var(ddof=1)
    shape, rate = (2 * s2 + m**2) / s2, (m * s2 + m**3) / s2
    old_shift, old_stretch, change = shift, stretch, np.inf
    while change > CONVERGED:
        new_shift = (spread * n * shift + old_stretch * centre) / (spread * n + old_stretch)
        new_stretch = (((z - new_shift) ** 2).sum(axis=0) / 2 + rate) / (n / 2 + shape - 1)
        with np.errstate(divide="ignore", invalid="ignore"):  # a shift of exactly 0 does not hold up the rest
            # relative to the signed shift, as sva has it: equality with sva needs its number of steps
            steps = np.abs(new_shift - old_shift) / old_shift, np.abs(new_stretch - old_stretch) / old_stretch
        change = np.nanmax(steps)
        old_shift, old_stretch = new_shift, new_stretch
    return old_shift, old_stretch


def _by_features(
    z: np.ndarray, shift: np.ndarray, stretch: np.ndarray, mean_only: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Posterior means under the prior that the other features' estimates draw, (p,) each."""
    new_shift, new_stretch = np.empty_like(shift), np.empty_like(stretch)
    for i in range(len(shift)):
        g, d = np.delete(shift, i), np.delete(stretch, i)
        squares = ((z[:, i, None] - g) ** 2).sum(axis=0)
        log_likelihood = -len(z) / 2 * np.log(2 * np.pi * d) - squares / (2 * d)
        likelihood = np.exp(log_likelihood - log_likelihood.max())
        new_shift[i] = (g * likelihood).sum() / likelihood.sum()
        new_stretch[i] = (d * likelihood).sum() / likelihood.sum()
    return new_shift, np.ones_like(stretch) if mean_only else new_stretch


def _labels(batch: Sequence[str], rows: int) -> np.ndarray:
    labels = np.asarray([str(name) for name in batch])
    if len(labels) != rows:
        raise TableError(f"ComBat: wanted a batch for each of {rows} rows, got {len(labels)}")
    return labels


def _covariates(covariates: np.ndarray | None, rows: int) -> np.ndarray:
    if covariates is None:
        return np.empty((rows, 0))
    found = np.asarray(covariates)
    found = predictors(found[:, None] if found.ndim == 1 else found)
    if len(found) != rows:
        raise TableError(f"ComBat: wanted covariates for each of {rows} rows, got {len(found)}")
    return found
