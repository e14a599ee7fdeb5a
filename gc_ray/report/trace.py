"""The curves of a unit as a table: ROC, precision-recall, calibration, decisions, distributions, Kaplan-Meier."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.stats import gaussian_kde

from gc_ray import evaluate
from gc_ray.errors import TableError
from gc_ray.evaluate.decision import NetBenefit
from gc_ray.report.units import Unit
from gc_ray.study import EvaluateSettings

SMOOTH_POINTS = 200  # of a smooth curve: more cannot be seen, and would be patients' own risks
DECISION_STEP = 0.01
LEAST_DENSITY = 5  # patients below which a density would draw what is not there


def curve_frame(unit: Unit, cutoff: float | None, settings: EvaluateSettings) -> pd.DataFrame:
    """Rows of the table curves for a unit; curves that its data cannot give are left out (metrics say why).

    cutoff: the frozen survival cutoff, or None.
    """
    makers = (
        lambda: [_roc(unit)],
        lambda: [_precision_recall(unit)],
        lambda: _calibration(unit),
        lambda: _decision(unit, settings),
        lambda: _decision_in_time(unit.followed(), settings),
        lambda: _violin(unit),
        lambda: _kaplan_meier(unit.followed(), cutoff),
    )
    parts = [part for make in makers for part in _made(make)]
    if not parts:
        return pd.DataFrame()
    frame = pd.concat([part.assign(point=np.arange(len(part))) for part in parts], ignore_index=True)
    frame["count"] = frame["count"].astype("Int64")
    return frame.assign(**unit.key)


def _made(make) -> list[pd.DataFrame]:
    try:
        return list(make())
    except TableError:
        return []


def _line(curve: str, series: str, x: np.ndarray, y: np.ndarray, **more: np.ndarray) -> pd.DataFrame:
    columns = {"curve": curve, "series": series, "x": x, "y": y, "lower": np.nan, "upper": np.nan, "count": None}
    return pd.DataFrame(columns | more)


def _roc(unit: Unit) -> pd.DataFrame:
    found = evaluate.roc_curve(unit.y, unit.score)
    return _corners(_line("roc", "", 1 - found.specificity[::-1], found.sensitivity[::-1]))


def _precision_recall(unit: Unit) -> pd.DataFrame:
    found = evaluate.precision_recall(unit.y, unit.score)
    kept = np.unique(np.concatenate([[0], np.flatnonzero(np.diff(found.recall) > 0) + 1]))
    return _line("precision_recall", "", found.recall[kept], found.precision[kept])


def _calibration(unit: Unit) -> list[pd.DataFrame]:
    found = evaluate.calibration(unit.y, unit.score)
    curve = found.curve.drop_duplicates("p")
    x = np.linspace(curve["p"].min(), curve["p"].max(), min(SMOOTH_POINTS, len(curve)))
    smooth = _line("calibration", "", x, np.interp(x, curve["p"], curve["observed"]))
    bins = found.bins
    more = {"lower": bins["lower"].to_numpy(), "upper": bins["upper"].to_numpy(), "count": bins["n"].to_numpy()}
    return [
        smooth,
        _line("calibration_bins", "", bins["predicted"].to_numpy(), bins["observed"].to_numpy(), **more),
    ]


def _decision(unit: Unit, settings: EvaluateSettings) -> Iterator[pd.DataFrame]:
    yield from _net_benefit("decision", evaluate.net_benefit(unit.y, unit.score, _thresholds(settings)))


def _decision_in_time(unit: Unit, settings: EvaluateSettings) -> Iterator[pd.DataFrame]:
    """Net benefit at the study's horizon; nothing where the score is no risk at a time."""
    if not settings.risk_months or not len(unit.score):
        return
    time, event = unit.patients["time"], unit.patients["event"]
    found = evaluate.net_benefit_survival(time, event, unit.score, _thresholds(settings), settings.risk_months)
    yield from _net_benefit("decision_in_time", found)


def _thresholds(settings: EvaluateSettings) -> np.ndarray:
    thresholds = np.arange(settings.decision_low, settings.decision_high + DECISION_STEP / 2, DECISION_STEP)
    return thresholds[thresholds < 1]


def _net_benefit(curve: str, found: NetBenefit) -> Iterator[pd.DataFrame]:
    for series in ("model", "treat_all", "treat_none", "interventions_avoided"):
        yield _line(curve, series, found.thresholds, getattr(found, series))


def _violin(unit: Unit) -> Iterator[pd.DataFrame]:
    """Densities by outcome (score over density), and their quartiles: never the patients' own scores."""
    for outcome, name in ((0, "no event"), (1, "event")):
        values = unit.score[unit.y == outcome]
        if len(values) < LEAST_DENSITY:
            continue
        yield _line("quartiles", name, np.array([0.25, 0.5, 0.75]), np.quantile(values, [0.25, 0.5, 0.75]))
        if np.ptp(values) > 0:
            at = np.linspace(values.min(), values.max(), SMOOTH_POINTS)
            yield _line("violin", name, gaussian_kde(values)(at), at)


def _kaplan_meier(unit: Unit, cutoff: float | None) -> Iterator[pd.DataFrame]:
    if cutoff is None or not np.isfinite(cutoff) or not len(unit.score):
        return
    high = unit.score > cutoff
    for name, rows in (("low", ~high), ("high", high)):
        part = unit.part(rows).patients
        if not len(part):
            continue
        found = evaluate.kaplan_meier(part["time"], part["event"])
        # the start, so that the curve leaves 1 at time 0
        start = {"x": 0.0, "y": 1.0, "lower": np.nan, "upper": np.nan, "count": len(part)}
        line = _line(
            "kaplan_meier",
            name,
            found.time,
            found.survival,
            lower=found.lower,
            upper=found.upper,
            count=found.at_risk,
        )
        if found.time[0] > 0:
            line = pd.concat(
                [pd.DataFrame([{"curve": "kaplan_meier", "series": name} | start]), line.dropna(axis=1, how="all")]
            )
        yield line.reset_index(drop=True)


def _corners(line: pd.DataFrame) -> pd.DataFrame:
    """The line without points that lie on a horizontal or vertical stretch: the same curve."""
    x, y = line["x"].to_numpy(), line["y"].to_numpy()
    flat = (x[:-2] == x[1:-1]) & (x[1:-1] == x[2:])
    level = (y[:-2] == y[1:-1]) & (y[1:-1] == y[2:])
    return line[np.concatenate([[True], ~(flat | level), [True]])]
