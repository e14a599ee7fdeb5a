"""Ids and labels that a spreadsheet has turned into something else: refused, since the text is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pandas as pd

from gc_ray.cohort.table_files.cells import EXCEL_ERRORS, gaps_in
from gc_ray.cohort.table_files.rows import IDS
from gc_ray.errors import TableError

LABELS = (*IDS, "site", "reader", "roi")  # what must not be a date
SCIENTIFIC = r"\d+([.,]\d+)?[eE]\+\d+"  # 1.23457E+11: what is left of a long number


def check_ids(cells: pd.DataFrame, place: Callable[[int, str], str], name: str, dates: Mapping[str, int]) -> None:
    """Raise TableError for an id or label that is none: a date, an error, a shortened number.

    cells: text, indexed by row number. place: where a cell is, in words. dates: columns of a workbook that hold
    dates, and the first row that has one.
    """
    for column in (c for c in LABELS if c in dates):
        raise TableError(
            f"{name}: {place(dates[column], column)} is a date in the workbook; Excel makes dates of labels such as "
            "1-2: format the column as text and write it again"
        )
    for column in (c for c in LABELS if c in cells):
        for wrong, what in _faults(cells[column]):
            if wrong.any():
                row = cells.index[wrong][0]
                raise TableError(f"{name}: {place(row, column)}: '{cells[column][row]}' {what}")


def with_gaps(cells: pd.Series, instead: str = "") -> pd.Series:
    """The ids or labels of a column, with another text where one is empty or a word for a gap such as NA."""
    return cells.mask(gaps_in(cells, of_numbers=True), instead)


def empty_text(cells: pd.Series) -> str:
    """That cells are empty, with the first row and the word that it has for a gap; empty where none is.

    cells: text as it was read, indexed by row number. A word such as NA or nan is no id; a site or a phase may be
    called so.
    """
    empty = cells[gaps_in(cells, of_numbers=True) if cells.name in IDS else cells == ""]
    if empty.empty:
        return ""
    word = f" ('{empty.iloc[0]}')" if empty.iloc[0] else ""
    return f"{cells.name} is empty in {len(empty)} row(s), the first is row {empty.index[0]}{word}"


def _faults(cells: pd.Series) -> Iterator[tuple[pd.Series, str]]:
    """(where, what is wrong and how to fix it) of a column of ids or labels."""
    write = "format the column as text and write it again"
    errors = (*EXCEL_ERRORS, "#N/A") if cells.name in IDS else EXCEL_ERRORS
    yield cells.isin(errors), f"is an error of Excel; {write}"
    yield cells.str.contains(r"[\x00-\x1f\x7f]", regex=True), "holds a control character or a line break; remove it"
    if cells.name in IDS:
        yield cells.str.fullmatch(SCIENTIFIC), f"is a long number that a spreadsheet has shortened; {write}"
