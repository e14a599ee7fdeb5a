"""Rows of text, from a CSV or a workbook, collected into columns: empty rows left out, row numbers kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice

import numpy as np
import pyarrow as pa

from gc_ray.cohort.table_files.cells import BLANKS, cleaned
from gc_ray.cohort.table_files.limits import MAX_CELLS, check_size
from gc_ray.errors import TableError

KEY = "patient_id"  # every table that users bring has this column
IDS = (KEY, "scan_id")
TITLE_ROWS = 20  # rows in which the column names are looked for when the first has none that is known
PART = 200_000  # cells held as Python text before they become columns

Row = tuple[int, list[str]]  # the row's number as a spreadsheet shows it, and its cells
Beyond = Callable[[int, list[str], int], None]  # takes a row longer than the header: number, cells, header's width


@dataclass
class RawTable:
    """A table as it was written.

    Attributes
    ----------
    header : list of str
        Names as they are written, empty where a column has none.
    header_row : int
        The number of their row as a spreadsheet shows it.
    columns : list of pa.ChunkedArray
        Text, one for each name.
    rows : np.ndarray
        The number of each row as a spreadsheet shows it.
    short : list of int
        Rows with fewer cells than the header has up to its last name.
    notes : list of str
        What was left out or decided.
    """

    header: list[str]
    header_row: int
    columns: list[pa.ChunkedArray]
    rows: np.ndarray
    short: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass
class _Collected:
    """Rows on their way into columns."""

    name: str
    width: int
    most_cells: int
    part: list[list[str]] = field(default_factory=list)
    columns: list[list[pa.Array]] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)

    def add(self, number: int, cells: list[str]) -> None:
        self.numbers.append(number)
        self.part.append(cells + [""] * (self.width - len(cells)))
        if len(self.part) * self.width > PART:
            self.flush()

    def flush(self) -> None:
        if self.part:
            check_size(self.name, len(self.numbers), self.width, self.most_cells)
            arrays = [pa.array(column, pa.string()) for column in zip(*self.part, strict=True)]
            self.columns = self.columns or [[] for _ in arrays]
            for chunks, array in zip(self.columns, arrays, strict=True):
                chunks.append(array)
            self.part = []

    def chunked(self) -> list[pa.ChunkedArray]:
        self.flush()
        chunks = self.columns or [[] for _ in range(self.width)]
        return [pa.chunked_array(column, pa.string()) for column in chunks]


def collect(rows: Iterator[Row], name: str, beyond: Beyond, most_cells: int = MAX_CELLS) -> RawTable:
    """The rows below the first that is not empty, as columns under its names.

    Parameters
    ----------
    rows : iterator of (int, list of str)
        Every row with its number, the empty ones too.
    name : str
        The table's name for messages.
    beyond : callable
        Called with (number, cells, width of the header) of a row that is longer than the header; what it has beyond
        the header is then dropped.
    most_cells : int
        More are refused.

    Raises
    ------
    TableError
        No row at all, column names below other rows, or a table that is too large.
    """
    rows, above, (header_row, header) = _header(rows, name)
    check_size(name, 0, len(header))
    named = max(i for i, cell in enumerate(header) if cell.strip(BLANKS)) + 1
    held, empty, short, repeated = _Collected(name, len(header), most_cells), above, [], []
    waiting: list[int] = []  # blank lines; at the end of a file they are no rows
    for number, cells in rows:
        if _blank(cells):
            (empty if cells else waiting).append(number)
            continue
        empty += waiting
        waiting = []
        if cells == header:
            repeated.append(number)
            continue
        if len(cells) > held.width:
            beyond(number, cells, held.width)
        if len(cells) < named:
            short.append(number)
        held.add(number, cells[: held.width])
    notes = rows_note("empty row(s) are left out", sorted(empty))
    notes += rows_note("row(s) repeat the column names and are left out", repeated)
    return RawTable(header, header_row, held.chunked(), np.array(held.numbers, np.int64), short, notes)


def _header(rows: Iterator[Row], name: str) -> tuple[Iterator[Row], list[int], Row]:
    """(the rows below the header, the empty rows above it, the header)."""
    above = []
    for number, cells in rows:
        if not _blank(cells):
            below = list(islice(rows, TITLE_ROWS))
            _check_no_title(cells, below, name)
            return chain(below, rows), above, (number, cells)
        above.append(number)
    raise TableError(f"{name}: wanted column names in the first row, the table is empty")


def _blank(cells: list[str]) -> bool:
    return not any(cell.strip(BLANKS) for cell in cells)


def _check_no_title(first: list[str], below: list[Row], name: str) -> None:
    """Raise TableError when a title or notes are above the row with the column names."""
    if KEY in map(cleaned, first):
        return
    for number, cells in below:
        if KEY in map(cleaned, cells):
            raise TableError(
                f"{name}: the column names are in row {number}, wanted them in row 1; delete the rows above"
            )


def rows_note(what: str, rows: list[int]) -> list[str]:
    """A note on these rows, or none where there is no row."""
    if not rows:
        return []
    shown = ", ".join(map(str, rows[:5])) + (", .." if len(rows) > 5 else "")
    return [f"{len(rows)} {what} (row {shown})"]
