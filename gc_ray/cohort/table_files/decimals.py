"""Decimal commas: read where a table says so beyond doubt, refused by row and column where it does not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from gc_ray.errors import TableError

_SIGN = "[+\\-\N{MINUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}]?"
_COMMA = rf"^{_SIGN}\d*,\d+([eE][+-]?\d+)?$"
_POINT = rf"^{_SIGN}(\d+\.\d*|\.\d+)([eE][+-]?\d+)?$"
_THOUSANDS = rf"^{_SIGN}[1-9]\d{{0,2}},\d{{3}}$"  # 1,234: a decimal, or a thousand


def with_points(cells: pd.DataFrame, columns: list[str], name: str, separator: str) -> tuple[pd.DataFrame, list[str]]:
    """(the table with a decimal point in these columns, notes).

    In a table that is separated by semicolons a comma is the decimal sign, as Excel and R write it where the comma is
    the decimal sign. In one that is separated by other signs some number must show it: ``0,5`` can only be a decimal,
    ``1,234`` may be a thousand. Tables separated by commas are left as they are.

    cells: text, indexed by the number of the row. columns: those that are to hold numbers. TableError when a table
    has decimal commas and decimal points, or only numbers that may be either.
    """
    if separator == ",":
        return cells, []
    commas = _first(cells, columns, _COMMA)
    if commas is None:
        return cells, []
    points = _first(cells, columns, _POINT)
    if points is not None:
        raise TableError(
            f"{name}: {_place(cells, commas)} has a decimal comma and {_place(cells, points)} a decimal point; write "
            "one of them throughout, and no sign between thousands"
        )
    if separator != ";" and not any(_decides(cells[column]) for column in columns):
        raise TableError(
            f"{name}: {_place(cells, commas)} may be a decimal number or thousands; write a decimal point and no "
            "sign between thousands"
        )
    changed = {c: values for c in columns if (values := _changed(cells[c])) is not None}
    return cells.assign(**changed), ["decimal commas are read as decimal points"]


def _matches(column: pd.Series, pattern: str) -> np.ndarray:
    return pc.match_substring_regex(column.array._pa_array, pattern).to_numpy()


def _first(cells: pd.DataFrame, columns: list[str], pattern: str) -> tuple[int, str] | None:
    for column in columns:
        fits = _matches(cells[column], pattern)
        if fits.any():
            return int(fits.argmax()), column
    return None


def _place(cells: pd.DataFrame, found: tuple[int, str]) -> str:
    row, column = found
    return f"'{cells[column].iloc[row]}' in row {cells.index[row]}, column {column},"


def _decides(column: pd.Series) -> bool:
    return bool((_matches(column, _COMMA) & ~_matches(column, _THOUSANDS)).any())


def _changed(column: pd.Series) -> pd.Series | None:
    commas = _matches(column, _COMMA)
    return column.where(~commas, column.str.replace(",", ".", regex=False)) if commas.any() else None
