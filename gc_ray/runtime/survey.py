"""A first look at each scan, without pixels: has its source changed, and how much memory will it need."""

from __future__ import annotations

import io
import math
import re
import struct
import zlib
from dataclasses import dataclass

import pydicom

from gc_ray.cohort.manifest import ScanRow
from gc_ray.errors import StoreError
from gc_ray.imaging.dicom_files import bounded
from gc_ray.runtime.memory import scan_bytes
from gc_ray.source import DETACHED, Source, head_bytes, joint_stamp, list_source

HEAD_BYTES = 1 << 16  # bytes of one slice that hold its header up to the pixels, in practice
WIDTHS = (("double", 8), ("float", 4), ("char", 1), ("int8", 1), ("short", 2), ("int16", 2), ("int", 4))
COMPRESSION = 4  # how much a compressed file may grow, where its header cannot be read without fetching all of it


@dataclass(frozen=True)
class Survey:
    """stamp: a digest of image and mask listings; empty where they cannot be listed.

    memory: bytes that extraction needs, going by the header. seen: whether image and mask are there.
    """

    stamp: str
    memory: int
    seen: bool = False


def survey_scan(row: ScanRow, settled: str = "") -> Survey:
    """The survey of one scan; never raises.

    A source that is not there counts as empty, one that cannot be read has no stamp; its own task says what is wrong.

    settled: the stamp with which there is nothing to do, so that no header is read.
    """
    try:
        image, mask = list_source(row.image_uri), list_source(row.mask_uri)
    except (OSError, StoreError):
        return Survey("", scan_bytes(0))
    stamp = joint_stamp([image, mask])
    seen = bool(image.parts and mask.parts)
    return Survey(stamp, 0 if stamp == settled else scan_bytes(volume_bytes(image)), seen)


def volume_bytes(source: Source) -> int:
    """Bytes of the decoded image as its header tells; from file sizes where no header can be read.

    Headers are parsed here, in Python: a damaged file must not bring a C++ reader down before its own task begins.
    """
    if not source.parts:
        return 0
    largest = max(source.parts, key=lambda part: part.size)
    detached = (part for part in source.parts if part.key.lower().endswith(DETACHED))
    try:
        head = head_bytes(source.uri, next(detached, largest), HEAD_BYTES)
    except (OSError, StoreError):  # its own task says so
        head = b""
    for header, copies in ((_dicom, len(source.parts)), (_nifti, 1), (_nrrd, 1), (_meta_image, 1)):
        try:
            found = header(head)
        except Exception:  # noqa: BLE001 - damaged headers raise anything; the scan's own task names the fault
            found = None
        if found:
            return found * copies
    return source.bytes * (COMPRESSION if largest.key.endswith(".gz") else 1)


def _dicom(head: bytes) -> int | None:
    """Bytes of one DICOM file's pixels, HU in int16."""
    tags = ["Rows", "Columns", "NumberOfFrames"]
    found = pydicom.dcmread(bounded(io.BytesIO(head), "head"), stop_before_pixels=True, specific_tags=tags)
    return int(found.Rows) * int(found.Columns) * int(found.get("NumberOfFrames") or 1) * 2


def _nifti(head: bytes) -> int | None:
    """Bytes of a NIfTI-1 volume: dim at byte 40, bitpix at byte 72, in the byte order that makes dim[0] 1 to 7."""
    if head[:2] == b"\x1f\x8b":
        head = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, 352)
    if head[344:347] not in (b"n+1", b"ni1"):
        return None
    order = "<" if 1 <= struct.unpack_from("<h", head, 40)[0] <= 7 else ">"
    axes, *dim = struct.unpack_from(f"{order}8h", head, 40)
    return math.prod(dim[:axes]) * struct.unpack_from(f"{order}h", head, 72)[0] // 8


def _nrrd(head: bytes) -> int | None:
    """Bytes of an NRRD volume by its text header."""
    if not head.startswith(b"NRRD"):
        return None
    return _by_text(head, rb"^sizes: *(.+)$", rb"^type: *(.+)$")


def _meta_image(head: bytes) -> int | None:
    """Bytes of a MetaImage volume by its text header."""
    return _by_text(head, rb"^DimSize *= *(.+)$", rb"^ElementType *= *(.+)$")


def _by_text(head: bytes, sizes: bytes, kind: bytes) -> int | None:
    shape, element = re.search(sizes, head, re.MULTILINE), re.search(kind, head, re.MULTILINE)
    if not shape or not element:
        return None
    name = element[1].decode("ascii").lower()
    width = next((size for part, size in WIDTHS if part in name), 2)
    return math.prod(int(n) for n in shape[1].split()) * width
