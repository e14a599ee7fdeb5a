"""Clinical columns from text to values, as the study file declares them; every value that does not fit is found."""

from __future__ import annotations

import difflib

import numpy as np
import pandas as pd
import pyarrow as pa

from gc_ray.cohort.findings import Finding, some, whose
from gc_ray.cohort.table_files.cells import number_or_nan
from gc_ray.study_cohort import Binary, Categorical, ClinicalSettings, Column, Date, Number, Ordinal

ARROW = {
    "binary": pa.int8(),
    "ordinal": pa.string(),
    "categorical": pa.string(),
    "number": pa.float64(),
    "date": pa.date32(),
}


def code_table(text: pd.DataFrame, settings: ClinicalSettings) -> tuple[pd.DataFrame, list[Finding]]:
    """The declared columns as values, and what is wrong with them.

    text: indexed by patient_id, every cell text or None. Values: 0/1 and numbers as float64 with NaN, levels as text
    with None, dates as datetime64; a value that does not fit is missing in the result and an error in the findings.
    """
    declared = settings.declared
    lost = [name for name in declared if name not in text]
    findings = [Finding("error", _missing_columns(lost, list(text.columns)))] if lost else []
    values = pd.DataFrame(index=text.index)
    for name, column in declared.items():
        if name in text:
            values[name], found = _code(text[name], column)
            findings += [Finding("error", f"{name}: {fault}") for fault in found]
    findings += _orders(values, declared) + _contradictions(values, text[values.columns].isna(), settings)
    return values, findings


def coding_of(settings: ClinicalSettings) -> dict[str, dict]:
    """How each declared column enters a model, as JSON types by column name.

    Binary and number: the value itself. Ordinal: its rank. Categorical: an indicator for each level but the first. A
    predictor whose missing values are a category has one more indicator.
    """
    return {name: _design(name, column, settings) for name, column in settings.declared.items()}


def number_columns(settings: ClinicalSettings) -> frozenset[str]:
    """The declared columns whose cells are numbers."""
    return frozenset(name for name, column in settings.declared.items() if isinstance(column, Number | Binary))


def _code(text: pd.Series, column: Column) -> tuple[pd.Series, list[str]]:
    if isinstance(column, Binary):
        return _binary(text)
    if isinstance(column, Number):
        return _number(text, column)
    if isinstance(column, Date):
        return _date(text, column)
    return _levels(text, column.levels)


def _binary(text: pd.Series) -> tuple[pd.Series, list[str]]:
    values = text.map(number_or_nan).astype("float64")
    good = values.isin((0, 1))
    faults = _faults(text, text.notna() & ~good, "wanted 0 (no) and 1 (yes)", "recode")
    return values.where(good), faults


def _number(text: pd.Series, column: Number) -> tuple[pd.Series, list[str]]:
    values = text.map(number_or_nan).astype("float64")
    finite = values.notna() & np.isfinite(values)
    wanted = f"wanted a number in {column.unit}, with a decimal point and without signs such as <"
    faults = _faults(text, text.notna() & ~finite, wanted, "recode")
    inside = values.between(column.low, column.high)
    limits = f"wanted {column.low:g} to {column.high:g} {column.unit}"
    faults += _faults(text, finite & ~inside, limits, "correct the value or its unit, or the study file's limits")
    return values.where(finite & inside), faults


def _date(text: pd.Series, column: Date) -> tuple[pd.Series, list[str]]:
    values = pd.to_datetime(text, format="%Y-%m-%d", errors="coerce")
    faults = _faults(text, text.notna() & values.isna(), "wanted a date of the calendar as 2017-01-31", "correct")
    inside = values.between(pd.Timestamp(column.low), pd.Timestamp(column.high))
    limits = f"wanted {column.low} to {column.high}"
    faults += _faults(text, values.notna() & ~inside, limits, "correct the date, or the study file's limits")
    return values.where(inside), faults


def _levels(text: pd.Series, levels: tuple[str, ...]) -> tuple[pd.Series, list[str]]:
    # 2 beside an empty cell is written 2.0 by many programs
    plain = text.where(text.isin(levels), text.str.removesuffix(".0"))
    good = plain.isin(levels)
    faults = _faults(text, text.notna() & ~good, f"wanted one of {', '.join(levels)}", "recode")
    return plain.where(good, None), faults


def _faults(text: pd.Series, wrong: pd.Series, wanted: str, advice: str) -> list[str]:
    if not wrong.any():
        return []
    found = text[wrong]
    values = some(found.drop_duplicates())
    return [f"{wanted}; {len(found)} of {text.notna().sum()} are not: {values} {whose(found.index)}; {advice}"]


def _missing_columns(lost: list[str], present: list[str]) -> str:
    near = {name: difflib.get_close_matches(name, present, 1) for name in lost}
    hints = [f"{found[0]} for {name}" for name, found in near.items() if found]
    meant = f" (is it {some(hints)}?)" if hints else ""
    return f"column(s) {', '.join(lost)} missing{meant}; add them or change [clinical] in the study file"


def _orders(values: pd.DataFrame, declared: dict[str, Column]) -> list[Finding]:
    found = []
    for name, column in declared.items():
        other = getattr(column, "not_after", "")
        if other and name in values and other in values:
            late = values.index[values[name] > values[other]]
            if len(late):
                text = f"{name}: wanted no value after {other}, {len(late)} are {whose(late)}; correct one of the two"
                found.append(Finding("error", text))
    return found


def _contradictions(values: pd.DataFrame, empty: pd.DataFrame, settings: ClinicalSettings) -> list[Finding]:
    """The outcome against its time, the event against the follow-up: what cannot both be so.

    empty: where a cell says nothing. One that does not fit has its own finding: it is neither empty nor given.
    """
    given, clashes = values.notna(), []
    outcome, months = settings.outcome, settings.outcome_months
    if outcome in values and months in values:
        clashes += [
            ((values[outcome] == 1) & empty[months], f"{outcome} is 1 and {months} is empty"),
            ((values[outcome] == 0) & given[months], f"{outcome} is 0 and {months} is given"),
        ]
    event, time = settings.event, settings.time_months
    if event in values and time in values:
        clashes += [
            (given[event] & empty[time], f"{event} is given and {time} is empty"),
            (empty[event] & given[time], f"{event} is empty and {time} is given"),
        ]
    return [
        Finding("error", f"{text} for {wrong.sum()} {whose(values.index[wrong])}; correct one of the two")
        for wrong, text in clashes
        if wrong.any()
    ]


def _design(name: str, column: Column, settings: ClinicalSettings) -> dict:
    said = column.model_dump(mode="json")
    if isinstance(column, Ordinal):
        said["codes"] = {level: rank for rank, level in enumerate(column.levels)}
    said["terms"] = [f"{name}={level}" for level in column.levels[1:]] if isinstance(column, Categorical) else [name]
    if name in settings.predictors and column.missing == "category":
        said["terms"].append(f"{name}=not recorded")
    return said
