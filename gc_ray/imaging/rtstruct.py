"""One region of interest of a DICOM RT structure set, its contours filled on the grid of its CT."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from pydicom import Dataset

from gc_ray.errors import MaskError
from gc_ray.imaging.contours import fill_even_odd
from gc_ray.imaging.dicom_files import DicomFile, blaming, text
from gc_ray.imaging.grid import Grid
from gc_ray.imaging.roi import check_reference, choose_roi, finished, off_plane_remark, on_plane
from gc_ray.imaging.scan import Notes, RoiMask, ScanGeometry

RT_STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
EDGE_TOLERANCE = 1e-3  # voxels; contours may touch the border of the outermost voxels, up to rounding


@dataclass(frozen=True)
class Contour:
    """A drawn contour: its geometric type, its points (n, 3) in LPS millimetres, and the images it was drawn on."""

    kind: str
    points: np.ndarray
    images: tuple[str, ...]


@dataclass(frozen=True)
class ContourPlan:
    """The closed contours of one region by slice index, as polygons (n, 2) in continuous x, y voxel indices."""

    label: str
    polygons: dict[int, list[np.ndarray]]
    notes: Notes


def roi_names(file: DicomFile) -> tuple[str, ...]:
    """The regions' names in the order of the file."""
    return tuple(name for _, name, _ in _rois(file))


def plan_contours(file: DicomFile, roi: str | None, ct: ScanGeometry) -> ContourPlan:
    """The contours of one region, each on a slice of the CT.

    roi: ROI name, or ROI number as text. Raises MaskError when the ROI is absent or has no closed contour, belongs to
    another frame of reference, or a contour lies outside the volume, between slices or oblique to them.
    """
    rois = _rois(file)
    index, notes = choose_roi(roi, [(number, label) for number, label, _ in rois], file.name)
    number, label, frame = rois[index]
    what = f"{file.name}: ROI {label!r}"
    contours = _contours(file, number, what)
    images = [uid for contour in contours for uid in contour.images]
    notes += check_reference(frame, images, ct, file.name)
    closed = [c for c in contours if c.kind in CLOSED and len(c.points) >= 3]
    if not closed:
        raise MaskError(f"{what} is empty: no closed contours, so no voxels")
    polygons, distances, copies = _lay(closed, ct.grid, what)
    notes += _dropped_note(contours, copies, what) + _gap_note(polygons, what)
    return ContourPlan(label, polygons, notes + off_plane_remark(distances, file.name))


def read_contours(file: DicomFile, roi: str | None, ct: ScanGeometry) -> RoiMask:
    """One region on exactly the CT's grid: voxels whose centre an odd number of the slice's contours encloses.

    Raises MaskError as ``plan_contours`` does, and when no voxel's centre is enclosed.
    """
    plan = plan_contours(file, roi, ct)
    inside = np.zeros(ct.grid.shape, np.uint8)
    for k, polygons in plan.polygons.items():
        inside[k] = fill_even_odd(polygons, ct.grid.shape[1:])
    return finished(inside, ct.grid, plan.notes, f"{file.name}: ROI {plan.label!r}")


def _rois(file: DicomFile) -> list[tuple[int, str, str]]:
    """(number, name, frame of reference UID or empty) of every region."""
    with blaming(file.name, "its list of ROIs is missing or invalid"):
        default = text(file, "FrameOfReferenceUID")
        for item in file.header.get("ReferencedFrameOfReferenceSequence") or []:
            default = default or str(item.get("FrameOfReferenceUID") or "")
        items = file.header.StructureSetROISequence
        return [
            (int(i.ROINumber), str(i.get("ROIName") or ""), str(i.get("ReferencedFrameOfReferenceUID") or default))
            for i in items
        ]


def _contours(file: DicomFile, number: int, what: str) -> list[Contour]:
    with blaming(file.name, "its contours are invalid or cut short; export the structure set again"):
        if "ROIContourSequence" not in file.header:
            raise MaskError(f"{what} has no contours: ROIContourSequence is missing; export the structure set again")
        items = [i for i in file.header.ROIContourSequence if int(i.ReferencedROINumber) == number]
        found = [_contour(c) for item in items for c in item.get("ContourSequence") or []]
    if not found:
        raise MaskError(f"{what} is empty: no contours, so no voxels")
    return found


def _contour(item: Dataset) -> Contour:
    points = _coordinates(item).reshape(-1, 3)
    if len(points) != int(item.NumberOfContourPoints) or not np.isfinite(points).all():
        raise ValueError
    images = tuple(str(i.ReferencedSOPInstanceUID) for i in item.get("ContourImageSequence") or [])
    return Contour(str(item.get("ContourGeometricType") or ""), points, images)


def _coordinates(item: Dataset) -> np.ndarray:
    """Contour data as floats, straight from the text: pydicom's decimal objects cost a hundred times more."""
    return np.array(item.get_item("ContourData").value.decode("ascii").strip("\0 ").split("\\"), float)


def _lay(contours: list[Contour], grid: Grid, what: str) -> tuple[dict[int, list[np.ndarray]], list[float], int]:
    """(polygons by slice, distances from the slice planes in mm, how many exact copies were left out).

    A copy is left out because by the even-odd rule two equal contours would cancel.
    """
    polygons: dict[int, list[np.ndarray]] = defaultdict(list)
    distances, copies = [], 0
    for n, contour in enumerate(contours, 1):
        at = grid.mm_to_index(contour.points)
        k, off = on_plane(at[:, 2], grid, f"{what}: contour {n} of {len(contours)}")
        _check_inside(at, grid, f"{what}: contour {n} of {len(contours)}")
        distances.append(off)
        if any(np.array_equal(at[:, :2], other) for other in polygons[k]):
            copies += 1
        else:
            polygons[k].append(at[:, :2])
    return dict(polygons), distances, copies


def _dropped_note(contours: list[Contour], copies: int, what: str) -> Notes:
    short = sum(len(c.points) < 3 for c in contours)
    unclosed = sum(len(c.points) >= 3 and c.kind not in CLOSED for c in contours)
    reasons = (
        (short, "a point or fewer than 3 points"),
        (unclosed, "open, not closed"),
        (copies, "an exact duplicate"),
    )
    return Notes(tuple(f"{what}: {n} contour(s) dropped: {why}" for n, why in reasons if n))


def _check_inside(at: np.ndarray, grid: Grid, what: str) -> None:
    """Raises MaskError when points reach beyond the outermost voxels in x or y."""
    margin = 0.5 + EDGE_TOLERANCE
    if at[:, :2].min() < -margin or (at[:, :2].max(axis=0) > np.array(grid.size[:2]) - 1 + margin).any():
        raise MaskError(f"{what} reaches outside the volume; wanted contours drawn on this series")


def _gap_note(polygons: dict[int, list[np.ndarray]], what: str) -> Notes:
    span = max(polygons) - min(polygons) + 1
    gaps = span - len(polygons)
    note = f"{what}: contours missing on {gaps} of {span} slices (gaps), not interpolated"
    return Notes((note,) if gaps else ())
