"""A first look at each scan, without pixels: has its source changed, and how much memory will it need."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk

from gc_ray.cohort.manifest import ScanRow
from gc_ray.runtime.memory import scan_bytes
from gc_ray.source import Source, head_bytes, joint_stamp, list_source

HEAD_BYTES = 1 << 16  # bytes of one slice that hold its header up to the pixels, in practice
COMPRESSION = 4  # how much a compressed file may grow, where its header cannot be read without fetching all of it


@dataclass(frozen=True)
class Survey:
    """stamp: a digest of image and mask listings. memory: bytes that extraction needs, going by the header."""

    stamp: str
    memory: int


def survey_scan(row: ScanRow) -> Survey:
    """The survey of one scan; a source that is not there counts as empty, its own task will say what is wrong."""
    image, mask = list_source(row.image_uri), list_source(row.mask_uri)
    return Survey(joint_stamp([image, mask]), scan_bytes(volume_bytes(image)))


def volume_bytes(source: Source) -> int:
    """Bytes of the decoded image, from headers; from file sizes where no header can be read."""
    if not source.parts:
        return 0
    first = max(source.parts, key=lambda part: part.size)
    header = _dicom_header(source, first)
    if header is not None:
        return header * len(source.parts)
    if not source.uri.startswith("s3://") and len(source.parts) <= 2:
        return _file_header(source.uri)
    compressed = first.key.endswith(".gz")
    return source.bytes * (COMPRESSION if compressed else 1)


def _dicom_header(source: Source, part) -> int | None:
    try:
        head = io.BytesIO(head_bytes(source.uri, part, HEAD_BYTES))
        tags = ["Rows", "Columns", "NumberOfFrames", "BitsAllocated"]
        slice_ = pydicom.dcmread(head, stop_before_pixels=True, specific_tags=tags)
        return int(slice_.Rows) * int(slice_.Columns) * int(slice_.get("NumberOfFrames") or 1) * 2
    except Exception:  # noqa: BLE001 - damaged headers raise anything; the scan's own task names the fault
        return None


def _file_header(uri: str) -> int:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(Path(uri)))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return 0
    wide = {sitk.sitkFloat64: 8, sitk.sitkFloat32: 4, sitk.sitkInt32: 4, sitk.sitkUInt32: 4}
    return int(np.prod(reader.GetSize())) * wide.get(reader.GetPixelID(), 2)
