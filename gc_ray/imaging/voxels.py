"""Reads the pixels of a surveyed DICOM series into one array, slice by slice, and settles doubled positions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gc_ray.errors import ScanError
from gc_ray.imaging.pixels import decode, fits_int16, to_hu
from gc_ray.imaging.scan import CtScan, Notes
from gc_ray.imaging.series import Series
from gc_ray.imaging.slices import Slice
from gc_ray.imaging.volume import Volume


def read_series(series: Series) -> CtScan:
    """The series' voxels in HU: int16 where all fit, else int32; float64 when a rescale is not whole-numbered.

    At most one volume and one slice are held in memory. Raises ScanError when a slice cannot be decoded or two
    different images lie at the same position.
    """
    grid = series.geometry.grid
    whole = all(v.is_integer() for plane in series.planes for s in plane for v in s.rescale)
    array = np.empty(grid.shape, np.int16 if whole else np.float64)
    repairs: list[str] = []
    for k, (kept, *copies) in enumerate(series.planes):
        hu = _hu(kept)
        if array.dtype == np.int16 and not fits_int16(hu):
            array = array.astype(hu.dtype)
        array[k] = hu
        repairs += [_settle(kept, hu, copy) for copy in copies]
    notes = series.geometry.notes + Notes(tuple(repairs))
    return CtScan(Volume(array, grid), replace(series.geometry, notes=notes))


def _hu(one: Slice) -> np.ndarray:
    return to_hu(decode(one.file, one.shape), *one.rescale)


def _settle(kept: Slice, hu: np.ndarray, copy: Slice) -> str:
    """The repair note for a true copy; raises ScanError when the two images differ."""
    if not np.array_equal(hu, _hu(copy)):
        raise ScanError(
            f"{kept.file.name} and {copy.file.name}: two different images at the same position: "
            "two phases or reconstructions under one series UID; separate them"
        )
    return f"duplicate slice at z = {kept.position[2]:.2f} mm: {copy.file.name} equals {kept.file.name}, dropped"
