"""What does each threshold of a score give: ROC and precision-recall curves, and the operating point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gc_ray.errors import TableError
from gc_ray.evaluate.outcome import binary, both_classes


@dataclass(frozen=True, eq=False)
class RocCurve:
    """Sensitivity and specificity at each threshold, thresholds ascending from -inf to inf."""

    thresholds: np.ndarray
    sensitivity: np.ndarray
    specificity: np.ndarray
    n: int
    events: int


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """Precision and recall at each distinct score, thresholds descending, and the average precision."""

    thresholds: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    average_precision: float
    n: int
    events: int


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold (at or above it = positive) and the rule that set it, with n and events of the data it is from."""

    threshold: float
    rule: str
    sensitivity: float
    specificity: float
    n: int
    events: int


def roc_curve(y: ArrayLike, score: ArrayLike) -> RocCurve:
    """The ROC curve at every threshold that changes a decision.

    ``y`` (n,) of 0 and 1, ``score`` (n,) with higher = higher risk. Thresholds lie midway between neighbouring
    distinct scores, as pROC's; a score at or above the threshold is positive. TableError when a class is missing.
    """
    y, score = binary(y, score=score)
    both_classes(y, "ROC curve")
    values, positive, negative = _counts_from_above(y, score)
    cases, controls = positive[-1], negative[-1]
    ascending = values[::-1]
    return RocCurve(
        np.concatenate([[-np.inf], _between(ascending), [np.inf]]),
        np.concatenate([positive[::-1], [0]]) / cases,
        1 - np.concatenate([negative[::-1], [0]]) / controls,
        len(y),
        int(cases),
    )


def precision_recall(y: ArrayLike, score: ArrayLike) -> PrecisionRecall:
    """The precision-recall curve and the average precision.

    ``y`` (n,) of 0 and 1, ``score`` (n,) with higher = higher risk. The average precision is the sum over
    descending thresholds of the gain in recall times the precision, never a trapezoid; a score without information
    gives the share of events. TableError when a class is missing.
    """
    y, score = binary(y, score=score)
    both_classes(y, "precision-recall curve")
    values, positive, negative = _counts_from_above(y, score)
    precision, recall = positive / (positive + negative), positive / positive[-1]
    average = float(np.sum(np.diff(recall, prepend=0) * precision))
    return PrecisionRecall(values, precision, recall, average, len(y), int(positive[-1]))


def operating_point(y: ArrayLike, score: ArrayLike, rule: str | float) -> OperatingPoint:
    """The threshold above which a patient counts as positive, by a stated rule.

    ``y`` (n,) and ``score`` (n,) are of the training data: a threshold chosen on the patients it is judged on is
    optimistic. ``rule`` is ``"youden"`` (the largest sensitivity + specificity; of several, the lowest threshold,
    which misses fewest events) or a number, the fixed threshold itself. TableError when a class is missing, the
    rule is unknown, or no threshold does better than chance.
    """
    y, score = binary(y, score=score)
    both_classes(y, "operating point")
    name, threshold = _youden(y, score) if isinstance(rule, str) else ("fixed", float(rule))
    if isinstance(rule, str) and rule.lower() != name:
        raise TableError(f"rule: wanted youden or a threshold as a number, got {rule}")
    if not np.isfinite(threshold):
        raise TableError(
            "operating point: wanted a score that does better than chance at some threshold, got none;"
            " check that a higher score means a higher risk, or give a fixed threshold"
        )
    above = score >= threshold
    return OperatingPoint(threshold, name, float(above[y].mean()), float((~above[~y]).mean()), len(y), int(y.sum()))


def _youden(y: np.ndarray, score: np.ndarray) -> tuple[str, float]:
    values, positive, negative = _counts_from_above(y, score)
    # whole numbers, so that equal indices compare equal
    index = positive * negative[-1] - negative * positive[-1]
    best = len(index) - 1 - int(np.argmax(index[::-1]))
    if index[best] <= 0:
        return "youden", np.inf
    return "youden", float(_between(values[[best + 1, best]])[0])


def _counts_from_above(y: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The distinct scores, descending, with the events and non-events that score at least as high."""
    order = np.argsort(-score, kind="stable")
    last = np.concatenate([np.flatnonzero(np.diff(score[order])), [len(y) - 1]])
    positive = np.cumsum(y[order])[last]
    return score[order][last], positive, last + 1 - positive


def _between(ascending: np.ndarray) -> np.ndarray:
    """Thresholds between neighbouring values; the upper value where the midpoint rounds down to the lower one."""
    lower, upper = ascending[:-1], ascending[1:]
    middle = lower / 2 + upper / 2
    return np.where(middle > lower, middle, upper)
