"""How is a risk read off by hand: the axes, points and total of a nomogram of a logistic model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from gc_ray.errors import TableError

WIDEST = 100.0  # points of the predictor whose effect spans most
TICKS = 10  # about as many marks on an axis, as in rms::nomogram
RISKS = (0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999)
INTERCEPTS = ("Intercept", "(Intercept)", "intercept")
ROUNDING = 1e-10  # of a step between ticks: nearer to a tick is on it


@dataclass(frozen=True, eq=False)
class Nomogram:
    """A nomogram: for each predictor the values on its ``axes`` and their ``points``, 0 at its least risk.

    ``total_points`` are the marks of the total axis and ``risk`` the risk at each. ``risk_axis`` has the customary
    risks within reach (risk, points). The risk of any total is logistic(``linear_at_zero`` + ``linear_per_point`` *
    total).
    """

    axes: dict[str, tuple]
    points: dict[str, np.ndarray]
    total_points: np.ndarray
    risk: np.ndarray
    risk_axis: pd.DataFrame
    linear_at_zero: float
    linear_per_point: float


def nomogram(coefficients: Mapping[str, float], ranges: Mapping[str, Sequence]) -> Nomogram:
    """The nomogram of a logistic model.

    ``coefficients``: log odds ratios by predictor, ``Intercept`` among them; for a category one per level but the
    first, as ``name=level`` or ``namelevel``. ``ranges``: for each predictor, two numbers (least, largest; the axis
    takes round values around them, whole numbers 0 and 1 an indicator), more numbers (the marks themselves), or the
    levels as text, reference first. Points: (effect - least effect) * 100 / widest effect. TableError when
    predictors and coefficients do not match or none has an effect. Equals rms::nomogram.
    """
    left = {name: float(value) for name, value in coefficients.items()}
    intercept = next((left.pop(name) for name in INTERCEPTS if name in left), None)
    if intercept is None:
        raise TableError(f"nomogram: wanted the model's Intercept among the coefficients, got {sorted(left)[:5]}")
    axes = {name: _marks(name, values) for name, values in ranges.items()}
    effects = {name: _effects(name, marks, left) for name, marks in axes.items()}
    if left:
        raise TableError(f"nomogram: coefficients {sorted(left)[:5]} have no range; give one for each predictor")
    widest = max((np.ptp(effect) for effect in effects.values()), default=0.0)
    if not (math.isfinite(intercept) and math.isfinite(widest) and widest > 0):
        raise TableError("nomogram: wanted finite coefficients and at least one with an effect, got none")
    points = {name: (effect - effect.min()) * WIDEST / widest for name, effect in effects.items()}
    start = intercept + sum(effect.min() for effect in effects.values())
    most = sum(values.max() for values in points.values())
    totals = _round_values(0.0, most)
    reached = [risk for risk in RISKS if 0 <= (logit(risk) - start) * WIDEST / widest <= most]
    risk_axis = pd.DataFrame({"risk": reached, "points": (logit(np.array(reached)) - start) * WIDEST / widest})
    return Nomogram(
        axes, points, totals, expit(start + totals * widest / WIDEST), risk_axis, float(start), float(widest / WIDEST)
    )


def points_of(chart: Nomogram, patient: Mapping[str, float | str]) -> float:
    """The total points of a patient, by value or level of each predictor; beyond an axis, its line goes on.

    TableError when a predictor is missing or a level unknown.
    """
    total = 0.0
    for name, marks in chart.axes.items():
        value, points = patient.get(name), chart.points[name]
        if isinstance(marks[0], str):
            if str(value) not in marks:
                raise TableError(f"nomogram: {name} wanted one of {', '.join(marks)}, got {value}")
            total += points[marks.index(str(value))]
        elif value is None or not math.isfinite(value):
            raise TableError(f"nomogram: {name} wanted a number, got {value}")
        else:
            total += points[0] + (value - marks[0]) * (points[-1] - points[0]) / (marks[-1] - marks[0])
    return float(total)


def risk_at(chart: Nomogram, total: float) -> float:
    """The risk, 0 to 1, at ``total`` points."""
    return float(expit(chart.linear_at_zero + chart.linear_per_point * total))


def _marks(name: str, values: Sequence) -> tuple:
    """The values on a predictor's axis."""
    values = list(values)
    if any(isinstance(value, str) for value in values):
        marks = tuple(str(value) for value in values)
        if len(set(marks)) == len(marks) >= 2:
            return marks
    elif len(values) >= 2 and np.isfinite(values).all() and (np.diff(values) > 0).all():
        indicator = values == [0, 1] and all(isinstance(value, int | np.integer) for value in values)
        if len(values) > 2 or indicator:
            return tuple(values)
        return tuple(float(mark) for mark in _round_values(*values))
    raise TableError(f"nomogram: {name} wanted rising numbers or two or more different levels, got {values[:5]}")


def _effects(name: str, marks: tuple, left: dict[str, float]) -> np.ndarray:
    """The effect on the log odds at each mark; takes the coefficients it used out of ``left``."""
    if not isinstance(marks[0], str):
        if name not in left:
            raise TableError(f"nomogram: {name} has a range but no coefficient; name both alike")
        return left.pop(name) * np.array(marks, dtype=float)
    effects = [0.0]
    for level in marks[1:]:
        found = [term for term in (f"{name}={level}", f"{name}{level}") if term in left]
        if not found:
            raise TableError(f"nomogram: level {level} of {name} has no coefficient; wanted {name}={level}")
        effects.append(left.pop(found[0]))
    return np.array(effects)


def _round_values(low: float, high: float) -> np.ndarray:
    """About ten round values that enclose the range, a step of 1, 2 or 5 times a power of ten (as R's pretty)."""
    cell = (high - low) / TICKS
    base = 10.0 ** math.floor(math.log10(cell))
    step = base
    # a coarser step is taken when the cell lies past the point that divides the two as 1.5 (2.75 for 5) to 1
    for times, bias in ((2, 1.5), (5, 2.75), (10, 1.5)):
        if times * base - cell < bias * (cell - step):
            step = times * base
    first, last = math.floor(low / step + ROUNDING), math.ceil(high / step - ROUNDING)
    return np.arange(first, last + 1) * step
