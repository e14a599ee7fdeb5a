"""MetaImage files: what is checked before ITK reads them.

ITK returns what a corrupted compressed stream left in memory, and fills as many axes as a header says.
"""

from __future__ import annotations

import math
import re
import zlib
from pathlib import Path
from typing import BinaryIO

from gc_ray.errors import ScanError
from gc_ray.imaging.detached import beside, voxel_files
from gc_ray.imaging.scan import Notes

SUFFIXES = (".mha", ".mhd")
HEADER_BYTES = 1 << 16  # a MetaImage header is a few hundred bytes of text
PACKED_BYTES = 1 << 14  # of a zlib stream, which may grow a thousandfold: 16 MiB
MAX_VOXEL_BYTES = 1 << 32  # of a volume: 4 GiB, 1024 x 1024 x 1024 of 32 bits
WIDTHS = ((b"DOUBLE", 8), (b"LONG_LONG", 8), (b"SHORT", 2), (b"FLOAT", 4), (b"INT", 4), (b"LONG", 4))


def check_metaimage(path: Path) -> Notes:
    """Check a header before ITK sees it.

    Returns
    -------
    Notes
        What the header leaves unsaid.

    Raises
    ------
    ScanError
        For units other than millimetres.
    ValueError
        For a number of axes that is none.
    """
    fields, _, text = _header(path)
    if not all(re.fullmatch(rb"[1-9]", axes) for axes in re.findall(rb"NDims\s*[=:]?\s*(\S*)", text)):
        raise ValueError
    if fields.get(b"DistanceUnits", b"mm").lower() not in (b"mm", b"?", b""):
        raise ScanError(f"{path.name}: the header counts in another unit than mm (DistanceUnits); save it in mm")
    spaced = b"ElementSpacing" in fields or b"ElementSize" in fields
    return Notes(() if spaced else (f"{path.name}: the header states no voxel size; 1 mm is taken",))


def check_metaimage_voxels(path: Path) -> None:
    """Inflate a compressed MetaImage to the end, where zlib compares its checksum; plain ones ITK checks itself.

    Raises
    ------
    EOFError, ValueError, zlib.error
        When it is cut short, holds fewer bytes than it says or far more than a CT.
    """
    fields, end, _ = _header(path)
    if fields.get(b"CompressedData", b"").lower() != b"true":
        return
    with path.open("rb") as stream:
        names = voxel_files(stream.read(HEADER_BYTES))
    held = 0
    for name in names or (path.name,):
        with (path.parent / str(beside(name))).open("rb") as stream:
            stream.seek(0 if names else end)
            held += _inflated_bytes(stream)
    width = next((size for part, size in WIDTHS if part in fields[b"ElementType"]), 1)
    if held < math.prod(map(int, fields[b"DimSize"].split())) * width:
        raise EOFError


def _header(path: Path) -> tuple[dict[bytes, bytes], int, bytes]:
    """The header's keys and values, where it ends, and its text up to the line that names the voxels' file."""
    with path.open("rb") as stream:
        head = stream.read(HEADER_BYTES)
    text, _, after = head.partition(b"ElementDataFile")
    lines = (re.split(rb"\s*[=:]\s*", line.strip(), maxsplit=1) for line in text.splitlines())
    end = len(text) + len(b"ElementDataFile") + after.find(b"\n") + 1
    return {pair[0]: pair[1] for pair in lines if len(pair) == 2}, end, text


def _inflated_bytes(stream: BinaryIO) -> int:
    """How many bytes a compressed stream holds."""
    inflater, size = zlib.decompressobj(zlib.MAX_WBITS | 32), 0  # zlib or gzip wrapping
    while chunk := stream.read(PACKED_BYTES):
        size += len(inflater.decompress(chunk))
        if size > MAX_VOXEL_BYTES:
            raise ValueError
    if not inflater.eof:
        raise EOFError
    return size
