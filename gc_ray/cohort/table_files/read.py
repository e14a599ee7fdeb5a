"""The one reader of tables that users bring: manifest, clinical table, features and scores."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from gc_ray.cohort.table_files.cells import BLANKS
from gc_ray.cohort.table_files.columns import NUMBERED, letter, named_columns
from gc_ray.cohort.table_files.decimals import with_points
from gc_ray.cohort.table_files.ids import check_ids
from gc_ray.cohort.table_files.kinds import opened
from gc_ray.cohort.table_files.parquet import read_parquet
from gc_ray.cohort.table_files.rows import KEY, RawTable, rows_note
from gc_ray.cohort.table_files.separated import read_separated
from gc_ray.errors import TableError, one_line

TEXT = pd.StringDtype("pyarrow")  # a third of the memory of Python's strings
SIGN = re.compile(rf"{KEY}\s*([^\w.\s]|\s(?=\w))")  # what follows a known name inside a name
AS_WRITTEN = ("image", "mask")  # addresses of files: their letters stay as they are
# what tables call the patient's id, letters and digits alone
ID_NAMES = ("id", "ids", "pid", "patient", "patients", "patientid", "patientnumber", "patientno", "case", "caseid")
ID_NAMES += ("subject", "subjectid", "studyid", "mrn", "hospitalnumber")
ID_NAMES += ("病人号", "患者编号", "病历号", "住院号", "编号")


@dataclass(frozen=True, eq=False)
class InputTable:
    """A table as a user wrote it, every cell text without blanks around it.

    Attributes
    ----------
    name : str
        The file's name, for messages.
    cells : pd.DataFrame
        Text by column name, empty where a cell is empty; indexed by the row's number as a spreadsheet shows it.
    letters : dict of str to str
        The letters of each column in a spreadsheet.
    notes : tuple of str
        What the reader decided or left out, for the user; each begins with the file's name.
    short : tuple of int
        Rows with fewer cells than the header; what they lack is empty.
    unnamed : tuple of str
        Letters of columns with values and without a name, which are left out.
    """

    name: str
    cells: pd.DataFrame
    letters: dict[str, str]
    notes: tuple[str, ...] = ()
    short: tuple[int, ...] = ()
    unnamed: tuple[str, ...] = ()

    def place(self, row: int, column: str) -> str:
        """Where a cell is, in words."""
        return f"row {row}, column {column} ({self.letters[column]})"

    def require(self, wanted: Iterable[str]) -> None:
        """Raise TableError when one of these columns is missing, with the column that may be meant."""
        found = list(self.cells.columns)
        lost = [column for column in wanted if column not in found]
        if lost:
            raise TableError(
                f"{self.name}: column(s) {', '.join(lost)} missing, found {', '.join(found[:8]) or 'none'}"
                f"{', ..' if len(found) > 8 else ''}; {self._advice(lost)}"
            )

    def _advice(self, lost: list[str]) -> str:
        near = {column: _near(column, list(self.cells.columns)) for column in lost}
        hints = [f"did you mean '{there}' for {column}? rename it" for column, there in near.items() if there]
        if hints:
            return "; ".join(hints)
        if sign := next((m[1] for column in self.cells if (m := SIGN.search(column))), None):
            if sign in ",;|":
                return "each row is in one pair of quotation marks; remove them"
            return f"columns are separated by '{sign}'; save the table as CSV UTF-8, which separates them by commas"
        named = f", or give column {self.unnamed[0]}, which has no name, one of them" if self.unnamed else ""
        return f"add them{named}"


def read_table(
    data: bytes,
    name: str,
    wanted: str,
    encoding: str | None = None,
    holds_numbers: Callable[[str], bool] = lambda _: False,
) -> InputTable:
    """The table in a file of any format that is read: CSV, also gzipped, Excel workbook or Parquet.

    Parameters
    ----------
    data : bytes
        The file; its bytes decide on the format, not its name.
    name : str
        The file's name, for messages.
    wanted : str
        What the table was to be, for messages: scans, clinical, features or scores.
    encoding : str, optional
        Of a CSV that is neither UTF-8 nor UTF-16, as the user names it.
    holds_numbers : callable
        Whether the column of this name is to hold numbers; in those a decimal comma is read.

    Raises
    ------
    TableError
        The file is of another format, damaged or too large, a row has more cells than the header, a column occurs
        twice, or an id is one that a spreadsheet has changed.
    """
    with reading(name, wanted):
        kind, data = opened(data, name, wanted)
        dates: dict[int, int] = {}
        separator = ","
        if kind == "parquet":
            raw = read_parquet(data, name)
        elif kind == "workbook":
            from gc_ray.cohort.table_files.workbook import read_workbook  # loads openpyxl: only where it is needed

            raw, dates = read_workbook(data, name)
        else:
            raw, separator = read_separated(data, name, encoding)
        table = _named(raw, name)
        check_ids(table.cells, table.place, name, _by_name(dates, table))
        numbers = [column for column in table.cells if holds_numbers(column)]
        cells, notes = with_points(table.cells, numbers, name, separator)
        return replace(
            table, cells=cells, notes=tuple(one_line(f"{name}: {note}") for note in (*table.notes, *notes))
        )


@contextmanager
def reading(name: str, wanted: str) -> Iterator[None]:
    """Turn what a parser raises into a TableError; wanted: what the table was to be."""
    try:
        yield
    except TableError:
        raise
    except (ValueError, OSError, ArithmeticError, LookupError, TypeError, pa.ArrowException, MemoryError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise TableError(
            f"{name}: wanted a CSV, Excel or Parquet {wanted} table, it cannot be read ({reason}); copy or write it "
            "again"
        ) from error


def _named(raw: RawTable, name: str) -> InputTable:
    """The columns that have a name, cleaned."""
    columns = [_cleaned(column) for column in raw.columns]
    named = named_columns(raw.header, columns, name)
    kept = {}
    for place, column in zip(named.places, named.names, strict=True):
        text = columns[place] if column in AS_WRITTEN else _composed(columns[place])
        kept[column] = pd.array(text, dtype=TEXT)
    cells = pd.DataFrame(kept, index=pd.Index(raw.rows))
    short = rows_note("row(s) have fewer cells than the header; what they lack is taken as empty", raw.short)
    letters = {column: letter(place) for place, column in zip(named.places, named.names, strict=True)}
    return InputTable(
        name, cells, letters, (*raw.notes, *named.notes, *short), tuple(raw.short), tuple(named.unnamed)
    )


def _by_name(dates: dict[int, int], table: InputTable) -> dict[str, int]:
    places = {letters: column for column, letters in table.letters.items()}
    return {places[letter(at)]: row for at, row in dates.items() if letter(at) in places}


def _cleaned(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """As ``cells.cleaned``, but for Unicode's composed form."""
    column = pc.utf8_trim(column, characters=BLANKS)
    if pc.any(pc.starts_with(column, '="')).as_py():
        column = pc.utf8_trim(pc.replace_substring_regex(column, r'^="([^"]*)"$', r"\1"), characters=BLANKS)
    return column


def _composed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    ascii_only = pc.all(pc.string_is_ascii(column)).as_py()
    return column if ascii_only in (True, None) else pc.utf8_normalize(column, form="NFC")


def plain(name: str) -> str:
    """A column's name without case, blanks and signs: Patient ID and patient_id are alike."""
    return re.sub(r"[\W_]", "", name.casefold())


def _near(column: str, found: list[str]) -> str | None:
    """The column that may be meant by another name."""
    letters = {plain(name): name for name in reversed(found)}
    if plain(column) in letters:
        return letters[plain(column)]
    if column == KEY:
        numbered = (name for name in found if (again := NUMBERED.fullmatch(name)) and again[1] == KEY)
        return next((letters[name] for name in ID_NAMES if name in letters), next(numbered, None))
    return next(iter(get_close_matches(column, found, 1, 0.75)), None)
