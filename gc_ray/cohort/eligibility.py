"""Who is analysed: the study's rules applied one after the other, each patient's reason kept, each step counted."""

from __future__ import annotations

import operator
from dataclasses import dataclass

import pandas as pd

from gc_ray.cohort.clinical import source_patients
from gc_ray.cohort.findings import some
from gc_ray.study_cohort import ClinicalSettings, Condition, Rule

COMPARE = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
SOURCE = "patient of the backbone's source task"


@dataclass(frozen=True)
class Step:
    """One step of the flow: what was asked, how many patients it took and left, and which columns that concerns."""

    step: str
    n_left: int
    n_removed: int
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Eligibility:
    """Per patient why it is not analysed (empty when it is) and whether it is a source patient; and the flow."""

    reason: pd.Series
    source: pd.Series
    flow: tuple[Step, ...]


def apply_rules(values: pd.DataFrame, settings: ClinicalSettings) -> Eligibility:
    """Apply, in this order: source patients set aside, outcome known, the rules, follow-up known, predictors known.

    values: checked clinical values indexed by patient_id. A patient is counted at the first step that takes it. A
    rule on a value that is not recorded takes the patient too, as a step of its own.
    """
    reason = pd.Series("", index=values.index, dtype=object)
    flow = [Step("patients in the clinical table", len(values), 0)]

    def take(step: str, whom: pd.Series, columns: str = "") -> None:
        taken = whom & (reason == "")
        reason[taken] = step
        flow.append(Step(step, int((reason == "").sum()), int(taken.sum()), columns))

    source = source_patients(values, settings)
    if settings.source_label:
        take(SOURCE, source, settings.source_label)
    take("outcome not recorded", values[settings.outcome].isna(), settings.outcome)
    for rule in settings.rules:
        concerned = _concerned(values, rule)
        unknown = concerned & values[_subject(rule).column].isna()
        if (unknown & (reason == "")).any():
            take(f"not recorded whether: {rule.reason}", unknown, _subject(rule).column)
        take(rule.reason, concerned & ~unknown & _fails(values, rule))
    if settings.event:
        unknown = values[settings.event].isna() | values[settings.time_months].isna()
        take("follow-up not recorded", unknown, f"{settings.time_months}, {settings.event}")
    _take_incomplete(values, settings, reason, flow)
    return Eligibility(reason, source, tuple(flow))


def _subject(rule: Rule) -> Condition:
    return rule.include or rule.exclude


def _concerned(values: pd.DataFrame, rule: Rule) -> pd.Series:
    return _meets(values, rule.when) if rule.when else pd.Series(True, index=values.index)


def _fails(values: pd.DataFrame, rule: Rule) -> pd.Series:
    return ~_meets(values, rule.include) if rule.include else _meets(values, rule.exclude)


def _meets(values: pd.DataFrame, condition: Condition) -> pd.Series:
    column = values[condition.column]
    return column.notna() & COMPARE[condition.op](column, condition.value)


def _take_incomplete(values: pd.DataFrame, settings: ClinicalSettings, reason: pd.Series, flow: list[Step]) -> None:
    """Complete cases: the others leave, named with their columns. Other policies only count those who stay."""
    of = {name: settings.columns[name].missing for name in settings.predictors}
    for policy, step in (
        ("complete_case", "a predictor not recorded"),
        ("impute", "a predictor not recorded, imputed within each fold"),
        ("category", "a predictor not recorded, a level of its own"),
    ):
        names = [name for name in of if of[name] == policy]
        empty = values[names].isna()[reason == ""]
        if not names or (policy != "complete_case" and not empty.any(axis=None)):
            continue
        counts = ", ".join(f"{name} {n}" for name, n in empty.sum().items() if n)
        removed = empty.index[empty.any(axis=1)] if policy == "complete_case" else []
        for patient in removed:
            reason[patient] = f"not recorded: {some(empty.columns[empty.loc[patient]])}"
        flow.append(Step(step, int((reason == "").sum()), len(removed), counts))
