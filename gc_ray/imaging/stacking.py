"""From the positions of slices to a regular grid; anything that is no upright, even stack is turned down."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gc_ray.errors import ScanError
from gc_ray.imaging.grid import MAX_VOXELS, Grid
from gc_ray.imaging.scan import Notes

SAME_POSITION_MM = 0.01  # far below any slice increment, above the rounding of header decimals
SHEAR_MM = 0.1  # sideways drift over the whole stack, a seventh of a usual voxel; a 1 degree tilt drifts 5 mm in 300
UNEVEN_MM = 0.1  # largest distance of a slice from its place on the regular grid
UNEVEN_REMARK_MM = 0.01  # above it there is a remark
GAP_RATIO = 1.5  # a step this many times the median has lost a slice
MANY_SHARED = 0.25  # share of planes with two files that makes it two images rather than stray copies


@dataclass(frozen=True)
class Place:
    """One slice's name and the LPS position of its first voxel's centre, millimetres."""

    name: str
    position: tuple[float, float, float]


@dataclass(frozen=True)
class Stack:
    """A regular grid, and for each of its planes the indices of the slices that lie there, in order of name."""

    grid: Grid
    planes: tuple[tuple[int, ...], ...]
    notes: Notes


def stack(
    slices: Sequence[Place],
    orientation: tuple[float, ...],
    spacing: tuple[float, float],
    shape: tuple[int, int],
) -> Stack:
    """The grid on which slices of one orientation lie, ordered along their normal.

    orientation: row then column cosines; spacing: between rows, between columns (mm); shape: (rows, columns).
    The grid is the one that ITK's series reader gives to such a stack. Raises ScanError when slices are missing,
    sheared (gantry tilt), unevenly spaced, or when many positions hold two slices.
    """
    direction = orthonormal(orientation)
    positions = np.array([s.position for s in slices])
    along = (positions - positions[0]) @ direction[:, 2]
    order = sorted(range(len(slices)), key=lambda i: (along[i], slices[i].name))
    planes = _group(order, along)
    _check_shared(planes, slices)
    planes = [sorted(plane, key=lambda i: slices[i].name) for plane in planes]
    firsts = [plane[0] for plane in planes]
    _check_upright(positions, direction)
    notes = _check_even(along[firsts], [slices[i].name for i in firsts])
    step = positions[firsts[-1]] - positions[firsts[0]]
    depth = math.sqrt(_dot(step, step)) / (len(firsts) - 1)
    if shape[0] * shape[1] * len(planes) > MAX_VOXELS:
        raise ScanError(f"{shape[1]} x {shape[0]} x {len(planes)} voxels, wanted at most {MAX_VOXELS}; not one CT")
    grid = Grid(
        size=(shape[1], shape[0], len(planes)),
        spacing_mm=(spacing[1], spacing[0], depth),
        origin_mm=slices[firsts[0]].position,
        direction=tuple(float(v) for v in direction.ravel()),
    )
    return Stack(grid, tuple(tuple(plane) for plane in planes), notes)


def orthonormal(orientation: tuple[float, ...]) -> np.ndarray:
    """The 3 x 3 direction matrix (columns: row, column, normal) of six cosines, to the bit as ITK makes it.

    The normal comes first, then the row is made orthogonal to column and normal, then the column to both.
    """
    row, column = np.reshape(np.asarray(orientation, float), (2, 3))
    normal = _unit(_cross(row, column))
    row = _unit(_cross(column, normal))
    return np.stack([row, _cross(normal, row), normal], axis=1) + 0.0  # + 0.0 turns -0.0 into 0.0


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.array([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


def _dot(a: np.ndarray, b: np.ndarray) -> float:
    return float(a[0] * b[0] + a[1] * b[1] + a[2] * b[2])


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector * (1.0 / math.sqrt(_dot(vector, vector)))


def _group(order: Sequence[int], along: np.ndarray) -> list[list[int]]:
    """Neighbours in ``order`` that share a position, together."""
    planes: list[list[int]] = []
    for i in order:
        if planes and along[i] - along[planes[-1][0]] <= SAME_POSITION_MM:
            planes[-1].append(i)
        else:
            planes.append([i])
    return planes


def _check_shared(planes: Sequence[Sequence[int]], slices: Sequence[Place]) -> None:
    shared = [plane for plane in planes if len(plane) > 1]
    if len(planes) == 1 or len(shared) > MANY_SHARED * len(planes):
        names = " and ".join(sorted(slices[i].name for i in shared[0])[:2])
        raise ScanError(
            f"{len(shared)} of {len(planes)} slice positions hold several images (same position, first: {names}): "
            "two phases or reconstructions under one series UID; separate them"
        )


def _check_upright(positions: np.ndarray, direction: np.ndarray) -> None:
    steps = positions - positions[0]
    sideways = np.linalg.norm(steps - np.outer(steps @ direction[:, 2], direction[:, 2]), axis=1).max()
    if sideways > SHEAR_MM:
        raise ScanError(
            f"slices drift {sideways:.2f} mm sideways from the slice normal: a sheared volume (gantry tilt?); "
            "resample it to an upright grid first"
        )


def _check_even(along: np.ndarray, names: Sequence[str]) -> Notes:
    """Remarks on small unevenness; raises ScanError on missing slices and on more than UNEVEN_MM."""
    steps = np.diff(along)
    median = float(np.median(steps))
    widest = int(np.argmax(steps))
    if steps[widest] >= GAP_RATIO * median:
        raise ScanError(
            f"missing slice(s): a gap of {steps[widest]:.2f} mm between {names[widest]} and {names[widest + 1]}, "
            f"median spacing {median:.2f} mm; find the missing files"
        )
    off = float(np.abs(along - np.linspace(along[0], along[-1], len(along))).max())
    if off > UNEVEN_MM:
        raise ScanError(
            f"uneven spacing: a slice lies {off:.2f} mm off a regular grid (steps from {steps.min():.2f} to "
            f"{steps.max():.2f} mm); reconstruct the series with one increment"
        )
    if off > UNEVEN_REMARK_MM:
        return Notes(remarks=(f"slightly uneven spacing: a slice lies {off:.3f} mm off the regular grid",))
    return Notes()
