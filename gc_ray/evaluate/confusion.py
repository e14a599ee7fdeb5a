"""What does a threshold get right and wrong: the confusion matrix and its metrics with intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gc_ray.errors import TableError
from gc_ray.evaluate.outcome import binary
from gc_ray.evaluate.proportions import METHODS, TAIL, Interval, proportion

DRAWS = 2000  # bootstrap samples; they cost one multinomial draw, so no reason to be frugal


@dataclass(frozen=True)
class Confusion:
    """Counts at a threshold, and accuracy, sensitivity, specificity and predictive values with 95 % intervals."""

    tp: int
    fp: int
    tn: int
    fn: int
    ACC: Interval
    SENS: Interval
    SPEC: Interval
    PPV: Interval
    NPV: Interval
    threshold: float
    interval: str
    n: int
    events: int


def confusion_metrics(
    y: ArrayLike, score: ArrayLike, threshold: float, interval: str = "wilson", *, seed: int = 0
) -> Confusion:
    """The confusion matrix of ``score >= threshold`` against ``y``, and its metrics.

    ``y`` (n,) of 0 and 1, ``score`` (n,) with higher = higher risk. ``interval`` is ``wilson``, ``wald`` (clipped
    to 0..1), ``exact`` (Clopper-Pearson) or ``bootstrap`` (percentiles over patients, drawn with ``seed``). A
    metric whose denominator is empty is NaN, so one class alone is allowed. TableError for another interval or a
    threshold that is not finite.
    """
    y, score = binary(y, score=score)
    if not math.isfinite(threshold):
        raise TableError(f"threshold: wanted a finite number, got {threshold}")
    positive = score >= threshold
    counts = tuple(int(np.sum(cell)) for cell in (positive & y, positive & ~y, ~positive & ~y, ~positive & y))
    if interval == "bootstrap":
        metrics = _bootstrapped(counts, seed)
    elif interval in METHODS:
        metrics = [proportion(int(x), int(n), interval) for x, n in _ratios(*counts)]
    else:
        raise TableError(f"interval: wanted one of {', '.join((*METHODS, 'bootstrap'))}, got {interval}")
    return Confusion(*counts, *metrics, float(threshold), interval, len(y), int(y.sum()))


def _ratios(tp: ArrayLike, fp: ArrayLike, tn: ArrayLike, fn: ArrayLike) -> list[tuple[ArrayLike, ArrayLike]]:
    """Numerator and denominator of ACC, SENS, SPEC, PPV and NPV."""
    return [(tp + tn, tp + fp + tn + fn), (tp, tp + fn), (tn, tn + fp), (tp, tp + fp), (tn, tn + fn)]


def _bootstrapped(counts: tuple[int, ...], seed: int) -> list[Interval]:
    """Percentile intervals: resampling patients at a fixed threshold is a multinomial draw of the four cells."""
    n = sum(counts)
    draws = np.random.default_rng(seed).multinomial(n, np.array(counts) / n, size=DRAWS)
    metrics = []
    for (x, of), (drawn_x, drawn_of) in zip(_ratios(*counts), _ratios(*draws.T), strict=True):
        usable = drawn_of > 0
        if not of:
            metrics.append(Interval(math.nan, math.nan, math.nan))
            continue
        values = drawn_x[usable] / drawn_of[usable]
        lower, upper = np.quantile(values, [TAIL, 1 - TAIL])
        metrics.append(Interval(x / of, float(lower), float(upper)))
    return metrics
