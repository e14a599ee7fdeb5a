"""A second split inside a training part, so that early stopping never watches the patients that will be scored."""

from __future__ import annotations

import numpy as np

from gc_ray.errors import TableError


def inner_split(outcome: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Which patients are watched and not fitted: bool (patients), about ``share`` of either outcome, at least one.

    outcome: 0 or 1 (patients), one row a patient. TableError when an outcome has fewer than two patients, since one
    is fitted and one is watched.
    """
    watched = np.zeros(len(outcome), bool)
    for value in (0, 1):
        of_outcome = np.flatnonzero(outcome == value)
        if len(of_outcome) < 2:
            raise TableError(
                f"early stopping wants two patients or more with outcome {value} beside the scored fold, "
                f"got {len(of_outcome)}; use fewer folds or more patients"
            )
        number = min(max(round(share * len(of_outcome)), 1), len(of_outcome) - 1)
        watched[rng.permutation(of_outcome)[:number]] = True
    return watched
