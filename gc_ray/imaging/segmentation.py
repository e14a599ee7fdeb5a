"""One segment of a DICOM SEG object (binary, fractional or label map) on the grid of its CT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.pixels import iter_pixels

from gc_ray.errors import MaskError
from gc_ray.imaging.dicom_files import DicomFile, blaming, numbers, text
from gc_ray.imaging.grid import Grid
from gc_ray.imaging.pixels import check_pixel_bytes
from gc_ray.imaging.roi import check_reference, choose_roi, finished, off_plane_remark, on_plane
from gc_ray.imaging.scan import Notes, RoiMask, ScanGeometry

SEGMENTATION = (
    "1.2.840.10008.5.1.4.1.1.66.4",
    "1.2.840.10008.5.1.4.1.1.66.7",
)  # Segmentation, Label Map Segmentation

IN_PLANE_MM = 0.01  # a frame's corners must meet voxel centres this closely; headers round to 1e-4 or finer
HALF = 0.5  # share of the maximum from which a fractional voxel counts as inside


@dataclass(frozen=True)
class Frame:
    """A frame of the file, and the corner voxel (x, y, z) of the CT's grid on which its first pixel lies."""

    index: int
    start: tuple[int, int, int]


@dataclass(frozen=True)
class SegmentPlan:
    """Where the frames of one segment go, and from which stored values on a voxel is inside."""

    name: str
    label: str
    lowest: float
    highest: float
    frames: tuple[Frame, ...]
    shape: tuple[int, int]
    notes: Notes


def segment_names(file: DicomFile) -> tuple[str, ...]:
    """The segments' labels in the order of the file."""
    return tuple(label for _, label in _segments(file))


def plan_segment(file: DicomFile, roi: str | None, ct: ScanGeometry) -> SegmentPlan:
    """Where one segment's frames lie on the CT's grid, from the header alone.

    roi: segment number as text, or SegmentLabel. Raises MaskError when the segment is absent or has no frames, the
    object belongs to another frame of reference, or a frame does not lie on the grid.
    """
    segments = _segments(file)
    index, notes = choose_roi(roi, segments, file.name)
    number, label = segments[index]
    with blaming(file.name, "its functional groups are incomplete or invalid; export the segmentation again"):
        shape = int(file.header.Rows), int(file.header.Columns)
        listed = list(file.header.PerFrameFunctionalGroupsSequence)
        kind = text(file, "SegmentationType").upper()
        labelmap = kind == "LABELMAP"
        shared = (file.header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
        asked = [(i, g) for i, g in enumerate(listed) if labelmap or _segment_of(g, shared) == number]
        sources = [uid for _, group in asked for uid in _source_images(group)] or _series_images(file.header)
        places = [(i, *_place(group, shared)) for i, group in asked]
    check_pixel_bytes(file, shape[0] * shape[1] * len(listed))
    if not asked:
        raise MaskError(f"{file.name}: ROI {label!r} is empty: no frames, so no voxels")
    notes += check_reference(text(file, "FrameOfReferenceUID"), sources, ct, file.name)
    frames, distances = [], []
    for i, corners in ((i, _corners(shape, *place)) for i, *place in places):
        start, off = _locate(
            ct.grid.mm_to_index(corners), shape, ct.grid, f"{file.name}: frame {i + 1} of ROI {label!r}"
        )
        frames.append(Frame(i, start))
        distances.append(off)
    if len({frame.start[2] for frame in frames}) < len(frames):
        raise MaskError(f"{file.name}: ROI {label!r} has several frames on one CT slice; wanted one frame per slice")
    low, high, remark = _inside_values(file, kind, number)
    notes += off_plane_remark(distances, file.name) + remark
    return SegmentPlan(file.name, label, low, high, tuple(frames), shape, notes)


def read_segment(file: DicomFile, roi: str | None, ct: ScanGeometry) -> RoiMask:
    """One segment on exactly the CT's grid; frames are placed by position, and only this segment's are decoded.

    Raises MaskError as ``plan_segment`` does, and when the segment is empty or its frames cannot be decoded.
    """
    plan = plan_segment(file, roi, ct)
    inside = np.zeros(ct.grid.shape, np.uint8)
    rows, columns = plan.shape
    with blaming(file.name, f"its frames cannot be decoded (transfer syntax {file.transfer_syntax})"):
        decoded = iter_pixels(file.path, indices=[frame.index for frame in plan.frames], raw=True)
        for frame, pixels in zip(plan.frames, decoded, strict=True):
            x, y, z = frame.start
            inside[z, y : y + rows, x : x + columns] = (pixels >= plan.lowest) & (pixels <= plan.highest)
    return finished(inside, ct.grid, plan.notes, f"{plan.name}: ROI {plan.label!r}")


def _segments(file: DicomFile) -> list[tuple[int, str]]:
    with blaming(file.name, "its list of segments is missing or invalid"):
        items = file.header.SegmentSequence
        found = [(int(item.SegmentNumber), str(item.get("SegmentLabel") or "")) for item in items]
    return [(number, label) for number, label in found if number != 0]  # 0 is a label map's background


def _group(frame: Dataset, shared: Dataset, keyword: str) -> Dataset:
    """A functional group of one frame, its own or the one shared by all."""
    return (frame.get(keyword) or shared[keyword].value)[0]


def _segment_of(frame: Dataset, shared: Dataset) -> int:
    return int(_group(frame, shared, "SegmentIdentificationSequence").ReferencedSegmentNumber)


def _place(frame: Dataset, shared: Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(position, orientation as 2 x 3, spacing) of a frame, millimetres."""
    position = _group(frame, shared, "PlanePositionSequence").ImagePositionPatient
    orientation = _group(frame, shared, "PlaneOrientationSequence").ImageOrientationPatient
    spacing = _group(frame, shared, "PixelMeasuresSequence").PixelSpacing
    return np.array(position, float), np.array(orientation, float).reshape(2, 3), np.array(spacing, float)


def _corners(shape: tuple[int, int], position: np.ndarray, cosines: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """LPS coordinates of a frame's first pixel, the last of its first row, and the last of its first column."""
    along_row = cosines[0] * spacing[1] * (shape[1] - 1)
    along_column = cosines[1] * spacing[0] * (shape[0] - 1)
    return np.stack([position, position + along_row, position + along_column])


def _locate(corners: np.ndarray, shape: tuple[int, int], grid: Grid, what: str) -> tuple[tuple[int, int, int], float]:
    """The grid voxel of the first pixel, and the distance from the slice plane; MaskError when off the grid."""
    rows, columns = shape
    extent = np.array([[0, 0], [columns - 1, 0], [0, rows - 1]])
    spread = np.abs((corners - corners[0])[:, :2] - extent) * grid.spacing_mm[:2]
    if spread.max() > IN_PLANE_MM:
        raise MaskError(f"{what}: geometry mismatch, its pixel spacing or orientation is not the CT's")
    k, off = on_plane(corners[:, 2], grid, what)
    x, y = (round(float(v)) for v in corners[0, :2])
    if (np.abs(corners[0, :2] - (x, y)) * grid.spacing_mm[:2]).max() > IN_PLANE_MM:
        raise MaskError(f"{what} lies off the grid: shifted by a part of a voxel against the CT")
    if min(x, y) < 0 or x + columns > grid.size[0] or y + rows > grid.size[1]:
        raise MaskError(f"{what} reaches outside the volume")
    return (x, y, k), off


def _inside_values(file: DicomFile, kind: str, number: int) -> tuple[float, float, Notes]:
    """(lowest, highest) stored value of a voxel inside, with a remark for fractions."""
    if kind == "BINARY":
        return 1, 1, Notes()
    if kind == "LABELMAP":
        return number, number, Notes()
    if kind != "FRACTIONAL":
        raise MaskError(f"{file.name}: SegmentationType must be BINARY, FRACTIONAL or LABELMAP")
    most = numbers(file, "MaximumFractionalValue", 1)
    if most is None or most[0] <= 0:
        raise MaskError(f"{file.name}: fractional segmentation without MaximumFractionalValue; export it again")
    remark = f"{file.name}: fractional segmentation, inside from {HALF:g} of its maximum value on"
    return HALF * most[0], most[0], Notes(remarks=(remark,))


def _source_images(frame: Dataset) -> list[str]:
    derivations: Any = frame.get("DerivationImageSequence") or []
    return [str(s.ReferencedSOPInstanceUID) for d in derivations for s in d.get("SourceImageSequence") or []]


def _series_images(header: Dataset) -> list[str]:
    series: Any = header.get("ReferencedSeriesSequence") or []
    return [str(i.ReferencedSOPInstanceUID) for s in series for i in s.get("ReferencedInstanceSequence") or []]
