"""Text with separators between cells: which separator it is, then its rows, quotes and line breaks in cells read."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import TextIO

from gc_ray.cohort.table_files import limits
from gc_ray.cohort.table_files.cells import BLANKS, cleaned
from gc_ray.cohort.table_files.encoding import encoding_of
from gc_ray.cohort.table_files.rows import KEY, Beyond, RawTable, Row, collect
from gc_ray.errors import TableError

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
SAMPLE_LINES = 200  # in which the separator is looked for
SAMPLE_TEXT = 1 << 20  # characters of them
BLANK_SEPARATED = re.compile(rf'(^|[ "]){KEY}"? +"?\w|\w"? +"?{KEY}("| |$)')
QUOTED = re.compile(r'[^"]*(?:""[^"]*)*"(?!")')  # the rest of a cell after the quotation mark that opens it
EXCEL_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # Excel's first line; a spreadsheet does not show it


def read_separated(data: bytes, name: str, encoding: str | None) -> tuple[RawTable, str]:
    """(the table, its separator).

    data: the file, not compressed. encoding: of a table that is neither UTF-8 nor UTF-16, as the user names it.
    TableError when the text cannot be decoded, a quotation mark is not closed, a row has more cells than the header,
    or the last row is cut short.
    """
    limits.check_lines(name, data.count(b"\n") + data.count(b"\r"))
    found = encoding_of(data, name, encoding)
    source = io.BytesIO(data)
    source.seek(found.skip)
    lines = _lines(io.TextIOWrapper(source, found.codec, newline=""), name)
    first = next(lines, "").lstrip("\ufeff")
    if said := EXCEL_LINE.fullmatch(first):
        separator, sample = said[1], []
    else:
        sample = [first, *_sample(lines)]
        separator = separator_of(sample)
        _check_blanks(sample, name)
    raw = collect(_rows(chain(sample, lines), separator, name), name, _refuse_beyond(name, separator))
    if raw.short and raw.short[-1] == raw.rows[-1] and not data.rstrip(b"\0").endswith((b"\n", b"\r")):
        raise TableError(f"{name}: row {raw.short[-1]}, the last, is cut short; copy or write the table again")
    raw.notes += [found.note] if found.note else []
    raw.notes += [] if separator == "," else [f"cells are separated by {SEPARATORS.get(separator, repr(separator))}"]
    return raw, separator


def separator_of(sample: list[str]) -> str:
    """The separator of these lines: one that sets off a known name in the first row, then one that fits all rows."""
    best, score = ",", (False, False, False, 1)
    for separator in SEPARATORS:
        rows = list(_readable(csv.reader(iter(sample), delimiter=separator)))
        if rows:
            widths = {len(row) for row in rows[:-1] or rows}  # the last may be cut by the sample's end
            names = [cleaned(cell) for cell in rows[0]]
            odd = any(name[:1] in SEPARATORS for name in names if name)  # what is left of another separator
            found = (KEY in names, not odd, len(widths) == 1, len(names))
            if len(names) > 1 and found > score:
                best, score = separator, found
    return best


def _check_blanks(sample: list[str], name: str) -> None:
    """Raise TableError where blanks separate the names, as R's write.table has it."""
    names = next((line for line in sample if line.strip(BLANKS)), "")
    if BLANK_SEPARATED.search(names):
        raise TableError(
            f"{name}: columns are separated by blanks, wanted commas; save it as CSV UTF-8, in R by "
            "write.csv(x, file, row.names = FALSE)"
        )


def _readable(rows: Iterator[list[str]]) -> Iterator[list[str]]:
    """The rows that are not empty, up to one that cannot be read."""
    try:
        yield from (row for row in rows if "".join(row).strip(BLANKS))
    except csv.Error:
        return  # refused by its number when the table is read


def _sample(lines: Iterator[str]) -> Iterator[str]:
    size = 0
    for line in islice(lines, SAMPLE_LINES):
        yield line
        size += len(line)
        if size > SAMPLE_TEXT:
            return


def _lines(stream: TextIO, name: str) -> Iterator[str]:
    for number, line in enumerate(iter(lambda: stream.readline(limits.MAX_ROW_TEXT + 1), ""), 1):
        limits.check_row(name, len(line))
        if "\0" in line:
            raise TableError(f"{name}: line {number} holds a zero byte, which no text does; write the table again")
        yield line


def _rows(lines: Iterable[str], separator: str, name: str) -> Iterator[Row]:
    number = size = 0

    def counted() -> Iterator[str]:
        nonlocal size
        for line in lines:  # a row may go over several
            size += len(line)
            limits.check_row(name, size)
            yield line

    reader = csv.reader(
        _without_padding(counted(), separator), delimiter=separator, skipinitialspace=separator != "\t", strict=True
    )
    try:
        for number, cells in enumerate(reader, 1):
            yield number, cells
            size = 0
    except csv.Error as error:
        raise TableError(
            f"{name}: row {number + 1} cannot be read ({error}); every quotation mark that opens a cell must close it"
        ) from error


def _without_padding(lines: Iterable[str], separator: str) -> Iterator[str]:
    """The lines without blanks between a quotation mark that opens or closes a cell and the separator beside it."""
    blanks, sign = "[" + re.escape("".join(set(BLANKS) - {separator, "\r", "\n"})) + "]", re.escape(separator)
    opening = re.compile(rf'(?:^|(?<={sign})){blanks}*"')
    padding = re.compile(rf"(?:{blanks}+(?={sign}|[\r\n]|$))?")
    inside = False  # a cell in quotation marks may go on in the next line
    for line in lines:
        kept, at = [], 0
        while '"' in line:
            if not inside:
                if (found := opening.search(line, at)) is None:
                    break
                kept += [line[at : found.start()], '"']
                at = found.end()
            closed = QUOTED.match(line, at)
            inside = closed is None
            if closed is None:
                break
            kept.append(closed[0])
            at = padding.match(line, closed.end()).end()
        yield "".join([*kept, line[at:]])


def _refuse_beyond(name: str, separator: str) -> Beyond:
    sign = SEPARATORS.get(separator, "separators").removesuffix("s")

    def refuse(number: int, cells: list[str], width: int) -> None:
        if not "".join(cells[width:]).strip(BLANKS):
            fix = f"remove the {sign} at the end of the rows, or name the last column"
        elif separator == ",":
            fix = "name every column, put a value that holds a comma in quotes, write numbers with a decimal point"
        else:
            fix = f"name every column, and put a value that holds a {sign} in quotes"
        raise TableError(
            f"{name}: row {number} has {len(cells)} cells, the header has {width}, so cells would move to wrong "
            f"columns; {fix}"
        )

    return refuse
