"""How scores tell one kind of event from another: numbers and curves over the events of all cohorts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd

from gc_ray import evaluate
from gc_ray.errors import TableError
from gc_ray.names import file_part, label
from gc_ray.report.compare import among_events
from gc_ray.report.draw import Plot
from gc_ray.report.inputs import Inputs
from gc_ray.report.measure import metric_rows
from gc_ray.report.plots import draw_roc, draw_violins, with_metric
from gc_ray.report.trace import curve_frame
from gc_ray.report.units import Unit, units_of

EVENTS, KIND = "events", "out-of-fold and frozen"
SHOWN = ("auc", "accuracy", "sensitivity", "specificity", "ppv", "npv")
NOTE = "the cutoff is the Youden index of these same events: in-sample"


def contrast_frames(inputs: Inputs) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(metrics, curves) of each model's leak-free scores in the study's first contrast; empty where it has none.

    Training scores are out-of-fold. The event of these tables is the contrast's level.
    """
    contrasts, settings = inputs.study.evaluate.contrasts, inputs.study.evaluate
    metrics, curves = [], []
    for unit in _pooled(inputs) if contrasts else ():
        events = among_events(unit, contrasts[0])
        if events is None:
            continue
        rows = metric_rows(events, {"classification": _cutoff(events)}, settings)
        metrics += [row | {"note": row["note"] or NOTE} for row in rows if row["metric"] in SHOWN]
        curves.append(curve_frame(events, None, settings))
    return pd.DataFrame(metrics), pd.concat(curves, ignore_index=True) if curves else pd.DataFrame()


def contrast_plots(inputs: Inputs, metrics: pd.DataFrame, curves: pd.DataFrame) -> Iterator[Plot]:
    """ROC curves of all models, and the distribution of each model's scores in both kinds of event."""
    if not len(curves):
        return
    column, _, level = inputs.study.evaluate.contrasts[0].partition("=")
    others = " or ".join(sorted(set(inputs.patients[column].dropna().astype(str)) - {level}))
    roc = with_metric(curves[curves["curve"] == "roc"], metrics, "auc")
    if len(roc):
        title = f"Scores for {level} against {others}"
        yield Plot("contrast-roc", "subgroups", title, f"ROC curves among events; positive: {level}.", roc, draw_roc)
    named = curves.replace({"series": {"no event": others, "event": level}})
    violins = named[named["curve"].isin(("violin", "quartiles"))]
    for model, rows in violins.groupby("model_id", sort=False):
        title = f"Scores of {model}: {level} against {others}"
        alt = "Densities and quartiles of the scores in both kinds of event."
        draw = partial(draw_violins, names=(label(others), label(level)))
        yield Plot(f"contrast-violin-{file_part(model)}", "subgroups", title, alt, rows, draw)


def _pooled(inputs: Inputs) -> Iterator[Unit]:
    """Each model's leak-free scores of all cohorts together."""
    units = [unit for unit in units_of(inputs) if unit.variant == "leak_free" and unit.kind in ("oof", "final")]
    for model in dict.fromkeys(unit.model_id for unit in units):
        mine = [unit for unit in units if unit.model_id == model]
        arrays = (np.concatenate([getattr(unit, name) for unit in mine]) for name in ("score", "linear_predictor"))
        patients = pd.concat([unit.patients for unit in mine])
        yield Unit(inputs.study.name, model, "leak_free", EVENTS, KIND, *arrays, patients)


def _cutoff(unit: Unit) -> float | None:
    try:
        return evaluate.operating_point(unit.y, unit.score, "youden").threshold
    except TableError:
        return None
