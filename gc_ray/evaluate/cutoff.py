"""Where does a score split patients by survival best, and how much is luck: the maximally selected log-rank."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

from gc_ray.errors import TableError
from gc_ray.evaluate.outcome import follow_up


@dataclass(frozen=True, eq=False)
class OptimalCutoff:
    """The cutoff (above it = high risk) with its statistic, its p-value as if given beforehand, and the corrected
    one.

    ``cuts`` and ``statistics`` are all candidates; ``low`` and ``high`` the patients on either side.
    """

    cutoff: float
    statistic: float
    p_naive: float
    p_corrected: float
    cuts: np.ndarray
    statistics: np.ndarray
    low: int
    high: int
    n: int
    events: int


def optimal_cutoff(time: ArrayLike, event: ArrayLike, score: ArrayLike, min_fraction: float = 0.1) -> OptimalCutoff:
    """The cutoff of ``score`` with the largest standardised log-rank statistic: learn it on training data only.

    ``time`` (n,) of 0 or more, ``event`` (n,) of 0 and 1, ``score`` (n,) with higher = higher risk; each side keeps
    at least ``min_fraction`` of the patients. The null hypothesis is that survival does not depend on the score;
    ``p_naive`` ignores that the cutoff was searched for, ``p_corrected`` does not. TableError when there is no
    event or no cutoff leaves enough patients. Source: Lausen and Schumacher, Biometrics 1992; equals R's maxstat
    (Lau92).
    """
    time, event, score = follow_up(time, event, score=score)
    if not 0 < min_fraction < 0.5:
        raise TableError(f"min_fraction: wanted a share between 0 and .5, got {min_fraction}")
    order = np.argsort(score, kind="stable")
    ranked, marks = score[order], _log_rank_scores(time, event)
    ends = np.flatnonzero(np.diff(ranked))
    below = ends + 1
    kept = (below >= max(1, int(len(score) * min_fraction))) & (below <= int(len(score) * (1 - min_fraction)))
    if not kept.any() or not event.any():
        raise TableError(
            f"cutoff: wanted an event and a score with {min_fraction:.0%} of the patients on either side of a cut,"
            f" got {int(event.sum())} events and {len(ends) + 1} distinct scores among {len(score)} patients"
        )
    if np.ptp(marks) == 0:
        raise TableError("cutoff: wanted follow-ups that differ, all patients leave alike; leave this cohort out")
    below, cuts = below[kept], ranked[ends[kept]]
    statistics = _standardised(marks[order], below)
    best = int(np.argmax(statistics))
    largest = float(statistics[best])
    return OptimalCutoff(
        float(cuts[best]),
        largest,
        float(2 * norm.sf(largest)),
        _corrected(largest, min_fraction),
        cuts,
        statistics,
        int(below[best]),
        int(len(score) - below[best]),
        len(score),
        int(event.sum()),
    )


def _log_rank_scores(time: np.ndarray, event: np.ndarray) -> np.ndarray:
    """Event minus cumulative hazard; tied patients share the rank of the last of them (Hothorn and Lausen 2003)."""
    _, place, count = np.unique(time, return_inverse=True, return_counts=True)
    rank = np.cumsum(count)
    hazard = np.cumsum(np.bincount(place, weights=event) / (len(time) - rank + 1))
    return event - hazard[place]


def _standardised(marks: np.ndarray, below: np.ndarray) -> np.ndarray:
    """|S - E| / SD of the sum of the lowest ``below`` marks over all orders of the scores."""
    n = len(marks)
    total, squares = marks.sum(), np.sum(marks**2)
    variance = below * (n - below) / (n**2 * (n - 1)) * (n * squares - total**2)
    return np.abs(np.cumsum(marks)[below - 1] - below / n * total) / np.sqrt(variance)


def _corrected(largest: float, min_fraction: float) -> float:
    """The chance that the largest of all statistics reaches ``largest``; the approximation says 1 below 1."""
    if largest < 1:
        return 1.0
    density = norm.pdf(largest)
    span = np.log((1 - min_fraction) ** 2 / min_fraction**2)
    return float(np.clip(4 * density / largest + density * (largest - 1 / largest) * span, 0, 1))
