"""How well features agree between readers, or between repeats of one reader: intraclass correlation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from gc_ray.errors import TableError

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Agreement:
    """Intraclass correlation with its 95 % interval: scalars for one feature, else arrays with one value each.

    NaN where it cannot be computed: a feature without any spread, or with missing or infinite ratings.
    """

    icc: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


def icc(ratings: np.ndarray, kind: Literal["2,1", "3,1"] = "2,1") -> Agreement:
    """The intraclass correlation of single ratings.

    ratings: subjects x raters, or subjects x raters x features. kind: ``2,1`` absolute agreement of raters drawn at
    random (between readers), ``3,1`` consistency of these raters (within a reader). Intervals by the F distribution,
    that of ``2,1`` with Satterthwaite's degrees of freedom.
    Raises TableError for fewer than 2 subjects or raters, another shape, or another kind. Source: Shrout and Fleiss,
    Psychol Bull 1979; 86:420.
    """
    ratings = np.asarray(ratings, dtype=np.float64)
    if ratings.ndim not in (2, 3) or min(ratings.shape[:2]) < 2:
        raise TableError(f"ICC: wanted at least 2 subjects x 2 raters (x features), got shape {ratings.shape}")
    if kind not in ("2,1", "3,1"):
        raise TableError(f"ICC: wanted kind 2,1 or 3,1, got {kind}")
    computable = np.isfinite(ratings).all(axis=(0, 1))
    # a harmless stand-in for what cannot be computed, so that the rest goes through in one piece
    computable &= np.ptp(np.where(computable, ratings, 0.0), axis=(0, 1)) > 0
    stand_in = np.arange(ratings.shape[0] * ratings.shape[1], dtype=float).reshape(ratings.shape[:2])
    stand_in = stand_in[..., None] if ratings.ndim == 3 else stand_in
    squares = _mean_squares(np.where(computable, ratings, stand_in))
    estimate = _absolute if kind == "2,1" else _consistent
    with np.errstate(divide="ignore", invalid="ignore"):  # readers who cross in a few subjects: no value, no limit
        values = estimate(*squares, *ratings.shape[:2])
    return Agreement(*(np.where(computable & np.isfinite(value), value, np.nan)[()] for value in values))


def _mean_squares(ratings: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean squares of subjects, raters and residual, of the two-way layout."""
    n, k = ratings.shape[:2]
    centred = ratings - ratings.mean(axis=(0, 1))  # against cancellation where the mean is large
    subjects, raters = centred.mean(axis=1), centred.mean(axis=0)
    residual = centred - subjects[:, None] - raters[None]
    return (
        k * (subjects**2).sum(axis=0) / (n - 1),
        n * (raters**2).sum(axis=0) / (k - 1),
        (residual**2).sum(axis=(0, 1)) / ((n - 1) * (k - 1)),
    )


def _absolute(msr: np.ndarray, msc: np.ndarray, mse: np.ndarray, n: int, k: int) -> tuple[np.ndarray, ...]:
    value = (msr - mse) / (msr + (k - 1) * mse + k * (msc - mse) / n)
    a = k * value * msc
    b = (n * (1 + (k - 1) * value) - k * value) * mse
    bottom = (n - 1) * a**2 + b**2
    perfect = bottom == 0  # no disagreement at all: any degrees of freedom give 1 to 1
    freedom = (k - 1) * (n - 1) * (a + b) ** 2 / np.where(perfect, 1.0, bottom)
    freedom = np.where(perfect, 1.0, freedom)
    level = (1 + CONFIDENCE) / 2
    high, low = stats.f.ppf(level, n - 1, freedom), stats.f.ppf(level, freedom, n - 1)
    error = k * msc + (k * n - k - n) * mse
    return value, n * (msr - high * mse) / (high * error + n * msr), n * (low * msr - mse) / (error + n * low * msr)


def _consistent(msr: np.ndarray, msc: np.ndarray, mse: np.ndarray, n: int, k: int) -> tuple[np.ndarray, ...]:
    value = (msr - mse) / (msr + (k - 1) * mse)
    level, rest = (1 + CONFIDENCE) / 2, (n - 1) * (k - 1)
    high, low = stats.f.ppf(level, n - 1, rest), stats.f.ppf(level, rest, n - 1)
    return value, (msr - high * mse) / (msr + (k - 1) * high * mse), (low * msr - mse) / (low * msr + (k - 1) * mse)
