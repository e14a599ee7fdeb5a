"""NRRD files: what is checked before ITK reads them, and bzip2, which ITK cannot inflate."""

from __future__ import annotations

import bz2
import math
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

from gc_ray.errors import ScanError
from gc_ray.imaging.detached import HEADER_BYTES, beside, nrrd_text, voxel_files
from gc_ray.imaging.dicom_files import blaming
from gc_ray.imaging.scan import Notes

SUFFIXES = (".nrrd", ".nhdr")
MAX_LINE = 500  # characters of a field; ITK's buffer has some 900, and a sound field less than 200
MAX_VOXEL_BYTES = 1 << 32  # of a volume: 4 GiB, 1024 x 1024 x 1024 of 32 bits
CHUNK_BYTES = 1 << 22
BZIP2 = ("bzip2", "bz2")
BAD_BZIP2 = "voxels cannot be inflated (bzip2; truncated or damaged file); copy it again"
ANATOMICAL = re.compile(r"(left|right|l|r)-?(anterior|posterior|a|p)-?(superior|inferior|s|i)(-time|t)?")
MILLIMETRE = re.compile(r"(mm|milli-?met(er|re)s?|\?\?\?|none)?")
WIDTHS = {1: "char int8 uint8", 2: "short int16 uint16", 4: "int int32 uint32 float", 8: "long int64 uint64 double"}


def nrrd_fields(head: bytes) -> dict[str, str]:
    """The fields of a NRRD header by their names in lower case, without its free keys (``key:=value``)."""
    found = {}
    for line in nrrd_text(head).decode("utf-8", "replace").splitlines()[1:]:
        field = re.match(r"([^#:=][^:]*):(?!=)[ \t]*(.*?)[ \t]*$", line)
        if field:
            found[field[1].strip().lower().replace(" ", "")] = field[2]
    return found


def check_nrrd(path: Path) -> Notes:
    """Check a header before ITK sees it.

    Returns
    -------
    Notes
        What the header leaves unsaid.

    Raises
    ------
    ScanError
        For units other than millimetres and encodings that are not read.
    ValueError
        For a long line that is no key and value: ITK writes it into a short buffer.
    """
    with path.open("rb") as stream:
        head = stream.read(HEADER_BYTES)
    text, end, _ = head.partition(b"\n\n")
    if len(head) == HEADER_BYTES and not end:
        raise ValueError
    for line in re.split(rb"[\r\n]", text):
        if len(line) > MAX_LINE and not re.match(rb"#|[^:]*:=", line):
            raise ValueError
    fields = nrrd_fields(head)
    if fields.get("encoding", "").lower() == "zrl":
        raise ScanError(f"{path.name}: NRRD encoding zrl is not read; save it again with encoding gzip or raw")
    units = re.findall(r'"([^"]*)"', fields.get("spaceunits", fields.get("units", "")))
    if not all(MILLIMETRE.fullmatch(unit.strip().lower()) for unit in units):
        raise ScanError(f"{path.name}: the header counts in another unit than mm (space units); save it in mm")
    return _unsaid(path.name, fields)


def _unsaid(name: str, fields: dict[str, str]) -> Notes:
    steps = fields.get("spacedirections", fields.get("spacings", ""))
    spaced = len(re.findall(r"\([^)]*\)|[-+.\d][^\s()]*", steps.replace("nan", " ").replace("none", " "))) >= 3
    repairs = () if spaced else (f"{name}: the header does not state every voxel size; 1 mm is taken",)
    space = fields.get("space", "").strip().lower()
    remark = f"{name}: the header states no anatomical space; its axes are taken for left, posterior, superior"
    remarks = () if ANATOMICAL.fullmatch(space) else (remark,)
    if fields.get("encoding", "").lower() in BZIP2:
        remarks += (f"{name}: voxels in bzip2, inflated here since ITK does not read them",)
    return Notes(repairs, remarks)


def header_for_itk(path: Path) -> AbstractContextManager[Path]:
    """A file whose header ITK can read: the file itself, or a copy of the header when its voxels are in bzip2."""
    return _readable(path, lambda head, copy: copy.write_bytes(_as_raw(head)))


def voxels_for_itk(path: Path) -> AbstractContextManager[Path]:
    """A file whose voxels ITK can read: the file itself, or an inflated copy when they are in bzip2."""
    return _readable(path, partial(_inflate, path))


@contextmanager
def _readable(path: Path, write: Callable[[bytes, Path], object]) -> Iterator[Path]:
    """The file, or where it is in bzip2 what ``write`` makes of its header in a file that lasts as long."""
    with path.open("rb") as stream:
        head = stream.read(HEADER_BYTES)
    if not _in_bzip2(head):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="gc_ray_nrrd_") as folder:
        copy = Path(folder, "copy.nrrd")
        write(head, copy)
        yield copy


def _in_bzip2(head: bytes) -> bool:
    return nrrd_fields(head).get("encoding", "").lower() in BZIP2


def _as_raw(head: bytes) -> bytes:
    """The header with its voxels said to follow it as they are."""
    dropped = rb"(encoding|data ?file|line ?skip|byte ?skip)[ \t]*:(?!=)"
    lines = [line for line in nrrd_text(head).splitlines() if not re.match(dropped, line, re.IGNORECASE)]
    return b"\n".join([*lines, b"encoding: raw", b"", b""])


def _inflate(path: Path, head: bytes, into: Path) -> None:
    """Write the volume with its voxels inflated; ScanError when they are damaged, or more or fewer than stated."""
    with blaming(path.name, BAD_BZIP2):
        fields = nrrd_fields(head)
        if any(fields.get(skip, "0") != "0" for skip in ("lineskip", "byteskip")):
            raise ScanError(f"{path.name}: bzip2 behind skipped bytes is not read; save it with encoding gzip or raw")
        kind = fields["type"].lower().replace("unsigned ", "").replace("signed ", "").removesuffix("_t").split()[0]
        width = next(width for width, names in WIDTHS.items() if kind.removeprefix("u") in names.split())
        left = math.prod(int(n) for n in fields["sizes"].split()) * width
        names = voxel_files(head)
        if len(names) > 1 or not 0 < left <= MAX_VOXEL_BYTES:
            raise ValueError
        source = path.parent / str(beside(names[0])) if names else path
        stream = source.open("rb")
    with stream, into.open("wb") as plain:
        stream.seek(0 if names else _data_start(head))
        inflated = bz2.BZ2File(stream)
        plain.write(_as_raw(head))
        while left:
            with blaming(path.name, BAD_BZIP2):
                chunk = inflated.read(min(CHUNK_BYTES, left))
                if not chunk:
                    raise EOFError
            plain.write(chunk)
            left -= len(chunk)
        with blaming(path.name, BAD_BZIP2):
            inflated.read(1)  # up to the end of the stream, where its checksum is compared


def _data_start(head: bytes) -> int:
    """Where the voxels begin that follow their header."""
    end = re.search(rb"\r?\n\r?\n", head)
    if end is None:
        raise ValueError
    return end.end()
