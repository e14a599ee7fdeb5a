"""Nested cross-validation of whole signatures: its parts, what one part gives, and the choice within a part."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import special, stats

from gc_ray.errors import TableError
from gc_ray.models.cohort_data import CohortData
from gc_ray.models.recipe import Fitted, Plan, fit_each, fit_signatures, out_of_fold
from gc_ray.models.steps import stratified_folds
from gc_ray.models.unscored import unscored_reasons
from gc_ray.study_signatures import Plain, SignatureSettings, changed

WHOLE = -1  # repeat and fold of the part that leaves nobody out
FOLDS, INNER, CHOICES = 11, 12, 13  # independent streams of the seed
PROBABILITY_CLIP = 1e-15  # so that one certain and wrong score does not make a deviance infinite
Choice = dict[str, Plain | tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class Part:
    """One division of the training cohort: rows that are fitted on, and rows that are left out."""

    repeat: int
    fold: int
    train: np.ndarray
    left_out: np.ndarray

    def stream(self, seed: int) -> tuple[int, ...]:
        """The seed of whatever is drawn in this part; never that of another one."""
        return (seed, self.repeat + 1, self.fold + 1)


def outer_parts(data: CohortData, repeats: int, seed: int) -> tuple[Part, ...]:
    """The outer folds: those of the split first, then ``repeats - 1`` further divisions into as many folds.

    TableError when a fold of the split has one outcome only.
    """
    train = data.train
    y, folds = data.y[train], int(data.fold[train].max()) + 1
    parts = []
    for repeat in range(repeats):
        fold = data.fold[train]
        if repeat:
            fold = stratified_folds(y, folds, np.random.default_rng([seed, FOLDS, repeat]))
        for k in range(folds):
            out = fold == k
            if not 0 < y[out].sum() < out.sum():
                raise TableError(
                    f"fold {k}: wanted both outcomes, {int(y[out].sum())} of {out.sum()} have it; split into fewer "
                    "folds"
                )
            parts.append(Part(repeat, k, train[~out], train[out]))
    return tuple(parts)


def whole_part(data: CohortData) -> Part:
    """The part that is fitted on the whole training cohort."""
    return Part(WHOLE, WHOLE, data.train, np.empty(0, int))


def part_result(plan: Plan, data: CohortData, part: Part, seed: int) -> dict[str, dict]:
    """For each signature, refitted from the first step on in this part: what RESAMPLING says, and every log odds.

    ``linear_predictor`` are those of ``part.left_out``, in its order, None where ``unscored`` says why there is none.
    Counts and losses are of those who have one. One that cannot be fitted has an ``error``.
    """
    fitted = fit_each(replace(plan, stream=part.stream(seed)), data, part.train)
    return {
        name: {"error": str(found)} if isinstance(found, TableError) else _result(found, data, part)
        for name, found in fitted.items()
    }


def inner_deviance(plan: Plan, data: CohortData, part: Part, name: str, seed: int) -> float:
    """Mean binomial deviance of a signature in an inner cross-validation of the part's training rows.

    A patient without a score counts as predicted by the share of events: leaving hard patients out is no gain.
    """
    rows = part.train
    inner = stratified_folds(data.y[rows], plan.inner_folds, np.random.default_rng([*part.stream(seed), INNER]))
    total = 0.0
    for k in range(plan.inner_folds):
        stream = (*part.stream(seed), INNER, k)
        fitted = fit_signatures(replace(plan, stream=stream), data, rows[inner != k], (name,))[name]
        left = rows[inner == k]
        linear = out_of_fold(fitted, data, left)
        linear = np.where(np.isnan(linear), special.logit(data.y[rows[inner != k]].mean()), linear)
        total += deviance(data.y[left], linear) * len(left)
    return total / len(rows)


def choices(signature: SignatureSettings, samples: int, seed: int) -> tuple[Choice, ...]:
    """The choices that are tried: what the study file says first ({}), then draws without repetition.

    The draws depend on the signature and the seed alone, so they are known before any is tried.
    """
    rng = np.random.default_rng([seed, CHOICES, *signature.name.encode()])
    names = sorted(signature.search)
    sizes = [len(signature.search[name]) for name in names]
    tried: list[Choice] = [{}]
    seen = [_settings(signature, {})]
    if not names:
        return tuple(tried)
    for flat in rng.permutation(int(np.prod(sizes))):
        if len(tried) > samples:
            break
        at = np.unravel_index(flat, sizes)
        choice = {name: signature.search[name][i] for name, i in zip(names, at, strict=True)}
        try:
            settings = _settings(signature, choice)
        except ValueError:
            continue
        if settings not in seen and _usable(changed(signature, choice)):
            tried.append(choice)
            seen.append(settings)
    return tuple(tried)


def best(losses: list[float | None]) -> int:
    """The first of the least losses, so that the published choice wins a tie; 0 when none could be fitted."""
    known = [np.inf if loss is None else loss for loss in losses]
    return int(np.argmin(known))


def auc(y: np.ndarray, score: np.ndarray) -> float | None:
    """Area under the ROC curve by ranks; None with one class."""
    events = y.sum()
    if not 0 < events < len(y):
        return None
    ranks = stats.rankdata(score)[y == 1].sum()
    return float((ranks - events * (events + 1) / 2) / (events * (len(y) - events)))


def deviance(y: np.ndarray, linear_predictor: np.ndarray) -> float:
    """Mean binomial deviance, -2 log-likelihood a patient."""
    p = np.clip(special.expit(linear_predictor), PROBABILITY_CLIP, 1 - PROBABILITY_CLIP)
    return float(-2 * np.mean(y * np.log(p) + (1 - y) * np.log1p(-p)))


def _result(fitted: Fitted, data: CohortData, part: Part) -> dict:
    y, linear = data.y[part.train], out_of_fold(fitted, data, part.left_out)
    known = np.isfinite(linear)
    if not known.any():
        return {"error": f"signature {fitted.settings.name}: none of the {len(known)} left-out patients has a score"}
    y_out, scored = data.y[part.left_out][known], linear[known]
    return {
        "repeat": part.repeat,
        "fold": part.fold,
        "n_train": len(y),
        "events_train": int(y.sum()),
        "n": len(y_out),
        "events": int(y_out.sum()),
        "features": list(fitted.predictors),
        "auc_train": auc(y, fitted.linear_predictor(data, part.train)),
        "auc_test": auc(y_out, scored),
        "brier_test": float(np.mean((special.expit(scored) - y_out) ** 2)),
        "deviance_test": deviance(y_out, scored),
        "linear_predictor": [float(value) if ok else None for value, ok in zip(linear, known, strict=True)],
        "unscored": unscored_reasons(fitted, data, part.left_out),
        "warnings": list(fitted.warnings),
    }


def _settings(signature: SignatureSettings, choice: Choice) -> str:
    return changed(signature, choice).model_dump_json(exclude={"search"})


def _usable(signature: SignatureSettings) -> bool:
    return bool(signature.families or signature.scores_of or signature.predictors_of)
