"""One segment of a DICOM SEG object (binary, fractional or label map) on the grid of its CT."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.pixels import iter_pixels

from gc_ray.errors import MaskError
from gc_ray.imaging.dicom_files import DicomFile, blaming, dicom_stream, numbers, printable_uid, text
from gc_ray.imaging.dicom_names import name_readings
from gc_ray.imaging.grid import Grid
from gc_ray.imaging.pixels import check_pixel_bytes
from gc_ray.imaging.roi import check_reference, choose_roi, finished, off_plane_remark, shown
from gc_ray.imaging.scan import Notes, RoiMask, ScanGeometry
from gc_ray.imaging.seg_frames import Frame, Place, Turn, covered, locate, put_frame, refuse_mismatch, turn_of

# SOP classes Segmentation Storage and Label Map Segmentation Storage
SEGMENTATION = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")

HALF = 0.5  # share of the maximum from which a fractional voxel counts as inside


@dataclass(frozen=True)
class SegmentPlan:
    """What fills one segment: frame indices, where each one lies (None: beyond the slices), and the stored values
    from ``lowest`` to ``highest`` that count as inside."""

    label: str
    frames: tuple[int, ...]
    places: tuple[Place | None, ...]
    turn: Turn
    shape: tuple[int, int]
    lowest: float
    highest: float
    notes: Notes


def segment_names(file: DicomFile) -> tuple[str, ...]:
    """The segments' labels in the order of the file."""
    return tuple(label for _, label, _ in _segments(file))


def plan_segment(file: DicomFile, roi: str | None, ct: ScanGeometry) -> SegmentPlan:
    """Where one segment's frames lie on the CT's grid, from the header alone.

    roi: segment number as text, or SegmentLabel. Raises MaskError when the segment is absent or has no frames, the
    object belongs to another frame of reference, or a frame does not lie on the grid.
    """
    segments = _segments(file)
    names = [(number, label) for number, label, _ in segments]
    index, notes = choose_roi(roi, names, file.name, [readings for _, _, readings in segments])
    number, label = names[index]
    what = f"{file.name}: ROI {shown(label)}"
    shape, frames, images = _frames(file, number, what)
    notes += check_reference(text(file, "FrameOfReferenceUID"), images, ct, file.name)
    places, turn = _places(frames, shape, ct.grid, what)
    lowest, highest, remark = _inside_values(file, number)
    notes += _place_notes(places, turn, shape, ct.grid, file.name) + remark
    indices = tuple(frame.index for frame in frames)
    return SegmentPlan(label, indices, places, turn, shape, lowest, highest, notes)


def read_segment(file: DicomFile, roi: str | None, ct: ScanGeometry) -> RoiMask:
    """One segment on exactly the CT's grid; frames are placed by position, and only this segment's are decoded.

    Raises MaskError as ``plan_segment`` does, when the segment is empty, its frames cannot be decoded, or it has
    voxels outside the CT.
    """
    plan = plan_segment(file, roi, ct)
    inside, outside = np.zeros(ct.grid.shape, np.uint8), 0
    with blaming(file.name, f"its frames cannot be decoded (transfer syntax {printable_uid(file.transfer_syntax)})"):
        for place, pixels in zip(plan.places, _decoded(file, plan), strict=True):
            marked = ((pixels >= plan.lowest) & (pixels <= plan.highest)).astype(np.uint8)
            outside += np.count_nonzero(marked) if place is None else put_frame(marked, place, plan.turn, inside)
    what = f"{file.name}: ROI {shown(plan.label)}"
    if outside:
        raise MaskError(f"{what}: {outside} of its voxels lie outside the volume; wanted the mask of this CT")
    return finished(inside, ct.grid, plan.notes, what)


def _places(
    frames: list[Frame], shape: tuple[int, int], grid: Grid, what: str
) -> tuple[tuple[Place | None, ...], Turn]:
    """Where frames lie; MaskError when they do not lie on the grid, or as a whole beside the CT."""
    turns = {turn_of(frame, grid, f"{what}: frame {frame.index + 1}") for frame in frames}
    if len(turns) > 1:
        raise MaskError(f"{what} has frames in several orientations; wanted frames parallel to each other")
    (turn,) = turns
    places = [locate(frame, shape, turn, grid, f"{what}: frame {frame.index + 1}") for frame in frames]
    found = [place for place in places if place is not None]
    if not found:
        raise MaskError(f"{what}: all its frames lie outside the volume; wanted the mask of this CT")
    if len({place.start[turn.fixed] for place in found}) < len(found):
        raise MaskError(f"{what} has several frames on one CT slice; wanted one frame per slice")
    for place in found:
        begin, end = covered(place, shape, turn)
        if turn.none and ((end <= 0).any() or (begin >= grid.size).any()):
            raise MaskError(f"{what} reaches outside the volume")
        if _beyond(begin, end, grid) and not turn.none:
            refuse_mismatch(what, "axes reversed or exchanged, and it reaches outside the volume")
        if _beyond(begin, end, grid) and shape == grid.shape[1:]:
            raise MaskError(f"{what} reaches outside the volume: of the CT's size and shifted against it")
    return tuple(places), turn


def _beyond(begin: np.ndarray, end: np.ndarray, grid: Grid) -> bool:
    return bool((begin < 0).any() or (end > grid.size).any())


def _place_notes(
    places: tuple[Place | None, ...], turn: Turn, shape: tuple[int, int], grid: Grid, name: str
) -> Notes:
    found = [place for place in places if place is not None]
    repairs = ()
    if not turn.none:
        repairs += (f"{name}: axes run another way than the CT's ({turn.words()}): exact index flip, values equal",)
    if len(found) < len(places) or any(_beyond(*covered(place, shape, turn), grid) for place in found):
        repairs += (f"{name}: reaches beyond the CT, where the region must have no voxel; cropped to the CT",)
    across = (grid.size[turn.column], grid.size[turn.row])
    part = (
        f"{name}: frames of {shape[0]} x {shape[1]} pixels where the CT has {across[0]} x {across[1]}, padded with 0"
    )
    remarks = (part,) if shape[0] < across[0] or shape[1] < across[1] else ()
    return Notes(repairs, remarks) + off_plane_remark([place.off_mm for place in found], name)


def _decoded(file: DicomFile, plan: SegmentPlan) -> Iterator[np.ndarray]:
    """The plan's frames (rows, columns) as stored values, one at a time."""
    if file.pixels.encapsulated or numbers(file, "BitsAllocated", 1) != (1.0,):
        with dicom_stream(file.path, file.name) as stream:
            yield from iter_pixels(stream, indices=plan.frames, raw=True)
        return
    # Bits run on from frame to frame (PS3.5, 8.1.1); pydicom cannot take out frames that begin within a byte.
    with dicom_stream(file.path, file.name) as stream:
        packed = np.frombuffer(pydicom.dcmread(stream, specific_tags=["PixelData"]).PixelData, np.uint8)
    bits = plan.shape[0] * plan.shape[1]
    for index in plan.frames:
        first, skipped = divmod(index * bits, 8)
        frame = np.unpackbits(packed[first : first + (skipped + bits + 7) // 8], bitorder="little")
        yield frame[skipped : skipped + bits].reshape(plan.shape)


def _segments(file: DicomFile) -> list[tuple[int, str, tuple[str, ...]]]:
    """(number, label, the label in other character sets) of every segment."""
    with blaming(file.name, "its list of segments is missing or invalid"):
        items = file.header.SegmentSequence
        found = [(int(item.SegmentNumber), *name_readings(item, "SegmentLabel", file.header)) for item in items]
    return [segment for segment in found if segment[0] != 0]  # 0 is a label map's background


def _frames(file: DicomFile, number: int, what: str) -> tuple[tuple[int, int], list[Frame], list[str]]:
    """((rows, columns), the segment's frames, SOP UIDs of the images they were drawn on)."""
    with blaming(file.name, "its functional groups are incomplete or invalid; export the segmentation again"):
        shape = int(file.header.Rows), int(file.header.Columns)
        groups = list(file.header.PerFrameFunctionalGroupsSequence)
        shared = (file.header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
        whole = text(file, "SegmentationType") == "LABELMAP"  # every frame may hold every segment
        asked = [(i, own) for i, own in enumerate(groups) if whole or _segment_of(own, shared) == number]
        frames = [_frame(i, own, shared) for i, own in asked]
        images = [uid for _, own in asked for uid in _source_images(own)] or _series_images(file.header)
    check_pixel_bytes(file, shape[0] * shape[1] * len(groups))
    if not frames:
        raise MaskError(f"{what} is empty: no frames, so no voxels")
    return shape, frames, images


def _group(own: Dataset, shared: Dataset, keyword: str) -> Dataset:
    """A functional group of one frame, its own or the one shared by all."""
    return (own.get(keyword) or shared[keyword].value)[0]


def _segment_of(own: Dataset, shared: Dataset) -> int:
    return int(_group(own, shared, "SegmentIdentificationSequence").ReferencedSegmentNumber)


def _frame(index: int, own: Dataset, shared: Dataset) -> Frame:
    position = _group(own, shared, "PlanePositionSequence").ImagePositionPatient
    cosines = _group(own, shared, "PlaneOrientationSequence").ImageOrientationPatient
    spacing = _group(own, shared, "PixelMeasuresSequence").PixelSpacing
    values = np.array([*position, *cosines, *spacing], float)
    if values.shape != (11,) or not np.isfinite(values).all():
        raise ValueError
    return Frame(index, values[:3], values[3:9].reshape(2, 3), values[9:])


def _inside_values(file: DicomFile, number: int) -> tuple[float, float, Notes]:
    """(lowest, highest) stored value of a voxel inside, with a remark for fractions."""
    kind = text(file, "SegmentationType")
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
    return HALF * most[0], np.inf, Notes(remarks=(remark,))


def _source_images(own: Dataset) -> list[str]:
    derivations: Any = own.get("DerivationImageSequence") or []
    return [str(s.ReferencedSOPInstanceUID) for d in derivations for s in d.get("SourceImageSequence") or []]


def _series_images(header: Dataset) -> list[str]:
    series: Any = header.get("ReferencedSeriesSequence") or []
    return [str(i.ReferencedSOPInstanceUID) for s in series for i in s.get("ReferencedInstanceSequence") or []]
