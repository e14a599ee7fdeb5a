"""All tables of an evaluation, from its inputs: measured, tested, traced and flagged; nothing is drawn or written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from gc_ray import evaluate, evaluation_tables, tables
from gc_ray.report.chart import nomogram_rows
from gc_ray.report.compare import contrast_rows, group_rows, test_rows
from gc_ray.report.cutoffs import cutoff_of, cutoff_rows
from gc_ray.report.flags import flag_rows
from gc_ray.report.inputs import Inputs
from gc_ray.report.measure import metric_rows
from gc_ray.report.people import account_rows, table_one_frame
from gc_ray.report.trace import curve_frame
from gc_ray.report.units import Unit, units_of

PURPOSES = ("classification", "survival")
CORRECTED = "apparent AUC of the resampling fits less their optimism; limits span the repeats"


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The tables of an evaluation by name, as Arrow tables checked against their contracts, and Table 1's rule."""

    inputs: Inputs
    tables: Mapping[str, pa.Table]
    table_one_rule: str

    def frame(self, name: str) -> pd.DataFrame:
        """A table as a frame; an empty one when the evaluation has none of that name."""
        return self.tables[name].to_pandas() if name in self.tables else pd.DataFrame()


def evaluate_all(inputs: Inputs) -> Evaluation:
    """Every table that the inputs allow; TableError when they contradict each other."""
    settings = inputs.study.evaluate
    units = units_of(inputs)
    cutoffs = cutoff_rows(units, settings)
    metrics, tests, curves = [], [], []
    for unit in units:
        frozen = {purpose: cutoff_of(cutoffs, unit, purpose) for purpose in PURPOSES}
        metrics += metric_rows(unit, frozen, settings)
        curves.append(curve_frame(unit, frozen["survival"], settings))
        for more_metrics, more_tests in _groups(unit, inputs):
            metrics += more_metrics
            tests += more_tests
    tests += test_rows(units, lambda unit: cutoff_of(cutoffs, unit, "survival"))
    metrics += _optimism(inputs)
    table_one, rule = table_one_frame(inputs)
    found = {
        "metrics": _built("metrics", pd.DataFrame(metrics)),
        "tests": _built("tests", pd.DataFrame(tests)),
        "curves": _built("curves", pd.concat(curves, ignore_index=True)),
        "cutoffs": _built("cutoffs", pd.DataFrame(cutoffs)),
        "table_one": _built("table_one", table_one),
        "account": _built("account", pd.DataFrame(account_rows(inputs))),
        "nomogram": _built("nomogram", pd.DataFrame(nomogram_rows(inputs))),
    }
    flags = flag_rows(inputs, found["metrics"].to_pandas(), found["cutoffs"].to_pandas())
    found["flags"] = _built("flags", pd.DataFrame(flags))
    return Evaluation(inputs, found, rule)


def _groups(unit: Unit, inputs: Inputs) -> list[tuple[list[dict], list[dict]]]:
    contrasts = inputs.study.evaluate.contrasts
    contrasted = {contrast.partition("=")[0] for contrast in contrasts}
    columns = tuple(name for name in inputs.study.clinical.subgroups if name in unit.patients)
    columns = tuple(name for name in columns if name not in contrasted)
    return [group_rows(unit, columns, inputs.study.clinical.declared), contrast_rows(unit, contrasts)]


def _optimism(inputs: Inputs) -> list[dict]:
    """For each model what repeated development says; or that it was not repeated, and nothing can be said."""
    rows = []
    for model in inputs.models:
        mine = inputs.resampling
        if mine is not None:
            mine = mine[mine["model_id"] == model].dropna(subset=["auc_train", "auc_test"])
        found = evaluate.optimism(mine)
        training = inputs.scores[(inputs.scores["model_id"] == model) & (inputs.scores["cohort"] == "train")]
        patients = inputs.patients.loc[training["patient_id"].unique()]
        same = {
            "study_id": inputs.study.name,
            "model_id": model,
            "variant": "leak_free",
            "cohort": "train",
            "kind": "resampling",
            "subset": "all",
            "n": len(patients),
            "events": int(patients["outcome"].sum()),
            "method": f"{CORRECTED}; {found.folds} folds",
            "note": found.reason,
        }
        for metric, limits in (
            ("auc_apparent", (found.apparent, np.nan, np.nan)),
            ("auc_optimism", (found.optimism, np.nan, np.nan)),
            ("auc_corrected", (found.corrected, found.lower, found.upper)),
        ):
            rows.append(same | {"metric": metric} | dict(zip(("estimate", "lower", "upper"), limits, strict=True)))
    return rows


def _built(name: str, frame: pd.DataFrame) -> pa.Table:
    """The Arrow table of a frame by its contract; NaN becomes null."""
    contract = evaluation_tables.TABLES[name]
    schema = contract.schema()
    if not len(frame):
        return schema.empty_table()
    table = pa.Table.from_pandas(frame[schema.names], schema=schema, preserve_index=False)
    return tables.check(contract, table.replace_schema_metadata())
