"""By what factor does a predictor change the hazard: Cox regression with Efron's ties."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import chi2, norm

from gc_ray.errors import TableError
from gc_ray.evaluate.outcome import Z95, follow_up, labels

STEPS = 60  # Newton steps; a finite maximum takes 4-8
SETTLED = 1e-9  # a coefficient, per SD of its term, that moves less than this has converged
INFINITE = 1e-3  # one that moves more than this while the likelihood hardly gains has no finite maximum
GAIN = 1e-9  # of the null log likelihood: less is hardly; much less would drown in rounding


@dataclass(frozen=True, eq=False)
class Cox:
    """Hazard ratios in ``table``: term, coef, se, hazard_ratio, lower, upper (of the ratio), z, p_value.

    ``statistic``, ``df`` and ``p_value`` are the likelihood-ratio test that no term matters. A term that separates
    the events completely has hazard ratio 0 or infinity, limits 0 and infinity, and NaN for se, z and p_value.
    """

    table: pd.DataFrame
    covariance: np.ndarray
    log_likelihood: float
    statistic: float
    df: int
    p_value: float
    n: int
    events: int


def cox(time: ArrayLike, event: ArrayLike, x: ArrayLike | pd.DataFrame) -> Cox:
    """Cox proportional hazards regression of follow-up on ``x``, ties by Efron's method.

    ``time`` (n,) of 0 or more, ``event`` (n,) of 0 and 1, ``x`` (n,), (n, k) or a frame of k columns: numbers as
    they are, text or categories as indicators against the first level (term = column name + level, as in R). Hazard
    ratios are per unit of the term. The null hypothesis of each p-value is a ratio of 1 (Wald, two-sided).
    TableError when there is no event, a value is missing, or a term is constant or a combination of others. Source:
    Efron, JASA 1977; equals R's coxph at a tight tolerance.
    """
    time, event = follow_up(time, event)
    terms, design = _design(x, len(time))
    if not event.any():
        raise TableError("Cox regression: wanted at least one event, got none; leave this cohort out")
    centre, scale = design.mean(axis=0), design.std(axis=0)
    _check_rank(terms, design, scale)
    order = np.argsort(-time, kind="stable")
    risk_sets = _RiskSets(((design - centre) / scale)[order], time[order], event[order])
    null, _, information = risk_sets.likelihood(np.zeros(len(terms)))
    if np.linalg.matrix_rank(information, tol=1e-9) < len(terms):
        raise TableError(
            f"x: among the patients at risk at the events, {', '.join(terms[:5])} do not differ, or not apart from"
            " each other; leave a term or this cohort out"
        )
    scaled, moved = _maximise(risk_sets)
    value, _, information = risk_sets.likelihood(scaled)
    covariance = _inverse(information, np.abs(moved) > INFINITE) / np.outer(scale, scale)
    coef = np.where(np.abs(moved) > INFINITE, np.copysign(np.inf, scaled), scaled / scale)
    statistic = max(2 * (value - null), 0.0)
    return Cox(
        _table(terms, coef, np.sqrt(np.diag(covariance))),
        covariance,
        value,
        statistic,
        len(terms),
        float(chi2.sf(statistic, len(terms))),
        len(time),
        int(event.sum()),
    )


class _RiskSets:
    """Design and risk sets in order of descending time, from which the partial likelihood is summed."""

    def __init__(self, design: np.ndarray, time: np.ndarray, event: np.ndarray):
        self.design = design
        distinct, self.start, count = np.unique(-time, return_index=True, return_counts=True)
        self.died = np.flatnonzero(event)
        # Efron: the l-th of d tied events sees l/d of their own hazard taken out of the risk set
        place = np.searchsorted(distinct, -time[self.died])
        first = np.concatenate([[True], np.diff(place) > 0])
        self.tied_start = np.flatnonzero(first)
        tied = np.diff(np.append(self.tied_start, len(place)))
        self.tie = np.repeat(np.arange(len(tied)), tied)
        self.taken = (np.arange(len(place)) - np.repeat(self.tied_start, tied)) / np.repeat(tied, tied)
        self.last = (self.start + count - 1)[place]

    def likelihood(self, coef: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Log partial likelihood, its gradient and the information matrix at ``coef``."""
        linear = self.design @ coef
        shift = linear.max()
        hazard = np.exp(linear - shift)
        first = hazard[:, None] * self.design
        second = first[:, :, None] * self.design[:, None, :]
        total, total_x, total_xx = (self._at_events(values) for values in (hazard, first, second))
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = total_x / total[:, None]
            square = (total_xx / total[:, None, None]).sum(axis=0)
            value = float(np.sum(linear[self.died] - shift - np.log(total)))
        gradient = (self.design[self.died] - mean).sum(axis=0)
        return value, gradient, square - mean.T @ mean

    def _at_events(self, values: np.ndarray) -> np.ndarray:
        """The sum of ``values`` over each event's risk set, less its share of the events tied with it."""
        whole = np.cumsum(values, axis=0)[self.last]
        tied = np.add.reduceat(values[self.died], self.tied_start, axis=0)[self.tie]
        return whole - self.taken.reshape((-1,) + (1,) * (values.ndim - 1)) * tied


def _maximise(risk_sets: _RiskSets) -> tuple[np.ndarray, np.ndarray]:
    """The coefficients at the maximum and the last whole step; Newton, halving a step that leads down."""
    coef = np.zeros(risk_sets.design.shape[1])
    value, gradient, information = risk_sets.likelihood(coef)
    moved, hardly = np.zeros_like(coef), GAIN * abs(value)
    for _ in range(STEPS):
        step = np.linalg.lstsq(information, gradient, rcond=None)[0]
        trial = risk_sets.likelihood(coef + step)
        moved = step
        # also halved where hazards differ so much that they underflow and the likelihood is no number
        while not value - 1e-9 * abs(value) <= trial[0] < np.inf:
            step = step / 2
            trial = risk_sets.likelihood(coef + step)
        coef, gain = coef + step, trial[0] - value
        value, gradient, information = trial
        largest = np.abs(moved).max()
        if largest < SETTLED or (gain < hardly and largest > INFINITE):
            break
    return coef, moved


def _design(x: ArrayLike | pd.DataFrame, rows: int) -> tuple[list[str], np.ndarray]:
    """Names and columns of the terms: numbers as they are, text and categories as indicators."""
    if isinstance(x, pd.Series):
        x = x.to_frame(x.name if x.name is not None else "x")
    if not isinstance(x, pd.DataFrame):
        array = np.asarray(x)
        array = array[:, None] if array.ndim == 1 else array
        names = ["x"] if array.shape[1] == 1 else [f"x{k + 1}" for k in range(array.shape[1])]
        x = pd.DataFrame(array, columns=names)
    if len(x) != rows or not x.shape[1]:
        raise TableError(f"x: wanted {rows} rows and at least one column, got {x.shape[0]} rows and {x.shape[1]}")
    terms, columns = [], []
    for name, column in x.items():
        if pd.api.types.is_numeric_dtype(column.dtype):
            values = column.to_numpy(dtype=float, na_value=np.nan)
            if not np.isfinite(values).all():
                raise TableError(
                    f"x: {name} has {int((~np.isfinite(values)).sum())} missing or infinite values; impute or drop"
                )
            terms.append(str(name))
            columns.append(values)
        else:
            codes, levels = labels(f"x: {name}", column, rows)
            terms += [f"{name}{level}" for level in levels[1:]] or [str(name)]
            columns += [(codes == k).astype(float) for k in range(1, max(len(levels), 2))]
    return terms, np.column_stack(columns)


def _check_rank(terms: list[str], design: np.ndarray, scale: np.ndarray) -> None:
    constant = scale <= 1e-12 * np.abs(design).max(axis=0)
    if constant.any():
        raise TableError(f"x: {terms[int(np.argmax(constant))]} has one value for all patients; leave it out")
    scaled = (design - design.mean(axis=0)) / scale
    for k in range(1, len(terms)):
        fit = scaled[:, :k] @ np.linalg.lstsq(scaled[:, :k], scaled[:, k], rcond=None)[0]
        if np.linalg.norm(scaled[:, k] - fit) < 1e-7 * np.sqrt(len(design)):
            raise TableError(f"x: {terms[k]} is a combination of the terms before it; leave one of them out")


def _inverse(information: np.ndarray, infinite: np.ndarray) -> np.ndarray:
    """The covariance of the terms with a finite coefficient; NaN in rows and columns of the others."""
    covariance = np.full(information.shape, np.nan)
    finite = np.flatnonzero(~infinite)
    covariance[np.ix_(finite, finite)] = np.linalg.inv(information[np.ix_(finite, finite)])
    return covariance


def _table(terms: list[str], coef: np.ndarray, se: np.ndarray) -> pd.DataFrame:
    finite = np.isfinite(coef)
    z = np.where(finite, coef, np.nan) / se
    with np.errstate(over="ignore", invalid="ignore"):
        lower = np.where(finite, np.exp(coef - Z95 * se), 0.0)
        upper = np.where(finite, np.exp(coef + Z95 * se), np.inf)
        ratio = np.exp(coef)
    return pd.DataFrame(
        {
            "term": terms,
            "coef": coef,
            "se": se,
            "hazard_ratio": ratio,
            "lower": lower,
            "upper": upper,
            "z": z,
            "p_value": 2 * norm.sf(np.abs(z)),
        }
    )
