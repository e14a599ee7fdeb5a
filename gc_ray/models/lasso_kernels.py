"""Penalised logistic regression along a path of penalties: coordinate descent, compiled."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from gc_ray.kernels import compiled, compiled_with

MAX_PASSES = 100_000  # sweeps over the predictors that one path may take, as in glmnet
PROBABILITY_FLOOR = 1e-9  # fitted probabilities nearer to 0 or 1 count as certain, as in glmnet
SATURATED = (1 + PROBABILITY_FLOOR) * PROBABILITY_FLOOR * (1 - PROBABILITY_FLOOR)  # mean p (1 - p) of a certain fit
LEAST_FITS = 5  # penalties fitted before an early stop is considered, as in glmnet
LEAST_GAIN = 1e-5  # a path ends where a step explains less additional deviance than this share, as in glmnet
MOST_EXPLAINED = 0.999  # .. or where more than this share is explained, as in glmnet
FEWEST_SWEEPS = 4  # over residuals, before products of predictors may pay
GRAM_SWEEPS = 1 / 8  # sweeps over residuals, per predictor in use, that cost as much as the products; measured


# Sums of a fixed length added in lanes: another order than written, but the same one on every run.
_in_lanes = compiled_with(fastmath={"reassoc", "contract", "nsz"})


class Fit(NamedTuple):
    """Where the descent stands, in arrays that it changes in place; n rows, p predictors."""

    coef: np.ndarray  # (p,) of the standardised predictors
    intercept: np.ndarray  # (1,)
    residual: np.ndarray  # (n,) (y - probability) / n of the quadratic approximation
    weight: np.ndarray  # (n,) probability (1 - probability) / n
    curvature: np.ndarray  # (p,) weighted sum of squares, negative where not yet computed for these weights
    gradient: np.ndarray  # (p,) |correlation with the residual| of predictors outside the candidates
    candidate: np.ndarray  # (p,) bool, those that the strong rule or the check after it let in
    in_use: np.ndarray  # (p,) bool, those that once left 0
    order: np.ndarray  # (p,) int, predictors in the order in which they were first used
    used: np.ndarray  # (1,) int, how many of ``order`` count
    passes: np.ndarray  # (1,) int, sweeps so far


@_in_lanes
def _dot(a: np.ndarray, b: np.ndarray) -> float:
    total = 0.0
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


@_in_lanes
def _square_dot(weight: np.ndarray, a: np.ndarray) -> float:
    total = 0.0
    for i in range(len(a)):
        total += weight[i] * a[i] * a[i]
    return total


@_in_lanes
def _sum(a: np.ndarray) -> float:
    total = 0.0
    for i in range(len(a)):
        total += a[i]
    return total


@_in_lanes
def _subtract(residual: np.ndarray, step: float, weight: np.ndarray, a: np.ndarray) -> None:
    for i in range(len(a)):
        residual[i] -= step * weight[i] * a[i]


@compiled
def _shrunk(pull: float, l1: float, curvature: float) -> float:
    """The minimiser along one coordinate: ``pull`` towards 0 by ``l1``, over the curvature."""
    excess = abs(pull) - l1
    return math.copysign(excess, pull) / curvature if excess > 0 else 0.0


@compiled
def _sweep(x: np.ndarray, columns: np.ndarray, fit: Fit, l1: float, l2: float) -> float:
    """One descent step along each of ``columns`` and the intercept; the largest change, in deviance."""
    largest = 0.0
    for k in columns:
        old = fit.coef[k]
        pull = _dot(fit.residual, x[k])
        if old == 0.0 and abs(pull) <= l1:
            continue
        if fit.curvature[k] < 0:
            fit.curvature[k] = _square_dot(fit.weight, x[k])
        new = _shrunk(pull + fit.curvature[k] * old, l1, fit.curvature[k] + l2)
        step = new - old
        if step == 0.0:
            continue
        if not fit.in_use[k]:
            fit.in_use[k] = True
            fit.order[fit.used[0]] = k
            fit.used[0] += 1
        fit.coef[k] = new
        _subtract(fit.residual, step, fit.weight, x[k])
        largest = max(largest, fit.curvature[k] * step * step)
    total = _sum(fit.weight)
    step = _sum(fit.residual) / total
    fit.intercept[0] += step
    for i in range(len(fit.residual)):
        fit.residual[i] -= step * fit.weight[i]
    fit.passes[0] += 1
    return max(largest, total * step * step)


@_in_lanes
def _gram(x: np.ndarray, columns: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted products of the columns and of a column of ones, which stands last."""
    m, n = len(columns), x.shape[1]
    gram = np.empty((m + 1, m + 1))
    scaled = np.empty((4, n))
    for first in range(0, m, 4):
        height = min(4, m - first)
        for a in range(4):
            row = x[columns[min(first + a, m - 1)]]
            for i in range(n):
                scaled[a, i] = weight[i] * row[i]
        for b in range(first + height):
            row = x[columns[b]]
            s0 = s1 = s2 = s3 = 0.0
            for i in range(n):
                s0 += scaled[0, i] * row[i]
                s1 += scaled[1, i] * row[i]
                s2 += scaled[2, i] * row[i]
                s3 += scaled[3, i] * row[i]
            for a, value in enumerate((s0, s1, s2, s3)):
                if a < height:
                    gram[first + a, b] = gram[b, first + a] = value
        for a in range(height):
            gram[first + a, m] = gram[m, first + a] = _sum(scaled[a])
    gram[m, m] = _sum(weight)
    return gram


@compiled
def _descend_on_gram(x: np.ndarray, fit: Fit, l1: float, l2: float, tolerance: float) -> None:
    """Sweeps over the predictors in use until none moves: the same steps, on products instead of residuals."""
    columns = fit.order[: fit.used[0]].copy()
    m = len(columns)
    gram = _gram(x, columns, fit.weight)
    pull = np.empty(m + 1)
    for a in range(m):
        pull[a] = _dot(fit.residual, x[columns[a]])
    pull[m] = _sum(fit.residual)
    before = np.append(fit.coef[columns], 0.0)
    now = before.copy()
    largest = np.inf
    while largest >= tolerance and fit.passes[0] <= MAX_PASSES:
        largest = 0.0
        fit.passes[0] += 1
        for a in range(m + 1):
            curvature = gram[a, a]
            if a < m:
                step = _shrunk(pull[a] + curvature * now[a], l1, curvature + l2) - now[a]
            else:
                step = pull[a] / curvature
            if step != 0.0:
                now[a] += step
                for b in range(m + 1):
                    pull[b] -= step * gram[a, b]
                largest = max(largest, curvature * step * step)
    for a in range(m):
        fit.coef[columns[a]] = now[a]
        fit.curvature[columns[a]] = gram[a, a]
        if now[a] != before[a]:
            _subtract(fit.residual, now[a] - before[a], fit.weight, x[columns[a]])
    fit.intercept[0] += now[m]
    for i in range(len(fit.residual)):
        fit.residual[i] -= now[m] * fit.weight[i]


@compiled
def _descend(x: np.ndarray, fit: Fit, l1: float, l2: float, tolerance: float) -> None:
    """Minimises the quadratic approximation over the candidates."""
    candidates = np.flatnonzero(fit.candidate)
    while fit.passes[0] <= MAX_PASSES:
        if _sweep(x, candidates, fit, l1, l2) < tolerance:
            return
        for _ in range(FEWEST_SWEEPS + int(GRAM_SWEEPS * fit.used[0])):
            largest = _sweep(x, fit.order[: fit.used[0]], fit, l1, l2)
            if largest < tolerance:
                break
        if largest >= tolerance:
            _descend_on_gram(x, fit, l1, l2, tolerance)


@compiled
def _approximate(x: np.ndarray, y: np.ndarray, fit: Fit) -> float:
    """Renews residual and weight at the present coefficients; the deviance per row, halved."""
    n = len(y)
    eta = np.full(n, fit.intercept[0])
    for k in fit.order[: fit.used[0]]:
        if fit.coef[k] != 0.0:
            for i in range(n):
                eta[i] += fit.coef[k] * x[k, i]
    deviance = 0.0
    limit = math.log(1 / PROBABILITY_FLOOR - 1)
    for i in range(n):
        p = 1.0 if eta[i] > limit else (0.0 if eta[i] < -limit else 1 / (1 + math.exp(-eta[i])))
        fit.weight[i] = p * (1 - p) / n
        fit.residual[i] = (y[i] - p) / n
        p = min(max(p, PROBABILITY_FLOOR), 1 - PROBABILITY_FLOOR)
        deviance -= (y[i] * math.log(p) + (1 - y[i]) * math.log(1 - p)) / n
    fit.curvature[:] = -1.0
    return deviance


@compiled
def _let_in(x: np.ndarray, fit: Fit, l1: float) -> bool:
    """Adds the predictors outside the candidates that the solution cannot leave at 0; whether there were any."""
    any_ = False
    for k in range(len(x)):
        if not fit.candidate[k]:
            fit.gradient[k] = abs(_dot(fit.residual, x[k]))
            if fit.gradient[k] > l1:
                fit.candidate[k] = True
                any_ = True
    return any_


@compiled
def _moved(fit: Fit, before: np.ndarray, tolerance: float) -> bool:
    """Whether a coefficient left its value by more than the tolerance, in deviance."""
    columns = fit.order[: fit.used[0]]
    return np.any(fit.curvature[columns] * (fit.coef[columns] - before[columns]) ** 2 >= tolerance)


@compiled
def _solve(x: np.ndarray, y: np.ndarray, fit: Fit, l1: float, l2: float, tolerance: float) -> float:
    """Newton's outer loop at one penalty; the halved deviance per row of the solution."""
    while True:
        before, intercept = fit.coef.copy(), fit.intercept[0]
        _descend(x, fit, l1, l2, tolerance)
        moved = _moved(fit, before, tolerance)
        deviance = _approximate(x, y, fit)
        total = _sum(fit.weight)
        if total <= SATURATED or fit.passes[0] > MAX_PASSES:
            return deviance
        moved = moved or total * (fit.intercept[0] - intercept) ** 2 >= tolerance
        if not moved and not _let_in(x, fit, l1):
            return deviance


@compiled
def _start(x: np.ndarray, y: np.ndarray) -> tuple[Fit, float]:
    """The fit of the intercept alone, and its halved deviance per row."""
    p, n = x.shape
    share = y.mean()
    fit = Fit(
        np.zeros(p),
        np.array([math.log(share / (1 - share))]),
        np.empty(n),
        np.empty(n),
        np.empty(p),
        np.empty(p),
        np.zeros(p, np.bool_),
        np.zeros(p, np.bool_),
        np.empty(p, np.int64),
        np.zeros(1, np.int64),
        np.zeros(1, np.int64),
    )
    deviance = _approximate(x, y, fit)
    _let_in(x, fit, np.inf)
    return fit, deviance


@compiled
def null_gradient(x: np.ndarray, y: np.ndarray) -> float:
    """The largest |x'(y - mean y)| / n: the penalty at which the first predictor leaves 0."""
    return _start(x, y)[0].gradient.max()


@compiled
def fit_path(
    x: np.ndarray, y: np.ndarray, lambdas: np.ndarray, alpha: float, threshold: float, early_stop: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Intercepts (m,), coefficients (m, p) of the standardised predictors, explained deviance (m,), sweeps taken.

    x: (p, n) standardised, a row per predictor. y: (n,) 0 or 1. lambdas: descending; m of them are fitted: all, or
    those down to where the fit is certain of every row, where ``early_stop`` applies, or before the one at which the
    sweeps exceed ``MAX_PASSES``. With ``early_stop`` the first of ``lambdas`` is where all coefficients are 0.
    Source: Friedman, Hastie, Tibshirani, J Stat Softw 2010; 33(1), with the strong rules of Tibshirani et al., J R
    Stat Soc B 2012; 74:245, in glmnet's order of steps and with its rules for when to stop.
    """
    count = len(lambdas)
    coef, intercept, explained = np.zeros((count, len(x))), np.empty(count), np.empty(count)
    fit, null = _start(x, y)
    last = 0.0
    m = 0
    while m < count:
        penalty = lambdas[m]
        for k in range(len(x)):
            if not fit.candidate[k] and fit.gradient[k] > alpha * (2 * penalty - last):
                fit.candidate[k] = True
        l1 = alpha * penalty if m > 0 or not early_stop else np.inf
        deviance = _solve(x, y, fit, l1, (1 - alpha) * penalty, threshold * null)
        if fit.passes[0] > MAX_PASSES:
            break
        coef[m], intercept[m], explained[m] = fit.coef, fit.intercept[0], 1 - deviance / null
        last = penalty
        m += 1
        if _sum(fit.weight) <= SATURATED:
            break
        if early_stop and m >= LEAST_FITS:
            gain = explained[m - 1] - explained[m - 2]
            if explained[m - 1] > MOST_EXPLAINED or gain < LEAST_GAIN:
                break
    return intercept[:m], coef[:m], explained[:m], fit.passes[0]
