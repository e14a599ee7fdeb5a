"""An Excel workbook (.xlsx, .xlsm): the values of its one visible sheet that is not empty, as rows of text."""

from __future__ import annotations

import datetime
import io
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING
from xml.etree.ElementTree import ParseError

import openpyxl
import pyarrow as pa
from openpyxl.cell.read_only import EMPTY_CELL
from openpyxl.utils import range_boundaries
from openpyxl.utils.escape import unescape

from gc_ray.cohort.findings import some
from gc_ray.cohort.table_files.cells import BLANKS, cleaned
from gc_ray.cohort.table_files.limits import MAX_SHEET_CELLS, check_text
from gc_ray.cohort.table_files.rows import IDS, RawTable, Row, collect
from gc_ray.cohort.table_files.shown_ids import shown_id
from gc_ray.cohort.table_files.workbook_size import check_workbook
from gc_ray.errors import TableError

if TYPE_CHECKING:
    from openpyxl.worksheet._read_only import ReadOnlyWorksheet

LONGEST = 32_767  # characters that Excel allows in a cell
LAST_ROW = 1_048_576  # of a sheet
EXACT = 10**15  # Excel keeps 15 digits
STEP = 1 << 20  # bytes of a sheet's XML that are searched at a time
LONGEST_PART = 16 * STEP  # of a part that no row ends
FAULTS = (ValueError, LookupError, TypeError, AttributeError, OSError, EOFError, RuntimeError, ArithmeticError)
FAULTS += (zipfile.BadZipFile, zlib.error, ParseError)  # what openpyxl raises on damaged files

_ROW = re.compile(rb"<(?:\w+:)?row\b([^>]{0,2000})>")
_COLUMN = re.compile(rb"<(?:\w+:)?col\b([^>]{0,2000})>")
_HIDDEN = re.compile(rb'\b(?:hidden="(?:1|true)"|(?:ht|width)="0(?:\.0*)?")')
_NUMBER = re.compile(rb'\br="(\d{1,7})"')
_FIRST_AND_LAST = re.compile(rb'\bmin="(\d{1,5})".{0,1000}?\bmax="(\d{1,5})"')
_PLACE = re.compile(rb'\br="([A-Z]{1,3}\d{1,7})"')
_MERGED = re.compile(rb'<(?:\w+:)?mergeCell\b[^>]{0,2000}?\bref="([A-Z]{1,3}\d{1,7}:[A-Z]{1,3}\d{1,7})"')
_NO_VALUE = re.compile(  # a cell with a formula and no value
    rb"<(?:\w+:)?c\b([^>]{0,2000})>\s*<(?:\w+:)?f\b(?:[^>]{0,2000}/>|[^>]{0,2000}>[^<]*</(?:\w+:)?f>)\s*"
    rb"(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v></(?:\w+:)?v>)?\s*</(?:\w+:)?c>"
)


def read_workbook(data: bytes, name: str) -> tuple[RawTable, dict[int, int]]:
    """(the one visible sheet that is not empty, the columns with dates and the first row that has one).

    Formulas are read as the values that Excel computed last. Whole numbers in a column of ids that are shown with
    zeros in front, as by the format 0000, are read as they are shown. Columns are counted from 0.

    TableError when there is none or more than one, when cells are merged, a formula has no value, or the file is
    damaged or too large.
    """
    try:
        check_workbook(data, name)
        with warnings.catch_warnings(action="ignore"):  # openpyxl warns of drawings and styles that it leaves out
            return _read(data, name)
    except TableError:
        raise
    except FAULTS as error:
        raise TableError(
            f"{name}: the Excel workbook cannot be read, it is damaged or was not written by Excel; save it again as "
            ".xlsx or CSV UTF-8"
        ) from error


def _read(data: bytes, name: str) -> tuple[RawTable, dict[int, int]]:
    _check_strict(data, name)
    book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
    sheet, notes = _chosen(book, name)
    facts = _facts(sheet)
    dates: dict[int, int] = {}
    beyond: list[int] = []
    rows = _rows(sheet, name, dates)
    raw = collect(rows, name, lambda number, cells, width: beyond.append(number), MAX_SHEET_CELLS)
    _check_facts(facts, raw, name)
    notes += _show_ids(sheet, raw)
    if columns := [text for i, text in enumerate(raw.header) if i in facts.hidden_columns and cleaned(text)]:
        notes.append(f"{len(columns)} hidden column(s) of the sheet are read ({some(columns)})")
    if hidden := sorted(facts.hidden & set(raw.rows.tolist())):
        notes.append(f"{len(hidden)} hidden row(s) of the sheet are read (row {hidden[0]})")
    if beyond:
        notes.append(f"cells right of the last column name are left out in {len(beyond)} row(s) (row {beyond[0]})")
    raw.notes[:0] = notes
    raw.short = []  # cells of a sheet have an address: one that is empty at the end of a row is no cell lost
    return raw, dates


def _check_strict(data: bytes, name: str) -> None:
    """Raise TableError for the variant of the format that openpyxl does not read."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        main = archive.read("xl/workbook.xml")
    if b"purl.oclc.org/ooxml" in main:
        raise TableError(
            f"{name}: the workbook is a Strict Open XML one; save it as Excel workbook (.xlsx) or CSV UTF-8"
        )


def _chosen(book: openpyxl.Workbook, name: str) -> tuple[ReadOnlyWorksheet, list[str]]:
    """(the one visible sheet with a value in it, notes)."""
    filled = []
    for sheet in book.worksheets:
        sheet.reset_dimensions()  # what a file claims of its size need not be so
        if any(text_of(value).strip(BLANKS) for row in sheet.iter_rows(values_only=True) for value in row):
            filled.append(sheet)
    visible = [sheet for sheet in filled if sheet.sheet_state == "visible"]
    if not visible:
        raise TableError(f"{name}: wanted a sheet with a table, the workbook has no visible sheet that is not empty")
    if len(visible) > 1:
        raise TableError(
            f"{name}: wanted one sheet that is not empty, the workbook has {some(s.title for s in visible)}; save "
            "the one that is meant as CSV UTF-8, or delete the others"
        )
    others = [sheet.title for sheet in filled if sheet is not visible[0]]
    hidden = [f"hidden sheet(s) of the workbook are not read: {some(others)}"] if others else []
    return visible[0], [f"read from the Excel sheet {some([visible[0].title])}", *hidden]


def _rows(sheet: ReadOnlyWorksheet, name: str, dates: dict[int, int]) -> Iterator[Row]:
    """Every row of the sheet as text; ``dates`` takes the columns (from 0) with dates and the first row of each."""
    size = 0
    for number, values in enumerate(sheet.iter_rows(values_only=True), 1):
        if number > LAST_ROW:
            raise TableError(f"{name}: more rows than a sheet can have; save it as CSV UTF-8")
        cells = [text_of(value) for value in values]
        while cells and not cells[-1]:
            cells.pop()
        for i, value in enumerate(values):
            if isinstance(value, datetime.date):  # a datetime is one too
                dates.setdefault(i, number)
        size += sum(map(len, cells))
        check_text(name, size)
        yield number, cells


def text_of(value: object) -> str:
    """A value of a workbook as the text of a cell: whole numbers without ``.0``, dates as 2017-01-31, yes as 1."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        if value.is_integer():  # beyond the digits that a workbook keeps with the exponent that says so
            return str(int(value)) if abs(value) < EXACT else f"{value:.16e}"
        return repr(value)
    if isinstance(value, datetime.datetime):
        return value.date().isoformat()
    text = unescape(str(value))  # _x000D_ is how a workbook writes a control character
    if len(text) > LONGEST:
        raise ValueError(f"a cell of {len(text)} characters")
    return text


@dataclass
class _Facts:
    """What the XML of a sheet says beside its values.

    hidden: numbers of rows. hidden_columns: counted from 0. merged: ranges. uncomputed: cells with a formula and no
    value.
    """

    hidden: set[int] = field(default_factory=set)
    hidden_columns: set[int] = field(default_factory=set)
    merged: list[str] = field(default_factory=list)
    uncomputed: list[str] = field(default_factory=list)


def _facts(sheet: ReadOnlyWorksheet) -> _Facts:
    found = _Facts()
    with sheet._get_source() as source:  # openpyxl tells of these only where it holds the whole sheet in memory
        for part in _parts(source):
            rows = (m[1] for m in _ROW.finditer(part) if _HIDDEN.search(m[1]))
            found.hidden.update(int(number[1]) for row in rows if (number := _NUMBER.search(row)))
            for match in _COLUMN.finditer(part):
                if _HIDDEN.search(match[1]) and (ends := _FIRST_AND_LAST.search(match[1])):
                    found.hidden_columns.update(range(int(ends[1]) - 1, int(ends[2])))
            found.merged += [m[1].decode() for m in _MERGED.finditer(part)]
            cells = (m[1] for m in _NO_VALUE.finditer(part) if b't="str"' not in m[1])  # those say an empty text
            found.uncomputed += [place[1].decode() for cell in cells if (place := _PLACE.search(cell))]
    return found


def _parts(source: IO[bytes]) -> Iterator[bytes]:
    """The XML of a sheet in parts that end where a row ends."""
    held = b""
    while step := source.read(STEP):
        held += step
        end = held.rfind(b"row>") + 4
        if end > 4 or len(held) > LONGEST_PART:
            end = end if end > 4 else len(held)
            yield held[:end]
            held = held[end:]
    yield held


def _check_facts(facts: _Facts, raw: RawTable, name: str) -> None:
    """Raise TableError when cells of the table are merged or have a formula that was never computed."""
    if facts.uncomputed:
        raise TableError(
            f"{name}: cells {some(facts.uncomputed)} hold formulas without a value; open the workbook in Excel and "
            "save it, or write values instead"
        )
    for merged in facts.merged:
        left, _, _, bottom = range_boundaries(merged)
        if bottom >= raw.header_row and left <= len(raw.header):
            raise TableError(
                f"{name}: cells {merged} are merged, only the first of them has a value; unmerge them and write the "
                "value into each"
            )


def _show_ids(sheet: ReadOnlyWorksheet, raw: RawTable) -> list[str]:
    """Write whole numbers of an id column as the sheet shows them, and say so where it changes them."""
    notes = []
    for i, header in enumerate(raw.header):
        if cleaned(header) not in IDS:
            continue
        cells = {number: cell for number, (cell,) in enumerate(_column(sheet, i), 1) if type(cell.value) is int}
        shown = {n: text for n, cell in cells.items() if (text := shown_id(cell.value, cell.number_format))}
        shown |= _shortened({n: cell.value for n, cell in cells.items()})
        values = raw.columns[i].to_pylist()
        ids = [shown.get(row, value) for row, value in zip(raw.rows.tolist(), values, strict=True)]
        if changed := [after for before, after in zip(values, ids, strict=True) if before != after]:
            raw.columns[i] = pa.chunked_array([pa.array(ids, pa.string())])
            notes.append(f"column {cleaned(header)}: numbers are read as the sheet shows them ({some(changed)})")
    return notes


def _shortened(numbers: dict[int, int]) -> dict[int, str]:
    """The numbers of an id column, with an exponent, when they have lost the digits that a workbook does not keep."""
    long = {row: value for row, value in numbers.items() if abs(value) >= EXACT}
    lost = all(set(str(abs(value))[15:]) == {"0"} for value in long.values())
    return {row: f"{value:.14E}" for row, value in long.items()} if lost else {}


def _column(sheet: ReadOnlyWorksheet, i: int) -> Iterator[tuple]:
    for row in sheet.iter_rows(min_col=i + 1, max_col=i + 1):
        yield row or (EMPTY_CELL,)
