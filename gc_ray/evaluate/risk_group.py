"""Who is at high risk: patients split by a cutoff that was learned elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from gc_ray.errors import TableError


def risk_groups(
    score: ArrayLike, cutoffs: float | Sequence[float], names: Sequence[str] = ("low", "high")
) -> pd.Categorical:
    """The risk group of each patient, an ordered category from lowest to highest.

    ``score`` (n,) with higher = higher risk; ``cutoffs`` one or more rising numbers, from training data; a score
    above a cutoff is in the higher group, one equal to it in the lower, as ``optimal_cutoff`` counts. ``names`` has
    one more than ``cutoffs``. TableError when a score is missing or names and cutoffs do not fit.
    """
    values, edges = np.asarray(score, dtype=float), np.atleast_1d(np.asarray(cutoffs, dtype=float))
    if np.isnan(values).any():
        raise TableError(f"score: {int(np.isnan(values).sum())} values are missing; score or drop these patients")
    if len(names) != len(edges) + 1 or not all(map(math.isfinite, edges)) or (np.diff(edges) <= 0).any():
        raise TableError(
            f"cutoffs: wanted rising numbers, one fewer than the {len(names)} names, got {edges.tolist()}"
        )
    return pd.Categorical.from_codes(np.searchsorted(edges, values, side="left"), list(names), ordered=True)
