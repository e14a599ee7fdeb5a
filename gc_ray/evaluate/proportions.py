"""How sure is a proportion: Wald, Wilson and exact intervals at 95 %."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta

from gc_ray.errors import TableError
from gc_ray.evaluate.outcome import Z95

METHODS = ("wald", "wilson", "exact")
TAIL = 0.025  # on either side of a 95 % interval


class Interval(NamedTuple):
    """An estimate with its 95 % interval; NaN where there is nothing to estimate from."""

    estimate: float
    lower: float
    upper: float


def proportion(x: int, n: int, method: str = "wilson") -> Interval:
    """``x`` of ``n`` as a proportion with its interval; NaN throughout when ``n`` is 0.

    ``method`` is ``wald`` (clipped to 0..1), ``wilson`` (score, no continuity correction) or ``exact``
    (Clopper-Pearson). TableError for another method.
    """
    if not n:
        return Interval(np.nan, np.nan, np.nan)
    lower, upper = bounds(x, n, method)
    return Interval(x / n, float(lower), float(upper))


def bounds(x: ArrayLike, n: ArrayLike, method: str) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper 95 % bounds of x / n, elementwise; every ``n`` at least 1."""
    x, n = np.asarray(x, dtype=float), np.asarray(n, dtype=float)
    share = x / n
    if method == "wald":
        half = Z95 * np.sqrt(share * (1 - share) / n)
        return np.clip(share - half, 0, 1), np.clip(share + half, 0, 1)
    if method == "wilson":
        centre = (share + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
        half = Z95 / (1 + Z95**2 / n) * np.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
        # at 0 and n the bound is 0 or 1 exactly; rounding would leave 1e-17
        return np.where(x == 0, 0.0, centre - half), np.where(x == n, 1.0, centre + half)
    if method == "exact":
        lower = np.where(x == 0, 0.0, beta.ppf(TAIL, np.maximum(x, 1), n - x + 1))
        upper = np.where(x == n, 1.0, beta.ppf(1 - TAIL, x + 1, np.maximum(n - x, 1)))
        return lower, upper
    raise TableError(f"interval: wanted one of {', '.join(METHODS)}, got {method}")
