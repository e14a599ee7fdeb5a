"""What all kinds of masks share: choosing the region by name or number, matching the CT, and checks of the result."""

from __future__ import annotations

import unicodedata
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
ON_PLANE_REMARK_MM = 0.01  # above it there is a remark
LONGEST_NAME = 64  # characters of a region's name in a message
MAX_LISTED = 60  # regions in one message; a body atlas has about 120


def choose_roi(
    wanted: str | None,
    present: Sequence[tuple[int, str]],
    name: str,
    readings: Sequence[Sequence[str]] = (),
) -> tuple[int, Notes]:
    """The index of the region that is meant: by name, else by number, else by name in a looser form.

    Names are equal when they are the same text in Unicode's normal form C ("\u00f6" and "o" with a combining
    diaeresis). The looser form, with a remark, also leaves out case, blanks at the ends, repeated blanks, format
    characters, kinds of dashes and the width of letters; then other readings of the name's bytes are tried, with a
    repair note.

    Parameters
    ----------
    wanted : str or None
        From the manifest; None takes the only region.
    present : sequence of (int, str)
        Number and name of every region.
    name : str
        The file, for messages.
    readings : sequence of sequence of str, optional
        For every region, its name in other character sets than the stated one.

    Raises
    ------
    MaskError
        Not exactly one region fits; lists those there are.
    """
    listing = _listing(present)
    if wanted is None:
        if len(present) == 1:
            return 0, Notes()
        raise MaskError(f"{name}: {len(present)} ROIs and none was asked for; available: {listing}")
    fits, notes = _fits(wanted, present, name, readings)
    if not fits:
        raise MaskError(f"{name}: ROI {shown(wanted)} not found; available: {listing}")
    if len(fits) > 1:
        raise MaskError(
            f"{name}: ROI {shown(wanted)} fits several; give the number of one or make its name unique; "
            f"available: {listing}"
        )
    return fits[0], notes


def _fits(
    wanted: str, present: Sequence[tuple[int, str]], name: str, readings: Sequence[Sequence[str]]
) -> tuple[list[int], Notes]:
    """The regions of the closest kind of equality that any has, and what is to be said if there is only one."""
    named = [i for i, (_, label) in enumerate(present) if _same(label) == _same(wanted)]
    fits = named or [i for i, (number, _) in enumerate(present) if str(number) == wanted.strip()]
    if fits:
        return fits, Notes()
    fits = [i for i, (_, label) in enumerate(present) if _plain(label) == _plain(wanted)]
    if fits:
        remark = f"{name}: ROI {shown(present[fits[0]][1])} taken for {shown(wanted)}"
        return fits, Notes(remarks=(remark,))
    fits = [i for i, texts in enumerate(readings) if _plain(wanted) in map(_plain, texts)]
    if fits:
        label = shown(present[fits[0]][1])
        note = f"{name}: ROI {label} read as {shown(wanted)}: the file states no character set, or a wrong one"
        return fits, Notes(repairs=(note,))
    return [], Notes()


def shown(label: str) -> str:
    """A region's name for a message: in quotes, what cannot be printed as escapes, shortened when over 64 characters.

    64 is the most that DICOM allows (PS3.5, 6.2, LO).
    """
    return repr(label if len(label) <= LONGEST_NAME else f"{label[:LONGEST_NAME]}...")


def _listing(present: Sequence[tuple[int, str]]) -> str:
    listed = ", ".join(f"{number} = {shown(label)}" for number, label in present[:MAX_LISTED])
    more = f", and {len(present) - MAX_LISTED} more" if len(present) > MAX_LISTED else ""
    return listed + more or "none"


def _same(label: str) -> str:
    return unicodedata.normalize("NFC", label).rstrip("\0 ")


def _plain(label: str) -> str:
    wide = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", label).casefold())
    dashes = "".join("-" if unicodedata.category(c) == "Pd" else c for c in wide)  # word processors exchange them
    visible = "".join(c for c in dashes if c.isspace() or unicodedata.category(c) not in ("Cc", "Cf"))
    return " ".join(visible.split())


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


def check_size(voxels: int, what: str) -> None:
    """Raises MaskError when a region has no voxels, or fewer than MIN_ROI_VOXELS."""
    if voxels == 0:
        raise MaskError(f"{what} is empty: no voxels")
    if voxels < MIN_ROI_VOXELS:
        raise MaskError(f"{what} has {voxels} voxel{'s' * (voxels > 1)}, too small: wanted {MIN_ROI_VOXELS}")


def finished(inside: np.ndarray, grid: Grid, notes: Notes, what: str) -> RoiMask:
    """The region of interest from a uint8 array on the CT's grid, with a remark when it has several parts.

    Raises MaskError when it is empty or has fewer than MIN_ROI_VOXELS.
    """
    mask = Mask(inside, grid)
    check_size(mask.voxels, what)
    (x, y, z), (nx, ny, nz) = mask.bounding_box()
    _, parts = ndimage.label(inside[z : z + nz, y : y + ny, x : x + nx], np.ones((3, 3, 3)))
    remark = f"{what} has {parts} parts (connected components), all kept"
    return RoiMask(mask, notes + Notes(remarks=(remark,) if parts > 1 else ()))
