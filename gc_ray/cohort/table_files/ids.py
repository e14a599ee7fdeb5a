"""Ids and labels that a spreadsheet has turned into something else: refused, since the text is lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd

from gc_ray.cohort.table_files.cells import EXCEL_ERRORS
from gc_ray.cohort.table_files.rows import IDS
from gc_ray.errors import TableError

LABELS = (*IDS, "site", "reader", "roi")  # what must not be a date
SCIENTIFIC = r"\d+(\.\d+)?[eE]\+\d+"  # 1.23457E+11: what is left of a long number


def check_ids(cells: pd.DataFrame, place: Callable[[int, str], str], name: str, dates: Mapping[str, int]) -> None:
    """Raise TableError for an id that is an error or a shortened number, and for an id or label that is a date.

    cells: text, indexed by row number. place: where a cell is, in words. dates: columns of a workbook that hold
    dates, and the first row that has one.
    """
    for column in (c for c in LABELS if c in dates):
        raise TableError(
            f"{name}: {place(dates[column], column)} is a date in the workbook; Excel makes dates of labels such as "
            "1-2: format the column as text and write it again"
        )
    for column in (c for c in IDS if c in cells):
        for wrong, what in (
            (cells[column].isin((*EXCEL_ERRORS, "#N/A")), "an error of Excel"),
            (cells[column].str.fullmatch(SCIENTIFIC), "a long number that a spreadsheet has shortened"),
        ):
            if wrong.any():
                row = cells.index[wrong][0]
                raise TableError(
                    f"{name}: {place(row, column)}: '{cells[column][row]}' is {what}; format the column as text and "
                    "write the ids again"
                )
