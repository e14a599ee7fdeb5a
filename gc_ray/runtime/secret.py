"""Keys that stay in files: of a site, which names its series, and of whoever seals bundles."""

from __future__ import annotations

from pathlib import Path

from gc_ray.errors import StudyError

LEAST_BYTES = 16  # a shorter secret can be guessed


def read_key(path: Path | None) -> bytes | None:
    """The key in a file, without white space around it; None without a file. StudyError when it is none or short."""
    if path is None:
        return None
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise StudyError(f"{path.name}: wanted a file with a key, it cannot be read; correct the option") from error
    if len(key) < LEAST_BYTES:
        raise StudyError(
            f"{path.name}: wanted a key of {LEAST_BYTES} bytes or more, got {len(key)}; make a longer one"
        )
    return key
