"""Cutoffs learned on training scores, then frozen for every other cohort."""

from __future__ import annotations

import numpy as np

from gc_ray.errors import TableError
from gc_ray.evaluate import operating_point, optimal_cutoff
from gc_ray.report.units import Unit, training_unit
from gc_ray.study import EvaluateSettings

NO_TRAINING = "not learned: no scores of a training cohort were given"


def cutoff_rows(units: list[Unit], settings: EvaluateSettings) -> list[dict]:
    """Rows of the table cutoffs: for each model and variant, one for classification and one for survival."""
    rows = []
    for model_id, variant in dict.fromkeys((u.model_id, u.variant) for u in units):
        training = training_unit(units, model_id, variant)
        first = next(u for u in units if (u.model_id, u.variant) == (model_id, variant))
        classes = _classification(training, first, settings.cutoff)
        rows.append(classes)
        if any(len(u.followed().score) for u in units if (u.model_id, u.variant) == (model_id, variant)):
            rows.append(_survival(training, first, settings.survival_cutoff, classes["cutoff"]))
    return rows


def cutoff_of(rows: list[dict], unit: Unit, purpose: str) -> float | None:
    """The frozen cutoff for a unit; None when there is none."""
    for row in rows:
        if (row["model_id"], row["variant"], row["purpose"]) == (unit.model_id, unit.variant, purpose):
            return row["cutoff"]
    return None


def _classification(training: Unit | None, first: Unit, rule: str | float) -> dict:
    if not isinstance(rule, str):
        return _row(first, "classification", rule, "fixed by the study file")
    if training is None:
        return _row(first, "classification", None, rule, note=NO_TRAINING)
    try:
        found = operating_point(training.y, training.score, rule)
    except TableError as error:
        return _row(training, "classification", None, rule, note=str(error))
    index = found.sensitivity + found.specificity - 1
    return _row(training, "classification", found.threshold, "largest Youden index", statistic=index)


def _survival(training: Unit | None, first: Unit, rule: str | float, classification: float | None) -> dict:
    if not isinstance(rule, str):
        return _row(first, "survival", rule, "fixed by the study file")
    if rule == "classification":
        return _row(training or first, "survival", classification, "the cutoff of classification")
    if training is None:
        return _row(first, "survival", None, rule, note=NO_TRAINING)
    known = training.followed()
    try:
        found = optimal_cutoff(known.patients["time"], known.patients["event"], known.score)
    except TableError as error:
        return _row(training, "survival", None, rule, note=str(error))
    row = _row(training, "survival", found.cutoff, "largest standardised log-rank statistic (Lausen-Schumacher)")
    values = {"statistic": found.statistic, "p_naive": found.p_naive, "p_corrected": found.p_corrected}
    return row | values | {"n": found.n, "events": found.events}


def _row(
    unit: Unit, purpose: str, cutoff: float | None, rule: str, statistic: float = np.nan, note: str = ""
) -> dict:
    return {
        **unit.key,
        "purpose": purpose,
        "cutoff": cutoff,
        "rule": rule,
        "statistic": statistic,
        "p_naive": np.nan,
        "p_corrected": np.nan,
        **unit.size,
        "note": note,
    }
