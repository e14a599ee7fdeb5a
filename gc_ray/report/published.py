"""Our numbers beside those that a paper prints: a comparison of methods on other patients, row by row."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from gc_ray.report.contrast import EVENTS
from gc_ray.report.inputs import Inputs
from gc_ray.report.paper import Number, Paper
from gc_ray.report.words import number, p_text

VARIANTS = ("leak_free", "as_published")
TRAINING_KIND = {"leak_free": "oof", "as_published": "apparent"}
LIMITS = ("", "_lower", "_upper")
WHOLE_NUMBERS = ("patients", "events", "candidates", "features", "candidate_factors")
NOTHING = (np.nan, np.nan, np.nan)
NOT_FITTED = "not fitted"
COMPARES = ("_against_", "_over_")  # in the name of a metric: the P value, and the difference, of two models


@dataclass(frozen=True, eq=False)
class Ours:
    """What ours is looked up in. tables: metrics, tests and cutoffs. contrast: metrics among events."""

    inputs: Inputs
    tables: Mapping[str, pd.DataFrame]
    contrast: pd.DataFrame


def comparison(paper: Paper, ours: Ours) -> pd.DataFrame:
    """A row for each printed number: item, metric, model, cohort, bound, published, ours, as_published, with limits.

    In the order of the paper's items. ours: leak-free, out-of-fold in the training cohort. as_published: by the
    paper's own steps, in-sample there. note: why there is no number of ours.
    """
    rows, order = [], [item.label for item in paper.item]
    for printed in sorted(paper.number, key=lambda number: order.index(number.item)):
        for model, values in printed.values.items():
            row = {"item": printed.item, "metric": printed.metric, "model": model, "cohort": printed.cohort}
            row |= {"bound": printed.bound} | _limits("published", values)
            found = {variant: _ours(ours, printed, model, variant) for variant in VARIANTS}
            row |= _limits("ours", found["leak_free"]) | _limits("as_published", found["as_published"])
            row |= _size(ours, printed, model)
            row["note"] = _why(ours.inputs, printed, model) if np.isnan(found["leak_free"][0]) else ""
            rows.append(row)
    return pd.DataFrame(rows)


def kept_predictors(paper: Paper, inputs: Inputs) -> pd.DataFrame:
    """The predictors that the paper's models kept and that ours did, a row for each model of ours and of theirs."""
    rows = []
    for kept in paper.kept:
        rows.append({"item": kept.item, "model": kept.model, "whose": "published", "kept": " ".join(kept.predictors)})
        for variant in VARIANTS:
            found = _terms(inputs, kept.model, variant)
            rows.append({"item": kept.item, "model": kept.model, "whose": f"ours, {variant}", "kept": found})
    return pd.DataFrame(rows)


def kept_in_words(rows: pd.DataFrame) -> pd.DataFrame:
    """The predictors kept as they are read."""
    whose = {"ours, leak_free": "ours", "ours, as_published": "ours by the paper's steps"}
    kept = rows["kept"].where(rows["kept"] == NOT_FITTED, rows["kept"].str.replace(" ", ", "))
    return rows.assign(whose=rows["whose"].replace(whose), kept=kept).rename(columns={"item": "in the paper"})


def in_words(rows: pd.DataFrame) -> pd.DataFrame:
    """The comparison as it is read: estimates with their limits in one cell."""
    out = []
    for _, row in rows.iterrows():
        size = "" if pd.isna(row["n"]) else f"{row['events']:.0f} / {row['n']:.0f}"
        out.append(
            {
                "in the paper": row["item"],
                "what": _metric(row["metric"]),
                "model": row["model"],
                "cohort": row["cohort"],
                "published": row["bound"] + (" " if row["bound"] else "") + _shown(row, "published"),
                "ours": _shown(row, "ours") or row["note"],
                "ours by the paper's steps": _shown(row, "as_published"),
                "our events / n": size,
            }
        )
    return pd.DataFrame(out)


def _metric(name: str) -> str:
    return re.sub(r"^p_", "P ", name).replace("_", " ").replace("auc", "AUC")


def _shown(row: pd.Series, name: str) -> str:
    value, lower, upper = (row[f"{name}{limit}"] for limit in LIMITS)
    if pd.isna(value):
        return ""
    if row["metric"] in WHOLE_NUMBERS:
        return f"{value:.0f}"
    if row["metric"].startswith("p_"):
        return f"{value:g}" if name == "published" else p_text(value)
    return number(value) + ("" if pd.isna(lower) else f" ({number(lower)} to {number(upper)})")


def _limits(name: str, values: tuple[float, ...]) -> dict[str, float]:
    padded = (*values, *NOTHING)[: len(LIMITS)]
    return {f"{name}{limit}": value for limit, value in zip(LIMITS, padded, strict=True)}


def _ours(ours: Ours, printed: Number, model: str, variant: str) -> tuple[float, ...]:
    """(estimate, lower, upper), NaN where there is none; a metric over another model's is their difference."""
    metric, _, other = printed.metric.partition(COMPARES[0])
    if other:
        rows = _tests(ours, "auc difference", printed.cohort, variant)
        return _p(rows[rows.apply(lambda row: {row["model_id"], row["other"]} == {model, other}, axis=1)])
    metric, _, other = printed.metric.partition(COMPARES[1])
    if other:
        alone = printed.model_copy(update={"metric": metric})
        return (_measured(ours, alone, model, variant)[0] - _measured(ours, alone, other, variant)[0],)
    return FINDERS.get(metric, _measured)(ours, printed, model, variant)


def _measured(ours: Ours, printed: Number, model: str, variant: str) -> tuple[float, ...]:
    rows = _unit(ours, printed.cohort, model, variant)
    rows = rows[(rows["metric"] == printed.metric) & ((rows["subset"] == "all") | (printed.cohort == EVENTS))]
    return tuple(rows.iloc[0][["estimate", "lower", "upper"]]) if len(rows) else NOTHING


def _unit(ours: Ours, cohort: str, model: str, variant: str) -> pd.DataFrame:
    """The metrics of a model in a cohort; of the training cohort those of the variant's kind of score."""
    table = ours.contrast if cohort == EVENTS else ours.tables["metrics"]
    if not len(table):
        return ours.tables["metrics"].iloc[:0]
    rows = table[(table["cohort"] == cohort) & (table["model_id"] == model) & (table["variant"] == variant)]
    return rows[rows["kind"] == TRAINING_KIND[variant]] if cohort == "train" else rows


def _size(ours: Ours, printed: Number, model: str) -> dict[str, float]:
    rows = _unit(ours, printed.cohort, model, "leak_free")
    rows = rows[rows["metric"] == "auc"]
    return {name: float(rows.iloc[0][name]) if len(rows) else np.nan for name in ("n", "events")}


def _count(ours: Ours, printed: Number, model: str, variant: str) -> tuple[float, ...]:
    rows = ours.tables["metrics"]  # of any model: all signatures of a study score the same patients
    rows = rows[(rows["metric"] == "auc") & (rows["subset"] == "all") & (rows["kind"] != "resampling")]
    rows = rows[(rows["cohort"] == printed.cohort) & (rows["variant"] == variant)]
    return (float(rows.iloc[0]["n" if printed.metric == "patients" else "events"]),) if len(rows) else NOTHING


def _selected(ours: Ours, printed: Number, model: str, variant: str) -> tuple[float, ...]:
    table = ours.inputs.selection
    if table is None:
        return NOTHING
    rows = table[(table["model_id"] == model) & (table["variant"] == variant)]
    kept = rows[rows["step"] == "kept"] if printed.metric == "features" else rows
    return (float(len(kept)),) if len(rows) else NOTHING


def _factors(ours: Ours, printed: Number, model: str, variant: str) -> tuple[float, ...]:
    return (float(len(ours.inputs.study.clinical.predictors)),) if variant == "leak_free" else NOTHING


def _subgroup_aucs(ours: Ours, printed: Number, model: str, variant: str) -> tuple[float, ...]:
    rows = _unit(ours, printed.cohort, model, variant)
    column = rows["subset"].str.split("=").str[0]
    areas = rows.loc[(rows["metric"] == "auc") & column.isin(ours.inputs.study.clinical.subgroups), "estimate"]
    found = areas.dropna()
    return (float(found.min() if printed.metric.startswith("lowest") else found.max()),) if len(found) else NOTHING


def _cutoff(ours: Ours, printed: Number, model: str, variant: str) -> tuple[float, ...]:
    rows = ours.tables["cutoffs"]
    rows = rows[(rows["model_id"] == model) & (rows["variant"] == variant) & (rows["purpose"] == "survival")]
    return (float(rows.iloc[0]["cutoff"]),) if len(rows) else NOTHING


def _test(name: str) -> Callable[[Ours, Number, str, str], tuple[float, ...]]:
    def find(ours: Ours, printed: Number, model: str, variant: str) -> tuple[float, ...]:
        rows = _tests(ours, name, printed.cohort, variant)
        return _p(rows[rows["model_id"] == model])

    return find


def _tests(ours: Ours, name: str, cohort: str, variant: str) -> pd.DataFrame:
    rows = ours.tables["tests"]
    rows = rows[(rows["test"] == name) & (rows["cohort"] == cohort) & (rows["variant"] == variant)]
    return rows[rows["kind"] == TRAINING_KIND[variant]] if cohort == "train" else rows


def _p(rows: pd.DataFrame) -> tuple[float, ...]:
    return (float(rows.iloc[0]["p_value"]),) if len(rows) else NOTHING


FINDERS = {
    "patients": _count,
    "events": _count,
    "candidates": _selected,
    "features": _selected,
    "candidate_factors": _factors,
    "lowest_subgroup_auc": _subgroup_aucs,
    "highest_subgroup_auc": _subgroup_aucs,
    "survival_cutoff": _cutoff,
    "p_log_rank": _test("log_rank"),
    "p_calibration": _test("calibration"),
}


def _terms(inputs: Inputs, model: str, variant: str) -> str:
    """A model's predictors, a factor once; or why there is none."""
    table = inputs.coefficients
    rows = [] if table is None else table[(table["model_id"] == model) & (table["variant"] == variant)]["term"]
    columns = dict.fromkeys(term.partition("=")[0] for term in rows if term != "(Intercept)")
    return " ".join(columns) or NOT_FITTED


def leak_free(inputs: Inputs) -> set[str]:
    """The models with leak-free scores; others were fitted by the paper's steps alone, or not at all."""
    return set(inputs.scores.loc[inputs.scores["variant"] == "leak_free", "model_id"])


def _why(inputs: Inputs, printed: Number, model: str) -> str:
    fitted = leak_free(inputs)
    if model not in fitted:
        return NOT_FITTED
    other = next((printed.metric.partition(word)[2] for word in COMPARES if word in printed.metric), model)
    return "the data cannot give it" if other in fitted else f"{other} {NOT_FITTED}"
