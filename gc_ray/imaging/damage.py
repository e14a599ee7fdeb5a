"""Finds damage in voxel files that ITK passes over.

ITK fills a short NIfTI up, turns its NaN into 0, and returns what a broken MetaImage stream left in memory.
"""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from gc_ray.errors import ScanError
from gc_ray.imaging.dicom_files import blaming

CHUNK_BYTES = 1 << 22  # 4 MiB at a time; a multiple of every voxel size
PACKED_BYTES = 1 << 14  # of a zlib stream, which may grow a thousandfold: 16 MiB
GZIP_MAGIC = b"\x1f\x8b"
MAX_VOXEL_BYTES = 1 << 32  # of a volume: 4 GiB, 1024 x 1024 x 1024 of 32 bits; what is compressed may claim more
MAX_OTHER_BYTES = 1 << 26  # before and behind a NIfTI's voxels, where extensions of some kilobytes may lie: 64 MiB
NIFTI_FLOATS = {16: "f4", 64: "f8"}  # datatype codes of the NIfTI-1 standard that can hold NaN
NIFTI_HEADER_BYTES = 540  # of NIfTI-2; NIfTI-1 has 348
MAX_MM = 1e6  # a kilometre, in the header's usual unit; no axis, spacing or place of a scan comes near it
MAX_LINE = 500  # characters of a field; ITK's buffer has some 900, and a sound field less than 200
METAIMAGE_HEADER_BYTES = 1 << 16  # a MetaImage header is a few hundred bytes of text
METAIMAGE_WIDTHS = ((b"DOUBLE", 8), (b"LONG_LONG", 8), (b"SHORT", 2), (b"FLOAT", 4), (b"INT", 4), (b"LONG", 4))
NRRD_HEADER_BYTES = 1 << 20  # an NRRD header with 3D Slicer's segments is some kilobytes of text


def check_header(path: Path) -> None:
    """Raises ScanError when a header is of a kind that would hang ITK or bring its process down."""
    name = path.name.lower()
    with blaming(path.name, "header cannot be read (damaged or another format); replace it"):
        if name.endswith((".nii", ".nii.gz")):
            _check_axes(path)
        elif name.endswith((".nrrd", ".nhdr")):
            _check_lines(path)
        elif name.endswith((".mha", ".mhd")):
            _check_dimensions(path)


def _check_dimensions(path: Path) -> None:
    """ValueError for a MetaImage whose number of axes is none: ITK would fill as many as it says."""
    with path.open("rb") as stream:
        head = stream.read(METAIMAGE_HEADER_BYTES).partition(b"ElementDataFile")[0]
    if not all(re.fullmatch(rb"[1-9]", axes) for axes in re.findall(rb"NDims\s*[=:]?\s*(\S*)", head)):
        raise ValueError


def _check_axes(path: Path) -> None:
    """ValueError for a NIfTI whose axes are not finite or beyond any scanner: ITK seeks their rotation for ever."""
    with _nifti_stream(path) as stream:
        header = stream.read(NIFTI_HEADER_BYTES)
    order, first = _nifti_kind(header)
    if first:
        spacing, codes, axes = ("3f", 80), ("2h", 252), ("6f", "12f", 256)
    else:
        spacing, codes, axes = ("3d", 112), ("2i", 344), ("6d", "12d", 352)
    quaternion, rows, at = axes
    used = [struct.unpack_from(order + spacing[0], header, spacing[1])]
    by_quaternion, by_rows = struct.unpack_from(order + codes[0], header, codes[1])
    if by_quaternion > 0:
        used.append(struct.unpack_from(order + quaternion, header, at))
    if by_rows > 0:
        used.append(struct.unpack_from(order + rows, header, at + struct.calcsize(order + quaternion)))
    if not all(math.isfinite(v) and abs(v) <= MAX_MM for part in used for v in part):
        raise ValueError


def _check_lines(path: Path) -> None:
    """ValueError for a long line of an NRRD header that is no key and value: ITK writes it into a short buffer."""
    with path.open("rb") as stream:
        held = stream.read(NRRD_HEADER_BYTES)
    text, end, _ = held.partition(b"\n\n")
    if len(held) == NRRD_HEADER_BYTES and not end:
        raise ValueError
    for line in re.split(rb"[\r\n]", text):
        if len(line) > MAX_LINE and not re.match(rb"#|[^:]*:=", line):
            raise ValueError


def check_voxel_file(path: Path) -> None:
    """Raises ScanError when a NIfTI or MetaImage file is cut short, corrupt or holds values that are not finite.

    ITK itself refuses a damaged NRRD. ScanError, too, for detached voxels that are said to lie elsewhere.
    """
    name = path.name.lower()
    with blaming(path.name, "voxels cannot be read (truncated or damaged file); copy it again"):
        if name.endswith((".nii", ".nii.gz")):
            _check_nifti(path)
        elif name.endswith((".mha", ".mhd")):
            _check_metaimage(path)
        elif name.endswith((".nrrd", ".nhdr")):
            _check_nrrd(path)


def _nifti_stream(path: Path) -> BinaryIO:
    with path.open("rb") as plain:
        packed = plain.read(2) == GZIP_MAGIC
    return gzip.open(path) if packed else path.open("rb")


def _nifti_kind(header: bytes) -> tuple[str, bool]:
    """(byte order, whether it is NIfTI-1 and not NIfTI-2)."""
    order = "<" if struct.unpack("<i", header[:4])[0] in (348, 540) else ">"
    return order, struct.unpack(order + "i", header[:4])[0] == 348


def _check_nifti(path: Path) -> None:
    with _nifti_stream(path) as stream:
        offset, left, number = _nifti_layout(stream.read(NIFTI_HEADER_BYTES))
        stream.seek(offset)
        while left and (chunk := stream.read(min(CHUNK_BYTES, left))):
            left -= len(chunk)
            if number and not np.isfinite(np.frombuffer(chunk, number)).all():
                raise ScanError(f"{path.name}: holds NaN or infinite values; export it again")
        _read_on(stream, path.name)
    if left:
        raise ScanError(f"{path.name}: truncated, {left} bytes of voxels are missing; copy it again")


def _read_on(stream: BinaryIO, name: str) -> None:
    """Read to the end, where gzip compares its checksum; ScanError when that is far behind the voxels."""
    behind = 0
    while chunk := stream.read(CHUNK_BYTES):
        behind += len(chunk)
        if behind > MAX_OTHER_BYTES:
            raise ScanError(f"{name}: more than {MAX_OTHER_BYTES >> 20} MiB follow its voxels; export it again")


def _nifti_layout(header: bytes) -> tuple[int, int, np.dtype | None]:
    """(offset of the voxels, their bytes, their type if floating) from a NIfTI-1 or NIfTI-2 header."""
    order, first = _nifti_kind(header)
    if first:
        dims = struct.unpack(order + "8h", header[40:56])
        code, bits = struct.unpack(order + "2h", header[70:74])
        (offset,) = struct.unpack(order + "f", header[108:112])
    else:
        code, bits = struct.unpack(order + "2h", header[12:16])
        dims = struct.unpack(order + "8q", header[16:80])
        (offset,) = struct.unpack(order + "q", header[168:176])
    number = np.dtype(order + NIFTI_FLOATS[code]) if code in NIFTI_FLOATS else None
    sides = dims[1 : dims[0] + 1]
    length = math.prod(sides) * bits // 8
    if min(*sides, bits) <= 0 or length > MAX_VOXEL_BYTES or not 0 <= offset <= MAX_OTHER_BYTES:
        raise ValueError
    return int(offset), length, number


def _check_metaimage(path: Path) -> None:
    """Inflates a compressed MetaImage to the end, where zlib compares its checksum; plain ones ITK checks itself."""
    with path.open("rb") as stream:
        head = stream.read(METAIMAGE_HEADER_BYTES)
        text, _, after = head.partition(b"ElementDataFile")
        target = after.split(b"\n", 1)[0].strip(b"= \r").decode("ascii")
        local = target.upper() == "LOCAL"
        if not local:
            _check_beside(target, path.name)
        fields = dict(line.split(b"=", 1) for line in text.replace(b" ", b"").splitlines() if b"=" in line)
        if fields.get(b"CompressedData", b"").lower() != b"true":
            return
        if local:
            stream.seek(len(text) + len(b"ElementDataFile") + after.index(b"\n") + 1)
            held = _inflate(stream)
    if not local:
        with (path.parent / target).open("rb") as stream:
            held = _inflate(stream)
    (sides,), (kind,) = (re.findall(rb"%s\s*=([^\r\n]*)" % key, text) for key in (b"DimSize", b"ElementType"))
    width = next((size for part, size in METAIMAGE_WIDTHS if part in kind), 1)
    if held < math.prod(map(int, sides.split())) * width:
        raise EOFError


def _check_nrrd(path: Path) -> None:
    """Looks where an NRRD's voxels are said to lie; its damage ITK tells itself."""
    with path.open("rb") as stream:
        text = re.split(rb"\r?\n\r?\n", stream.read(NRRD_HEADER_BYTES), maxsplit=1)[0]
    for target in re.findall(rb"(?im)^data ?file:[ \t]*(.*?)[ \t\r]*$", text):
        _check_beside(target.decode("ascii"), path.name)


def _check_beside(target: str, name: str) -> None:
    """Raises ScanError unless detached voxels lie in one file of the header's own folder."""
    if not re.fullmatch(r"[^/\\%\s]+", target) or target.upper() == "LIST" or target.startswith(".."):
        raise ScanError(
            f"{name}: its voxels are said to lie in another folder or in several files; wanted one file beside it"
        )


def _inflate(stream: BinaryIO) -> int:
    """How many bytes there are, inflated."""
    inflater, size = zlib.decompressobj(zlib.MAX_WBITS | 32), 0  # zlib or gzip wrapping
    while chunk := stream.read(PACKED_BYTES):
        size += len(inflater.decompress(chunk))
        if size > MAX_VOXEL_BYTES:
            raise ValueError
    if not inflater.eof:
        raise EOFError
    return size
