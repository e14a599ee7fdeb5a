"""What a reader returns: the voxels, and in plain words what it corrected and what the user should know."""

from __future__ import annotations

from dataclasses import dataclass, field

from gc_ray.imaging.grid import Grid
from gc_ray.imaging.volume import Mask, Slab, Volume


@dataclass(frozen=True)
class Notes:
    """Short sentences for the ledger.

    repairs: what was corrected; any makes the scan ``repaired`` instead of ``ok``.
    remarks: what a reader of the results should know although nothing was changed.
    """

    repairs: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def __add__(self, other: Notes) -> Notes:
        return Notes(self.repairs + other.repairs, self.remarks + other.remarks)


@dataclass(frozen=True)
class ScanGeometry:
    """All that headers tell of a CT, before any pixel is read.

    sop_uids: SOP Instance UIDs in slice order (index k of the grid), empty when the CT is no DICOM.
    frame_of_reference_uid, series_uid: None when the CT is no DICOM or does not say.
    """

    grid: Grid
    notes: Notes = field(default_factory=Notes)
    sop_uids: tuple[str, ...] = ()
    frame_of_reference_uid: str | None = None
    series_uid: str | None = None


@dataclass(frozen=True, eq=False)
class CtScan:
    """A CT as read: voxels in HU (a Slab where some slices were read) and the geometry that masks are matched to."""

    volume: Volume | Slab
    geometry: ScanGeometry

    @property
    def notes(self) -> Notes:
        """What was corrected or is worth knowing, headers and pixels together."""
        return self.geometry.notes


@dataclass(frozen=True, eq=False)
class RoiMask:
    """One region of interest as read, on the grid of its CT."""

    mask: Mask
    notes: Notes = field(default_factory=Notes)
