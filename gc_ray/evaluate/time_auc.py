"""How well does a score separate events by a given time from patients still free then, with censoring."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gc_ray.errors import TableError
from gc_ray.evaluate.outcome import Z95, follow_up


@dataclass(frozen=True, eq=False)
class TimeDependentAuc:
    """Cumulative/dynamic AUC at each of ``times`` with 95 % interval."""

    times: np.ndarray
    auc: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    se: np.ndarray
    n: int
    events: int


def time_dependent_auc(time: ArrayLike, event: ArrayLike, score: ArrayLike, times: ArrayLike) -> TimeDependentAuc:
    """The chance that a patient with the event by t scores higher than one still free at t, for each t of
    ``times``.

    ``time`` (n,) of 0 or more and ``times`` (k,) in one unit, ``event`` (n,) of 0 and 1, ``score`` (n,) with higher
    = higher risk. Patients censored before t count through the inverse probability of censoring (Kaplan-Meier of
    the censoring, the same for all patients: an assumption). NaN where no event came by t or nobody is free then.
    TableError on bad input. Source: Uno et al., JASA 2007; variance by the influence function of Blanche et al.,
    Stat Med 2013.
    """
    time, event, score = follow_up(time, event, score=score)
    times = np.atleast_1d(np.asarray(times, dtype=float))
    if not (np.isfinite(times) & (times > 0)).all():
        raise TableError("times: wanted times above 0 in the unit of the follow-up, got one that is not")
    censoring = _censoring(time, event)
    areas, ses = np.array([_at(time, event, score, t, censoring) for t in times]).T
    return TimeDependentAuc(
        times,
        areas,
        np.clip(areas - Z95 * ses, 0, 1),
        np.clip(areas + Z95 * ses, 0, 1),
        ses,
        len(time),
        int(event.sum()),
    )


def _censoring(time: np.ndarray, event: np.ndarray) -> tuple[np.ndarray, ...]:
    """Distinct times; at each the censoring hazard, the censoring survival just before it, and the share at risk.

    Who has the event at a time was not censored at it, so leaves the risk set of censoring first.
    """
    distinct, place, left = np.unique(time, return_inverse=True, return_counts=True)
    events_at = np.bincount(place, weights=event)
    at_risk = np.cumsum(left[::-1])[::-1] - events_at
    hazard = np.divide(left - events_at, at_risk, out=np.zeros(len(left)), where=at_risk > 0)
    before = np.concatenate([[1.0], np.cumprod(1 - hazard)[:-1]])
    return distinct, hazard, before, at_risk / len(time)


def _at(
    time: np.ndarray, event: np.ndarray, score: np.ndarray, horizon: float, censoring: tuple[np.ndarray, ...]
) -> tuple[float, float]:
    """AUC at ``horizon`` and its standard error."""
    case, control = event & (time <= horizon), time > horizon
    if not case.any() or not control.any():
        return np.nan, np.nan
    n = len(time)
    distinct, hazard, before, share = censoring
    place = np.searchsorted(distinct, time)
    weight = np.where(case, 1 / np.where(case, before[place], 1), 0.0)
    # for each case the share of controls below it, for each control the weighted share of cases above it
    below = np.zeros(n)
    below[case] = _share_below(score[case], score[control], np.ones(control.sum()))
    above = np.zeros(n)
    above[control] = 1 - _share_below(score[control], score[case], weight[case])
    area = float(np.sum(weight * below) / weight.sum())
    influence = weight * (below - area) / weight.mean() + control * (above - area) / control.mean()
    influence += _of_estimated_weights(weight * (below - area) / weight.sum(), place, ~event, hazard, share)
    return area, float(influence.std(ddof=1) / np.sqrt(n))


def _share_below(values: np.ndarray, reference: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The weighted share of ``reference`` below each value; equal ones count half."""
    order = np.argsort(reference, kind="stable")
    total = np.concatenate([[0.0], np.cumsum(weight[order])])
    left = np.searchsorted(reference[order], values, side="left")
    right = np.searchsorted(reference[order], values, side="right")
    return (total[left] + total[right]) / 2 / total[-1]


def _of_estimated_weights(
    pull: np.ndarray, place: np.ndarray, censored: np.ndarray, hazard: np.ndarray, share: np.ndarray
) -> np.ndarray:
    """Each patient's influence through the estimated censoring curve (the martingale term of Blanche et al.)."""
    per_hazard = np.divide(1.0, share, out=np.zeros(len(share)), where=share > 0)
    compensator = np.cumsum(hazard * per_hazard)
    before = np.concatenate([[0.0], compensator[:-1]])
    # of the cases' pull: what lies at later times, and what lies up to now times its own compensator
    pulled = np.bincount(place, weights=pull, minlength=len(hazard))
    later = pulled.sum() - np.cumsum(pulled)
    earlier = np.cumsum(pulled * before)
    jump = censored * per_hazard[place] * later[place]
    return jump - earlier[place] - compensator[place] * later[place]
