"""Tables laid out as papers print them, from the tables of an evaluation and of the run."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from gc_ray.report.contrast import SHOWN
from gc_ray.report.inputs import Inputs
from gc_ray.report.page import readable
from gc_ray.report.words import span
from gc_ray.study import Study

UNIT = ["variant", "cohort", "kind", "model_id"]


def made_tables(
    inputs: Inputs, tables: Mapping[str, pd.DataFrame], contrast: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """The tables that have a row, by name. tables: metrics and table_one; contrast: metrics among events."""
    metrics = tables["metrics"]
    whole = metrics[(metrics["subset"] == "all") & (metrics["kind"] != "resampling")]
    apart = metrics[(metrics["subset"] != "all") & (metrics["metric"] == "auc")]
    made = {
        "table_one-cohorts": table_one(tables["table_one"], "cohort"),
        "table_one-outcomes": table_one(tables["table_one"], "outcome in "),
        "performance": performance(whole),
        "subgroups": apart[[*UNIT, "subset", "estimate", "lower", "upper", "n", "events"]],
        "contrast": performance(contrast),
    }
    if inputs.selection is not None:
        made["selection_steps"] = selection_steps(inputs.selection, inputs.study)
    for name, frame in (("coefficients", inputs.coefficients), ("contrast", made["contrast"])):
        if frame is not None and len(frame):
            made |= {f"{name}-{model}": rows for model, rows in frame.groupby("model_id")}
    return {name: frame for name, frame in made.items() if len(frame)}


def table_one(table: pd.DataFrame, comparison: str) -> pd.DataFrame:
    """Table 1 as printed, the comparisons of one kind side by side. comparison: how their names begin."""
    parts = []
    for name, rows in table[table["comparison"].str.startswith(comparison)].groupby("comparison", sort=False):
        mark = name.removeprefix(comparison)
        frame = readable(rows).set_index(["variable", "level"])
        parts.append(frame.add_prefix(f"{mark}: ") if mark else frame)
    return pd.concat(parts, axis=1).reset_index() if parts else pd.DataFrame()


def performance(metrics: pd.DataFrame) -> pd.DataFrame:
    """A row for each variant, cohort and model; AUC, accuracy and the like with their limits, as printed."""
    rows = []
    for unit, mine in metrics[metrics["metric"].isin(SHOWN)].groupby(UNIT, sort=False) if len(metrics) else ():
        shown = {row["metric"]: span(row) for _, row in mine.iterrows()}
        size = {name: int(mine[name].iloc[0]) for name in ("n", "events")}
        rows.append(dict(zip(UNIT, unit, strict=True)) | {name: shown.get(name, "") for name in SHOWN} | size)
    return pd.DataFrame(rows)


def selection_steps(selection: pd.DataFrame, study: Study) -> pd.DataFrame:
    """How many candidates each step took from a signature, and how many it left."""
    steps = {s.name: list(dict.fromkeys(step.step for step in s.steps)) for s in study.signature}
    rows = []
    for (model, variant), mine in selection.groupby(["model_id", "variant"], sort=False):
        counts, left = mine["step"].value_counts(), len(mine)
        rows.append({"model_id": model, "variant": variant, "step": "candidates", "removed": 0, "left": left})
        asked = steps.get(model.removesuffix("_tuned"), [])
        before = [step for step in dict.fromkeys(mine["step"]) if step not in (*asked, "kept")]  # constant, no value
        for step in (*before, *asked):
            left -= int(counts.get(step, 0))
            rows.append(rows[-1] | {"step": step, "removed": int(counts.get(step, 0)), "left": left})
    return pd.DataFrame(rows)
