"""Filters that look at one predictor, or at one pair, at a time: variance, rank correlation, difference of means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special, stats

from gc_ray.errors import TableError
from gc_ray.models.inputs import outcome, predictors

Rule = Literal["file_order", "by_outcome", "find_correlation"]
TIE_DECIMALS = 12  # correlations with the outcome equal to so many decimals are tied: sums differ in the last bits
CONSTANT_ERROR = (
    10 * np.finfo(float).eps
)  # standard error, as a share of the means, of a column without spread; as in R


@dataclass(frozen=True)
class Filtered:
    """What a filter found for each of p predictors; a predictor whose statistic cannot be computed is not kept."""

    kept: np.ndarray  # (p,) bool
    statistic: np.ndarray  # (p,) what was compared, NaN where it cannot be computed
    p_value: np.ndarray  # (p,) NaN for a filter that is no test


def variance_filter(x: np.ndarray, threshold: float) -> Filtered:
    """Keeps the predictors (columns of x) whose sample variance, 1/(n - 1), exceeds ``threshold`` (squared units)."""
    x = predictors(x)
    variance = x.var(axis=0, ddof=1) if len(x) > 1 else np.full(x.shape[1], np.nan)
    variance[np.ptp(x, axis=0) == 0] = 0.0
    return Filtered(variance > threshold, variance, np.full(x.shape[1], np.nan))


def spearman_filter(
    x: np.ndarray, threshold: float, rule: Rule = "file_order", y: np.ndarray | None = None
) -> Filtered:
    """Keeps one of each group of predictors whose ranks correlate; the statistic is the largest |rho| with one kept.

    rule: ``file_order`` walks the columns from left to right and keeps one if its |rho| with all kept is under the
    threshold; ``by_outcome`` does so from the largest |rho| with y downwards, ties from left to right;
    ``find_correlation`` drops, of each pair over the threshold, the one with the larger mean |rho|, as
    ``caret::findCorrelation(exact = TRUE)``. A constant column is not kept.
    Raises TableError for an unknown rule, or for ``by_outcome`` without y.
    """
    x = predictors(x)
    ranks, varies = _unit_ranks(x)
    rho = np.minimum(np.abs(ranks.T @ ranks), 1.0)
    if rule == "find_correlation":
        inner = _find_correlation(rho, threshold)
    elif rule == "file_order":
        inner = _greedy(rho, np.arange(len(rho)), threshold)
    elif rule == "by_outcome":
        if y is None:
            raise TableError(
                "spearman filter: rule by_outcome wants y, got none; give the outcome or take file_order"
            )
        own, _ = _unit_ranks(outcome(y, len(x))[:, None])
        strength = np.abs(ranks.T @ own[:, 0]).round(TIE_DECIMALS)
        inner = _greedy(rho, np.argsort(-strength, kind="stable"), threshold)
    else:
        raise TableError(f"spearman filter: wanted rule file_order, by_outcome or find_correlation, got {rule}")
    np.fill_diagonal(rho, 0.0)
    kept = np.zeros(x.shape[1], bool)
    kept[varies] = inner
    statistic = np.full(x.shape[1], np.nan)
    statistic[varies] = rho[inner].max(axis=0, initial=0.0)
    return Filtered(kept, statistic, np.full(x.shape[1], np.nan))


def t_test_filter(x: np.ndarray, y: np.ndarray, alpha: float) -> Filtered:
    """Keeps the predictors whose means differ between y = 1 and y = 0 at P < ``alpha``: Student's t, two-sided.

    Positive t: larger where y = 1. A column that is constant within both classes has an infinite t and P 0 where
    these constants differ (it tells the outcome), and none where they are equal.
    Raises TableError for fewer than 3 rows.
    """
    x = predictors(x)
    y = outcome(y, len(x))
    freedom = len(x) - 2
    if freedom < 1:
        raise TableError(f"t-test: wanted at least 3 rows, got {len(x)}")
    groups = x[y == 1], x[y == 0]
    means = np.array([group.mean(axis=0) for group in groups])
    within = sum(((group - mean) ** 2).sum(axis=0) for group, mean in zip(groups, means, strict=True)) / freedom
    error = np.sqrt(within * sum(1 / len(group) for group in groups))
    spread = error > CONSTANT_ERROR * np.abs(means).max(axis=0)
    difference = means[0] - means[1]
    differ = np.abs(difference) > CONSTANT_ERROR * np.abs(means).max(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        constant = np.where(differ, np.copysign(np.inf, difference), np.nan)
        statistic = np.where(spread, difference / error, constant)
    p_value = 2 * special.stdtr(freedom, -np.abs(statistic))
    return Filtered(p_value < alpha, statistic, p_value)


def _unit_ranks(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ranks of the columns that vary, centred and of length 1, so that products are Spearman's rho; which vary."""
    varies = np.ptp(x, axis=0) > 0
    ranks = stats.rankdata(x[:, varies], axis=0)
    ranks -= ranks.mean(axis=0)
    return ranks / np.sqrt((ranks**2).sum(axis=0)), varies


def _greedy(rho: np.ndarray, order: np.ndarray, threshold: float) -> np.ndarray:
    """Which are kept when each in ``order`` shuts out those that correlate with it."""
    kept, shut_out = np.zeros(len(rho), bool), np.zeros(len(rho), bool)
    for i in order:
        if not shut_out[i]:
            kept[i] = True
            shut_out |= rho[i] >= threshold
    return kept


def _find_correlation(rho: np.ndarray, threshold: float) -> np.ndarray:
    """Which are kept by caret's rule: of a pair the first is dropped if its mean |rho| exceeds that of all the rest.

    The means run over what is not yet dropped, and the walk from the largest mean downwards. "All the rest" is every
    row but the second's, as in caret's code.
    """
    rho = rho.copy()
    np.fill_diagonal(rho, 0.0)
    sums = rho.sum(axis=0)
    kept = np.ones(len(rho), bool)
    order = np.argsort(-sums, kind="stable")
    for place, i in enumerate(order):
        later = order[place + 1 :]
        for j in later[rho[i, later] > threshold]:
            if not kept[i]:
                break
            if not kept[j]:
                continue
            others = kept.sum() - 1
            rest = (sums[kept].sum() - sums[j]) / others**2
            dropped = i if sums[i] / others > rest else j
            kept[dropped] = False
            sums -= rho[dropped]
    return kept
