"""The LASSO for a binary outcome: its path of penalties and the choice among them by cross-validation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from gc_ray.errors import TableError
from gc_ray.models.inputs import outcome, predictors
from gc_ray.models.lasso_kernels import MAX_PASSES, fit_path, null_gradient

GRID_SIZE = 100  # penalties of a path, as in glmnet
GRID_RATIO_WIDE = 1e-2  # smallest over largest penalty with more predictors than rows, as in glmnet
GRID_RATIO_LONG = 1e-4  # .. and otherwise
LEAST_MIXING = 1e-3  # the largest penalty is that of no smaller mixing, as in glmnet
# Share of the null deviance by which a step may still change it. Less comes nearer to the optimum, but to equal
# glmnet is to stop where it stops: 1e-7 leaves standardised coefficients 1e-4 to 1e-2 off, 1e-12 still 1e-6 to 1e-4.
GLMNET_THRESHOLD = 1e-7
EXACT_THRESHOLD = 1e-12
PROBABILITY_CLIP = 1e-5  # probabilities are kept so far from 0 and 1 before their logarithm, as in cv.glmnet
FEWEST_FOLDS = 3  # as in cv.glmnet
FEWEST_OF_A_CLASS = 2  # rows of the rarer outcome in anything that is fitted, as in glmnet


@dataclass(frozen=True)
class LassoPath:
    """Solutions along descending penalties: m of them, p predictors on their original scale."""

    lambdas: np.ndarray  # (m,)
    intercept: np.ndarray  # (m,)
    coef: np.ndarray  # (m, p)
    deviance_ratio: np.ndarray  # (m,) explained share of the null deviance
    converged: bool  # False: the path ends early because a penalty took too many sweeps


@dataclass(frozen=True)
class CvLasso:
    """A path, its cross-validated binomial deviance and the two penalties that are chosen from it."""

    lambdas: np.ndarray  # (m,) descending
    cvm: np.ndarray  # (m,) mean deviance of the folds, weighted by their rows
    cvsd: np.ndarray  # (m,) its standard error
    lambda_min: float  # where cvm is least
    lambda_1se: float  # the largest with cvm within one standard error of the least
    intercept: np.ndarray  # (m,)
    coef: np.ndarray  # (m, p) original scale
    converged: bool  # False where the path or that of a fold ended early


def lasso_path(
    x: np.ndarray,
    y: np.ndarray,
    lambdas: np.ndarray | None = None,
    *,
    alpha: float = 1.0,
    ratio: float | None = None,
    threshold: float | None = None,
) -> LassoPath:
    """The minimisers of (1/n) sum log-loss + lambda (alpha L1 + (1 - alpha) L2 / 2), one row per penalty.

    x: (n, p) finite numbers, standardised inside by the 1/n standard deviation; a constant column keeps coefficient
    0. y: (n,) 0 or 1. lambdas: penalties in any order; None for glmnet's own grid and its early stops. alpha: mixing,
    above 0, 1 for the LASSO. ratio: smallest over largest penalty of the own grid, by default glmnet's 1e-2 with more
    predictors than rows and else 1e-4. threshold: share of the null deviance by which a step of the descent may still
    change it, by default glmnet's 1e-7 on the own grid and 1e-12 on a given one.
    Raises TableError for text, missing or infinite values, fewer than 2 rows of a class, columns that are all
    constant, negative penalties, or a mixing outside 0..1.
    """
    x = predictors(x)
    y = outcome(y, len(x))
    _check_classes(y, "all rows")
    return _path(x, y, lambdas, alpha, ratio, threshold)


def cv_lasso_logistic(
    x: np.ndarray,
    y: np.ndarray,
    fold_ids: np.ndarray,
    lambdas: np.ndarray | None = None,
    *,
    alpha: float = 1.0,
    ratio: float | None = None,
    threshold: float | None = None,
) -> CvLasso:
    """The path on all rows with its cross-validated deviance, lambda_min and lambda_1se, as in R's ``cv.glmnet``.

    fold_ids: (n,) the fold in which each row is left out, at least 3 folds. Other arguments as in ``lasso_path``.
    With lambdas None each fold follows a grid of its own and its predictions are interpolated to that of all rows;
    given penalties are shared by all folds. Standardisation is repeated inside each fold.
    Raises TableError as ``lasso_path`` does, for all rows and for those outside each fold.
    """
    x = predictors(x)
    y = outcome(y, len(x))
    folds = _folds(fold_ids, y)
    whole = _path(x, y, lambdas, alpha, ratio, threshold)
    deviance = np.empty((len(folds), len(whole.lambdas)))
    converged = whole.converged
    for i, left_out in enumerate(folds):
        path = _path(x[~left_out], y[~left_out], lambdas, alpha, ratio, threshold)
        converged &= path.converged
        linear = path.intercept + x[left_out] @ path.coef.T
        deviance[i] = _deviance(y[left_out], _interpolated(linear, path.lambdas, whole.lambdas)).mean(axis=0)
    rows = np.array([left_out.sum() for left_out in folds])
    cvm = np.average(deviance, axis=0, weights=rows)
    cvsd = np.sqrt(np.average((deviance - cvm) ** 2, axis=0, weights=rows) / (len(folds) - 1))
    best = np.flatnonzero(cvm <= cvm.min())[0]
    near = np.flatnonzero(cvm <= cvm[best] + cvsd[best])[0]
    return CvLasso(
        whole.lambdas,
        cvm,
        cvsd,
        float(whole.lambdas[best]),
        float(whole.lambdas[near]),
        whole.intercept,
        whole.coef,
        converged,
    )


def _folds(fold_ids: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """For each fold the rows that it leaves out, bool."""
    fold_ids = np.asarray(fold_ids)
    if fold_ids.shape != y.shape:
        raise TableError(f"folds: wanted one for each of {len(y)} rows, got shape {fold_ids.shape}")
    labels = np.unique(fold_ids)
    if len(labels) < FEWEST_FOLDS:
        raise TableError(f"folds: wanted at least {FEWEST_FOLDS}, got {len(labels)}")
    folds = [fold_ids == label for label in labels]
    for label, left_out in zip(labels, folds, strict=True):
        _check_classes(y[~left_out], f"the rows outside fold {label}")
    return folds


def _check_classes(y: np.ndarray, whose: str) -> None:
    events = int(y.sum())
    if min(events, len(y) - events) < FEWEST_OF_A_CLASS:
        raise TableError(
            f"outcome: wanted at least {FEWEST_OF_A_CLASS} events and {FEWEST_OF_A_CLASS} others, {whose} have "
            f"{events} events and {len(y) - events} others; draw the folds by outcome or take fewer"
        )


def _path(
    x: np.ndarray,
    y: np.ndarray,
    lambdas: np.ndarray | None,
    alpha: float,
    ratio: float | None,
    threshold: float | None,
) -> LassoPath:
    if not 0 < alpha <= 1:
        raise TableError(f"LASSO: wanted a mixing alpha above 0 and at most 1, got {alpha}")
    varies = np.ptp(x, axis=0) > 0
    if not varies.any():
        raise TableError("LASSO: wanted predictors that vary, all are constant; relax the step before")
    centre = x.mean(axis=0)
    scale = np.where(varies, x.std(axis=0), 1.0)
    standardised = np.ascontiguousarray(((x - centre) / scale)[:, varies].T)
    own = lambdas is None
    if own:
        largest = null_gradient(standardised, y) / max(alpha, LEAST_MIXING)
        grid = _grid(largest, ratio or (GRID_RATIO_WIDE if x.shape[0] < x.shape[1] else GRID_RATIO_LONG))
    else:
        grid = _descending(lambdas)
    threshold = threshold or (GLMNET_THRESHOLD if own else EXACT_THRESHOLD)
    intercept, slopes, explained, passes = fit_path(standardised, y, grid, alpha, threshold, own)
    if not len(intercept):
        raise TableError(f"LASSO: no solution at the largest penalty in {MAX_PASSES} sweeps; take a larger threshold")
    coef = np.zeros((len(intercept), x.shape[1]))
    coef[:, varies] = slopes / scale[varies]
    return LassoPath(grid[: len(coef)], intercept - coef @ centre, coef, explained, bool(passes <= MAX_PASSES))


def _grid(largest: float, ratio: float) -> np.ndarray:
    return largest * ratio ** (np.arange(GRID_SIZE) / (GRID_SIZE - 1))


def _descending(lambdas: np.ndarray) -> np.ndarray:
    grid = np.sort(np.asarray(lambdas, dtype=np.float64))[::-1].copy()
    if grid.ndim != 1 or not grid.size or not np.isfinite(grid).all() or grid[-1] < 0:
        raise TableError("LASSO: wanted penalties as a list of finite numbers, none below 0; correct the list")
    return grid


def _interpolated(linear: np.ndarray, own: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Predictions (n, m) at ``own`` descending penalties, brought to the ``wanted``; constant beyond the ends."""
    position = np.interp(wanted, own[::-1], np.arange(len(own))[::-1])
    left = np.floor(position).astype(int)
    right = np.ceil(position).astype(int)
    share = position - left
    return linear[:, left] * (1 - share) + linear[:, right] * share


def _deviance(y: np.ndarray, linear: np.ndarray) -> np.ndarray:
    """-2 log-likelihood of each row (n, m)."""
    p = np.clip(special.expit(linear), PROBABILITY_CLIP, 1 - PROBABILITY_CLIP)
    return -2 * np.where(y[:, None] == 1, np.log(p), np.log(1 - p))
