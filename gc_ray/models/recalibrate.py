"""Intercept and slope that turn a network's logit into the log odds of the outcome."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from gc_ray.errors import TableError

# A head that does not rank the patients is not turned around, which would find an effect in noise: its slope is held
# here. Large enough to keep the ranks, so small that a score stays near the rate of the outcome.
LEAST_SLOPE = 0.01  # log odds per SD of the logit
LIKELIHOOD, SEPARATED, HELD = "maximum likelihood", "Platt's targets: the logit separates", "slope held: no ranking"
TOLERANCE = 1e-12  # Newton's step, relative to the coefficients; the steps before it shrink quadratically
STEPS = 200  # far beyond the ten or so that Newton takes


@dataclass(frozen=True)
class Recalibration:
    """Log odds of the outcome = intercept + slope x logit, and how the two were found."""

    intercept: float
    slope: float
    method: str

    def apply(self, logit: np.ndarray) -> np.ndarray:
        """The log odds (float64) of each logit."""
        return self.intercept + self.slope * np.asarray(logit, np.float64)


def recalibrate(logit: np.ndarray, outcome: np.ndarray) -> Recalibration:
    """Intercept and slope by logistic regression of the outcome (0 or 1) on the logit, both (patients).

    Where the logit separates the outcomes no maximum exists, and the outcomes are replaced by Platt's targets
    (n1 + 1) / (n1 + 2) and 1 / (n0 + 2). A slope below ``LEAST_SLOPE`` is held there and the intercept fitted to it.
    TableError when only one outcome is present. Source: Cox, Biometrika 1958; Platt 1999, Probabilistic outputs.
    """
    logit, outcome = np.asarray(logit, np.float64), np.asarray(outcome, np.float64)
    events = int(outcome.sum())
    if not 0 < events < len(outcome):
        raise TableError(f"recalibration: wanted both outcomes, got {events} events in {len(outcome)} patients")
    centre, spread = logit.mean(), logit.std() if np.ptp(logit) else 1.0
    intercept, slope, method = _of_standardised((logit - centre) / spread, outcome)
    return Recalibration(float(intercept - slope * centre / spread), float(slope / spread), method)


def _of_standardised(z: np.ndarray, outcome: np.ndarray) -> tuple[float, float, str]:
    with_event, without, ones = z[outcome == 1], z[outcome == 0], np.ones((len(z), 1))
    target, method = outcome, LIKELIHOOD
    if with_event.min() >= without.max():
        target, method = np.where(outcome == 1, *_platt(len(with_event), len(without))), SEPARATED
    if with_event.max() > without.min():  # otherwise reversed without overlap, or constant: no maximum
        intercept, slope = _logistic(np.column_stack([ones, z]), target, np.zeros_like(z))
        if slope >= LEAST_SLOPE:
            return intercept, slope, method
    (intercept,) = _logistic(ones, outcome, LEAST_SLOPE * z)
    return intercept, LEAST_SLOPE, HELD


def _platt(n1: int, n0: int) -> tuple[float, float]:
    return (n1 + 1) / (n1 + 2), 1 / (n0 + 2)


def _logistic(design: np.ndarray, target: np.ndarray, offset: np.ndarray) -> tuple[float, ...]:
    """Coefficients of a logistic regression whose maximum exists, by Newton's method with halved steps."""

    def minus_log_likelihood(coefficients: np.ndarray) -> float:
        predictor = offset + design @ coefficients
        return float(np.sum(np.logaddexp(0, predictor) - target * predictor))

    coefficients = np.zeros(design.shape[1])
    for _ in range(STEPS):
        probability = expit(offset + design @ coefficients)
        information = design.T @ (design * (probability * (1 - probability))[:, None])
        step = np.linalg.solve(information, design.T @ (target - probability))
        before = minus_log_likelihood(coefficients)
        while np.abs(step).max() > TOLERANCE and minus_log_likelihood(coefficients + step) > before:
            step /= 2
        coefficients = coefficients + step
        if np.abs(step).max() <= TOLERANCE * (1 + np.abs(coefficients).max()):
            break
    return tuple(coefficients)
