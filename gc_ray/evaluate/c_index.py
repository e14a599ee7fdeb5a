"""Does a higher score mean an earlier event: Harrell's concordance with its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gc_ray.errors import TableError
from gc_ray.evaluate.outcome import Z95, follow_up

PAIRS_AT_ONCE = 4_000_000  # cells of one block of pairs: some 30 MB


@dataclass(frozen=True)
class Concordance:
    """Harrell's c with its 95 % interval (clipped to 0..1), its standard error and the pairs behind it."""

    c: float
    lower: float
    upper: float
    se: float
    concordant: int
    discordant: int
    tied: int
    n: int
    events: int


def concordance(time: ArrayLike, event: ArrayLike, score: ArrayLike) -> Concordance:
    """The share of comparable pairs in which the patient with the earlier event has the higher score.

    ``time`` (n,) of 0 or more, ``event`` (n,) of 0 and 1, ``score`` (n,) with higher = higher risk. A pair is
    comparable when the earlier time is an event, or at equal times when one of the two is; equal scores count half.
    The variance is the infinitesimal jackknife. TableError when no pair is comparable. Source: Harrell et al., Stat
    Med 1996; equals R's survival::concordance(reverse = TRUE).
    """
    time, event, score = follow_up(time, event, score=score)
    pairs, credit, counts = np.zeros(len(time)), np.zeros(len(time)), np.zeros(2, dtype=int)
    rows = np.flatnonzero(event)
    block = max(1, PAIRS_AT_ONCE // len(time))
    for start in range(0, len(rows), block):
        early = rows[start : start + block, None]
        comparable = (time[early] < time) | ((time[early] == time) & ~event)
        higher, tied = comparable & (score[early] > score), comparable & (score[early] == score)
        counts += np.sum(higher), np.sum(tied)
        won = higher + tied / 2
        pairs += comparable.sum(axis=0)
        credit += won.sum(axis=0)
        pairs[early[:, 0]] += comparable.sum(axis=1)
        credit[early[:, 0]] += won.sum(axis=1)
    total = int(pairs.sum()) // 2
    if not total:
        raise TableError(
            f"concordance: wanted a pair of patients whose order is known, got none ({int(event.sum())} events among"
            f" {len(time)} patients); leave this cohort out"
        )
    concordant, tied_pairs = (int(count) for count in counts)
    c = (concordant + tied_pairs / 2) / total
    se = float(np.sqrt(np.sum((credit - c * pairs) ** 2)) / total)
    return Concordance(
        c,
        max(c - Z95 * se, 0.0),
        min(c + Z95 * se, 1.0),
        se,
        concordant,
        total - concordant - tied_pairs,
        tied_pairs,
        len(time),
        int(event.sum()),
    )
