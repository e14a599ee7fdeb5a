"""One region of interest of a DICOM RT structure set, its contours filled on the grid of its CT."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from pydicom import Dataset

from gc_ray.errors import MaskError
from gc_ray.imaging.contour_notes import contour_notes, dropped_notes, dropped_words
from gc_ray.imaging.contour_slices import FilledSlice, Placed, Reading, fill_slice, traced_from_voxels
from gc_ray.imaging.contours import outline
from gc_ray.imaging.dicom_files import DicomFile, blaming, text
from gc_ray.imaging.dicom_names import name_readings
from gc_ray.imaging.grid import Grid
from gc_ray.imaging.roi import check_reference, check_size, choose_roi, finished, off_plane_remark, on_plane, shown
from gc_ray.imaging.scan import Notes, RoiMask, ScanGeometry

RT_STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
# Contour Geometric Type (DICOM PS3.3, C.8.8.6.1) without "_" and blanks, since spellings vary
PLANAR = ("CLOSEDPLANAR", "INTERPOLATEDPLANAR")
XOR = ("CLOSEDPLANARXOR",)
EDGE_TOLERANCE = 1e-3  # voxels; contours may touch the border of the outermost voxels, up to rounding


@dataclass(frozen=True)
class Roi:
    """A region in the file's list.

    readings: its name in other character sets than the stated one. frame: its frame of reference UID or empty.
    """

    number: int
    name: str
    readings: tuple[str, ...]
    frame: str


@dataclass(frozen=True)
class Contour:
    """A contour of a region, counted from 1: its geometric type in capital letters alone, its points (n, 3) in LPS
    millimetres, its images."""

    number: int
    kind: str
    points: np.ndarray
    images: tuple[str, ...]


@dataclass(frozen=True)
class ContourPlan:
    """One region by slice index; ``what`` names it in messages."""

    what: str
    slices: dict[int, np.ndarray]
    notes: Notes


def roi_names(file: DicomFile) -> tuple[str, ...]:
    """The regions' names in the order of the file."""
    return tuple(roi.name for roi in _rois(file))


def plan_contours(file: DicomFile, roi: str | None, ct: ScanGeometry) -> ContourPlan:
    """The voxels of one region, slice by slice.

    roi: ROI name, or ROI number as text. Raises MaskError when the ROI is absent or has no closed contour, belongs to
    another frame of reference, mixes both types of closed contours, encloses too few voxels, or a contour lies
    outside the volume, between slices or oblique to them.
    """
    rois = _rois(file)
    index, notes = choose_roi(roi, [(r.number, r.name) for r in rois], file.name, [r.readings for r in rois])
    chosen = rois[index]
    what = f"{file.name}: ROI {shown(chosen.name)}"
    if [r.number for r in rois].count(chosen.number) > 1:
        raise MaskError(f"{what}: several ROIs have its number {chosen.number}; export the structure set again")
    contours = _contours(file, chosen.number, what)
    images = [uid for contour in contours for uid in contour.images]
    notes += check_reference(chosen.frame, images, ct, file.name)
    placed, reading, distances = _read(contours, ct.grid, what)
    slices = _filled(placed, ct.grid.shape[1:], reading, what)
    check_size(sum(int(np.count_nonzero(one.region)) for one in slices), what)
    read = {one.number for one in placed}
    notes += dropped_notes([(len(c.points), c.kind) for c in contours if c.number not in read], what)
    notes += contour_notes(slices, reading.traced, what) + off_plane_remark(distances, file.name)
    return ContourPlan(what, {one.slice: one.region for one in slices}, notes)


def read_contours(file: DicomFile, roi: str | None, ct: ScanGeometry) -> RoiMask:
    """One region on exactly the CT's grid: voxels whose centre its contours enclose.

    Raises MaskError as ``plan_contours`` does.
    """
    plan = plan_contours(file, roi, ct)
    inside = np.zeros(ct.grid.shape, np.uint8)
    for k, region in plan.slices.items():
        inside[k] = region
    return finished(inside, ct.grid, plan.notes, plan.what)


def _rois(file: DicomFile) -> list[Roi]:
    with blaming(file.name, "its list of ROIs is missing or invalid"):
        default = text(file, "FrameOfReferenceUID")
        for item in file.header.get("ReferencedFrameOfReferenceSequence") or []:
            default = default or str(item.get("FrameOfReferenceUID") or "")
        return [
            Roi(
                int(item.ROINumber),
                *name_readings(item, "ROIName", file.header),
                str(item.get("ReferencedFrameOfReferenceUID") or default),
            )
            for item in file.header.StructureSetROISequence
        ]


def _contours(file: DicomFile, number: int, what: str) -> list[Contour]:
    with blaming(file.name, "its contours are invalid or cut short; export the structure set again"):
        if "ROIContourSequence" not in file.header:
            raise MaskError(f"{what} has no contours: ROIContourSequence is missing; export the structure set again")
        items = [i for i in file.header.ROIContourSequence if int(i.ReferencedROINumber) == number]
        drawn = [c for item in items for c in item.get("ContourSequence") or []]
        found = [_contour(c, n) for n, c in enumerate(drawn, 1)]
    if not found:
        raise MaskError(f"{what} is empty: no contours, so no voxels")
    return found


def _contour(item: Dataset, number: int) -> Contour:
    points, stated = _coordinates(item).reshape(-1, 3), item.get("NumberOfContourPoints")
    if (stated is not None and len(points) != int(stated)) or not np.isfinite(points).all():
        raise ValueError
    images = tuple(str(i.ReferencedSOPInstanceUID) for i in item.get("ContourImageSequence") or [])
    kind = re.sub(r"[^A-Z]", "", str(item.get("ContourGeometricType") or "").upper())
    return Contour(number, kind, points, images)


def _coordinates(item: Dataset) -> np.ndarray:
    """Contour data as floats, straight from the text: pydicom's decimal objects cost a hundred times more."""
    element = item.get_item("ContourData")
    text = (element.value or b"").decode("ascii").strip("\0 ") if element is not None else ""
    return np.array(text.split("\\") if text else [], float)


def _read(contours: list[Contour], grid: Grid, what: str) -> tuple[list[Placed], Reading, list[float]]:
    """(the contours that count, on their slices; how they are read; distances from the slice planes in mm).

    Contours of one or two points count when all were traced from voxels: they are single voxels and lines of them.
    """
    closed = [c for c in contours if c.kind in PLANAR + XOR and len(c.points)]
    areas = [c for c in closed if len(c.points) >= 3]
    placed, distances = _placed(areas, grid, what)
    if closed and traced_from_voxels(one.line for one in placed):
        short, off = _placed([c for c in closed if len(c.points) < 3], grid, what)
        if traced_from_voxels(one.line for one in short):
            both = sorted(placed + short, key=lambda one: one.number)
            return both, Reading(_is_xor(closed, what), traced=True), distances + off
    if not areas:
        why = dropped_words([(len(c.points), c.kind) for c in contours])
        raise MaskError(f"{what} is empty: no closed contours, so no voxels ({why}); export the structure set again")
    return placed, Reading(_is_xor(areas, what), traced=False), distances


def _is_xor(contours: list[Contour], what: str) -> bool:
    """Whether the contours are exclusive; raises MaskError when some are and some are not."""
    exclusive = sum(c.kind in XOR for c in contours)
    if 0 < exclusive < len(contours):
        raise MaskError(
            f"{what}: {exclusive} of {len(contours)} contours are CLOSEDPLANAR_XOR, the others CLOSED_PLANAR; holes "
            "cannot be told; export the structure set with one contour type for each ROI"
        )
    return exclusive > 0


def _placed(contours: list[Contour], grid: Grid, what: str) -> tuple[list[Placed], list[float]]:
    """(the contours on their slices, distances from the slice planes in mm)."""
    placed, distances = [], []
    for contour in contours:
        at = grid.mm_to_index(contour.points)
        k, off = on_plane(at[:, 2], grid, f"{what}: contour {contour.number}")
        _check_inside(at, grid, f"{what}: contour {contour.number}")
        distances.append(off)
        placed.append(Placed(contour.number, k, outline(at[:, :2])))
    return placed, distances


def _filled(placed: list[Placed], shape: tuple[int, int], reading: Reading, what: str) -> list[FilledSlice]:
    """The region's voxels on every slice that has contours."""
    by_slice: dict[int, list[Placed]] = defaultdict(list)
    for contour in placed:
        by_slice[contour.slice].append(contour)
    return [fill_slice(members, shape, reading, what) for _, members in sorted(by_slice.items())]


def _check_inside(at: np.ndarray, grid: Grid, what: str) -> None:
    """Raises MaskError when points reach beyond the outermost voxels in x or y."""
    margin = 0.5 + EDGE_TOLERANCE
    if at[:, :2].min() < -margin or (at[:, :2].max(axis=0) > np.array(grid.size[:2]) - 1 + margin).any():
        raise MaskError(f"{what} reaches outside the volume; wanted contours drawn on this series")
