"""Finds damage in voxel files that ITK passes over: it fills a short NIfTI up, turns its NaN into 0, and returns
what a broken MetaImage stream left in memory."""

from __future__ import annotations

import gzip
import math
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
NIFTI_FLOATS = {16: "f4", 64: "f8"}  # datatype codes of the NIfTI-1 standard that can hold NaN
METAIMAGE_HEADER_BYTES = 1 << 16  # a MetaImage header is a few hundred bytes of text


def check_voxel_file(path: Path) -> None:
    """Raises ScanError when a NIfTI or MetaImage file is cut short, corrupt or holds values that are not finite.

    NRRD needs no look: ITK itself refuses a damaged one.
    """
    name = path.name.lower()
    with blaming(path.name, "voxels cannot be read (truncated or damaged file); copy it again"):
        if name.endswith((".nii", ".nii.gz")):
            _check_nifti(path)
        elif name.endswith((".mha", ".mhd")):
            _check_metaimage(path)


def _check_nifti(path: Path) -> None:
    with path.open("rb") as plain:
        packed = plain.read(2) == GZIP_MAGIC
    with gzip.open(path) if packed else path.open("rb") as stream:
        offset, left, number = _nifti_layout(stream.read(540))
        stream.seek(offset)
        while left and (chunk := stream.read(min(CHUNK_BYTES, left))):
            left -= len(chunk)
            if number and not np.isfinite(np.frombuffer(chunk, number)).all():
                raise ScanError(f"{path.name}: holds NaN or infinite values; export it again")
        while stream.read(CHUNK_BYTES):  # to the end, where gzip compares its checksum
            pass
    if left:
        raise ScanError(f"{path.name}: truncated, {left} bytes of voxels are missing; copy it again")


def _nifti_layout(header: bytes) -> tuple[int, int, np.dtype | None]:
    """(offset of the voxels, their bytes, their type if floating) from a NIfTI-1 or NIfTI-2 header."""
    order = "<" if struct.unpack("<i", header[:4])[0] in (348, 540) else ">"
    if struct.unpack(order + "i", header[:4])[0] == 348:
        dims = struct.unpack(order + "8h", header[40:56])
        code, bits = struct.unpack(order + "2h", header[70:74])
        (offset,) = struct.unpack(order + "f", header[108:112])
    else:
        code, bits = struct.unpack(order + "2h", header[12:16])
        dims = struct.unpack(order + "8q", header[16:80])
        (offset,) = struct.unpack(order + "q", header[168:176])
    number = np.dtype(order + NIFTI_FLOATS[code]) if code in NIFTI_FLOATS else None
    return int(offset), math.prod(dims[1 : dims[0] + 1]) * bits // 8, number


def _check_metaimage(path: Path) -> None:
    """Inflates a compressed MetaImage to the end, where zlib compares its checksum; plain ones ITK checks itself."""
    with path.open("rb") as stream:
        head = stream.read(METAIMAGE_HEADER_BYTES)
        text, _, after = head.partition(b"ElementDataFile")
        fields = dict(line.split(b"=", 1) for line in text.replace(b" ", b"").splitlines() if b"=" in line)
        if fields.get(b"CompressedData", b"").lower() != b"true":
            return
        target = after.split(b"\n", 1)[0].strip(b"= \r").decode("ascii")
        if target.upper() == "LOCAL":
            stream.seek(len(text) + len(b"ElementDataFile") + after.index(b"\n") + 1)
            _inflate(stream)
            return
    with (path.parent / target).open("rb") as stream:
        _inflate(stream)


def _inflate(stream: BinaryIO) -> None:
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)  # zlib or gzip wrapping
    while chunk := stream.read(PACKED_BYTES):
        inflater.decompress(chunk)
    if not inflater.eof:
        raise EOFError
