"""Preprocessing of the Image Biomarker Standardisation Initiative (IBSI-1), from the grid to the grey levels.

Source: Zwanenburg et al., Radiology 2020;295:328-338, and the IBSI reference manual (arXiv:1612.07003), chapter on
image processing; sections are cited by their codes.
All functions are pure; arrays are z, y, x.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from gc_ray.imaging.grid import Grid

# A share that falls short of one half by rounding alone counts as one half.
SHARE_TOLERANCE = 1e-6

INSIDE_SHARE = 0.5  # of the region, at the voxel's centre (manual, E8H9)


def centred_grid(full: Grid, spacing_mm: tuple[float, float, float] | None) -> Grid:
    """The grid of ``spacing_mm`` (x, y, z) with ceil(n * old / new) voxels an axis that shares the scan's centre.

    None keeps the scan's grid, 0 keeps the spacing of that axis. Source: manual, 3WE3.
    """
    if spacing_mm is None:
        return full
    old = np.asarray(full.spacing_mm)
    new = np.where(np.asarray(spacing_mm) == 0, old, np.asarray(spacing_mm, float))
    # Less a millionth: 60 slices of 3.0000000001 mm in a file are 180 voxels of 1 mm, not 181.
    size = np.ceil(np.asarray(full.size) * old / new - 1e-6).astype(int)
    centre = (np.asarray(full.size) - 1) / 2
    origin = full.index_to_mm(centre - (size - 1) / 2 * new / old)
    return Grid(
        tuple(int(n) for n in size), tuple(float(v) for v in new), tuple(float(v) for v in origin), full.direction
    )


def index_on(full: Grid, grid: Grid, index: np.ndarray) -> np.ndarray:
    """Continuous voxel indices (x, y, z) in ``full`` of indices in its ``centred_grid``.

    From sizes and spacings alone: the position in the room leaves no bit in an interpolated value.
    """
    centres = [(np.asarray(g.size) - 1) / 2 for g in (full, grid)]
    return (np.asarray(index) - centres[1]) * np.asarray(grid.spacing_mm) / np.asarray(full.spacing_mm) + centres[0]


def interpolated(
    array: np.ndarray, first: np.ndarray, step: np.ndarray, shape: tuple[int, ...], order: int
) -> np.ndarray:
    """float64 values at the indices ``first + k * step`` (z, y, x) for each k in ``shape``.

    order: 1 linear, 3 cubic B-spline. Points beyond the outermost voxels take those voxels' values.
    """
    return ndimage.affine_transform(
        np.asarray(array, np.float64), np.asarray(step), np.asarray(first), tuple(shape), order=order, mode="nearest"
    )


def inside(share: np.ndarray) -> np.ndarray:
    """uint8 region from its interpolated share: 1 from one half upwards."""
    return (share >= INSIDE_SHARE - SHARE_TOLERANCE).astype(np.uint8)


def resegmented(
    hu: np.ndarray, region: np.ndarray, range_hu: tuple[float, float] | None, sigmas: float | None
) -> np.ndarray:
    """The intensity mask, uint8: voxels of ``region`` in the closed range, then within ``sigmas`` of their mean.

    Mean and deviation (over N) are those of the voxels that the range left. Source: manual, USB3 and 7ACA.
    """
    kept = region.astype(bool)
    if range_hu is not None:
        kept &= (hu >= range_hu[0]) & (hu <= range_hu[1])
    if sigmas is not None and kept.any():
        mean, deviation = hu[kept].mean(), hu[kept].std()
        kept &= (hu >= mean - sigmas * deviation) & (hu <= mean + sigmas * deviation)
    return kept.astype(np.uint8)


def grey_levels(values: np.ndarray, region: np.ndarray, discretisation: dict[str, Any]) -> np.ndarray:
    """int64 grey levels, at least 1 inside ``region`` and 0 outside.

    discretisation: ``{"method": "none"}``: the values are levels already;
    ``{"method": "fixed bin size", "width": w, "first_edge": e}``: floor((x - e) / w) + 1, e being the lower bound of
    the re-segmentation range; ``{"method": "fixed bin number", "bins": n}``: n bins between the region's extremes,
    the maximum in the last; a flat region is level 1. Source: manual, Q3RU and K15C.
    Raises ValueError when a level below 1 comes out.
    """
    levels = np.zeros(values.shape, np.int64)
    levels[region] = _LEVELS[discretisation["method"]](values[region].astype(np.float64), discretisation)
    if region.any() and levels[region].min() < 1:
        raise ValueError(
            f"grey levels want to start at 1, the lowest is {levels[region].min()}; check the first edge"
        )
    return levels


def _as_they_are(values: np.ndarray, _: dict[str, Any]) -> np.ndarray:
    return np.rint(values)


def _fixed_size(values: np.ndarray, given: dict[str, Any]) -> np.ndarray:
    return np.floor((values - given["first_edge"]) / given["width"]) + 1


def _fixed_number(values: np.ndarray, given: dict[str, Any]) -> np.ndarray:
    low, high = values.min(), values.max()
    if low == high:
        return np.ones(values.shape)
    return np.minimum(np.floor(given["bins"] * (values - low) / (high - low)) + 1, given["bins"])


_LEVELS = {"none": _as_they_are, "fixed bin size": _fixed_size, "fixed bin number": _fixed_number}
