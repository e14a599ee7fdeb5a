"""What all kinds of masks share: choosing the region by name or number, matching the CT, and checks of the result."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from scipy import ndimage

from gc_ray.errors import MaskError
from gc_ray.imaging.dicom_files import printable_uid
from gc_ray.imaging.grid import Grid
from gc_ray.imaging.scan import Notes, RoiMask, ScanGeometry
from gc_ray.imaging.volume import Mask

MIN_ROI_VOXELS = 10  # fewer cannot fill a 3 x 3 x 3 neighbourhood by half; no surface mesh or texture has meaning
ON_PLANE_MM = 0.1  # a contour or frame belongs to the slice this near; as far as slices may lie off their grid
ON_PLANE_REMARK_MM = 0.01  # above it the reader is told


def choose_roi(wanted: str | None, present: Sequence[tuple[int, str]], name: str) -> tuple[int, Notes]:
    """The index of the region that is meant: by exact name, number, or name up to case and blanks (with a remark).

    present: (number, name) of every region. Raises MaskError, listing them, unless exactly one fits.
    """
    listing = ", ".join(f"{number} = {label!r}" for number, label in present) or "none"
    if wanted is None:
        if len(present) == 1:
            return 0, Notes()
        raise MaskError(f"{name}: {len(present)} ROIs and none was asked for; available: {listing}")
    exact = [i for i, (_, label) in enumerate(present) if label == wanted]
    exact = exact or [i for i, (number, _) in enumerate(present) if str(number) == wanted.strip()]
    fits = exact or [i for i, (_, label) in enumerate(present) if _plain(label) == _plain(wanted)]
    if not fits:
        raise MaskError(f"{name}: ROI {wanted!r} not found; available: {listing}")
    if len(fits) > 1:
        raise MaskError(f"{name}: ROI {wanted!r} fits several; make it unique; available: {listing}")
    remark = f"{name}: ROI {present[fits[0]][1]!r} taken for {wanted!r}"
    return fits[0], Notes(remarks=() if exact else (remark,))


def _plain(label: str) -> str:
    return " ".join(label.casefold().split())


def check_reference(frame_of_reference: str, sop_uids: Iterable[str], ct: ScanGeometry, name: str) -> Notes:
    """Notes on how a DICOM mask is tied to its CT; raises MaskError when it belongs to another patient or study.

    frame_of_reference: the mask's, empty when missing; sop_uids: the images that the mask refers to.
    """
    if not ct.sop_uids:
        return Notes(remarks=(f"{name}: matched to the CT by position only, since the CT is no DICOM series",))
    referenced, series = set(sop_uids), set(ct.sop_uids)
    strangers = len(referenced - series)
    if not frame_of_reference or ct.frame_of_reference_uid is None:
        if strangers or not referenced:
            raise MaskError(
                f"{name}: mask or CT names no frame of reference, and {strangers} of {len(referenced)} images that "
                "the mask refers to are not in this series; wanted the mask of this CT"
            )
        return Notes(remarks=(f"{name}: no frame of reference; tied to the CT by its referenced images",))
    if frame_of_reference != ct.frame_of_reference_uid:
        raise MaskError(
            f"{name}: frame of reference {printable_uid(frame_of_reference)} is not the CT's "
            f"({printable_uid(ct.frame_of_reference_uid)}): the mask of another patient or study?"
        )
    if strangers:
        note = (
            f"{name}: {strangers} of {len(referenced)} referenced SOP instances are not in this series; matched by "
            "position in the same frame of reference"
        )
        return Notes(repairs=(note,))
    return Notes()


def on_plane(z: np.ndarray, grid: Grid, what: str) -> tuple[int, float]:
    """(slice index, distance in mm) of points at continuous slice indices ``z``.

    Raises MaskError when they lie outside the volume, between slices, or not in one plane parallel to the slices.
    """
    middle, depth = float(np.mean(z)), grid.spacing_mm[2]
    if not -0.5 < middle < grid.size[2] - 0.5:
        raise MaskError(f"{what} lies outside the volume (slice {middle:.1f}, the CT has 0 to {grid.size[2] - 1})")
    k = round(middle)
    if float(np.ptp(z)) * depth > 2 * ON_PLANE_MM:
        raise MaskError(f"{what} is oblique to the CT slices; wanted contours drawn on this series")
    off = float(np.abs(z - k).max()) * depth
    if off > ON_PLANE_MM:
        raise MaskError(f"{what} lies {off:.2f} mm off the grid's nearest slice; wanted the mask of this series")
    return k, off


def off_plane_remark(distances_mm: Iterable[float], name: str) -> Notes:
    """A remark when any distance from the slice planes is worth knowing."""
    worst = max(distances_mm, default=0.0)
    remark = f"{name}: up to {worst:.3f} mm off the slice planes, taken as on them"
    return Notes(remarks=(remark,) if worst > ON_PLANE_REMARK_MM else ())


def finished(inside: np.ndarray, grid: Grid, notes: Notes, what: str) -> RoiMask:
    """The region of interest from a uint8 array on the CT's grid, with a remark when it has several parts.

    Raises MaskError when it is empty or has fewer than MIN_ROI_VOXELS.
    """
    mask = Mask(inside, grid)
    if mask.voxels == 0:
        raise MaskError(f"{what} is empty: no voxels")
    if mask.voxels < MIN_ROI_VOXELS:
        raise MaskError(
            f"{what} has {mask.voxels} voxel{'s' * (mask.voxels > 1)}, too small: wanted {MIN_ROI_VOXELS}"
        )
    (x, y, z), (nx, ny, nz) = mask.bounding_box()
    _, parts = ndimage.label(inside[z : z + nz, y : y + ny, x : x + nx], np.ones((3, 3, 3)))
    remark = f"{what} has {parts} parts (connected components), all kept"
    return RoiMask(mask, notes + Notes(remarks=(remark,) if parts > 1 else ()))
