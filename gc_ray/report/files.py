"""The files of a report: page, figures with their numbers, tables, and the index for machines."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from gc_ray import sealed, tables
from gc_ray.escaping import csv_bytes
from gc_ray.evaluation_tables import CHECKLIST
from gc_ray.report.checklist import checklist_rows
from gc_ray.report.compute import Evaluation
from gc_ray.report.draw import Drawn, Plot, render
from gc_ray.report.identity import code, report_id
from gc_ray.report.overviews import overview_plots
from gc_ray.report.page import page
from gc_ray.report.plots import curve_plots
from gc_ray.report.publish import INDEX, PAGE, Report
from gc_ray.report.words import summary
from gc_ray.shards import parquet

IN_INDEX = ("metrics", "tests", "cutoffs", "flags")  # tables that a program wants without opening a file


def report_of(done: Evaluation, told: Callable[[int, int], None] = lambda done, of: None) -> Report:
    """The report of an evaluation. told: called after each figure with how many are drawn, of how many."""
    done = _with_checklists(done)
    plots = plots_of(done)
    drawn: list[tuple[Plot, Drawn]] = []
    files: dict[str, bytes] = {}
    for plot in plots:
        figure = render(plot)
        drawn.append((plot, figure))
        files[f"figures/{plot.name}.svg"] = figure.svg.encode()
        files[f"figures/{plot.name}.png"] = figure.png
        files[f"figures/{plot.name}.csv"] = csv_bytes(plot.table)
        told(len(drawn), len(plots))
    files |= {f"figures/{picture.name}.png": picture.png for picture in done.inputs.pictures}
    for name, frame in _own_tables(done).items():
        files[f"tables/{name}.csv"] = csv_bytes(frame)
    for name, table in done.tables.items():
        files[f"tables/{name}.parquet"] = parquet(table)
    files[PAGE] = page(done, drawn).encode()
    files[INDEX] = _index(done, plots, files)
    return Report(report_id(done.inputs), files)


def plots_of(done: Evaluation) -> list[Plot]:
    """Every figure that the tables of an evaluation allow, none drawn yet."""
    metrics, curves = done.frame("metrics"), done.frame("curves")
    plots = [plot for variant in ("leak_free", "as_published") for plot in curve_plots(metrics, curves, variant)]
    return [*overview_plots(_own_tables(done), done.inputs.headline), *plots]


def _with_checklists(done: Evaluation) -> Evaluation:
    filled = tables.build(CHECKLIST, checklist_rows(done))
    return Evaluation(done.inputs, {**done.tables, "checklist": filled}, done.table_one_rule)


def _own_tables(done: Evaluation) -> dict[str, pd.DataFrame]:
    """The evaluation's tables and what it shows of the run's; none holds a row for a patient."""
    found = {name: done.frame(name) for name in done.tables}
    for name in ("resampling", "coefficients", "selection"):
        frame = getattr(done.inputs, name)
        if frame is not None:
            found[name] = frame
    return found


def _index(done: Evaluation, plots: list[Plot], files: dict[str, bytes]) -> bytes:
    inputs = done.inputs
    said = {
        "study_id": inputs.study.name,
        "evaluation": inputs.identity,
        "tune_id": inputs.card.get("tune_id", ""),
        "code": code(),
        "research_use_only": True,
        "models": inputs.models,
        "headline": inputs.headline,
        "summary": summary(done),
        "study": without_places(inputs.study.model_dump(mode="json", exclude={"publish"})),
        "figures": {plot.name: {"title": plot.title, "alt": plot.alt} for plot in plots},
        "tables": {name: _records(done.frame(name)) for name in IN_INDEX},
        "files": sealed.described(files),
    }
    return sealed.seal(said, INDEX, allow_nan=False)


def without_places(settings: object) -> object:
    """Settings as JSON types, with the name of a file where they have an absolute path: a report may be published."""
    if isinstance(settings, dict):
        return {name: without_places(value) for name, value in settings.items()}
    if isinstance(settings, list):
        return [without_places(value) for value in settings]
    return Path(settings).name if isinstance(settings, str) and Path(settings).is_absolute() else settings


def _records(frame: pd.DataFrame) -> list[dict]:
    """Rows as JSON types; a number that does not exist, or is infinite, is null or a word."""
    return [{name: _json(value) for name, value in row.items()} for row in frame.to_dict("records")]


def _json(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("inf" if value > 0 else "-inf")
    return value
