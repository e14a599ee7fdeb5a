"""Bytes that others wrote: read only as far as memory is promised for them."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

MAX_OBJECT = 4 << 30  # bytes of any object; a checkpoint of a ResNet50 has 600 MB
MAX_JSON = 128 << 20  # bytes of a JSON object; the record of a run of a million scans has 70 MB
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


def read_pipe(path: Path, most: int = MAX_OBJECT) -> bytes:
    """Return what a pipe gives, as a shell makes one for ``<(zcat scans.csv.gz)``; OSError when it does not end."""
    with path.open("rb") as file:
        data = file.read(most + 1)
    check_size(len(data), most)
    return data


def read_body(answer: dict) -> bytes:
    """Return the bytes in an answer of S3; OSError when the answer says that they are too many."""
    check_size(answer.get("ContentLength", 0), MAX_OBJECT)
    return answer["Body"].read()


def check_size(size: int, most: int) -> None:
    """Raise OSError when an object has more bytes than wanted."""
    if size > most:
        raise OSError(errno.EFBIG, f"it has {size} bytes, wanted at most {most}")
