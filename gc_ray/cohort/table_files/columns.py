"""The names of a table's columns: cleaned, those without a name left out, those that occur twice refused."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from gc_ray.cohort.findings import some
from gc_ray.cohort.table_files.cells import cleaned
from gc_ray.errors import TableError

# what pandas, R and readr write where the column with the row's name or number had no name itself
NAMELESS = re.compile(
    r"(Unnamed: \d+(_level_\d+)?(\.\d+)?|\.\.\.\d+|__index_level_\d+__|level_\d+|row[._ ]?names?|_row)?",
    re.IGNORECASE,
)
AGAIN = re.compile(r"(.+)\.\d+")  # how pandas renames the second column of a name
NUMBERED = re.compile(r"(.+?)\.\.\.\d+")  # how R's readr renames each of several columns of one name
STUDY_COLUMNS = ("patient_id", "scan_id", "site", "phase", "reader", "repeat", "roi", "image", "mask", "series_uid")
STUDY_COLUMNS += ("score", "model_id", "cohort", "kind", "variant", "outcome", "time_months", "event")


@dataclass(frozen=True)
class Named:
    """The columns that have a name.

    places: their positions from 0. notes: what was left out. unnamed: letters of columns with values and no name.
    """

    names: list[str]
    places: list[int]
    notes: list[str]
    unnamed: list[str]


def named_columns(header: list[str], columns: list[pa.ChunkedArray], name: str) -> Named:
    """The columns with a name; TableError when a name occurs twice, as it stands or as pandas renames the second.

    columns: text, cleaned.
    """
    names = [re.sub(r"\s*[\r\n]\s*", " ", cleaned(text)) for text in header]
    nameless = [i for i, text in enumerate(names) if NAMELESS.fullmatch(text)]
    filled = [i for i in nameless if pc.any(pc.not_equal(columns[i], "")).as_py()]
    places = [i for i, text in enumerate(names) if not NAMELESS.fullmatch(text)]
    check_doubled([names[i] for i in places], name)
    _check_renamed({names[i]: columns[i] for i in places}, name)
    notes = []
    if empty := [letter(i) for i in nameless if i not in filled]:
        notes.append(f"{len(empty)} empty column(s) without a name are left out ({some(empty)})")
    for i in filled:
        what = "holds row numbers" if counts_rows(columns[i]) else "has no name of its own"
        called = f" ({names[i]})" if names[i] else ""
        notes.append(f"column {letter(i)}{called} {what} and is left out")
    return Named([names[i] for i in places], places, notes, [letter(i) for i in filled])


def check_doubled(names: Iterable[str], name: str) -> None:
    """Raise TableError when a column occurs twice."""
    doubled = [text for text, n in Counter(names).items() if n > 1]
    if doubled:
        raise TableError(f"{name}: column(s) {some(doubled)} occur twice; keep one of each")


def counts_rows(column: pa.ChunkedArray) -> bool:
    """Whether a column holds 0, 1, 2, .. or 1, 2, 3, .. in the order of the rows."""
    first = column[0].as_py() if len(column) else ""
    if first not in ("0", "1"):
        return False
    start = int(first)
    wanted = pa.array(range(start, start + len(column))).cast(pa.string())
    return column.combine_chunks().equals(wanted)


def letter(place: int) -> str:
    """The letters with which a spreadsheet names a column; the first column, 0, is A."""
    text, place = "", place + 1
    while place:
        place, rest = divmod(place - 1, 26)
        text = chr(ord("A") + rest) + text
    return text


def _check_renamed(columns: dict[str, pa.ChunkedArray], name: str) -> None:
    """Refuse ``x.1`` beside ``x`` where it is ``x`` again: a column of the study, or one with the same values.

    So are ``x...1`` and ``x...3`` of readr.
    """
    numbered: dict[str, str] = {}
    for text, column in columns.items():
        stem, first, by = "", None, "pandas"
        if match := NUMBERED.fullmatch(text):
            stem, by = match[1], "readr"
            first = numbered.setdefault(stem, text)
        elif match := AGAIN.fullmatch(text):
            stem = first = match[1]
        if first == text or first not in columns:
            continue
        again = len(column) > 1 and column.equals(columns[first])  # one row may be equal by chance
        if stem in STUDY_COLUMNS or again:
            raise TableError(
                f"{name}: column {text} is a second column {stem} ({by} renames it so); keep one of the two"
            )
