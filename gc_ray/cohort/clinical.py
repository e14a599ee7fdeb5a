"""The clinical table read, and checked against what a study asks of it: the one set of rules of check and split."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

from gc_ray.cohort.coding import code_table
from gc_ray.cohort.findings import Finding, some, whose
from gc_ray.cohort.table_files.cells import gaps_in
from gc_ray.cohort.table_files.ids import empty_text
from gc_ray.cohort.table_files.read import read_table
from gc_ray.errors import TableError
from gc_ray.patients import alike, change_text, meet, meeting_text
from gc_ray.study_cohort import ClinicalSettings, Column, Date, Number

FEW_EVENTS = 10  # events per predictor below which logistic coefficients are unstable (Peduzzi 1996)


@dataclass(frozen=True, eq=False)
class ClinicalTable:
    """A clinical table as it was written.

    Attributes
    ----------
    cells : pd.DataFrame
        Text, empty where a cell is empty, indexed by patient_id in sorted order.
    name : str
        The file's name, for messages.
    notes : tuple of str
        What the reader decided or left out, for the user.
    """

    cells: pd.DataFrame
    name: str
    notes: tuple[str, ...] = ()


def read_clinical(
    data: bytes, name: str, encoding: str | None = None, numbers: Collection[str] = ()
) -> ClinicalTable:
    """A clinical table, one row for each patient.

    Parameters
    ----------
    data : bytes
        The file, read as ``read_table`` does.
    name : str
        The file's name, for messages.
    encoding : str, optional
        Of a table that is neither UTF-8 nor UTF-16.
    numbers : collection of str
        The columns that are to hold numbers; in those a decimal comma is read.

    Raises
    ------
    TableError
        The table cannot be read, or a patient has no id or more than one row.
    """
    table = read_table(data, name, "clinical", encoding, lambda column: column in numbers)
    table.require(("patient_id",))
    frame = table.cells
    if empty := empty_text(frame["patient_id"]):
        raise TableError(f"{name}: {empty}; fill it in")
    _check_one_row_each(frame, name)
    return ClinicalTable(frame.astype(object).set_index("patient_id").sort_index(), name, table.notes)


def _check_one_row_each(frame: pd.DataFrame, name: str) -> None:
    """Raise TableError when a patient has more than one row."""
    doubled = frame[frame["patient_id"].duplicated(keep=False)]
    if doubled.empty:
        return
    ids = doubled["patient_id"].unique()
    sites = doubled.groupby("patient_id")["site"].nunique() if "site" in frame else pd.Series(dtype=int)
    where = f", {int((sites > 1).sum())} of them at two sites" if (sites > 1).any() else ""
    raise TableError(
        f"{name}: wanted one row per patient_id, {len(ids)} patients have more than one ({some(ids)}){where}; a "
        "patient belongs to one cohort, correct the table"
    )


def parse_clinical(data: bytes, name: str) -> pd.DataFrame:
    """The cells of a clinical table, as ``read_clinical`` has them."""
    return read_clinical(data, name).cells


def check_clinical(
    text: pd.DataFrame, settings: ClinicalSettings, scanned: set[str] | None = None
) -> tuple[pd.DataFrame, list[Finding]]:
    """The table's values (see ``code_table``), and everything that is wrong with it for this study.

    scanned: the patients with a scan, where they are known.
    """
    declared = settings.declared
    text = text.apply(lambda cells: cells.mask(_gaps(cells, declared.get(cells.name)), None))
    values, findings = code_table(text, settings)
    unfit = values.isna() & text[values.columns].notna()
    findings = _patients(text.index, scanned) + _like_ids(text.index) + findings
    findings += _sites(text) + _empty(values, unfit, settings)
    coded = values.loc[:, ~unfit.any()]  # of the others nothing is counted before they are corrected
    return values, findings + _one_class(coded, settings) + _events(coded, settings)


def source_patients(values: pd.DataFrame, settings: ClinicalSettings) -> pd.Series:
    """Whether each patient is of the backbone's source task: its label is known and the study's outcome is not."""
    if not settings.source_label:
        return pd.Series(False, index=values.index)
    return values[settings.source_label].notna() & values[settings.outcome].isna()


def _gaps(cells: pd.Series, column: Column | None) -> pd.Series:
    return gaps_in(cells, getattr(column, "levels", ()), isinstance(column, Number | Date))


def _patients(listed: pd.Index, scanned: set[str] | None) -> list[Finding]:
    if scanned is None:
        return []
    without_row, without_scan = sorted(scanned - set(listed)), sorted(set(listed) - scanned)
    found = []
    meeting = meet(scanned, listed)
    if not meeting.both:
        return [Finding("error", meeting_text(meeting, "the scans table", "the clinical table"))]
    if without_row:
        hint = change_text(meeting) or "add rows"
        text = f"{len(without_row)} scanned patients have no clinical row ({some(without_row)}); {hint}"
        found.append(Finding("error", text))
    if without_scan:
        text = f"{len(without_scan)} clinical rows have no scan ({some(without_scan)}); they will not be analysed"
        found.append(Finding("warning", text))
    return found


def _like_ids(listed: pd.Index) -> list[Finding]:
    folded = pd.Series(listed.str.casefold(), index=listed)
    alike = listed[folded.duplicated(keep=False)]
    text = f"{len(alike)} patient ids differ only in upper and lower case {whose(alike)}; one patient, one id"
    return [Finding("error", text)] if len(alike) else []


def _sites(text: pd.DataFrame) -> list[Finding]:
    if "site" not in text:
        return []
    empty, counts = text.index[text["site"].isna()], text["site"].value_counts()
    found = (
        [Finding("error", f"site: {len(empty)} values are empty {whose(empty)}; fill them in")] if len(empty) else []
    )
    for labels in alike(counts.index):
        named = ", ".join(f"'{label}' ({counts[label]} patients)" for label in labels)
        found.append(Finding("error", f"site: {named} differ only in case, blanks or Unicode form; write one label"))
    return found


def _one_class(values: pd.DataFrame, settings: ClinicalSettings) -> list[Finding]:
    found = []
    for name in (settings.outcome, settings.event):
        if name in values and values[name].nunique() < 2:
            known = some(f"{value:g}" for value in values[name].dropna().unique()) or "empty"
            found.append(Finding("error", f"{name}: wanted both 0 and 1, every value is {known}"))
    return found


def _empty(values: pd.DataFrame, unfit: pd.DataFrame, settings: ClinicalSettings) -> list[Finding]:
    """Empty values of the study's own patients, and what becomes of them; ``unfit`` ones are errors already."""
    own = values
    if settings.outcome in values and settings.source_label in values:
        own = values[~source_patients(values, settings)]
    fates = {name: _FATES[settings.columns[name].missing] for name in settings.predictors}
    needed = (settings.outcome, *((settings.time_months,) if settings.event else ()))
    fates |= {name: "these patients are left out" for name in needed if name}
    found = []
    for name, fate in fates.items():
        if name in own and (empty := own.index[own[name].isna() & ~unfit.loc[own.index, name]]).size:
            text = f"{name}: {len(empty)} of {len(own)} values are empty {whose(empty)}; {fate}"
            found.append(Finding("warning", text))
    return found


_FATES = {
    "complete_case": "complete_case: these patients are left out",
    "impute": "impute: filled in within each fold",
    "category": "category: 'not recorded' becomes a level",
}


def _events(values: pd.DataFrame, settings: ClinicalSettings) -> list[Finding]:
    if settings.outcome not in values or not settings.predictors:
        return []
    smaller = int(min((values[settings.outcome] == value).sum() for value in (0, 1)))
    each = smaller / len(settings.predictors)
    text = f"{smaller} events for {len(settings.predictors)} predictors, {each:.1f} each; under {FEW_EVENTS}"
    return [Finding("warning", f"{text}, expect overfitting")] if each < FEW_EVENTS else []
