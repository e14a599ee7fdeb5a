"""The tables of an evaluation: what was measured, tested, drawn and flagged, every number with its n and events."""

from __future__ import annotations

import pyarrow as pa

from gc_ray.table_schema import Column, Table


def _text(name: str, meaning: str) -> Column:
    return Column(name, pa.string(), meaning)


def _number(name: str, meaning: str) -> Column:
    return Column(name, pa.float64(), meaning, null=True)


def _count(name: str, meaning: str, null: bool = False) -> Column:
    return Column(name, pa.int64(), meaning, null)


_STUDY = _text("study_id", "the study file's name")
_MODEL = (
    _STUDY,
    _text("model_id", "which signature"),
    _text("variant", "leak_free, or as_published: the paper's in-sample steps, never used for a claim"),
)
_UNIT = (
    *_MODEL,
    _text("cohort", "train, internal, external, or the name that a table of scores gives"),
    _text("kind", "oof, final or apparent: see the table scores"),
)
_SIZE = (_count("n", "patients"), _count("events", "events among them"))
_INTERVAL = (_number("lower", "95 % limit"), _number("upper", "95 % limit"))
_SUBSET = _text("subset", "all, or column=level of the patients looked at")

METRICS = Table(
    "metrics",
    ("study_id", "model_id", "variant", "cohort", "kind", "subset", "metric"),
    (
        *_UNIT,
        _SUBSET,
        _text("metric", "what was measured, such as auc or calibration_slope"),
        _number("estimate", "its value; null where the note says why there is none"),
        *_INTERVAL,
        *_SIZE,
        _text("method", "how estimate and limits were got"),
        _text("note", "why a value or limit is missing; empty otherwise"),
    ),
)

TESTS = Table(
    "tests",
    ("study_id", "test", "model_id", "other", "variant", "cohort", "kind", "subset"),
    (
        *_UNIT,
        _SUBSET,
        _text("test", "which hypothesis was tested"),
        _text("other", "what the model was compared with; empty when with nothing"),
        _number("estimate", "the effect that the test is about, where it has one"),
        *_INTERVAL,
        _number("statistic", "the test statistic"),
        _number("df", "its degrees of freedom; null for a normal statistic"),
        _number("p_value", "two-sided, not adjusted for the number of tests"),
        *_SIZE,
        _text("method", "the test, and its null hypothesis"),
        _text("note", "why there is no result; empty otherwise"),
    ),
)

CURVES = Table(
    "curves",
    ("study_id", "curve", "model_id", "variant", "cohort", "kind", "series", "point"),
    (
        *_UNIT,
        _text(
            "curve",
            "roc, precision_recall, calibration, calibration_bins, decision, decision_in_time, violin, quartiles, "
            "kaplan_meier",
        ),
        _text("series", "which line of the curve, such as model or treat_all; empty when there is one"),
        _count("point", "0, 1, .. along the line"),
        Column("x", pa.float64(), "abscissa"),
        _number("y", "ordinate"),
        *_INTERVAL,
        _count("count", "patients at this point, such as at risk", null=True),
    ),
)

CUTOFFS = Table(
    "cutoffs",
    ("study_id", "model_id", "variant", "purpose"),
    (
        *_UNIT,
        _text("purpose", "classification (score at or above is positive) or survival (score above is high risk)"),
        _number("cutoff", "learned on the cohort and kind of this row, then frozen"),
        _text("rule", "how it was chosen"),
        _number("statistic", "of the rule, such as the largest standardised log-rank statistic"),
        _number("p_naive", "as if the cutoff had been given beforehand"),
        _number("p_corrected", "corrected for the search"),
        *_SIZE,
        _text("note", "why there is no cutoff; empty otherwise"),
    ),
)

TABLE_ONE = Table(
    "table_one",
    ("study_id", "comparison", "variable", "level", "group"),
    (
        _STUDY,
        _text("comparison", "cohort, or outcome within a cohort"),
        _text("variable", "column of the clinical table"),
        _text("level", "of a category; empty for a number"),
        _text("group", "cohort, or outcome"),
        _text("shown", "as printed in Table 1"),
        _count("n", "patients of the group with a value"),
        _count("missing", "patients of the group without"),
        *(_number(name, "of a number") for name in ("mean", "sd", "median", "q1", "q3")),
        _number("count", "patients at this level"),
        _number("share", "count / n"),
        _text("test", "of no difference between groups, by the stated rule"),
        _number("statistic", "of the test"),
        _number("p_value", "two-sided, not adjusted"),
        _number("smd", "standardised difference"),
    ),
)

ACCOUNT = Table(
    "account",
    ("study_id", "number"),
    (
        _STUDY,
        _count("number", "0, 1, .. in the order of the steps"),
        _text("unit", "outlines or patients: what is counted"),
        _text("step", "what was asked, or the cohort"),
        _count("n_left", "left after the step, or in the cohort"),
        _count("n_removed", "taken away by the step"),
        _text("reason", "what the numbers are about; empty where the step says it all"),
    ),
)

NOMOGRAM = Table(
    "nomogram",
    ("study_id", "model_id", "variant", "axis", "mark"),
    (
        *_MODEL,
        _text("axis", "a predictor, total_points or risk"),
        _text("mark", "value or level at the mark"),
        _number("value", "the mark as a number; null for a level"),
        _number("points", "points at the mark"),
        _number("risk", "risk at the mark of total_points; null on other axes"),
    ),
)

FLAGS = Table(
    "flags",
    ("study_id", "number"),
    (
        _STUDY,
        _count("number", "0, 1, .. the graver first"),
        _text("severity", "serious: do not read the number without this; note: know it"),
        _text("flag", "the kind of doubt, such as few_events"),
        _text("about", "model, cohort or column"),
        _text("text", "why the number may be wrong"),
    ),
)

CHECKLIST = Table(
    "checklist",
    ("checklist", "item"),
    (
        _text("checklist", "TRIPOD+AI, CLEAR or METRICS"),
        _text("item", "its number there"),
        _text("section", "of the checklist"),
        _text("topic", "what the item asks, in our words"),
        _text("answer", "from this run's own tables, or: not known to the software"),
        _text("source", "where the answer comes from; empty when not known"),
    ),
)

TABLES = {
    table.name: table for table in (METRICS, TESTS, CURVES, CUTOFFS, TABLE_ONE, ACCOUNT, NOMOGRAM, FLAGS, CHECKLIST)
}
