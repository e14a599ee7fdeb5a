"""How long do patients stay free of the event: Kaplan-Meier curves and the log-rank test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import chi2

from gc_ray.errors import TableError
from gc_ray.evaluate.outcome import TIME_TOLERANCE, Z95, follow_up, labels

INTERVALS = ("log-log", "log", "plain")


@dataclass(frozen=True, eq=False)
class KaplanMeier:
    """Survival at each distinct time, events or not, with pointwise 95 % limits; times in the unit that came in.

    ``median`` and its limits are NaN when their curve does not come down to one half.
    """

    time: np.ndarray
    survival: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    at_risk: np.ndarray
    events_at: np.ndarray
    censored_at: np.ndarray
    median: float
    median_lower: float
    median_upper: float
    interval: str
    n: int
    events: int


@dataclass(frozen=True, eq=False)
class LogRank:
    """The log-rank test; ``table`` has group, n, events and the events expected if all groups were alike."""

    statistic: float
    df: int
    p_value: float
    table: pd.DataFrame
    n: int
    events: int


def kaplan_meier(time: ArrayLike, event: ArrayLike, interval: str = "log-log") -> KaplanMeier:
    """The Kaplan-Meier curve with Greenwood's variance.

    ``time`` (n,) of 0 or more, ``event`` (n,), 1 = the event ended the follow-up, 0 = censored. ``interval`` is the
    scale of the limits: ``log-log``, ``log`` (R's default) or ``plain``. Limits are NaN where the scale has none,
    as in R's survfit: at survival 0, and with log-log at 1. TableError on bad input or another interval.
    """
    if interval not in INTERVALS:
        raise TableError(f"interval: wanted one of {', '.join(INTERVALS)}, got {interval}")
    time, event = follow_up(time, event)
    distinct, at_risk, events_at, left_at = _life_table(time, event)
    survival = np.cumprod(1 - events_at / at_risk)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative_se = np.sqrt(np.cumsum(events_at / (at_risk * (at_risk - events_at))))
        lower, upper = _limits(survival, relative_se, interval)
    return KaplanMeier(
        distinct,
        survival,
        lower,
        upper,
        at_risk,
        events_at,
        left_at - events_at,
        *(_time_to_half(distinct, curve) for curve in (survival, lower, upper)),
        interval,
        len(time),
        int(event.sum()),
    )


def survival_at(time: np.ndarray, event: np.ndarray, horizon: float) -> float:
    """Kaplan-Meier survival at ``horizon``; NaN when the follow-up ends before it with patients still free."""
    distinct, at_risk, events_at, _ = _life_table(time, event)
    survival = float(np.prod(np.where(distinct <= horizon, 1 - events_at / at_risk, 1.0)))
    return survival if survival == 0 or distinct[-1] >= horizon else np.nan


def log_rank(time: ArrayLike, event: ArrayLike, group: ArrayLike) -> LogRank:
    """The log-rank test of equal hazards in all groups.

    ``time``, ``event`` as for ``kaplan_meier``, ``group`` (n,) of labels. The null hypothesis is one hazard for
    all; the statistic is chi-square with groups - 1 degrees of freedom. TableError when there is one group only, or
    no event. Source: Mantel 1966, ties by the hypergeometric variance; equals R's survdiff.
    """
    time, event = follow_up(time, event)
    codes, names = labels("group", group, len(time))
    if len(names) < 2 or not event.any():
        raise TableError(
            f"log-rank test: wanted two groups and an event, got {len(names)} groups and {int(event.sum())} events"
        )
    distinct, at_risk, events_at, _ = _life_table(time, event)
    # patients of each group at risk and with the event, at each time
    member = codes[:, None] == np.arange(len(names))
    place = np.searchsorted(distinct, time)
    left, died = np.zeros((2, len(distinct), len(names)))
    np.add.at(left, place, member)
    np.add.at(died, place[event], member[event])
    share = np.cumsum(left[::-1], axis=0)[::-1] / at_risk[:, None]
    expected = (events_at[:, None] * share).sum(axis=0)
    spread = events_at * (at_risk - events_at) / np.maximum(at_risk - 1, 1)
    covariance = np.diag(spread @ share) - (share * spread[:, None]).T @ share
    observed = died.sum(axis=0)
    # a group that left before the first event has nothing to compare
    kept = np.flatnonzero(expected > 0)[1:]
    if not len(kept):
        raise TableError("log-rank test: wanted two groups at risk at some event, got one; merge groups")
    excess = (observed - expected)[kept]
    statistic = float(excess @ np.linalg.solve(covariance[np.ix_(kept, kept)], excess))
    table = pd.DataFrame(
        {"group": names, "n": member.sum(axis=0), "events": observed.astype(int), "expected": expected}
    )
    return LogRank(statistic, len(kept), float(chi2.sf(statistic, len(kept))), table, len(time), int(event.sum()))


def _life_table(time: np.ndarray, event: np.ndarray) -> tuple[np.ndarray, ...]:
    """Distinct times, and at each: patients at risk just before it, events, and all who leave."""
    distinct, place, left_at = np.unique(time, return_inverse=True, return_counts=True)
    events_at = np.bincount(place, weights=event, minlength=len(distinct)).astype(int)
    at_risk = np.cumsum(left_at[::-1])[::-1]
    return distinct, at_risk, events_at, left_at


def _limits(survival: np.ndarray, relative_se: np.ndarray, interval: str) -> tuple[np.ndarray, np.ndarray]:
    if interval == "plain":
        half = Z95 * relative_se * survival
        return np.maximum(survival - half, 0), np.minimum(survival + half, 1)
    if interval == "log":
        ratio = np.exp(Z95 * np.where(survival > 0, relative_se, np.nan))
        return survival / ratio, np.minimum(survival * ratio, 1)
    inside = np.where((survival > 0) & (survival < 1), survival, np.nan)
    power = np.exp(Z95 * relative_se / -np.log(inside))
    return inside**power, inside ** (1 / power)


def _time_to_half(time: np.ndarray, curve: np.ndarray) -> float:
    """The first time at which the curve is at or below one half; the middle of the stretch that lies on it."""
    reached = np.flatnonzero(curve <= 0.5 + TIME_TOLERANCE)
    if not len(reached):
        return np.nan
    first = reached[0]
    if curve[first] < 0.5 - TIME_TOLERANCE:
        return float(time[first])
    below = np.flatnonzero(curve < 0.5 - TIME_TOLERANCE)
    end = below[0] if len(below) else len(time) - 1
    return float((time[first] + time[end]) / 2)
