"""Tables that users bring, CSV or Parquet: bounded before a parser takes memory for what they claim, then read."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from gc_ray.cohort.findings import some
from gc_ray.errors import TableError

MAX_COLUMNS = 10_000  # a clinical table with every image feature beside it has 3,000
MAX_ROWS = 2_000_000  # twice the largest manifest that is planned for; a Parquet file of kilobytes may claim any


def read_csv(data: bytes, name: str, dtype: object = str) -> pd.DataFrame:
    """The cells as text, by the stripped names of the first line; TableError when it has too many columns.

    dtype: the kind of text that pandas is to hold. ValueError when a row is longer than the first. A doubled column
    stays doubled.
    """
    first = re.match(rb"[^\r\n]*", data.lstrip(b"\r\n")).group()
    _check("columns", first.count(b",") + 1, MAX_COLUMNS, name)
    # text throughout: a scan_id such as 007 must keep its zeros, and NA is somebody's initials;
    # no header for pandas: it renames a doubled column, and takes the first for an index when rows are longer
    cells = pd.read_csv(io.BytesIO(data), dtype=dtype, keep_default_na=False, encoding="utf-8-sig", header=None)
    frame = cells[1:].set_axis(cells.iloc[0].str.strip(), axis="columns").rename_axis(columns=None)
    return frame.fillna("").reset_index(drop=True)


def open_parquet(data: bytes, name: str) -> pq.ParquetFile:
    """The file, none of its columns read; TableError when it has too many columns or rows."""
    file = pq.ParquetFile(io.BytesIO(data))
    _check("columns", file.metadata.num_columns, MAX_COLUMNS, name)
    _check("rows", file.metadata.num_rows, MAX_ROWS, name)
    return file


@contextmanager
def reading(name: str, kind: str) -> Iterator[None]:
    """Turns what a parser raises into a TableError; kind: what the table was to be."""
    try:
        yield
    except TableError:
        raise
    except (ValueError, OSError, ArithmeticError, LookupError, TypeError, pa.ArrowException) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise TableError(f"{name}: wanted a CSV or Parquet {kind} table, it cannot be read: {reason}") from error


def check_doubled(columns: pd.Index, name: str) -> None:
    """Raises TableError when a column stands twice."""
    doubled = columns[columns.duplicated()]
    if len(doubled):
        raise TableError(f"{name}: column(s) {some(doubled)} stand twice; keep one")


def _check(what: str, found: int, most: int, name: str) -> None:
    if found > most:
        raise TableError(f"{name}: {found} {what}, wanted at most {most}; is it the right table?")
