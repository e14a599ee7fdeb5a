"""Voxels on a grid: ``Volume`` holds Hounsfield units, ``Mask`` a region; two types, so that the way each is
interpolated follows from what it is and never from a flag."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gc_ray.imaging.grid import Grid


def _check_shape(array: np.ndarray, grid: Grid, what: str) -> None:
    if array.shape != grid.shape:
        raise ValueError(f"{what} array has shape {array.shape} (z, y, x) but its grid wants {grid.shape}")


@dataclass(frozen=True, eq=False)
class Volume:
    """A CT image: ``array`` (z, y, x) in HU, of the type the reader yields after rescale (int16, int32 or float)."""

    array: np.ndarray
    grid: Grid

    def __post_init__(self) -> None:
        _check_shape(self.array, self.grid, "Volume")


@dataclass(frozen=True, eq=False)
class Mask:
    """A region of interest: ``array`` (z, y, x), uint8, 1 inside and 0 outside."""

    array: np.ndarray
    grid: Grid

    def __post_init__(self) -> None:
        _check_shape(self.array, self.grid, "Mask")
        if self.array.dtype != np.uint8:
            raise ValueError(f"Mask array must be uint8 (0 or 1), not {self.array.dtype}")

    @property
    def voxels(self) -> int:
        """How many voxels lie inside."""
        return int(np.count_nonzero(self.array))

    def bounding_box(self) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        """(start, size) in x, y, z of the smallest box that holds the region; ValueError when it is empty."""
        spans = []
        for axis in (2, 1, 0):
            others = tuple(a for a in range(3) if a != axis)
            hit = np.flatnonzero(self.array.any(axis=others))
            if hit.size == 0:
                raise ValueError("the mask is empty and has no bounding box")
            spans.append((int(hit[0]), int(hit[-1] - hit[0] + 1)))
        return tuple(s[0] for s in spans), tuple(s[1] for s in spans)
