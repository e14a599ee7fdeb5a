"""What the training cohort looked like, and whether a new scan is of its kind: in-domain, borderline or refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from sklearn.covariance import ledoit_wolf

from gc_ray.study_signatures import HEAD

IN_DOMAIN, BORDERLINE, REFUSED = "in-domain", "borderline", "refused"
POINTS = 101  # quantiles kept of a number: 0, 1, .. 100 %; a sketch of the distribution, nobody's row
LEVELS = 10  # at most as many distinct values are kept as levels with their shares instead
REACH = 1.0  # training ranges that a value may lie outside the training range before the scan is refused: assumption
USUAL = 0.99  # share of the training cohort within the distance that is called in-domain: assumption
FAR = 2.0  # times the largest training distance, beyond which a scan is refused: assumption
SPOKEN = {HEAD: "head (log odds of the network head)"}  # names that say too little by themselves
GEOMETRY = ("spacing_x_mm", "spacing_y_mm", "spacing_z_mm", "slices", "region_ml")


def geometry_of(geometry: Mapping, mask_voxels: int | None) -> dict[str, float]:
    """What of a scan's grid and region is compared, from a ledger row; empty where the ledger says nothing."""
    if "spacing_mm" not in geometry or mask_voxels is None:
        return {}
    x, y, z = geometry["spacing_mm"]
    return dict(zip(GEOMETRY, (x, y, z, float(geometry["size"][2]), mask_voxels * x * y * z / 1000), strict=True))


def reference_of(values: pd.DataFrame, geometry: pd.DataFrame, score: np.ndarray, phase: str) -> dict:
    """The training cohort as JSON types.

    values: a row a patient, a column a predictor; ``head``, where a signature takes it, as log odds out of fold.
    geometry: as ``geometry_of``, no row where unknown. score: out of fold. phase: the contrast phase of the study,
    empty for any. Covariance is of standardised predictors. Source: its shrinkage, Ledoit and Wolf, J Multivar Anal
    2004; 88:365.
    """
    found = {
        "n": len(values),
        "phase": phase,
        "predictors": {name: sketch(values[name].to_numpy(float)) for name in values},
        "score": sketch(np.asarray(score, float)),
        "geometry": {name: limits(geometry[name].to_numpy(float)) for name in geometry},
        "distance": None,
    }
    if values.shape[1]:
        centre, scale = values.mean().to_numpy(), values.std(ddof=0).to_numpy()
        scale = np.where(scale > 0, scale, 1.0)
        covariance = ledoit_wolf((values.to_numpy(float) - centre) / scale)[0]
        model = {"names": list(values), "centre": centre.tolist(), "scale": scale.tolist()}
        model["precision"] = np.linalg.inv(covariance + 1e-9 * np.eye(len(covariance))).tolist()
        own = [_distance(model, dict(row)) for _, row in values.iterrows()]
        found["distance"] = model | {"usual": float(np.quantile(own, USUAL)), "largest": float(np.max(own))}
    return found


def sketch(values: np.ndarray) -> dict:
    """A distribution as JSON types: levels with shares when there are few values, quantiles otherwise."""
    known = values[np.isfinite(values)]
    levels, counts = np.unique(known, return_counts=True)
    if len(levels) <= LEVELS:
        return {"n": len(known), "levels": levels.tolist(), "shares": (counts / max(len(known), 1)).tolist()}
    return {"n": len(known), "quantiles": np.quantile(known, np.linspace(0, 1, POINTS)).tolist()}


def limits(values: np.ndarray) -> dict:
    """Least and largest value."""
    return {"least": float(values.min()), "largest": float(values.max())}


def judge(
    reference: Mapping,
    values: Mapping[str, float],
    geometry: Mapping[str, float],
    phase: str,
    site: Sequence[tuple[str, str]] = (),
) -> tuple[str, list[str]]:
    """(verdict, reasons) of one scan: the worst of site, phase, geometry, single predictors and their distance.

    site: verdicts with their reasons that are known already.
    """
    found = [*site, _phase(reference["phase"], phase)]
    found += [_within(name, geometry.get(name), held) for name, held in reference["geometry"].items()]
    for name, held in reference["predictors"].items():
        ends = held.get("quantiles") or held["levels"]
        found.append(_within(name, values.get(name), {"least": ends[0], "largest": ends[-1]}))
    if reference["distance"]:
        found.append(_far(reference["distance"], values))
    reasons = [reason for verdict, reason in found if verdict != IN_DOMAIN]
    worst = [verdict for verdict, _ in found]
    verdict = REFUSED if REFUSED in worst else BORDERLINE if BORDERLINE in worst else IN_DOMAIN
    return verdict, reasons


def _phase(wanted: str, phase: str) -> tuple[str, str]:
    if not wanted or phase == wanted:
        return IN_DOMAIN, ""
    if not phase:
        return BORDERLINE, f"the contrast phase is not stated; the model was trained on {wanted}"
    return REFUSED, f"the model was trained on phase {wanted}, the scan is {phase}"


def _within(name: str, value: float | None, held: Mapping[str, float]) -> tuple[str, str]:
    name = SPOKEN.get(name, name)
    if value is None or not np.isfinite(value):
        return BORDERLINE, f"{name} is not known"
    least, largest = held["least"], held["largest"]
    slack = 1e-9 * max(abs(least), abs(largest))
    if least - slack <= value <= largest + slack:
        return IN_DOMAIN, ""
    said = f"{name} is {value:.4g}, in training it was {least:.4g} to {largest:.4g}"
    # a cohort with one value has no range: then half of the value itself stands for it
    reach = REACH * (largest - least or abs(largest) / 2)
    return (REFUSED if value < least - reach or value > largest + reach else BORDERLINE), said


def _far(model: Mapping, values: Mapping[str, float]) -> tuple[str, str]:
    distance = _distance(model, values)
    if distance <= model["usual"]:
        return IN_DOMAIN, ""
    said = f"predictors together lie {distance:.3g} from the training mean, {model['usual']:.3g} covers {USUAL:.0%}"
    return (REFUSED if distance > FAR * model["largest"] else BORDERLINE), said


def _distance(model: Mapping, values: Mapping[str, float]) -> float:
    """Mahalanobis distance from the training mean, in standardised predictors; infinite where it overflows."""
    x = np.array([values[name] for name in model["names"]], float)
    with np.errstate(over="ignore", invalid="ignore"):
        z = (x - np.array(model["centre"])) / np.array(model["scale"])
        square = float(z @ np.array(model["precision"]) @ z)
    return float(np.sqrt(max(square, 0.0))) if np.isfinite(square) else float("inf")
