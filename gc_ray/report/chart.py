"""The nomogram of a signature: its points table, and the numbers from which a page computes a patient's risk."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from gc_ray import evaluate
from gc_ray.errors import TableError
from gc_ray.evaluate.outcome import Z95
from gc_ray.models.signature import Signature
from gc_ray.names import file_part
from gc_ray.report.inputs import Inputs

LEAST_AXES = 2  # of one predictor the score itself is the chart
MOST_AXES = 15  # predictors that still can be read off by hand
REACH = (0.025, 0.975)  # of the training patients: an axis to the largest marker ever seen would flatten all others
SPREAD = 2.0  # standard deviations about the centre, where nothing is known of a predictor's values


def readable(inputs: Inputs) -> dict[str, Signature]:
    """The signatures of a few predictors, which a nomogram can show, in the order of the scores."""
    found = {name: inputs.signatures[name] for name in inputs.models if name in inputs.signatures}
    return {name: s for name, s in found.items() if LEAST_AXES <= len(s.predictors) <= MOST_AXES}


def nomogram_rows(inputs: Inputs) -> list[dict]:
    """Rows of the table nomogram, of every signature that is small enough."""
    rows = []
    for name, signature in readable(inputs).items():
        try:
            rows += _rows(inputs, name, signature)
        except TableError:
            continue  # a signature without an effect has no nomogram; its coefficients say so
    return rows


def calculator(inputs: Inputs) -> list[dict]:
    """For each small signature what the page needs to compute its risk: JSON types, numbers to the last bit.

    risk = logistic(intercept + sum coefficient * (value - centre) / scale).
    """
    return [
        {
            "model": name,
            "id": file_part(name),
            "intercept": signature.intercept,
            "covariance": signature.covariance,
            "z95": Z95,
            "inputs": [_input(inputs, signature, i) for i in range(len(signature.predictors))],
        }
        for name, signature in readable(inputs).items()
    ]


def _rows(inputs: Inputs, name: str, signature: Signature) -> Iterator[dict]:
    slopes = np.array(signature.coefficients) / np.array(signature.scale)
    start = signature.intercept - float(slopes @ np.array(signature.centre))
    coefficients = {"Intercept": start} | dict(zip(signature.predictors, slopes, strict=True))
    ranges = {predictor: _range(inputs, signature, i) for i, predictor in enumerate(signature.predictors)}
    found = evaluate.nomogram(coefficients, ranges)
    same = {"study_id": inputs.study.name, "model_id": name, "variant": "leak_free"}
    for axis, marks in found.axes.items():
        levels = _levels(inputs, axis)
        for mark, points in zip(marks, found.points[axis], strict=True):
            label = levels[int(mark)] if levels else f"{mark:.6g}"
            yield same | {"axis": axis, "mark": label, "value": float(mark), "points": float(points), "risk": np.nan}
    for total, risk in zip(found.total_points, found.risk, strict=True):
        label = f"{total:.6g}"
        yield same | {"axis": "total_points", "mark": label, "value": total, "points": total, "risk": risk}
    for one in found.risk_axis.itertuples():
        yield same | {
            "axis": "risk",
            "mark": f"{one.risk:g}",
            "value": one.risk,
            "points": one.points,
            "risk": np.nan,
        }


def _range(inputs: Inputs, signature: Signature, i: int) -> tuple:
    """What ``evaluate.nomogram`` wants of an axis: two numbers, or all marks."""
    levels = _levels(inputs, signature.predictors[i])
    if levels:
        return tuple(range(len(levels)))
    low, high = _span(inputs, signature, i)
    return low, high


def _levels(inputs: Inputs, predictor: str) -> tuple[str, ...]:
    """The levels that a predictor's 0, 1, .. stand for; empty for a number."""
    name, _, level = predictor.partition("=")
    declared = inputs.study.clinical.declared.get(name)
    if level or (declared is not None and declared.kind == "binary"):
        return ("no", "yes")
    return tuple(declared.levels) if declared is not None and declared.kind == "ordinal" else ()


def _span(inputs: Inputs, signature: Signature, i: int) -> tuple[float, float]:
    predictor = signature.predictors[i]
    training = inputs.scores[(inputs.scores["cohort"] == "train") & (inputs.scores["variant"] == "leak_free")]
    if predictor in set(inputs.models):
        values = training.loc[training["model_id"] == predictor, "linear_predictor"]
    elif predictor in inputs.patients and pd.api.types.is_numeric_dtype(inputs.patients[predictor]):
        values = inputs.patients.loc[training["patient_id"].unique(), predictor].dropna()
    else:
        values = pd.Series(dtype=float)
    low, high = values.quantile(REACH) if len(values) else (np.nan, np.nan)
    if not high > low:
        reach = SPREAD * signature.scale[i]
        low, high = signature.centre[i] - reach, signature.centre[i] + reach
    return float(low), float(high)


def _input(inputs: Inputs, signature: Signature, i: int) -> dict:
    predictor = signature.predictors[i]
    levels = _levels(inputs, predictor)
    low, high = (0.0, float(len(levels) - 1)) if levels else _span(inputs, signature, i)
    declared = inputs.study.clinical.declared.get(predictor)
    return {
        "name": predictor,
        "unit": getattr(declared, "unit", ""),
        "levels": list(levels),
        "low": low,
        "high": high,
        "start": round(signature.centre[i]) if levels else float(f"{min(max(signature.centre[i], low), high):.4g}"),
        "centre": signature.centre[i],
        "scale": signature.scale[i],
        "coefficient": signature.coefficients[i],
    }
