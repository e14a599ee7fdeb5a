"""One scan's files as a task finds them: fetched, or a reason why they cannot be read now.

A scan whose files cannot be read is ``failed``: the next run tries it again. ``refused`` is a judgement on files that
were read, and stands until they change.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gc_ray.cohort.manifest import ScanRow
from gc_ray.errors import InputError, ScanError, StoreError
from gc_ray.runtime.node import this_node
from gc_ray.source import Source, content_sha256, joint_stamp, list_source, localise

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # of this machine's temporary folder, no fault of the scan
AGAIN = "check rights, disk and network there, and run again"


class UnreadableError(InputError):
    """A scan's files cannot be read now, on this node; the message says which and why, without a path."""


class AbsentError(ScanError):
    """There is nothing at the address that the manifest gives, and nobody saw anything there."""


@dataclass(frozen=True)
class Fetched:
    """Local paths of a scan's image and mask, and the joint stamp of the listing that they were fetched by."""

    image: Path
    mask: Path
    stamp: str


def local_sources(row: ScanRow, folder: Path, *, seen: bool = False) -> Fetched:
    """The files of a scan, copied below ``folder`` when they do not lie in a local folder.

    Parameters
    ----------
    row
        The outline.
    folder
        For copies; made when there are some.
    seen
        Whether the first look at the scan, perhaps from another node, found image and mask.

    Raises
    ------
    AbsentError
        When one of them is not there.
    UnreadableError
        When one of them cannot be read, or is not there although it was seen.
    """
    found = [_listed(uri, shown, seen) for uri, shown in _places(row)]
    paths = []
    for source, (_, shown), name in zip(found, _places(row), ("image", "mask"), strict=True):
        with _reading(shown):
            paths.append(localise(source, folder / name))
    return Fetched(*paths, joint_stamp(found))


def hashed(row: ScanRow, fetched: Fetched) -> str:
    """The digest of the content of image and mask; UnreadableError when a file cannot be read."""
    with _reading(row.image, row.mask, fetched.mask):
        return content_sha256([fetched.image, fetched.mask])


def open_all(row: ScanRow, fetched: Fetched) -> None:
    """Open every file of image and mask; UnreadableError when one cannot be: readers pass over some of them."""
    with _reading(row.image, row.mask, fetched.mask):
        for path in (fetched.image, fetched.mask):
            for file in [path] if path.is_file() else path.rglob("*"):
                if file.is_file():
                    with file.open("rb") as opened:
                        opened.read(1)


def check_unchanged(row: ScanRow, fetched: Fetched) -> None:
    """UnreadableError when the listing is no longer the one that the scan was fetched by."""
    found = [_listed(uri, shown, True) for uri, shown in _places(row)]
    if joint_stamp(found) != fetched.stamp:
        raise _changed(row)


def check_refusal(error: InputError, row: ScanRow, fetched: Fetched, sha256: str | None = None) -> None:
    """UnreadableError when a refusal comes from files that cannot be read or have changed, not from what they hold.

    sha256: of their content before they were read; None when it was not asked for.
    """
    with _reading(row.image, row.mask, fetched.mask):
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, OSError) and cause.errno:
                raise cause
            cause = cause.__cause__ or cause.__context__
    if hashed(row, fetched) != sha256 and sha256 is not None:
        raise _changed(row)
    check_unchanged(row, fetched)


def reason_of(error: Exception) -> str:
    """What went wrong in reading a place, in the system's or the server's words, without path or address."""
    for one in (error, error.__cause__):
        if isinstance(one, FileNotFoundError):
            return "a file vanished while it was read, or is a link that leads nowhere"
        if isinstance(one, OSError) and one.errno:
            return os.strerror(one.errno)
        code = (getattr(one, "response", None) or {}).get("Error", {}).get("Code")
        if code:
            return f"the server says {code}"
    return type(error.__cause__ or error).__name__


def shown_path(path: str) -> str:
    """A path as messages may show it: as the manifest writes it, unless that is absolute."""
    return Path(path).name if "://" in path or Path(path).is_absolute() else path


def _places(row: ScanRow) -> tuple[tuple[str, str], tuple[str, str]]:
    return (row.image_uri, row.image), (row.mask_uri, row.mask)


def _listed(uri: str, shown: str, seen: bool) -> Source:
    with _reading(shown):
        source = list_source(uri)
    if source.parts:
        return source
    if seen:
        raise UnreadableError(
            f"{shown_path(shown)}: node {this_node()} sees nothing there, the first look at the scan did; mount the "
            "same folders on every node, and run again"
        )
    raise AbsentError(
        f"{shown_path(shown)}: wanted a file or folder, there is none; correct the path in the manifest"
    )


def _changed(row: ScanRow) -> UnreadableError:
    return UnreadableError(
        f"{shown_path(row.image)} or its mask changed while it was read; run again when it is complete"
    )


@contextmanager
def _reading(shown: str, other: str = "", place: Path | None = None) -> Iterator[None]:
    """Turn faults of reading into UnreadableError about ``shown``, or ``other`` when they lie below ``place``."""
    try:
        yield
    except (OSError, StoreError) as error:
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            raise
        named = str(getattr(error, "filename", None) or "")
        name = other if place is not None and named.startswith(str(place)) else shown
        raise UnreadableError(
            f"{shown_path(name)}: cannot be read on node {this_node()}: {reason_of(error)}; {AGAIN}"
        ) from error
