"""From a clinical table to numbers: the terms of each column, with fills for missing values learnt in the fold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from gc_ray.errors import TableError
from gc_ray.models.missing import Completion, Policy, fit_completion

UNRECORDED = "(not recorded)"  # the level of a gap, where gaps are a category
NOT_RECORDED = "=not recorded"  # ends the name of the indicator of a column whose missing values are a category


@dataclass(frozen=True)
class Design:
    """How some clinical columns become terms, and what fills their gaps, as learnt from the rows of the fit."""

    coding: Mapping[str, dict]  # by column, as the split states it
    completion: Completion
    seen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by column, the levels of the fit's rows

    @property
    def factors(self) -> dict[str, str]:
        """The column of each term, in the order of the terms."""
        return {term: column for column, coding in self.coding.items() for term in coding["terms"]}

    @property
    def fills(self) -> dict[str, object]:
        """What stands for a missing value, by column; JSON types."""
        return dict(self.completion.fills)

    def apply(self, table: pd.DataFrame) -> pd.DataFrame:
        """The terms of each row, float64, with the index of ``table``.

        All terms of a column are NaN where its level, or that it is not recorded, was in no row of the fit: such a
        row is not one of the reference level. TableError for a column that is not there, a value that its coding does
        not know, and a missing value in a column whose policy is complete cases.
        """
        missing = table.reindex(columns=list(self.coding)).isna()
        filled = self.completion.apply(table).table.reindex(table.index)
        terms = {}
        for column, coding in self.coding.items():
            if coding["missing"] == "complete_case" and missing[column].any():
                raise TableError(
                    f"column {column}: wanted a value in every row, {missing[column].sum()} of {len(table)} lack it; "
                    "leave those rows out, or set its missing to impute or category"
                )
            terms |= _terms(column, coding, filled[column])
            if coding["missing"] == "category":
                terms[f"{column}{NOT_RECORDED}"] = missing[column].to_numpy(np.float64)
        found = pd.DataFrame(terms, index=table.index, columns=list(self.factors), dtype=np.float64)
        for column, level in self.unseen(table).items():
            found.loc[(level != "").to_numpy(), self.coding[column]["terms"]] = np.nan
        return found

    def unseen(self, table: pd.DataFrame) -> dict[str, pd.Series]:
        """By column in which a row has one, the level of each row that was in no row of the fit, "" elsewhere."""
        found = {}
        for column, levels in self.seen.items():
            named = _levels(self.coding[column], table[column])
            unseen = named.where(~named.isin(levels), "")  # "" is never unseen
            if (unseen != "").any():
                found[column] = unseen
        return found


def unseen_text(column: str, level: str) -> str:
    """Why a row of a level that the fit has not seen gets no score."""
    if level == UNRECORDED:
        return f"{column} is not recorded, and it is in all patients that the model was fitted on"
    return f"level {level} of {column} is in none of the patients that the model was fitted on"


def fit_design(coding: Mapping[str, dict], table: pd.DataFrame) -> Design:
    """The design of the columns in ``coding`` (as ``split`` stores it), learnt from the rows of ``table``.

    Numbers and 0/1 enter as they are, an ordinal column by its rank, a categorical one by an indicator of each level
    but the first. A gap that is imputed, or is a category of its own, takes the median of a number and the commonest
    value of anything else; the category has an indicator beside it. TableError as ``fit_completion``, and for a date.
    """
    policies: dict[str, Policy] = {}
    for column, said in coding.items():
        if said["kind"] == "date":
            raise TableError(f"column {column}: a date is no predictor; derive a number from it")
        if said["missing"] != "complete_case":
            policies[column] = "median" if said["kind"] == "number" else "mode"
    lost = [column for column in coding if column not in table]
    if lost:
        raise TableError(f"clinical predictors: wanted columns {', '.join(lost[:5])}, not in the table")
    seen = {column: _seen(said, table[column]) for column, said in coding.items() if _has_levels(said)}
    return Design(dict(coding), fit_completion(table, policies), seen)


def complete_rows(coding: Mapping[str, dict], table: pd.DataFrame) -> np.ndarray:
    """Which rows have a value in every column whose policy is complete cases, bool."""
    required = [column for column, said in coding.items() if said["missing"] == "complete_case"]
    return table[required].notna().all(axis=1).to_numpy()


def _has_levels(coding: dict) -> bool:
    return coding["kind"] == "categorical" or coding["missing"] == "category"


def _seen(coding: dict, values: pd.Series) -> tuple[str, ...]:
    return tuple(sorted(set(_levels(coding, values)) - {""}))


def _levels(coding: dict, values: pd.Series) -> pd.Series:
    """The level of each row as text; "" where there is none to be known: numbers, ranks, gaps that are filled."""
    gap = UNRECORDED if coding["missing"] == "category" else ""
    if coding["kind"] != "categorical":
        return pd.Series(np.where(values.isna(), gap, ""), index=values.index, dtype=object)
    return values.astype(object).where(values.notna(), gap)


def _terms(column: str, coding: dict, values: pd.Series) -> dict[str, np.ndarray]:
    if coding["kind"] == "categorical":
        _check_levels(column, values, coding["levels"])
        return {f"{column}={level}": (values == level).to_numpy(np.float64) for level in coding["levels"][1:]}
    if coding["kind"] == "ordinal":
        _check_levels(column, values, coding["codes"])
        return {column: values.map(coding["codes"]).to_numpy(np.float64)}
    try:
        return {column: values.to_numpy(np.float64)}
    except (TypeError, ValueError) as error:
        raise TableError(f"column {column}: wanted numbers, some are text; correct the clinical table") from error


def _check_levels(column: str, values: pd.Series, levels) -> None:
    unknown = sorted({str(value) for value in values.dropna()} - set(levels))
    if unknown:
        raise TableError(f"column {column}: wanted one of {', '.join(levels)}, got {', '.join(unknown[:5])}; recode")
