"""How well does a score separate patients with the event from those without: the AUC, its variance, its tests."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm, rankdata
from scipy.stats import t as student

from gc_ray.evaluate.outcome import Z95, binary, both_classes


@dataclass(frozen=True)
class Auc:
    """An AUC with DeLong's variance; ``lower`` and ``upper`` at 95 % on the AUC's own scale, clipped to 0..1."""

    auc: float
    variance: float
    lower: float
    upper: float
    n: int
    events: int


@dataclass(frozen=True)
class AucDifference:
    """AUC of a minus AUC of b, its 95 % interval and the two-sided normal test of no difference."""

    difference: float
    lower: float
    upper: float
    z: float
    p_value: float
    auc_a: float
    auc_b: float
    n: int
    events: int


@dataclass(frozen=True)
class UnpairedAucDifference(AucDifference):
    """As ``AucDifference``, for two groups of patients; ``df`` and ``p_welch`` refer the same z to Student's t."""

    df: float
    p_welch: float


def auc(y: ArrayLike, score: ArrayLike) -> float:
    """The area under the ROC curve: the chance that a patient with the event scores higher, ties counting half.

    ``y`` (n,) of 0 and 1, ``score`` (n,) with higher = higher risk; the direction is never chosen from the data.
    TableError when either class is missing.
    """
    y, score = binary(y, score=score)
    both_classes(y, "AUC")
    cases = int(y.sum())
    ranks = rankdata(score)
    return float((ranks[y].sum() - cases * (cases + 1) / 2) / (cases * (len(y) - cases)))


def auc_ci(y: ArrayLike, score: ArrayLike) -> Auc:
    """The AUC with its DeLong variance and Wald interval.

    ``y`` (n,) of 0 and 1, ``score`` (n,) with higher = higher risk. Variance and interval are NaN when a class has
    a single patient. At perfect separation the variance is 0 and the interval a point: it then says nothing.
    TableError when either class is missing. Source: DeLong et al., Biometrics 1988, by midranks as Sun and Xu, IEEE
    Signal Process. Lett. 2014; equals pROC.
    """
    y, score = binary(y, score=score)
    both_classes(y, "AUC")
    cases, controls = _placements(y, score)
    area, variance = float(cases.mean()), _variance(cases) + _variance(controls)
    half = Z95 * math.sqrt(variance)
    return Auc(area, variance, *_clipped(area, half, 0.0), len(y), int(y.sum()))


def delong_test(y: ArrayLike, a: ArrayLike, b: ArrayLike) -> AucDifference:
    """Test of equal AUCs of two scores ``a`` and ``b`` of the same patients (paired).

    All (n,), higher = higher risk. The null hypothesis is AUC(a) = AUC(b); two-sided. When the variance of the
    difference is 0, z is 0 for equal AUCs and infinite otherwise. TableError when either class is missing.
    Source: DeLong et al., Biometrics 1988; equals pROC's roc.test(paired = TRUE).
    """
    y, a, b = binary(y, a=a, b=b)
    both_classes(y, "DeLong test")
    cases_a, controls_a = _placements(y, a)
    cases_b, controls_b = _placements(y, b)
    variance = _variance(cases_a - cases_b) + _variance(controls_a - controls_b)
    area_a, area_b = float(cases_a.mean()), float(cases_b.mean())
    return AucDifference(*_wald_test(area_a, area_b, variance), area_a, area_b, len(y), int(y.sum()))


def delong_test_unpaired(y_a: ArrayLike, a: ArrayLike, y_b: ArrayLike, b: ArrayLike) -> UnpairedAucDifference:
    """Test of equal AUCs in two groups of different patients.

    ``y_a`` and ``a`` (n_a,), ``y_b`` and ``b`` (n_b,). The null hypothesis is AUC(a) = AUC(b); two-sided.
    ``p_value`` refers z to the normal; ``p_welch`` to Student's t with ``df`` degrees of freedom, as pROC does.
    TableError when either class is missing in a group. Source: pROC (Robin et al., BMC Bioinformatics 2011).
    """
    first, second = auc_ci(y_a, a), auc_ci(y_b, b)
    variance = first.variance + second.variance
    difference, lower, upper, z, p_value = _wald_test(first.auc, second.auc, variance)
    spread = first.variance**2 / (first.n - 1) + second.variance**2 / (second.n - 1)
    df = variance**2 / spread if spread else math.inf
    return UnpairedAucDifference(
        difference,
        lower,
        upper,
        z,
        p_value,
        first.auc,
        second.auc,
        first.n + second.n,
        first.events + second.events,
        df,
        float(2 * student.sf(abs(z), df)),
    )


def _placements(y: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each case the share of controls below it, for each control the share of cases above it; ties count half."""
    ranks = rankdata(score)
    cases, controls = score[y], score[~y]
    below = (ranks[y] - rankdata(cases)) / len(controls)
    above = 1 - (ranks[~y] - rankdata(controls)) / len(cases)
    return below, above


def _variance(values: np.ndarray) -> float:
    """The variance of the mean; NaN for a single value."""
    return float(values.var(ddof=1) / len(values)) if len(values) > 1 else math.nan


def _clipped(centre: float, half: float, least: float) -> tuple[float, float]:
    return float(np.clip(centre - half, least, 1)), float(np.clip(centre + half, least, 1))


def _wald_test(area_a: float, area_b: float, variance: float) -> tuple[float, float, float, float, float]:
    difference, se = area_a - area_b, math.sqrt(variance)
    certain = math.copysign(math.inf, difference) if difference else 0.0
    z = difference / se if se else certain
    return (difference, *_clipped(difference, Z95 * se, -1.0), z, float(2 * norm.sf(abs(z))))
