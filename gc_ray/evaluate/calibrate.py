"""Do predicted risks come true: slope, intercept, Brier score, smooth curve, and the Hosmer-Lemeshow test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import expit, logit
from scipy.stats import chi2
from statsmodels.nonparametric.smoothers_lowess import lowess

from gc_ray.errors import TableError
from gc_ray.evaluate.outcome import Z95, binary, both_classes, probability
from gc_ray.evaluate.proportions import bounds
from gc_ray.evaluate.resample import LEAST_UNITS, bootstrap_ci

SPAN = 2 / 3  # of the patients in each local fit of the smooth curve: R's default, the usual ICI
REST = 0.01  # of the range of risks: closer points are interpolated, as in R; keeps 3,000 patients under 0.1 s
SAMPLE_REST = 0.03  # the same in a bootstrap sample: twice as fast, and limits move by less than 0.0003
BINS = 10
STEPS = 100  # Newton steps before the slope is called infinite; a finite one takes 4-8
SETTLED = 1e-12


@dataclass(frozen=True, eq=False)
class Calibration:
    """Agreement of predicted risk and outcome; ``_lower`` and ``_upper`` at 95 % (Wald).

    ``slope`` 1 is ideal, below 1 = risks too extreme. ``intercept`` is calibration in the large: 0 is ideal, above
    0 = risks too low. ``e_over_o`` is expected / observed events. ``ici`` is the mean distance of the ``curve`` (p,
    observed; by loess) from the diagonal; its limits are percentiles of the bootstrap, NaN without one. Noise alone
    makes a distance: of right risks and few patients the limits lie high. ``bins`` has n, events, predicted,
    observed, lower, upper by tenths of risk. ``excluded`` patients had a risk of exactly 0 or 1: their logit is
    infinite, so slope and intercept leave them out.
    """

    slope: float
    slope_lower: float
    slope_upper: float
    intercept: float
    intercept_lower: float
    intercept_upper: float
    brier: float
    e_over_o: float
    ici: float
    ici_lower: float
    ici_upper: float
    bins: pd.DataFrame
    curve: pd.DataFrame
    excluded: int
    n: int
    events: int


@dataclass(frozen=True, eq=False)
class HosmerLemeshow:
    """The test and its ``table``: lower, upper (risk), n, observed, expected (events) of each group."""

    statistic: float
    df: int
    p_value: float
    table: pd.DataFrame
    n: int
    events: int


def calibration(y: ArrayLike, p: ArrayLike, draws: int = 0, seed: int = 0) -> Calibration:
    """Calibration of predicted risks ``p`` against outcomes ``y``.

    ``y`` (n,) of 0 and 1, ``p`` (n,) from 0 to 1. ``draws`` and ``seed`` are of the bootstrap that gives the ICI's
    limits; 0 = none. The slope is infinite where risks separate the outcomes completely, and NaN where all risks
    are equal. TableError when a class is missing or a value is no probability. Source: Cox, Biometrika 1958 (slope,
    intercept); Austin and Steyerberg, Stat Med 2019 (ICI and its bootstrap); equals rms::val.prob and R's glm.
    """
    y, p = binary(y, p=p)
    probability("p", p)
    both_classes(y, "calibration")
    usable = (p > 0) & (p < 1)
    curve = _smooth(y, p)
    return Calibration(
        *_slope(y[usable], logit(p[usable])),
        *_in_the_large(y[usable], logit(p[usable])),
        float(np.mean((p - y) ** 2)),
        float(p.mean() / y.mean()),
        float(np.abs(curve["observed"] - curve["p"]).mean()),
        *_ici_limits(y, p, draws, seed),
        _bins(y, p),
        curve,
        int(np.sum(~usable)),
        len(y),
        int(y.sum()),
    )


def hosmer_lemeshow(y: ArrayLike, p: ArrayLike, groups: int = 10, development: bool = False) -> HosmerLemeshow:
    """The Hosmer-Lemeshow test of the predicted risks ``p`` against outcomes ``y``.

    ``y`` (n,) of 0 and 1, ``p`` (n,) from 0 to 1, cut at quantiles (type 7) into ``groups``; equal quantiles merge.
    The null hypothesis is that the risks are right; degrees of freedom are the groups, less 2 when ``development``
    says that the model was fitted on these patients. The grouping changes the answer, and so does n: read it with
    the curve. TableError when fewer than 2 groups (3 in development) can be formed. Equals
    ResourceSelection::hoslem.test.
    """
    y, p = binary(y, p=p)
    probability("p", p)
    group, breaks = _by_quantiles(p, groups)
    made = len(breaks) - 1
    if made < (3 if development else 2):
        raise TableError(
            f"Hosmer-Lemeshow test: wanted at least {3 if development else 2} groups of risk, got {made};"
            " the risks are too alike"
        )
    n = np.bincount(group, minlength=made)
    observed, expected = np.bincount(group, weights=y, minlength=made), np.bincount(group, weights=p, minlength=made)
    distance = (observed - expected) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        # a group whose risks are all 0 or 1 adds nothing when they come true, infinity when not
        parts = np.where(distance > 0, distance / expected + distance / (n - expected), 0.0)
    df = made - 2 if development else made
    table = pd.DataFrame(
        {"lower": breaks[:-1], "upper": breaks[1:], "n": n, "observed": observed.astype(int), "expected": expected}
    )
    statistic = float(parts.sum())
    return HosmerLemeshow(statistic, df, float(chi2.sf(statistic, df)), table, len(y), int(y.sum()))


def _slope(y: np.ndarray, linear: np.ndarray) -> tuple[float, float, float]:
    """The slope of a logistic regression of y on the linear predictor, with its Wald interval."""
    if not len(y) or np.ptp(linear) == 0:
        return np.nan, np.nan, np.nan
    if y.all() or not y.any() or linear[y].min() >= linear[~y].max():
        return np.inf, np.nan, np.nan
    if linear[y].max() <= linear[~y].min():
        return -np.inf, np.nan, np.nan
    coef, covariance = _logistic(y, np.column_stack([np.ones(len(y)), linear]), np.zeros(len(y)))
    half = Z95 * np.sqrt(covariance[1, 1])
    return float(coef[1]), float(coef[1] - half), float(coef[1] + half)


def _in_the_large(y: np.ndarray, linear: np.ndarray) -> tuple[float, float, float]:
    """The intercept of a logistic regression with the linear predictor as offset, with its Wald interval."""
    if not len(y) or y.all() or not y.any():
        return np.nan, np.nan, np.nan
    coef, covariance = _logistic(y, np.ones((len(y), 1)), linear)
    half = Z95 * np.sqrt(covariance[0, 0])
    return float(coef[0]), float(coef[0] - half), float(coef[0] + half)


def _logistic(y: np.ndarray, design: np.ndarray, offset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients and covariance of a logistic regression whose maximum is known to be finite."""
    coef = np.zeros(design.shape[1])
    value = _log_likelihood(y, design @ coef + offset)
    for _ in range(STEPS):
        fitted = expit(design @ coef + offset)
        information = (design * (fitted * (1 - fitted))[:, None]).T @ design
        step = np.linalg.solve(information, design.T @ (y - fitted))
        while (trial := _log_likelihood(y, design @ (coef + step) + offset)) < value - SETTLED * abs(value):
            step = step / 2
        coef, value = coef + step, trial
        if np.abs(step).max() <= SETTLED * max(1.0, np.abs(coef).max()):
            break
    fitted = expit(design @ coef + offset)
    return coef, np.linalg.inv((design * (fitted * (1 - fitted))[:, None]).T @ design)


def _log_likelihood(y: np.ndarray, linear: np.ndarray) -> float:
    return float(np.sum(np.where(y, linear, 0.0) - np.logaddexp(0, linear)))


def _smooth(y: np.ndarray, p: np.ndarray) -> pd.DataFrame:
    """Observed risk as a smooth function of the predicted one, at each patient, by rising risk."""
    order = np.argsort(p, kind="stable")
    return pd.DataFrame({"p": p[order], "observed": _loess(y[order].astype(float), p[order], REST)})


def _loess(outcome: np.ndarray, x: np.ndarray, rest: float) -> np.ndarray:
    """The local fit at each of the rising ``x``; within ``rest`` of their range it is interpolated."""
    near = max(int(SPAN * len(x)), 1)
    if (x[near - 1 :] == x[: len(x) - near + 1]).any():
        # a local fit within one tie has no width: its limit is the mean there
        _, group, tied = np.unique(x, return_inverse=True, return_counts=True)
        return (np.bincount(group, weights=outcome) / tied)[group]
    return lowess(outcome, x, frac=SPAN, it=0, delta=rest * np.ptp(x), is_sorted=True, return_sorted=False)


def _ici_limits(y: np.ndarray, p: np.ndarray, draws: int, seed: int) -> tuple[float, float]:
    if not draws or len(y) < LEAST_UNITS:
        return np.nan, np.nan
    order = np.argsort(p, kind="stable")
    risk, outcome = p[order], y[order].astype(float)

    def in_sample(ranks: np.ndarray) -> float:
        drawn = np.sort(ranks)  # faster than to sort the risks of every sample
        return float(np.abs(_loess(outcome[drawn], risk[drawn], SAMPLE_REST) - risk[drawn]).mean())

    found = bootstrap_ci(in_sample, np.argsort(order), draws=draws, seed=seed)
    return found.lower, found.upper


def _bins(y: np.ndarray, p: np.ndarray) -> pd.DataFrame:
    group, _ = _by_quantiles(p, BINS)
    table = (
        pd.DataFrame({"group": group, "y": y, "p": p})
        .groupby("group")
        .agg(n=("y", "size"), events=("y", "sum"), predicted=("p", "mean"), observed=("y", "mean"))
    )
    lower, upper = bounds(table["events"], table["n"], "wilson")
    return table.assign(lower=lower, upper=upper).reset_index(drop=True)


def _by_quantiles(p: np.ndarray, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """The group of each risk and the breaks: intervals open below, the first closed, none empty."""
    breaks = np.unique(np.quantile(p, np.arange(groups + 1) / groups))
    if len(breaks) == 1:
        return np.zeros(len(p), dtype=int), np.repeat(breaks, 2)
    above = np.maximum(np.searchsorted(breaks, p, side="left"), 1)
    # among few distinct risks a quantile may lie between two of them and cut off nobody
    used, group = np.unique(above, return_inverse=True)
    return group, np.append(breaks[0], breaks[used])
