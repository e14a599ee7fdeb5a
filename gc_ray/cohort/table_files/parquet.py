"""A Parquet table as text, bounded before it is decoded: numbers to the last bit, dates as 2017-01-31."""

from __future__ import annotations

import datetime
import io

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gc_ray.bounded_tables import written_size
from gc_ray.cohort.findings import some
from gc_ray.cohort.table_files.columns import check_doubled
from gc_ray.cohort.table_files.limits import check_size, check_text
from gc_ray.cohort.table_files.rows import RawTable
from gc_ray.errors import TableError


def read_parquet(data: bytes, name: str) -> RawTable:
    """The table as text; a missing value is the empty text, rows are numbered as below a header in row 1.

    Columns of lists and other nested types are left out with a note. TableError when the table is too large, a
    column occurs twice, or text is not UTF-8.
    """
    file = pq.ParquetFile(io.BytesIO(data))
    schema, rows = file.schema_arrow, file.metadata.num_rows
    check_size(name, rows, len(schema))
    check_doubled(schema.names, name)
    nested = [f.name for f in schema if pa.types.is_nested(f.type)]
    plain = [f.name for f in schema if not pa.types.is_nested(f.type)]
    check_text(name, _unpacked(file.metadata, set(nested)))
    # text as a dictionary: a word that is repeated a million times is held once until its length is known
    words = [f.name for f in schema if _is_text(f.type)]
    file = pq.ParquetFile(io.BytesIO(data), read_dictionary=words)
    columns, size = [], 0
    for field in plain:  # one by one: a page may hold more than the file claims, at most 2 GiB
        column = file.read([field], use_threads=False).column(0)
        size += written_size(column)
        check_text(name, size)
        columns.append(_text(column, field, name))
    notes = [f"column(s) {some(nested)} hold lists, not values, and are left out"] if nested else []
    return RawTable(plain, 1, columns, np.arange(2, rows + 2), notes=notes)


def _unpacked(metadata: pq.FileMetaData, leave_out: set[str]) -> int:
    """Bytes of the columns once they are decompressed, as the file says."""
    chunks = (
        metadata.row_group(group).column(column)
        for group in range(metadata.num_row_groups)
        for column in range(metadata.num_columns)
    )
    return sum(c.total_uncompressed_size for c in chunks if c.path_in_schema.split(".")[0] not in leave_out)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind)


def _text(column: pa.ChunkedArray, field: str, name: str) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _text(column.cast(kind.value_type), field, name)
    if _is_text(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        text = _utf8(column, field, name)
    elif pa.types.is_floating(kind):
        numbers = column.cast(pa.float64())
        text = pc.if_else(pc.is_nan(numbers), None, numbers).cast(pa.string())  # whole numbers without .0
    elif pa.types.is_decimal(kind):
        shown = column.cast(pa.string())
        text = pc.replace_substring_regex(shown, r"^([^.E]*)(?:\.0*|(\.\d*?)0+)$", r"\1\2")
    elif pa.types.is_boolean(kind):
        text = column.cast(pa.int8()).cast(pa.string())
    elif pa.types.is_integer(kind) or pa.types.is_date(kind):
        text = column.cast(pa.string())
    else:
        text = pa.chunked_array([pa.array([_shown(value) for value in column.to_pylist()], pa.string())])
    return text.fill_null("")


def _utf8(column: pa.ChunkedArray, field: str, name: str) -> pa.ChunkedArray:
    try:
        return column.cast(pa.binary()).cast(pa.string())  # from bytes: only then is UTF-8 checked
    except pa.ArrowInvalid as error:
        raise TableError(f"{name}: column {field} holds text that is not UTF-8; write the table again") from error


def _shown(value: object) -> str | None:
    if value is None:
        return None
    return value.date().isoformat() if isinstance(value, datetime.datetime) else str(value)
