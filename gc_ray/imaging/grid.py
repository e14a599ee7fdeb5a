"""Where voxels lie: a regular grid in patient space (LPS, millimetres)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# A part of a grid: its first voxel and its size, both x, y, z.
Box = tuple[tuple[int, int, int], tuple[int, int, int]]

# Of a CT: 1024 x 1024 x 1024, twice a whole body in 0.5 mm slices. A header may promise anything.
MAX_VOXELS = 1 << 30

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Grid:
    """A regular 3D grid with the conventions of ITK and DICOM; every tuple is in x, y, z order.

    size: voxels along x, y, z (columns, rows, slices).
    spacing_mm: distance between voxel centres along x, y, z, millimetres, all positive.
    origin_mm: LPS coordinates of the centre of voxel (0, 0, 0), millimetres.
    direction: row-major 3 x 3 matrix; column j is the LPS unit vector of index axis j.
    """

    size: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = IDENTITY

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of an array on this grid: z, y, x."""
        return self.size[::-1]

    @property
    def voxel_mm3(self) -> float:
        """Volume of one voxel, cubic millimetres."""
        return float(np.prod(self.spacing_mm))

    def index_to_mm(self, index: np.ndarray) -> np.ndarray:
        """LPS coordinates (..., 3) of continuous x, y, z indices (..., 3)."""
        steps = np.asarray(self.direction).reshape(3, 3) * np.asarray(self.spacing_mm)
        return np.asarray(index, float) @ steps.T + np.asarray(self.origin_mm)

    def mm_to_index(self, point_mm: np.ndarray) -> np.ndarray:
        """Continuous x, y, z indices (..., 3) of LPS coordinates (..., 3)."""
        steps = np.asarray(self.direction).reshape(3, 3) * np.asarray(self.spacing_mm)
        return (np.asarray(point_mm, float) - np.asarray(self.origin_mm)) @ np.linalg.inv(steps).T

    def crop(self, start: tuple[int, int, int], size: tuple[int, int, int]) -> Grid:
        """The part that begins at voxel ``start`` (x, y, z) and has ``size`` voxels (x, y, z)."""
        origin = tuple(float(v) for v in self.index_to_mm(np.asarray(start)))
        return Grid(tuple(int(n) for n in size), self.spacing_mm, origin, self.direction)

    def corner_distance_mm(self, other: Grid) -> float:
        """The largest distance between equal corners of two grids of one size; infinite if the sizes differ."""
        if self.size != other.size:
            return float("inf")
        corners = np.stack(np.meshgrid(*[(0, n - 1) for n in self.size], indexing="ij"), -1).reshape(-1, 3)
        return float(np.linalg.norm(self.index_to_mm(corners) - other.index_to_mm(corners), axis=1).max())
