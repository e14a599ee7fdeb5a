"""How much the XML inside a workbook would take once it is parsed: counted before a parser builds a tree of it."""

from __future__ import annotations

import contextlib
import io
import zipfile
from xml.parsers import expat

from gc_ray.cohort.table_files.limits import check_text
from gc_ray.errors import TableError

MAX_DEPTH = 64  # elements in elements; a workbook of Excel has 12
MAX_ELEMENTS = 5_000_000  # of a part; an element of four bytes takes a hundred times as much once parsed
CHUNK = 1 << 20


class _Counter:
    """Counts the elements that a parser would keep, and their depth."""

    def __init__(self, name: str):
        self._name, self._depth, self._kept, self._is_sheet = name, 0, 0, False

    def begin(self, tag: str, attributes: dict) -> None:
        """Take down an element; TableError where there are too many."""
        self._depth += 1
        if self._depth == 1:
            self._is_sheet = tag.endswith("worksheet")
        # what is in a row is forgotten when the next one begins
        is_row = self._is_sheet and self._depth == 3 and tag.endswith("row")
        self._kept = 0 if is_row else self._kept + 1
        if self._depth > MAX_DEPTH or self._kept > MAX_ELEMENTS:
            raise TableError(
                f"{self._name}: the workbook holds too many XML elements to be read; is it the right table? If it "
                "is, save it as CSV UTF-8"
            )

    def end(self, tag: str) -> None:
        """Leave an element."""
        self._depth -= 1


def check_workbook(data: bytes, name: str) -> None:
    """Raise TableError when the parts of a workbook would take too much memory.

    Parameters
    ----------
    data : bytes
        The workbook, a zip archive.
    name : str
        The file's name, for messages.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = archive.infolist()
        check_text(name, sum(part.file_size for part in parts))
        for part in parts:
            with (
                archive.open(part) as file,
                contextlib.suppress(expat.ExpatError),
            ):  # pictures; faults are found later
                _check_part(file, name)


def _check_part(file: io.BufferedIOBase, name: str) -> None:
    counter, parser = _Counter(name), expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = counter.begin, counter.end
    while chunk := file.read(CHUNK):
        parser.Parse(chunk)
    parser.Parse(b"", True)
