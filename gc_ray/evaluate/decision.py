"""Does acting on the predicted risk do more good than harm: net benefit over threshold probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gc_ray.errors import TableError
from gc_ray.evaluate.outcome import binary, follow_up, probability
from gc_ray.evaluate.survival import survival_at


@dataclass(frozen=True, eq=False)
class NetBenefit:
    """Net benefit per patient at each threshold, and interventions avoided per 100 patients against treating all."""

    thresholds: np.ndarray
    model: np.ndarray
    treat_all: np.ndarray
    treat_none: np.ndarray
    interventions_avoided: np.ndarray
    n: int
    events: int


def net_benefit(y: ArrayLike, p: ArrayLike, thresholds: ArrayLike) -> NetBenefit:
    """Net benefit of treating patients whose predicted risk reaches each threshold.

    ``y`` (n,) of 0 and 1, ``p`` (n,) predicted risks from 0 to 1, ``thresholds`` (k,) strictly between 0 and 1.
    TableError otherwise. Source: Vickers and Elkin, Med Decis Making 2006: TP/n - FP/n * t/(1 - t), positive when
    p >= t.
    """
    y, p = binary(y, p=p)
    probability("p", p)
    odds, thresholds = _odds(thresholds)
    # counts of events and non-events with p >= t, by their sorted risks
    true = np.sum(y) - np.searchsorted(np.sort(p[y]), thresholds, side="left")
    false = np.sum(~y) - np.searchsorted(np.sort(p[~y]), thresholds, side="left")
    model = true / len(y) - false / len(y) * odds
    treat_all = y.mean() - (~y).mean() * odds
    return _result(thresholds, odds, model, treat_all, y)


def net_benefit_survival(
    time: ArrayLike, event: ArrayLike, p: ArrayLike, thresholds: ArrayLike, horizon: float
) -> NetBenefit:
    """Net benefit of treating by the predicted risk of an event before ``horizon``, with censoring.

    ``time`` (n,) and ``horizon`` in one unit, ``event`` (n,) of 0 and 1, ``p`` (n,) the predicted risk of the event
    by then (not the chance to survive), ``thresholds`` (k,) strictly between 0 and 1. The share of events among
    patients with p >= t is 1 - Kaplan-Meier at the horizon; NaN where their follow-up ends before it. TableError on
    bad input. Source: Vickers et al., BMC Med Inform Decis Mak 2008.
    """
    time, event, p = follow_up(time, event, p=p)
    probability("p", p)
    odds, thresholds = _odds(thresholds)
    if not 0 < horizon <= time.max():
        raise TableError(
            f"horizon: wanted a time above 0 and within the follow-up of {time.max():.6g}, got {horizon:.6g}"
        )
    model = np.array([_benefit(time, event, p >= t, odds[k], horizon) for k, t in enumerate(thresholds)])
    free = survival_at(time, event, horizon)
    treat_all = (1 - free) - free * odds
    return _result(thresholds, odds, model, treat_all, event)


def _benefit(time: np.ndarray, event: np.ndarray, treated: np.ndarray, odds: float, horizon: float) -> float:
    if not treated.any():
        return 0.0
    free = survival_at(time[treated], event[treated], horizon)
    return float(((1 - free) - free * odds) * treated.mean())


def _odds(thresholds: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    thresholds = np.atleast_1d(np.asarray(thresholds, dtype=float))
    inside = (thresholds > 0) & (thresholds < 1)
    if not inside.all():
        raise TableError(f"thresholds: wanted values strictly between 0 and 1, got {thresholds[~inside][0]:.6g}")
    return thresholds / (1 - thresholds), thresholds


def _result(
    thresholds: np.ndarray, odds: np.ndarray, model: np.ndarray, treat_all: np.ndarray, events: np.ndarray
) -> NetBenefit:
    avoided = (model - treat_all) / odds * 100
    return NetBenefit(
        thresholds, model, treat_all, np.zeros_like(thresholds), avoided, len(events), int(events.sum())
    )
