"""The steps of a signature's selection, each a function of the features that it concerns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg, stats

from gc_ray.errors import TableError
from gc_ray.models.lasso import cv_lasso_logistic
from gc_ray.models.selection import spearman_filter, t_test_filter, variance_filter


@dataclass(frozen=True, eq=False)
class Work:
    """What a step sees: n patients fitted on, p features that it concerns.

    factors: the clinical column of each term, the feature itself otherwise. agreement: the least ICC of each feature
    in these patients over the designs used, NaN where one cannot be computed; designs: those used. internal: (x, y)
    of the internal cohort, for steps that look at it; None unless the variant is the published one. rng: for folds.
    """

    x: np.ndarray
    y: np.ndarray
    names: tuple[str, ...]
    factors: tuple[str, ...]
    agreement: np.ndarray
    internal: tuple[np.ndarray, np.ndarray] | None
    rng: np.random.Generator
    designs: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Found:
    """Which features a step keeps, what it looked at, and what it changed or fitted on the way."""

    kept: np.ndarray  # (p,) bool
    statistic: np.ndarray  # (p,) NaN where there is none
    p_value: np.ndarray  # (p,) NaN where the step is no test
    reason: str  # why the others left
    divisor: float = 1.0  # by which the features are divided for the steps that follow
    penalised: tuple[float, np.ndarray] | None = None  # intercept and (p,) slopes of a LASSO
    warning: str = ""


def stratified_folds(y: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """The fold (0, 1, ..) of each patient; folds differ by at most one patient, and by one in each outcome.

    TableError when an outcome has fewer patients than there are folds.
    """
    smaller = int(min(y.sum(), len(y) - y.sum()))
    if smaller < folds:
        raise TableError(
            f"folds: wanted both outcomes in each of {folds} folds, the smaller class has {smaller} of {len(y)} "
            "patients; lower the number of folds"
        )
    dealt = np.concatenate([rng.permutation(np.flatnonzero(y == value)) for value in (0, 1)])
    fold = np.empty(len(y), int)
    fold[dealt] = np.arange(len(y)) % folds
    return fold


def _stability(work: Work, settings: Any) -> Found:
    kept, none = work.agreement > settings.icc, np.full(len(work.agreement), np.nan)  # NaN is no agreement
    reason = f"ICC ({', '.join(work.designs)}) not over {settings.icc:g}, or not computable"
    return Found(kept, work.agreement, none, reason)


def _common_scale(work: Work, settings: Any) -> Found:
    unit = float(np.median(work.x.std(axis=0, ddof=1)))
    every, none = np.ones(work.x.shape[1], bool), np.full(work.x.shape[1], np.nan)
    return Found(every, none, none, "", divisor=unit or 1.0)


def _variance(work: Work, settings: Any) -> Found:
    found = variance_filter(work.x, settings.threshold)
    return Found(found.kept, found.statistic, found.p_value, f"variance not over {settings.threshold:g}")


def _spearman(work: Work, settings: Any) -> Found:
    found = spearman_filter(work.x, settings.threshold, settings.rule, work.y)
    reason = f"|rho| over {settings.threshold:g} with another that is kept (rule {settings.rule})"
    return Found(found.kept, found.statistic, found.p_value, reason)


def _t_test(work: Work, settings: Any) -> Found:
    found = t_test_filter(work.x, work.y, settings.alpha)
    return Found(found.kept, found.statistic, found.p_value, f"P of the t-test not under {settings.alpha:g}")


def _strongest(work: Work, settings: Any) -> Found:
    found = t_test_filter(work.x, work.y, 1.0)
    strength = np.where(np.isnan(found.statistic), -1.0, np.abs(found.statistic))
    order = np.argsort(-strength, kind="stable")
    kept = np.zeros(len(order), bool)
    kept[order[: settings.number]] = True
    kept &= strength >= 0  # a feature without a t is not among the strongest, however few there are
    return Found(kept, found.statistic, found.p_value, f"not among the {settings.number} largest |t|")


def _univariable(work: Work, settings: Any) -> Found:
    statistic, p_value = score_tests(work.x, work.y, work.factors)
    kept, reason = p_value < settings.alpha, f"P of the score test not under {settings.alpha:g}"
    if settings.also_internal and work.internal is not None:
        kept = kept & (score_tests(*work.internal, work.factors)[1] < settings.alpha)
        reason += ", in the training or in the internal cohort"
    return Found(kept, statistic, p_value, reason)


def _lasso(work: Work, settings: Any) -> Found:
    folds = stratified_folds(work.y, settings.folds, work.rng)
    fit = cv_lasso_logistic(work.x, work.y, folds, alpha=settings.mixing)
    penalty = fit.lambda_1se if settings.choose == "1se" else fit.lambda_min
    at = int(np.flatnonzero(fit.lambdas == penalty)[0])
    coef = fit.coef[at]
    kept = coef != 0
    if settings.whole_factors:
        kept = np.isin(work.factors, np.array(work.factors)[kept])
    return Found(
        kept,
        coef,
        np.full(len(coef), np.nan),
        f"coefficient 0 at lambda.{settings.choose} = {penalty:.4g}",
        penalised=(float(fit.intercept[at]), coef),
        warning="" if fit.converged else "the LASSO path ended before its last penalty: a sweep limit was reached",
    )


STEPS: dict[str, Callable[[Work, Any], Found]] = {
    "stability": _stability,
    "common_scale": _common_scale,
    "variance": _variance,
    "spearman": _spearman,
    "t_test": _t_test,
    "strongest": _strongest,
    "univariable": _univariable,
    "lasso": _lasso,
}


def score_tests(x: np.ndarray, y: np.ndarray, factors: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """(chi-square, P) of each column's factor, (p,) each: Rao's score test of its terms in a logistic regression.

    Of a 0/1 or categorical factor it is Pearson's chi-square without correction, of an ordinal one the test for
    trend. It needs no fit, so separation does not stop it. NaN for a factor without spread.
    """
    statistic, p_value = np.full(x.shape[1], np.nan), np.full(x.shape[1], np.nan)
    centred, residual, rate = x - x.mean(axis=0), y - y.mean(), y.mean()
    for factor in dict.fromkeys(factors):
        of = np.flatnonzero(np.array(factors) == factor)
        terms = centred[:, of]
        rank = int(np.linalg.matrix_rank(terms)) if np.ptp(terms) else 0
        if rank and 0 < rate < 1:
            slope = terms.T @ residual
            statistic[of] = slope @ linalg.pinvh(terms.T @ terms) @ slope / (rate * (1 - rate))
            p_value[of] = stats.chi2.sf(statistic[of[0]], rank)
    return statistic, p_value
