"""The page: one self-contained HTML file with every section, figure, table and calculator of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from gc_ray import __version__
from gc_ray.report.chart import calculator
from gc_ray.report.checklist import UNKNOWN
from gc_ray.report.compute import Evaluation
from gc_ray.report.draw import Drawn, Plot
from gc_ray.report.pictures import Picture
from gc_ray.report.plots import KINDS
from gc_ray.report.templates import rendered
from gc_ray.report.words import number, p_text, span, summary

SHOWN_ROWS = 60  # of a table; longer ones are folded away
SHORT = {  # how the field writes them
    "e_over_o": "E/O", "ici": "ICI", "ppv": "PPV", "npv": "NPV", "brier": "Brier score", "c_index": "C-index",
}  # fmt: skip
TEXTS = {
    "flags": ("Doubts", "Why a number below may be wrong, as far as the run's own tables show it."),
    "patients": ("Who was analysed", ""),
    "discrimination": (
        "Discrimination",
        "Training scores are out-of-fold: each patient is scored by a fit without that patient. Their interval takes "
        "the folds' fits as given.",
    ),
    "optimism": (
        "Optimism",
        "Apparent AUC less the mean loss from fitted to left-out patients, every step repeated.",
    ),
    "calibration": (
        "Calibration",
        "Do the predicted risks come true? A slope of 1 and an intercept of 0 are ideal. The ICI is the mean "
        "distance of smooth curve and diagonal; in a small cohort noise alone makes one.",
    ),
    "cutoff": (
        "At a cutoff",
        "Cutoffs are learned on training scores and frozen for the other cohorts; intervals are given the cutoff.",
    ),
    "usefulness": (
        "Usefulness",
        "Net benefit: events found, less false alarms weighted by the odds of the threshold, per patient. At a "
        "horizon, events by then are estimated by Kaplan-Meier among those at or above the threshold.",
    ),
    "survival": ("Survival", "Risk groups by a cutoff learned on training scores. Intervals of curves are log-log."),
    "subgroups": ("Subgroups", "P values are not adjusted for their number."),
    "sites": ("Sites", "AUC by site, pooled on the logit scale with random effects."),
    "models": ("The models", "Coefficients are log odds per unit as stored; odds ratios are per the same unit."),
    "networks": ("Networks", "Heat-maps are of the final network, for the highest and the lowest scores."),
    "as_published": (
        "As published",
        "The paper's own in-sample steps, for comparison: nothing here feeds a claim or a cutoff of other sections.",
    ),
    "checklists": ("Checklists", "Filled in from this run's tables, in our own words."),
}


@dataclass
class Section:
    """One section of the page."""

    name: str
    title: str
    text: list[str]
    figures: list[dict] = field(default_factory=list)
    pictures: tuple[Picture, ...] = ()
    tables: list[dict] = field(default_factory=list)
    calculators: list[dict] = field(default_factory=list)


def page(done: Evaluation, drawn: list[tuple[Plot, Drawn]]) -> str:
    """The HTML of an evaluation; drawn: its figures, in their order."""
    sections = {name: Section(name, title, [text] if text else []) for name, (title, text) in TEXTS.items()}
    for plot, figure in drawn:
        sections[plot.section].figures.append({"name": plot.name, "title": plot.title, "svg": figure.svg})
    sections["networks"].pictures = done.inputs.pictures
    for name, tables in _tables(done).items():
        sections[name].tables += tables
    sections["models"].calculators = calculator(done.inputs)
    if done.table_one_rule:
        sections["patients"].text.append(f"Tests of Table 1: {done.table_one_rule}.")
    shown = [s for s in sections.values() if s.figures or s.pictures or s.tables or s.calculators]
    return rendered(
        "page.html.j2",
        script="nomogram.js",
        title=done.inputs.study.title or f"Evaluation of {', '.join(done.inputs.models)}",
        study_id=done.inputs.study.name,
        identity=done.inputs.identity,
        version=__version__,
        summary=summary(done),
        sections=shown,
        unknown=UNKNOWN,
    )


def _tables(done: Evaluation) -> dict[str, list[dict]]:
    metrics, tests = done.frame("metrics"), done.frame("tests")
    free, published = (metrics[metrics["variant"] == name] for name in ("leak_free", "as_published"))
    whole = free[(free["subset"] == "all") & (free["kind"] != "resampling")]
    found = {
        "flags": _flags(done.frame("flags")),
        "patients": [*_table_one(done.frame("table_one"))],
        "discrimination": [
            _pivot("Discrimination", whole, ["auc", "auc_bootstrap", "auc_within_folds", "average_precision"]),
            _tests("Paired tests between models", tests, "auc difference"),
        ],
        "optimism": [
            _pivot("Optimism", free[free["kind"] == "resampling"], ["auc_apparent", "auc_optimism", "auc_corrected"])
        ],
        "calibration": [
            _pivot("Calibration", whole, ["calibration_slope", "calibration_intercept", "e_over_o", "ici", "brier"]),
            _tests("Hosmer-Lemeshow", tests, "calibration"),
        ],
        "cutoff": [
            _cutoffs(done.frame("cutoffs")),
            _pivot("At the cutoff", whole, ["accuracy", "sensitivity", "specificity", "ppv", "npv"]),
        ],
        "usefulness": [
            _pivot("Net benefit at the frozen cutoff", whole, _named(whole, "net_benefit", "net_benefit_at_"))
        ],
        "survival": [
            _pivot("Survival", whole, _named(whole, "c_index", "hazard_ratio", "auc_at_")),
            _tests("Log-rank", tests, "log_rank"),
        ],
        "subgroups": [
            _subsets("AUC by subgroup", free[~free["subset"].str.startswith("site=")]),
            _tests("Interaction", tests, "interaction"),
            _tests("Contrasts", tests, "contrast"),
        ],
        "sites": [
            _subsets("AUC by site", free[free["subset"].str.startswith("site=")]),
            _pivot("Pooled over sites", whole, ["auc_sites_pooled", "auc_another_site", "i_squared"]),
            _tests("Heterogeneity", tests, "heterogeneity"),
        ],
        "models": [*_models(done)],
        "as_published": [
            _pivot("As published", published[published["subset"] == "all"], ["auc", "calibration_slope", "brier"])
        ],
        "checklists": [
            grid(name, rows[["item", "section", "topic", "answer", "source"]], folded=True)
            for name, rows in done.frame("checklist").groupby("checklist", sort=False)
        ],
    }
    return {name: [table for table in tables if table["rows"]] for name, tables in found.items()}


def _named(metrics: pd.DataFrame, *names: str) -> list[str]:
    """The metrics of these names, in the order of the table; a name that ends in _ stands for all that begin so."""
    found = dict.fromkeys(metrics["metric"])
    return [m for m in found if any(m.startswith(n) if n.endswith("_") else m == n for n in names)]


def grid(caption: str, frame: pd.DataFrame, folded: bool = False) -> dict:
    """A table as the template takes it; folded: shown only when asked for."""
    rows = [{"mark": "", "cells": [str(cell) for cell in row]} for row in frame.itertuples(index=False)]
    columns = [name.replace("_", " ") for name in frame.columns]
    return {"caption": caption, "columns": columns, "rows": rows, "folded": folded or len(rows) > SHOWN_ROWS}


def _flags(flags: pd.DataFrame) -> list[dict]:
    """The serious doubts in full view, the notes folded."""
    found = []
    for severity, caption in (("serious", "Serious"), ("note", "Notes")):
        table = grid(caption, flags.loc[flags["severity"] == severity, ["about", "text"]], folded=severity == "note")
        for row in table["rows"]:
            row["mark"] = severity
        found.append(table)
    return found


def _pivot(caption: str, rows: pd.DataFrame, metrics: list[str]) -> dict:
    """A row for each unit, a column for each metric that some unit has."""
    rows = rows[rows["metric"].isin(metrics)]
    out = []
    for (cohort, kind, model), unit in rows.groupby(["cohort", "kind", "model_id"], sort=False):
        by_metric = {row["metric"]: span(row) for _, row in unit.iterrows()}
        size = f"{unit['events'].iloc[0]} / {unit['n'].iloc[0]}"
        shown = {SHORT.get(metric, metric.replace("auc", "AUC")): by_metric.get(metric, "") for metric in metrics}
        out.append({"cohort": f"{cohort} ({KINDS.get(kind, kind)})", "model": model, "events / n": size} | shown)
    frame = pd.DataFrame(out)
    empty = [name for name in frame.columns if (frame[name] == "").all()]
    return grid(f"{caption} (95 % interval)", frame.drop(columns=empty))


def _subsets(caption: str, rows: pd.DataFrame) -> dict:
    rows = rows[(rows["subset"] != "all") & (rows["metric"] == "auc")]
    out = [
        {
            "cohort": row["cohort"],
            "model": row["model_id"],
            "patients": row["subset"],
            "events / n": f"{row['events']} / {row['n']}",
            "AUC": span(row),
        }
        for _, row in rows.iterrows()
    ]
    return grid(caption, pd.DataFrame(out), folded=True)


def _tests(caption: str, tests: pd.DataFrame, name: str) -> dict:
    rows = tests[(tests["test"] == name) & (tests["variant"] == "leak_free")] if len(tests) else tests
    out = []
    for _, row in rows.iterrows():
        compared = f"{row['model_id']} - {row['other']}" if row["other"] else row["model_id"]
        result = {"cohort": row["cohort"], "model": compared, "of": row["subset"]}
        result["effect"] = "" if pd.isna(row["estimate"]) else span(row)
        result |= {"statistic": "" if pd.isna(row["statistic"]) else number(row["statistic"], 2)}
        result |= {"df": "" if pd.isna(row["df"]) else f"{row['df']:.0f}", "P": p_text(row["p_value"]) or row["note"]}
        out.append(result)
    frame = pd.DataFrame(out)
    empty = [column for column in frame.columns if frame[column].isin(("", "all")).all()]
    method = f": {rows['method'].iloc[0]}" if len(rows) else ""
    return grid(f"{caption}{method}", frame.drop(columns=empty), folded=True)


def _cutoffs(cutoffs: pd.DataFrame) -> dict:
    rows = cutoffs[cutoffs["variant"] == "leak_free"]
    out = [
        {
            "model": row["model_id"],
            "purpose": row["purpose"],
            "cutoff": number(row["cutoff"], 4) if not row["note"] else row["note"],
            "rule": row["rule"],
            "learned on": f"{row['cohort']} ({KINDS.get(row['kind'], row['kind'])})",
            "P corrected for the search": p_text(row["p_corrected"]),
        }
        for _, row in rows.iterrows()
    ]
    return grid("Cutoffs", pd.DataFrame(out))


def _table_one(table: pd.DataFrame) -> list[dict]:
    """Table 1 for reading, a table for each comparison."""
    found = []
    for comparison, rows in table.groupby("comparison", sort=False) if len(table) else ():
        found.append(grid(f"Table 1, by {comparison}", readable(rows), folded=comparison != "cohort"))
    return found


def readable(rows: pd.DataFrame) -> pd.DataFrame:
    """One comparison of Table 1 as it is printed: a line for each variable and level, a column for each group."""
    sizes = (rows["n"] + rows["missing"]).groupby(rows["group"], sort=False).first()
    out = []
    for (variable, level), cells in rows.groupby(["variable", "level"], sort=False):
        one = cells.iloc[0]
        line = {"variable": variable, "level": level}
        line |= {f"{g} (n = {sizes[g]})": s for g, s in zip(cells["group"], cells["shown"], strict=True)}
        first = not out or out[-1]["variable"] != variable
        test = {"missing": int(cells["missing"].sum()), "test": one["test"], "P": p_text(one["p_value"])}
        test |= {"SMD": number(one["smd"], 2)}
        out.append(line | (test if first else dict.fromkeys(test, "")))
    return pd.DataFrame(out).fillna("")


def _models(done: Evaluation) -> list[dict]:
    found = []
    coefficients = done.inputs.coefficients
    if coefficients is not None and len(coefficients):
        rows = coefficients[coefficients["variant"] == "leak_free"]
        out = [
            {
                "model": row["model_id"],
                "term": row["term"],
                "coefficient": f"{row['coef']:.4g}",
                "odds ratio": _ratio(row),
                "P": p_text(row["p_value"]),
                "events / n": f"{row['events']} / {row['n']}",
            }
            for _, row in rows.iterrows()
        ]
        found.append(grid("Coefficients", pd.DataFrame(out), folded=len(out) > SHOWN_ROWS // 3))
    nomogram = done.frame("nomogram")
    if len(nomogram):
        points = nomogram[~nomogram["axis"].isin(("total_points", "risk"))]
        out = points[["model_id", "axis", "mark", "points"]].assign(points=points["points"].map("{:.2f}".format))
        found.append(grid("Points of the nomograms", out, folded=True))
    selection = done.inputs.selection
    if selection is not None and len(selection):
        rows = selection[selection["variant"] == "leak_free"]
        out = rows[["model_id", "feature", "family", "step", "reason"]].assign(
            stability=["" if pd.isna(v) else f"{v:.0%}" for v in rows["stability"]]
        )
        kept = out[rows["step"] == "kept"]
        found.append(grid("Features kept (all candidates: tables/selection.csv)", kept, folded=True))
    return found


def _ratio(row: pd.Series) -> str:
    if row["term"] == "(Intercept)":
        return ""
    if pd.isna(row["or_lower"]):
        return number(row["odds_ratio"], 3)
    return f"{number(row['odds_ratio'])} ({number(row['or_lower'])} to {number(row['or_upper'])})"
