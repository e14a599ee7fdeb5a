"""The sections of a study file that say what the clinical table means, who is analysed, and on which scan."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from itertools import chain
from typing import Annotated, Literal

from pydantic import Field, model_validator

from gc_ray.settings import Settings

Operator = Literal["==", "!=", "<", "<=", ">", ">="]
Levels = Annotated[tuple[str, ...], Field(min_length=2)]
Group = Annotated[tuple[str, ...], Field(min_length=2)]


class _Declared(Settings):
    """What every declared column says beside its kind."""

    missing: Literal["complete_case", "impute", "category"] = Field(
        "complete_case",
        description="a predictor that is not recorded: the patient is left out, it is imputed within each fold, "
        "or 'not recorded' is a level of its own",
    )
    known_at_scan: bool = Field(
        True, description="whether the value exists when the CT is made; a report flags others"
    )


class Binary(_Declared):
    """0 (no) or 1 (yes)."""

    kind: Literal["binary"] = "binary"


class Ordinal(_Declared):
    """Named levels in a medical order, coded 0, 1, 2, .. in that order."""

    kind: Literal["ordinal"]
    levels: Levels = Field(description="from the least to the most advanced")


class Categorical(_Declared):
    """Named levels without an order, coded as an indicator of each level but the first."""

    kind: Literal["categorical"]
    levels: Levels = Field(description="the first is the reference")


class Number(_Declared):
    """A number; what lies outside low and high is taken for a slip or for another unit."""

    kind: Literal["number"] = "number"
    unit: str = Field(description="such as years, cm, ng/ml")
    low: float = Field(description="the least that a patient can have")
    high: float = Field(description="the most that a patient can have")
    not_after: str = Field("", description="another number column that this one cannot exceed")


class Date(_Declared):
    """A calendar date, written 2017-01-31."""

    kind: Literal["date"]
    low: datetime.date = Field(description="the first day of the study's data")
    high: datetime.date = Field(description="the last day of the study's data")
    not_after: str = Field("", description="another date column that this one cannot be later than")


Column = Annotated[Binary | Ordinal | Categorical | Number | Date, Field(discriminator="kind")]

# What a role says of its column where the study file does not declare it.
OUTCOME = Binary()
MONTHS = Number(unit="months", low=0, high=1200)  # follow-up over a century is a slip


class Condition(Settings):
    """A column compared with a value; levels and 0/1 by == and != only."""

    column: str = Field(description="a declared column")
    op: Operator = Field("==", alias="is", description="how the column is compared")
    value: float | str = Field(description="a number, a level, or 0 and 1")


class Rule(Settings):
    """One eligibility rule: who is included, or who is excluded, and the reason that the flow table counts."""

    include: Condition | None = Field(None, description="patients who do not meet it are left out")
    exclude: Condition | None = Field(None, description="patients who meet it are left out")
    when: Condition | None = Field(
        None, description="the rule concerns only patients who meet this, such as those without the outcome"
    )
    reason: str = Field(min_length=1, description="why a patient is left out")

    @model_validator(mode="after")
    def _one_way(self) -> Rule:
        if (self.include is None) == (self.exclude is None):
            raise ValueError(f"rule '{self.reason}': wanted include or exclude, one of them")
        return self

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The conditions that the rule names."""
        return tuple(c for c in (self.include, self.exclude, self.when) if c is not None)


class ClinicalSettings(Settings):
    """What the columns of the clinical table mean, and who is eligible; empty where a study does not use one."""

    outcome: str = Field("", description="binary outcome, 1 = it happened")
    outcome_months: str = Field("", description="when the outcome happened, months from the start; empty without it")
    time_months: str = Field("", description="follow-up time from the start, months")
    event: str = Field("", description="1 = the event ended the follow-up, 0 = censored")
    predictors: tuple[str, ...] = Field((), description="candidate clinical predictors")
    subgroups: tuple[str, ...] = Field((), description="columns by which the evaluation is repeated")
    source_label: str = Field(
        "", description="label of the backbone's source task; patients who have it and no outcome are source patients"
    )
    columns: dict[str, Column] = Field({}, description="what each column holds; one that nothing names is not read")
    rules: tuple[Rule, ...] = Field((), description="eligibility, applied and counted in this order")
    patient_ids: Literal["unique", "shared"] = Field(
        "unique",
        description="unique = a patient id belongs to one site, in every table; shared = patients were referred: one "
        "id may have scans of several sites, and the clinical table's site counts",
    )
    different_patients: Literal["all"] | tuple[Group, ...] = Field(
        (),
        description="groups of patient ids that are different people although ten or more of their values are equal; "
        '"all" = do not look for the same person under two ids',
    )

    @property
    def declared(self) -> dict[str, Column]:
        """Every column that the study uses, with its declaration or what its role says of it."""
        roles, named = self._roles(), self._named()
        return {name: column for name, column in (roles | self.columns).items() if name in roles or name in named}

    def _roles(self) -> dict[str, Column]:
        roles = {self.outcome: OUTCOME, self.time_months: MONTHS, self.event: OUTCOME, self.outcome_months: MONTHS}
        return {name: column for name, column in roles.items() if name}

    def _named(self) -> dict[str, str]:
        """Columns that some setting names, and which."""
        named = {
            column.not_after: "not_after" for column in self.columns.values() if getattr(column, "not_after", "")
        }
        named |= {c.column: "rules" for rule in self.rules for c in rule.conditions}
        named |= dict.fromkeys(self.subgroups, "subgroups") | dict.fromkeys(self.predictors, "predictors")
        return named | ({self.source_label: "source_label"} if self.source_label else {})

    @model_validator(mode="after")
    def _consistent(self) -> ClinicalSettings:
        # lazily, one after the other: the later checks look up what the first has found to be declared
        for fault in chain(self._unclear(), self._undeclared(), self._misused(), self._impossible()):
            raise ValueError(fault)
        return self

    def _unclear(self) -> Iterator[str]:
        for name in (*self.predictors, *self.subgroups):
            if "=" in name:
                yield f"column {name} has a = in its name, which separates a column from its level; rename it"

    def _undeclared(self) -> Iterator[str]:
        known = self._roles() | self.columns
        for name, where in self._named().items():
            if name not in known:
                yield f"{where} names {name}, which no [clinical.columns.{name}] declares"

    def _misused(self) -> Iterator[str]:
        wanted = {self.outcome: Binary, self.event: Binary, self.time_months: Number, self.outcome_months: Number}
        for name, kind in wanted.items():
            if name and not isinstance(self.declared[name], kind):
                yield f"column {name} must be {kind.__name__.lower()}, not {self.declared[name].kind}"
        if self.source_label and isinstance(self.declared[self.source_label], Number | Date):
            yield f"source_label {self.source_label} must have levels, or 0 and 1"
        for name in sorted({"patient_id", "site"} & {*self.declared, *self.columns}):
            yield f"column {name} has its meaning already; do not declare it"
        for condition in (c for rule in self.rules for c in rule.conditions):
            yield from _wrong_value(condition, self.declared[condition.column])

    def _impossible(self) -> Iterator[str]:
        for name, column in self.columns.items():
            levels = getattr(column, "levels", ())
            if len(set(levels)) < len(levels):
                yield f"column {name} has a level twice"
            if isinstance(column, Number | Date):
                other = column.not_after and self.declared[column.not_after].kind
                if other and other != column.kind:
                    yield f"column {name} is a {column.kind} and cannot be compared with {column.not_after}"
                if column.low > column.high:
                    yield f"column {name} has low over high"


def _wrong_value(condition: Condition, column: Column) -> Iterator[str]:
    where = f"a rule on {condition.column}"
    if isinstance(column, Number):
        if isinstance(condition.value, str):
            yield f"{where} wants a number, not '{condition.value}'"
        return
    if isinstance(column, Date):
        yield f"{where} cannot be: rules compare numbers, levels and 0/1, not dates"
        return
    if condition.op not in ("==", "!="):
        yield f"{where} wants == or !=, since it is {column.kind}"
    known = (0, 1) if isinstance(column, Binary) else column.levels
    if condition.value not in known:
        yield f"{where} wants one of {', '.join(map(str, known))}, not {condition.value}"


class SplitSettings(Settings):
    """How eligible patients become cohorts and folds: whole sites are external, the others are divided by chance."""

    external_sites: tuple[str, ...] = Field((), description="sites that only validate")
    train_share: Annotated[float, Field(gt=0, le=1)] = Field(
        0.7,
        description="share of the other sites' patients that trains, in each outcome class; 1 = no internal cohort",
    )
    folds: Annotated[int, Field(ge=2, le=20)] = Field(
        5, description="cross-validation folds of the training cohort, stratified by outcome; 5 or 10 is usual"
    )
    seed: Annotated[int, Field(ge=0)] = Field(0, description="another seed is another split; change the study's name")


class ScansSettings(Settings):
    """Which of a patient's outlines the study uses."""

    phase: str = Field("", description="contrast phase as the manifests write it; empty = any")
    reader: str = Field("R1", description="the primary reader")
    repeat: Annotated[int, Field(ge=0)] = Field(0, description="which of the reader's outlines, 0 = the first")
    roi: str = Field("", description="region as the manifests write it; empty = any")
    several: Literal["error", "thinnest", "first"] = Field(
        "error",
        description="several scans left: an error, the one with the thinnest slices, or the first by scan_id",
    )
