"""A table of scores made elsewhere, as columns of text and numbers."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

import pandas as pd

from gc_ray.cohort.findings import some
from gc_ray.cohort.table_files.cells import gaps_in, number
from gc_ray.cohort.table_files.ids import empty_text
from gc_ray.cohort.table_files.read import InputTable, read_table
from gc_ray.errors import TableError

LABELS = ("patient_id", "scan_id", "model_id", "variant", "cohort", "kind", "site", "study_id")  # always text
WHOLE = re.compile(r"-?\d{1,15}")
YES_NO = {"true": "1", "false": "0"}


def parse_scores(
    data: bytes,
    name: str,
    numbers: Collection[str],
    encoding: str | None = None,
    levels: Mapping[str, Iterable[str]] | None = None,
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """(the table, notes of the reader).

    Parameters
    ----------
    data : bytes
        The file, read as ``read_table`` does: patient_id, score, and whatever else is known.
    name : str
        The file's name, for messages.
    numbers : collection of str
        Columns that must hold numbers, such as the outcome.
    encoding : str, optional
        Of a table that is neither UTF-8 nor UTF-16.
    levels : mapping, optional
        Levels that the study declares, by column: words that are no gap there.

    Returns
    -------
    (pd.DataFrame, tuple of str)
        ``LABELS`` as text, empty where a cell is; ``numbers``, and every other column of numbers alone, as int64 or
        float64 with NaN for a gap; further columns as text with None for a gap.

    Raises
    ------
    TableError
        The table cannot be read, lacks patient_id or score, a score or an id is missing, or a cell is no number.
    """
    numbers = {"score", *numbers}
    table = read_table(data, name, "scores", encoding, lambda column: column in numbers)
    table.require(("patient_id", "score"))
    cells = table.cells
    if empty := empty_text(cells["patient_id"]):
        raise TableError(f"{name}: {empty}; fill it in")
    known = levels or {}
    columns = {column: _column(table, column, column in numbers, known.get(column, ())) for column in cells}
    _check_whole(table, columns)
    _check_once(table)
    return pd.DataFrame(columns), table.notes


def _column(table: InputTable, column: str, must_be_numbers: bool, levels: Iterable[str]) -> pd.Series:
    cells = table.cells[column].astype(object).reset_index(drop=True)
    if column in LABELS:
        return cells
    gaps = gaps_in(cells, levels, must_be_numbers)
    words = cells.where(gaps, cells.str.casefold())
    if must_be_numbers and words[~gaps].isin(YES_NO).all():
        cells = words.replace(YES_NO)
    try:
        return pd.Series(_numbers(cells, gaps))
    except ValueError as error:
        if not must_be_numbers:
            return cells.mask(gaps, None)
        wrong, text = error.args
        place = table.place(table.cells.index[wrong], column)
        raise TableError(
            f"{table.name}: {place}: wanted numbers, got text such as '{some([text])}'; recode it"
        ) from error


def _numbers(cells: pd.Series, gaps: pd.Series) -> list[float] | list[int]:
    """Whole numbers where all are, else floats with NaN; ValueError (place, text) for the first that is neither."""
    texts = cells.to_list()
    if texts and not gaps.any() and all(map(WHOLE.fullmatch, texts)):
        return [int(text) for text in texts]
    values = []
    for i, (text, gap) in enumerate(zip(texts, gaps, strict=True)):
        try:
            values.append(float("nan") if gap else number(text))
        except ValueError as error:
            raise ValueError(i, text) from error
    return values


def _check_once(table: InputTable) -> None:
    """Raise TableError where a patient has two scores of one model."""
    named = [column for column in ("study_id", "model_id", "variant", "kind", "patient_id") if column in table.cells]
    again = table.cells.duplicated(named, keep=False)
    if again.any():
        patients = table.cells["patient_id"][again]
        first = patients.index[patients == patients.iloc[0]]
        raise TableError(
            f"{table.name}: wanted one score of a model for each patient, {patients.nunique()} patients have more, "
            f"such as {patients.iloc[0]} (rows {first[0]} and {first[1]}); keep one, or name the models by a column "
            "model_id"
        )


def _check_whole(table: InputTable, columns: Mapping[str, pd.Series]) -> None:
    """Raise TableError where a row has no score, or none of what must go with it where the table has it at all."""
    for column in (c for c in ("score", "linear_predictor", "kind") if c in columns):
        lost = (columns[column].isna() | (columns[column] == "")).to_numpy()
        if lost.any():
            patients = table.cells["patient_id"][lost]
            whose = f"patient {patients.iloc[0]} ({table.place(patients.index[0], column)})"
            raise TableError(
                f"{table.name}: {column} is empty for {int(lost.sum())} row(s), the first is {whose}; fill in each "
                "row, or leave the row out"
            )
