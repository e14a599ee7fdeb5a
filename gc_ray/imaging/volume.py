"""Voxels on a grid: ``Volume`` and ``Slab`` hold Hounsfield units, ``Mask`` a region.

They are types of their own, so that the way each is interpolated follows from what it is and never from a flag.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gc_ray.imaging.grid import Box, Grid


def _check_shape(array: np.ndarray, grid: Grid, what: str) -> None:
    if array.shape != grid.shape:
        raise ValueError(f"{what} array has shape {array.shape} (z, y, x) but its grid wants {grid.shape}")


def _cut(array: np.ndarray, box: Box) -> np.ndarray:
    return array[tuple(slice(s, s + n) for s, n in zip(box[0][::-1], box[1][::-1], strict=True))]


@dataclass(frozen=True, eq=False)
class Volume:
    """A CT image: ``array`` (z, y, x) in HU, of the type the reader yields after rescale (int16, int32 or float)."""

    array: np.ndarray
    grid: Grid

    def __post_init__(self) -> None:
        _check_shape(self.array, self.grid, "Volume")

    @property
    def dtype(self) -> np.dtype:
        """The type of the voxels."""
        return self.array.dtype

    def part(self, box: Box) -> np.ndarray:
        """A view (z, y, x) of the voxels in ``box``."""
        return _cut(self.array, box)


@dataclass(frozen=True, eq=False)
class Slab:
    """The consecutive slices of a CT that were read: ``slices`` (z, y, x) in HU, from slice ``first`` of the grid on.

    grid: that of the whole scan. There is no ``array``, so that nothing takes what was not read for an image.
    """

    slices: np.ndarray
    grid: Grid
    first: int

    def __post_init__(self) -> None:
        wanted = self.grid.shape
        if self.slices.shape[1:] != wanted[1:] or not 0 <= self.first <= wanted[0] - len(self.slices):
            raise ValueError(f"Slab of shape {self.slices.shape} from slice {self.first} on leaves its grid {wanted}")

    @property
    def dtype(self) -> np.dtype:
        """The type of the voxels."""
        return self.slices.dtype

    def part(self, box: Box) -> np.ndarray:
        """A view (z, y, x) of the voxels in ``box``, a part of the whole scan; ValueError unless all were read."""
        (x, y, z), size = box
        if not self.first <= z <= z + size[2] <= self.first + len(self.slices):
            raise ValueError(
                f"slices {z} to {z + size[2] - 1} are wanted, read were {len(self.slices)} from {self.first} on"
            )
        return _cut(self.slices, ((x, y, z - self.first), size))


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

    def part(self, box: Box) -> np.ndarray:
        """A view (z, y, x) of the voxels in ``box``."""
        return _cut(self.array, box)

    def bounding_box(self) -> Box:
        """(start, size) in x, y, z of the smallest box that holds the region; ValueError when it is empty."""
        spans = []
        for axis in (2, 1, 0):
            others = tuple(a for a in range(3) if a != axis)
            hit = np.flatnonzero(self.array.any(axis=others))
            if hit.size == 0:
                raise ValueError("the mask is empty and has no bounding box")
            spans.append((int(hit[0]), int(hit[-1] - hit[0] + 1)))
        return tuple(s[0] for s in spans), tuple(s[1] for s in spans)
