"""Bytes of a store that others wrote: read and unpacked only as far as memory is promised for them."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

MAX_OBJECT = 4 << 30  # bytes of any object; a checkpoint of a ResNet50 has 600 MB
MAX_JSON = 128 << 20  # bytes of a JSON object; the record of a run of a million scans has 70 MB
MAX_TABLE = 1 << 30  # bytes of a Parquet object in memory; a shard of 2,000 rows and 10,000 columns has 160 MB
MAX_VALUES = 1 << 27  # of a Parquet object, the empty ones counted, which take no byte of the file
NO_BLOCK = getattr(os, "O_NONBLOCK", 0)  # else a named pipe waits for a writer


def read_file(path: Path, most: int) -> bytes:
    """Return the bytes of a regular file.

    Parameters
    ----------
    path : Path
    most : int
        Bytes; a larger file is not read.

    Raises
    ------
    OSError
        The file is too large, or is a pipe or a device, which may never end.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | NO_BLOCK), "rb") as file:
        status = os.fstat(file.fileno())
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is a pipe or a device, no file")
        check_size(status.st_size, most)
        return file.read()


def check_size(size: int, most: int) -> None:
    """Raise OSError when an object has more bytes than wanted."""
    if size > most:
        raise OSError(errno.EFBIG, f"it has {size} bytes, wanted at most {most}")


def parquet_table(data: bytes, columns: Sequence[str] | None = None, most: int = MAX_TABLE) -> pa.Table:
    """Return the table of a Parquet file.

    Parameters
    ----------
    data : bytes
        The file.
    columns : sequence of str, optional
        The columns that are read; all when left out.
    most : int
        Bytes that the table may take in memory. A file of kilobytes can claim billions of empty or equal values, or
        hold one long word that is repeated: what it claims is compared before anything is unpacked.

    Raises
    ------
    pyarrow.ArrowException
        The file is damaged, or its table would take more than ``most``.
    """
    metadata = pq.read_metadata(io.BytesIO(data))
    wanted = None if columns is None else set(columns)
    chunks = [chunk for chunk in _chunks(metadata) if wanted is None or _field(chunk) in wanted]
    _check(sum(chunk.total_uncompressed_size for chunk in chunks), most)
    _check(max(metadata.num_rows * len(chunks), sum(chunk.num_values for chunk in chunks)), MAX_VALUES)
    # no value is longer than its column: where even that would not be too much, nothing is measured
    texts = [chunk for chunk in chunks if chunk.physical_type == "BYTE_ARRAY"]
    if sum(chunk.num_values * chunk.total_uncompressed_size for chunk in texts) <= most:
        return pq.ParquetFile(io.BytesIO(data)).read(columns, use_threads=False)
    words = sorted({chunk.path_in_schema for chunk in texts})
    packed = pq.ParquetFile(io.BytesIO(data), read_dictionary=words).read(columns, use_threads=False)
    _check(sum(_size(column) for column in packed.columns), most)
    return pa.table([_unpacked(column) for column in packed.columns], names=packed.column_names)
