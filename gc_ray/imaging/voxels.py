"""Reads the pixels of a surveyed DICOM series, all slices or the needed ones, and settles doubled positions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np

from gc_ray.errors import ScanError
from gc_ray.imaging.padding import padding_remarks
from gc_ray.imaging.pixels import decode
from gc_ray.imaging.rescale import fits_int16, hu_bounds, to_hu
from gc_ray.imaging.scan import CtScan, Notes
from gc_ray.imaging.series import Series
from gc_ray.imaging.slices import Slice
from gc_ray.imaging.volume import Slab, Volume

# Up to here a value is the same in int16 and int32 whatever is computed from it: an eighth of int16's range, as no
# interpolator overshoots so far (a cubic spline in three dimensions 3.7-fold, a windowed sinc 7-fold).
SAME_IN_BOTH_HU = 4096


def header_type(series: Series) -> np.dtype:
    """float64 when a rescale is not whole-numbered, else int16, which larger values widen when they are read."""
    scales = (s.rescale for plane in series.planes for s in plane)
    return np.dtype(np.int16 if all(v.is_integer() for scale in scales for v in scale) else np.float64)


def read_series(series: Series, planes: range | None = None) -> CtScan:
    """The series' voxels in HU: int16 where all fit, else int32; float64 when a rescale is not whole-numbered.

    planes: z indices of the slices to read, in one piece; None: all. Fewer than all give a Slab and a remark; values
    and results are those of the whole, so all are read where the type that values need hangs on slices elsewhere, and
    doubled positions are compared wherever they lie. Raises ScanError when a slice cannot be decoded or two different
    images lie at the same position.
    """
    grid, everything = series.geometry.grid, range(len(series.planes))
    chosen = everything if planes is None or _may_leave(series, np.int32) else planes
    array, notes = _decoded(series, chosen)
    if chosen != everything and _type_hangs_on_others(array, series):
        chosen = everything
        array, notes = _decoded(series, chosen)
    if chosen == everything:
        voxels = Volume(array, grid)
    else:
        voxels = Slab(array, grid, chosen.start)
        notes += Notes(remarks=(_told(chosen, len(everything)),))
    return CtScan(voxels, replace(series.geometry, notes=series.geometry.notes + notes))


def _decoded(series: Series, chosen: range) -> tuple[np.ndarray, Notes]:
    """The chosen slices, and notes on doubled positions and on pixels; at most one slice more is held in memory."""
    array = np.empty((len(chosen), *series.geometry.grid.shape[1:]), header_type(series))
    doubled: list[str] = []
    seen = _Seen()
    for k, (kept, *copies) in enumerate(series.planes):
        if k not in chosen and not copies:
            continue
        hu = _hu(kept, seen)
        doubled += [_settle(kept, hu, copy) for copy in copies]
        if array.dtype == np.int16 and not fits_int16(hu):
            array = array.astype(hu.dtype)
        if k in chosen:
            array[k - chosen.start] = hu
    return array, Notes(tuple(doubled)) + seen.notes


@dataclass
class _Seen:
    """How many of the slices that were read have which peculiarity."""

    slices: int = 0
    repairs: Counter[str] = field(default_factory=Counter)
    remarks: Counter[str] = field(default_factory=Counter)

    @property
    def notes(self) -> Notes:
        """Each peculiarity with its number of slices."""
        counted = (
            [f"{text} ({n} of {self.slices} slices)" for text, n in c.items()] for c in (self.repairs, self.remarks)
        )
        return Notes(*map(tuple, counted))


def _may_leave(series: Series, kind: type) -> bool:
    """Whether headers allow whole-numbered HU that do not fit an integer type."""
    if header_type(series) == np.float64:
        return False
    bounds, limits = [hu_bounds(s.bits, *s.rescale) for plane in series.planes for s in plane], np.iinfo(kind)
    return min(low for low, _ in bounds) < limits.min or max(high for _, high in bounds) > limits.max


def _type_hangs_on_others(array: np.ndarray, series: Series) -> bool:
    """Whether a slice that was not read could ask for int32, and that could change a result from these."""
    if array.dtype != np.int16 or not array.size or -SAME_IN_BOTH_HU <= array.min() <= array.max() <= SAME_IN_BOTH_HU:
        return False
    return _may_leave(series, np.int16)


def _told(chosen: range, count: int) -> str:
    return (
        f"pixels of {len(chosen)} of {count} slices read ({chosen[0]}-{chosen[-1]}): "
        "the region and its margin need no others"
    )


def _hu(one: Slice, seen: _Seen) -> np.ndarray:
    stored, found = decode(one.file, one.shape, one.bits)
    seen.slices += 1
    seen.repairs.update(found)
    seen.remarks.update(padding_remarks(one.file, stored, one.rescale))
    return to_hu(stored, *one.rescale)


def _settle(kept: Slice, hu: np.ndarray, copy: Slice) -> str:
    """The repair note for a true copy; raises ScanError when the two images differ."""
    if not np.array_equal(hu, _hu(copy, _Seen())):
        raise ScanError(
            f"{kept.file.name} and {copy.file.name}: two different images at the same position: "
            "two phases or reconstructions under one series UID; separate them"
        )
    return f"duplicate slice at z = {kept.position[2]:.2f} mm: {copy.file.name} equals {kept.file.name}, dropped"
