"""PyRadiomics' first-order features, without its passes that look for NaNs in every formula."""

from __future__ import annotations

import numpy as np


def first_order(
    values: np.ndarray, counts: np.ndarray, shift: float, spacing_mm: tuple[float, float, float]
) -> dict[str, float]:
    """All first-order features by PyRadiomics' names, equal to its own to the bit.

    values: of the region in raster order, without a NaN. counts: voxels of each grey level that occurs.
    shift: the setting ``voxelArrayShift``. Source: ``radiomics.firstorder`` of PyRadiomics 3. Arrays keep one row,
    as there, because NumPy raises an array and a single number to a power by different functions.
    """
    x = values.astype(np.float64).reshape(1, -1)
    p10, p25, p75, p90 = np.percentile(x, [10, 25, 75, 90], axis=1)
    low, high = x.min(1), x.max(1)
    mean = _mean(x, x.size)
    energy = np.sum((x + shift) ** 2, 1)
    p = counts.astype(np.float64) / float(counts.sum())
    away = x - mean
    found = {
        "Energy": energy,
        "TotalEnergy": energy * np.multiply.reduce(spacing_mm),
        "Entropy": -1.0 * np.sum(p * np.log2(p + np.spacing(1))),
        "Minimum": low,
        "10Percentile": p10,
        "90Percentile": p90,
        "Maximum": high,
        "Mean": mean,
        "Median": np.median(x, 1),
        "InterquartileRange": p75 - p25,
        "Range": high - low,
        "MeanAbsoluteDeviation": _mean(np.abs(away), x.size),
        "RobustMeanAbsoluteDeviation": _robust_deviation(x, p10, p90),
        "RootMeanSquared": np.sqrt(energy / x.size),
        "StandardDeviation": np.sqrt(_mean(away * away, x.size)),
        "Uniformity": np.sum(p**2),
        **_moments(away),
    }
    found["Variance"] = found["StandardDeviation"] ** 2
    return {name: float(np.squeeze(value)) for name, value in found.items()}


def _mean(x: np.ndarray, n: int) -> np.ndarray:
    return np.sum(x, 1) / n


def _moments(away: np.ndarray) -> dict[str, np.ndarray]:
    m2, m3, m4 = (_mean(np.power(away, order), away.size) for order in (2, 3, 4))
    m2[m2 == 0] = 1  # a flat region
    return {"Skewness": m3 / m2**1.5, "Kurtosis": m4 / m2**2.0}


def _robust_deviation(x: np.ndarray, p10: np.ndarray, p90: np.ndarray) -> np.ndarray:
    """Mean distance from the mean of the values between the percentiles; the others stay in the sums, as zeros."""
    inside = (x - p10 >= 0) & (x - p90 <= 0)
    n = np.count_nonzero(inside)
    if n == 0:
        return np.array([np.nan])
    mean = _mean(np.where(inside, x, 0), n)
    return _mean(np.where(inside, np.abs(x - mean), 0), n)
