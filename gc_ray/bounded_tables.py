"""Tables that others wrote: unpacked only as far as memory is promised for them."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

MAX_TABLE = 1 << 30  # bytes of a Parquet object in memory; a shard of 2,000 rows and 10,000 columns has 160 MB
BYTES = 8  # of a number, and of the place of a text or a list; an empty value takes as much
TEXT = ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY")
MAGIC = b"ARROW1\0\0"


def check_parquet(data: bytes, most: int = MAX_TABLE) -> None:
    """Raise pyarrow.ArrowInvalid when the table of a Parquet file would take more than ``most`` bytes of memory.

    A file of kilobytes can claim billions of empty or equal values, or repeat one long word: what it claims is
    compared before anything is unpacked, and the lengths of words before they are written out.
    """
    metadata = pq.read_metadata(io.BytesIO(data))
    groups = (metadata.row_group(i) for i in range(metadata.num_row_groups))
    chunks = [group.column(i) for group in groups for i in range(metadata.num_columns)]
    _check(sum(chunk.total_uncompressed_size for chunk in chunks), most)
    _check(BYTES * max(metadata.num_rows * metadata.num_columns, sum(chunk.num_values for chunk in chunks)), most)
    words = sorted({chunk.path_in_schema for chunk in chunks if chunk.physical_type in TEXT})
    file, size = pq.ParquetFile(io.BytesIO(data), read_dictionary=words), 0
    for name in file.schema_arrow.names:  # one by one: a page may hold more than the file claims, at most 2 GiB
        size += sum(written_size(column) for column in file.read([name], use_threads=False).columns)
        _check(size, most)


def written_size(column: pa.ChunkedArray | pa.Array) -> int:
    """Bytes of a column once words that are kept once are written out, also those in lists and structures."""
    if isinstance(column, pa.ChunkedArray):
        return sum(written_size(chunk) for chunk in column.chunks)
    if pa.types.is_struct(column.type):
        return sum(written_size(field) for field in column.flatten())
    if pa.types.is_nested(column.type):
        return BYTES * len(column) + written_size(column.flatten())
    if not pa.types.is_dictionary(column.type) or not _is_text(column.type.value_type):
        return column.nbytes
    lengths = pc.binary_length(column.dictionary).cast(pa.int64())
    return pc.sum(lengths.take(column.indices)).as_py() or 0


def arrow_table(data: bytes) -> pa.Table:
    """Return the table of an Arrow file whose bytes are not compressed, so that it takes no more than they do.

    Raises
    ------
    pyarrow.ArrowException
        The file is damaged, or holds what this software never writes: compressed values, or a dictionary.
    """
    stream = pa.py_buffer(data)[len(MAGIC) :]
    for message in pa.ipc.MessageReader.open_stream(stream):
        plain = message.type == "record batch" and not _is_compressed(message.metadata.to_pybytes())
        if message.type != "schema" and not plain:
            raise pa.ArrowInvalid("an Arrow file with compressed values or a dictionary, wanted a plain one")
    return pa.ipc.open_stream(stream).read_all()


def _is_compressed(metadata: bytes) -> bool:
    """Whether a record batch names a codec: the fourth field of its header, a flatbuffer (see Arrow's IPC format)."""
    message = _number(metadata, 0, 4)
    header = message + _place(metadata, message, 2)
    return _place(metadata, header + _number(metadata, header, 4), 3) != 0


def _place(metadata: bytes, table: int, field: int) -> int:
    """Where a field of a flatbuffer's table is, counted from the table; 0 where it is not there."""
    fields = table - int.from_bytes(metadata[table : table + 4], "little", signed=True)
    at = 4 + 2 * field
    return _number(metadata, fields + at, 2) if at < _number(metadata, fields, 2) else 0


def _number(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")


def _check(size: int, most: int) -> None:
    if size > most:
        raise pa.ArrowInvalid(f"it unpacks to {size} bytes, wanted at most {most}")


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind)
