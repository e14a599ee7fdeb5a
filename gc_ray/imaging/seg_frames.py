"""Where the frames of a DICOM SEG fall on the grid of its CT: whole voxels, axes exchanged or reversed if need be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from gc_ray.errors import MaskError
from gc_ray.imaging.grid import Grid
from gc_ray.imaging.roi import on_plane

IN_PLANE_MM = 0.01  # a frame's corners must meet voxel centres this closely; headers round to 1e-4 or finer
AXES = "xyz"


@dataclass(frozen=True)
class Frame:
    """One frame of the file, counted from 0: its first pixel's centre (mm), cosines (2 x 3) and spacing (mm)."""

    index: int
    position: np.ndarray
    cosines: np.ndarray
    spacing: np.ndarray

    def corners(self, shape: tuple[int, int]) -> np.ndarray:
        """LPS coordinates of the first pixel, the last of its row, and the last of its column."""
        along_row = self.cosines[0] * self.spacing[1] * (shape[1] - 1)
        along_column = self.cosines[1] * self.spacing[0] * (shape[0] - 1)
        return np.stack([self.position, self.position + along_row, self.position + along_column])

    def steps(self) -> np.ndarray:
        """One pixel along a row and one along a column (2 x 3), mm."""
        return self.cosines * self.spacing[::-1, None]


@dataclass(frozen=True)
class Turn:
    """Which axis of the CT (0 to 2) runs along a frame's rows and which along its columns, and the way of each."""

    row: int
    column: int
    row_way: int
    column_way: int

    @property
    def fixed(self) -> int:
        """The axis of the CT that a frame lies across."""
        return 3 - self.row - self.column

    @property
    def none(self) -> bool:
        """Whether frames lie as the CT's slices do."""
        return (self.row, self.column, self.row_way, self.column_way) == (0, 1, 1, 1)

    def words(self) -> str:
        """How the axes run, for a note."""
        ways = ((self.row, self.row_way), (self.column, self.column_way))
        back = sorted(AXES[axis] for axis, way in ways if way < 0)
        parts = [f"{' and '.join(back)} reversed"] if back else []
        if (self.row, self.column) != (0, 1):
            parts.append(f"rows along the CT's {AXES[self.row]}, columns along its {AXES[self.column]}")
        return ", ".join(parts)


@dataclass(frozen=True)
class Place:
    """The CT voxel (x, y, z) under a frame's first pixel, and how far the frame is from its plane (mm)."""

    start: tuple[int, int, int]
    off_mm: float


def turn_of(frame: Frame, grid: Grid, what: str) -> Turn:
    """How a frame's rows and columns run on the CT's grid; MaskError unless each runs along an axis of it."""
    steps = grid.mm_to_index(frame.position + frame.steps()) - grid.mm_to_index(frame.position)
    row, column = (int(axis) for axis in np.abs(steps).argmax(axis=1))
    if row == column or not np.isfinite(steps).all():
        refuse_mismatch(what)
    return Turn(row, column, int(np.sign(steps[0, row])), int(np.sign(steps[1, column])))


def locate(frame: Frame, shape: tuple[int, int], turn: Turn, grid: Grid, what: str) -> Place | None:
    """Where a frame lies on the grid; None when it lies beyond the first or last slice.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    what : str
        The frame, for messages.

    Raises
    ------
    MaskError
        When its pixels do not meet voxel centres.
    """
    corners = grid.mm_to_index(frame.corners(shape))
    wanted = np.zeros((3, 3))
    wanted[1, turn.row] = turn.row_way * (shape[1] - 1)
    wanted[2, turn.column] = turn.column_way * (shape[0] - 1)
    across = [turn.row, turn.column]
    spacing = np.asarray(grid.spacing_mm)
    spread = np.abs(corners - corners[0] - wanted)[:, across] * spacing[across]
    if not spread.max() <= IN_PLANE_MM:  # also when it overflowed to NaN
        refuse_mismatch(what)
    if not -0.5 < float(corners[:, turn.fixed].mean()) < grid.size[turn.fixed] - 0.5:
        return None
    at, off = _plane(corners[:, turn.fixed], turn.fixed, grid, what)
    start = [round(float(v)) for v in corners[0]]
    if (np.abs(corners[0] - start) * spacing)[across].max() > IN_PLANE_MM:
        raise MaskError(f"{what} lies off the grid: shifted by a part of a voxel against the CT")
    start[turn.fixed] = at
    return Place((start[0], start[1], start[2]), off)


def _plane(values: np.ndarray, axis: int, grid: Grid, what: str) -> tuple[int, float]:
    if axis == 2:
        return on_plane(values, grid, what)
    at = round(float(values.mean()))
    off = float(np.abs(values - at).max()) * grid.spacing_mm[axis]
    if off > IN_PLANE_MM:
        raise MaskError(f"{what} lies off the grid: shifted by a part of a voxel against the CT")
    return at, off


def refuse_mismatch(what: str, why: str = "") -> NoReturn:
    """Raise MaskError for a frame that is not on the CT's grid."""
    more = f" ({why})" if why else ""
    raise MaskError(f"{what}: geometry mismatch, its pixel spacing or orientation is not the CT's{more}")


def covered(place: Place, shape: tuple[int, int], turn: Turn) -> tuple[np.ndarray, np.ndarray]:
    """The first voxel of the grid (x, y, z) that a frame covers, and one beyond the last; they may lie outside it."""
    begin, size = np.array(place.start), np.ones(3, int)
    for axis, way, n in ((turn.row, turn.row_way, shape[1]), (turn.column, turn.column_way, shape[0])):
        size[axis] = n
        begin[axis] -= n - 1 if way < 0 else 0
    return begin, begin + size


def put_frame(pixels: np.ndarray, place: Place, turn: Turn, whole: np.ndarray) -> int:
    """Write a frame (rows, columns; 0 and 1) into the mask (z, y, x) and return how many of its 1s lie outside."""
    begin, end = covered(place, pixels.shape, turn)
    turned = pixels[:: turn.column_way, :: turn.row_way]
    turned = turned if turn.column < turn.row else turned.T
    box = np.expand_dims(turned, turn.fixed)  # x, y, z
    low, high = np.maximum(begin, 0), np.minimum(end, whole.shape[::-1])
    part = box[tuple(slice(max(a - b, 0), max(c - b, 0)) for a, b, c in zip(low, begin, high, strict=True))]
    if part.size:
        whole.transpose(2, 1, 0)[tuple(slice(a, c) for a, c in zip(low, high, strict=True))] = part
    return int(np.count_nonzero(pixels) - np.count_nonzero(part))
