"""Fitted signatures and their resampling as rows of the tables scores, resampling, coefficients and selection."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping

import numpy as np
from scipy import special

from gc_ray.models.cohort_data import TRAIN, CohortData
from gc_ray.models.nested import Part
from gc_ray.models.recipe import AS_PUBLISHED, Fitted

OOF, FINAL, APPARENT = "oof", "final", "apparent"
Results = Mapping[tuple[int, int], dict]  # by (repeat, fold), what ``part_result`` gives of one signature


def score_rows(data: CohortData, rows: np.ndarray, linear: np.ndarray, kind: str, whose: dict) -> list[dict]:
    """SCORES of the patients in ``rows`` who have a score; whose: study_id, model_id, variant."""
    scores = special.expit(linear)
    return [
        {
            **whose,
            "patient_id": str(data.patient_ids[i]),
            "scan_id": "" if data.scan_id is None else str(data.scan_id[i]),
            "cohort": str(data.cohort[i]),
            "kind": kind,
            "score": float(score),
            "linear_predictor": float(value),
        }
        for i, score, value in zip(rows, scores, linear, strict=True)
        if np.isfinite(value)
    ]


def oof_rows(data: CohortData, parts: tuple[Part, ...], results: Results, whose: dict) -> list[dict]:
    """SCORES of the training cohort, each patient by the fit of the split's folds that left it out."""
    found = []
    for part in parts:
        if part.repeat == 0:
            linear = np.array(results[0, part.fold]["linear_predictor"], dtype=np.float64)  # None becomes NaN
            found += score_rows(data, part.left_out, linear, OOF, whose)
    return found


def fitted_rows(fitted: Fitted, data: CohortData, whose: dict) -> list[dict]:
    """SCORES by the fit to the whole training cohort: final in other cohorts; as published, apparent in its own."""
    others = np.flatnonzero(data.cohort != TRAIN)
    found = score_rows(data, others, fitted.linear_predictor(data, others), FINAL, whose)
    if whose["variant"] == AS_PUBLISHED:
        found += score_rows(data, data.train, fitted.linear_predictor(data, data.train), APPARENT, whose)
    return found


def resampling_rows(
    results: Results, chosen: Mapping[tuple[int, int], dict], study_id: str, model: str
) -> list[dict]:
    """RESAMPLING of one signature; chosen: what the search chose in each part."""
    kept = ("repeat", "fold", "n_train", "events_train", "n", "events", "features", "auc_train", "auc_test")
    kept += ("brier_test", "deviance_test")
    return [
        {"study_id": study_id, "model_id": model, "chosen": json.dumps(chosen.get(at, {}), sort_keys=True)}
        | {name: result[name] for name in kept}
        for at, result in sorted(results.items())
    ]


def coefficient_rows(fitted: Fitted, data: CohortData, whose: dict) -> list[dict]:
    """COEFFICIENTS of a signature per unit of each predictor as it is stored; no intervals where its fit has none."""
    signature, fit = fitted.model.signature, fitted.model.fit
    slopes = np.array(signature.coefficients) / np.array(signature.scale)
    intercept = signature.intercept - float(slopes @ np.array(signature.centre))
    y = data.y[data.train]
    rows = []
    for i, (term, coef) in enumerate(zip(("(Intercept)", *signature.predictors), (intercept, *slopes), strict=True)):
        spread = {"se": None, "lower": None, "upper": None, "p_value": None, "or_lower": None, "or_upper": None}
        if fit is not None:
            coef = fit.coef[i]
            spread = {name: float(getattr(fit, name)[i]) for name in ("se", "lower", "upper", "p_value")}
            with np.errstate(over="ignore"):
                spread |= {f"or_{limit}": float(np.exp(spread[limit])) for limit in ("lower", "upper")}
        with np.errstate(over="ignore"):
            row = {"term": term, "coef": float(coef), "odds_ratio": float(np.exp(coef))}
        rows.append({**whose, **row, **spread, "n": len(y), "events": int(y.sum())})
    return rows


def selection_rows(fitted: Fitted, results: Results | None, whose: dict) -> list[dict]:
    """SELECTION of a signature: every candidate, and in what share of the resampled fits it was a predictor."""
    counts = Counter(name for result in (results or {}).values() for name in result["features"])
    return [
        {
            **whose,
            "feature": row.feature,
            "family": row.family,
            "step": row.step,
            "statistic": _number(row.statistic),
            "p_value": _number(row.p_value),
            "reason": row.reason,
            "stability": counts[row.feature] / len(results) if results else None,
        }
        for row in fitted.log.itertuples()
    ]


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
