"""A folder for files fetched from elsewhere, which never outlives the work it was made for."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

import psutil


@contextmanager
def scratch() -> Iterator[Path]:
    """A path below the system's temporary folder, made by whoever writes to it, and gone afterwards.

    Folders of workers that were killed are removed on the way: they hold copies of patients' scans.
    """
    root = Path(tempfile.gettempdir(), f"gc-ray-{os.getuid()}")
    root.mkdir(mode=0o700, exist_ok=True)
    for left in root.iterdir():
        owner = left.name.partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(left, ignore_errors=True)
    folder = root / f"{os.getpid()}-{token_hex(6)}"
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
