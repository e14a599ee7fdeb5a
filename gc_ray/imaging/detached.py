"""Which other files hold the voxels of a header (NRRD, MetaImage, NIfTI pair), and whether they lie beside it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from gc_ray.errors import ScanError

HEADER_BYTES = 1 << 20  # an NRRD header with 3D Slicer's segments is some kilobytes of text
MAX_FILES = 10_000  # one a slice, several times a whole body

PAIR = {".hdr": ".img", ".img": ".hdr"}  # NIfTI in two files: the header and the voxels

# "slice%03d.raw 1 120 1 2": pattern, first, last, step, and for NRRD the axes that one file holds
_PATTERN = re.compile(rb"(\S*%0?\d{0,2}d\S*)\s+(-?\d{1,9})\s+(-?\d{1,9})\s+(-?\d{1,9})(\s+\d+)?")


def voxel_files(head: bytes) -> tuple[str, ...]:
    """Names of the files that hold the voxels, as a header gives them.

    Parameters
    ----------
    head : bytes
        The first ``HEADER_BYTES`` of a NRRD or MetaImage file, or all of it.

    Returns
    -------
    tuple of str
        Empty when the voxels follow the header in the same file.

    Raises
    ------
    ValueError
        When a list of files is empty, endless or no list.

    References
    ----------
    https://teem.sourceforge.net/nrrd/format.html, section "detached headers"; MetaIO's ``ElementDataFile``.
    """
    if head.startswith(b"NRRD"):
        found = re.search(rb"(?im)^data ?file:[ \t]*(.*?)[ \t\r]*$", nrrd_text(head))
    else:
        found = re.search(rb"(?m)^[ \t]*ElementDataFile[ \t]*[=:][ \t]*(.*?)[ \t\r]*$", head)
    if found is None or (found[1].upper() == b"LOCAL" and not head.startswith(b"NRRD")):
        return ()
    if found[1].startswith(b"LIST"):
        rest = (line.strip() for line in head[found.end() :].splitlines())
        names = [line for line in rest if line]
    elif numbered := _PATTERN.fullmatch(found[1]):
        names = _numbered(numbered)
    else:
        names = [] if b"%" in found[1] else [found[1]]  # a pattern without its numbers: MetaIO would guess them
    if not 0 < len(names) <= MAX_FILES or b"" in names:
        raise ValueError
    return tuple(os.fsdecode(name) for name in names)


def nrrd_text(head: bytes) -> bytes:
    """The header of a NRRD file without what follows its first empty line."""
    return re.split(rb"\r?\n\r?\n", head, maxsplit=1)[0]


def beside(name: str) -> str | None:
    """The file's bare name when it lies in the header's own folder, else None."""
    bare = re.sub(r"^(\./+)+", "", name)
    return None if re.search(r"[/\\\0]|^\.\.?$|^[A-Za-z]:", bare) or not bare else bare


def check_voxel_files(path: Path) -> None:
    """Check that the voxels of a header lie beside it.

    A header that names a file elsewhere would show that file's bytes as an image.

    Raises
    ------
    ScanError
        When they are said to lie in another folder, or are not there.
    ValueError
        As ``voxel_files``.
    """
    with path.open("rb") as stream:
        head = stream.read(HEADER_BYTES)
    _check_nrrd_name(path, head)
    names = voxel_files(head)
    bare = [beside(name) for name in names]
    if None in bare:
        raise ScanError(
            f"{path.name}: the header names the file of its voxels by a path, as in another folder; wanted beside "
            "the header: put the file there and name it in the header without a path"
        )
    absent = sum(not (path.parent / str(name)).is_file() for name in bare)
    if absent:
        suffix = {".nrrd": ".nhdr", ".mha": ".mhd"}.get(path.suffix.lower())
        rename = f"; in S3, name the header {path.stem}{suffix}: then they are fetched with it" if suffix else ""
        raise ScanError(
            f"{path.name}: header names {len(names)} file{'s' * (len(names) > 1)} with its voxels, {absent} not "
            "beside it under exactly this name; copy the file there, or save the volume as one .nrrd, .mha or .nii.gz"
            f"{rename}"
        )


def _check_nrrd_name(path: Path, head: bytes) -> None:
    """ScanError for a name that ITK takes for a pattern, or looks for with the blanks behind it."""
    found = re.search(rb"(?im)^data ?file:[ \t]*(\S.*?)\r?$", nrrd_text(head)) if head.startswith(b"NRRD") else None
    if found is None or found[1].startswith(b"LIST") or _PATTERN.fullmatch(found[1].rstrip()):
        return
    odd = "%" if b"%" in found[1] else "a blank at its end" if found[1] != found[1].rstrip() else ""
    if odd:
        raise ScanError(
            f"{path.name}: the header names the file of its voxels with {odd}, which is not read; rename the file in "
            "header and folder"
        )


def files_of(path: Path) -> tuple[Path, Path]:
    """The file with the header and that with the voxels: one and the same unless it is a pair."""
    suffix = path.suffix.lower()
    if suffix not in PAIR:
        return path, path
    wanted = path.stem.lower() + PAIR[suffix]
    other = next(
        (p for p in sorted(path.parent.iterdir()) if p.name.lower() == wanted), path.with_suffix(PAIR[suffix])
    )
    return (path, other) if suffix == ".hdr" else (other, path)


def _numbered(numbered: re.Match[bytes]) -> list[bytes]:
    pattern, (first, last, step) = numbered[1], (int(numbered[i]) for i in (2, 3, 4))
    if step == 0 or abs((last - first) // step) >= MAX_FILES:
        raise ValueError
    numbers = range(first, last + (1 if step > 0 else -1), step)
    where = re.search(rb"%(0?)(\d{0,2})d", pattern)
    if where is None or b"%" in pattern.replace(where[0], b"", 1):
        raise ValueError
    fill, width = ("0" if where[1] else ""), int(where[2] or 0)
    return [pattern.replace(where[0], f"{n:{fill}{width}d}".encode(), 1) for n in numbers]
