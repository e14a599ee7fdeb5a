"""The counts of the five texture matrices over a region's grey levels, as PyRadiomics counts them."""

from __future__ import annotations

import numpy as np

from gc_ray.kernels import compiled

# The 13 directions z, y, x of distance 1, in PyRadiomics' order; their opposites are the other half of the 26.
DIRECTIONS = np.array(
    [
        (1, 1, 1), (1, 1, 0), (1, 1, -1), (1, 0, 1), (1, 0, 0), (1, 0, -1), (1, -1, 1), (1, -1, 0), (1, -1, -1),
        (0, 1, 1), (0, 1, 0), (0, 1, -1),
        (0, 0, 1),
    ]
)  # fmt: skip


def neighbourhoods(
    levels: np.ndarray, at: np.ndarray, steps: np.ndarray, greys: int, longest: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """GLCM (greys, greys, 13), GLRLM (greys, longest, 13), GLDM (greys, 27) and NGTDM (greys, 2) in one pass.

    levels: int32, flat, 1 to ``greys`` in the region and 0 outside, with at least one voxel of 0 on each side.
    at: where the region's voxels are, in ascending order. steps: how far on the neighbour in each direction is.
    The GLCM is one-sided; the GLDM counts neighbours of the very same level; the NGTDM holds voxels per level, and
    the sum of their distances from their neighbours' mean.
    Raises ValueError when a level, a neighbour or a run lies outside of what the arguments say.
    """
    if greys < 0 or longest < 0:
        raise ValueError(f"numbers of levels and lengths must be 0 or more, got {greys} and {longest}")
    _check_box(levels, at, steps, greys)
    *counts, fit = _neighbourhoods(*_as_compiled(levels, at, steps), int(greys), int(longest))
    if not fit:
        raise ValueError(f"a run of one level must be at most {longest} voxels long, there is a longer one")
    return tuple(counts)


def zones(levels: np.ndarray, at: np.ndarray, steps: np.ndarray, below: int) -> tuple[np.ndarray, np.ndarray]:
    """Grey level and size of each zone of connected voxels of one level, for the GLSZM.

    levels, at, steps: as above; ``steps`` are the neighbours that are connected, 13 or, in a plane, 4 of them.
    below: the one of ``steps`` whose neighbour touches all other neighbours that come before a voxel.
    Raises ValueError when a level or a neighbour lies outside of what the arguments say.
    """
    if not 0 <= below < len(steps):
        raise ValueError(f"the place of the step below must be among {len(steps)} steps, got {below}")
    _check_box(levels, at, steps, np.iinfo(np.int32).max)
    return _zones(*_as_compiled(levels, at, steps), int(below))


def diagonal_sums(matrices: np.ndarray, levels: np.ndarray, greys: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums of co-occurrence matrices over cells of equal sum, and of equal distance, of their two grey levels.

    Parameters
    ----------
    matrices : float64 (n, n, directions), for the grey levels that occur.
    levels : whole numbers (n,), the grey levels of rows and columns, 1 to ``greys``.
    greys : the highest grey level there may be.

    Returns
    -------
    tuple : float64 (2 * greys - 1, directions) for the sums 2, 3, ..., and (greys, directions) for the distances 0,
        1, ... Cells are added row by row.

    Raises
    ------
    ValueError : the shapes do not match, or a level is not among 1 to ``greys``.
    """
    if matrices.ndim != 3 or matrices.shape[:2] != (len(levels), len(levels)) or levels.dtype.kind not in "iu":
        raise ValueError(f"wanted matrices (n, n, directions) and n levels, got {matrices.shape} and {levels.shape}")
    if greys < 1 or (len(levels) and not 1 <= levels.min() <= levels.max() <= greys):
        raise ValueError(f"grey levels must be 1 to {greys}")
    return _diagonal_sums(np.ascontiguousarray(matrices, np.float64), levels.astype(np.int64), int(greys))


def _check_box(levels: np.ndarray, at: np.ndarray, steps: np.ndarray, greys: int) -> None:
    """Raises ValueError unless every voxel that the kernels below read or write lies in its array."""
    if any(array.ndim != 1 or array.dtype.kind not in "iu" for array in (levels, at, steps)):
        raise ValueError("grey levels, places and steps must be whole numbers in flat arrays")
    if len(levels) > np.iinfo(np.int32).max:
        raise ValueError(f"a region's box must have at most {np.iinfo(np.int32).max} voxels, got {len(levels)}")
    if not len(at):
        if levels.any():
            raise ValueError("grey levels must be 0 outside the region, which is empty")
        return
    reach = int(steps.max(initial=0))
    if steps.min(initial=1) < 1 or at.min() < reach or at.max() >= len(levels) - reach:
        raise ValueError("the region must have a margin of one voxel on each side of its box")
    if len(at) > 1 and not np.all(at[1:] > at[:-1]):
        raise ValueError("the region's voxels must be in ascending order")
    inside = levels[at]
    if inside.min() < 1 or inside.max() > greys:
        raise ValueError(f"grey levels must be 1 to {greys} in the region, got {inside.min()} to {inside.max()}")
    if np.count_nonzero(levels) != len(at):
        raise ValueError("grey levels must be 0 outside the region")


def _as_compiled(levels: np.ndarray, at: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The arrays in the one type and layout that the kernels are compiled for; copied only where they differ."""
    kinds = (np.int32, np.int64, np.int64)
    return tuple(np.ascontiguousarray(a, kind) for a, kind in zip((levels, at, steps), kinds, strict=True))


@compiled
def _neighbourhoods(
    levels: np.ndarray, at: np.ndarray, steps: np.ndarray, greys: int, longest: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, bool]:
    """The counts of ``neighbourhoods`` for arguments that were checked, and whether all runs fit."""
    pairs = np.zeros((greys, greys, len(steps)), np.int32)
    runs = np.zeros((greys, longest, len(steps)), np.int32)
    alike = np.zeros((greys, 2 * len(steps) + 1), np.int32)
    tones = np.zeros((greys, 2), np.float64)
    for i in at:
        level = levels[i]
        row = level - 1
        neighbours, total, equal = 0, 0, 0
        for a in range(len(steps)):
            step = steps[a]
            ahead, behind = levels[i + step], levels[i - step]
            total += ahead + behind
            neighbours += (ahead > 0) + (behind > 0)
            equal += (ahead == level) + (behind == level)
            if ahead > 0:
                pairs[row, ahead - 1, a] += 1
            if behind != level:  # a run begins here
                length, j = 0, i + step
                while levels[j] == level:
                    length += 1
                    j += step
                if length >= longest:
                    return pairs, runs, alike, tones, False
                runs[row, length, a] += 1
        alike[row, equal] += 1
        tones[row, 0] += 1
        if neighbours > 0:
            tones[row, 1] += abs(level - total / neighbours)
    return pairs, runs, alike, tones, True


@compiled
def _root(parent: np.ndarray, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@compiled
def _zones(levels: np.ndarray, at: np.ndarray, steps: np.ndarray, below: int) -> tuple[np.ndarray, np.ndarray]:
    """The zones of ``zones`` for arguments that were checked."""
    parent = np.empty(len(levels), np.int32)
    for i in at:
        level = levels[i]
        j = i - steps[below]
        if levels[j] == level:  # all other earlier neighbours touch this one: they are in its zone already
            parent[i] = _root(parent, j)
            continue
        root = i
        parent[i] = i
        for step in steps:
            j = i - step
            if levels[j] == level:
                other = _root(parent, j)
                first, second = min(root, other), max(root, other)
                parent[second] = first
                root = first
    sizes = np.zeros(len(levels), np.int32)
    for i in at:
        sizes[_root(parent, i)] += 1
    roots = at[sizes[at] > 0]
    return levels[roots], sizes[roots]


@compiled
def _diagonal_sums(matrices: np.ndarray, levels: np.ndarray, greys: int) -> tuple[np.ndarray, np.ndarray]:
    """The sums of ``diagonal_sums`` for arguments that were checked."""
    directions = matrices.shape[2]
    sums, distances = np.zeros((2 * greys - 1, directions)), np.zeros((greys, directions))
    for i in range(len(levels)):
        for j in range(len(levels)):
            both, apart = levels[i] + levels[j] - 2, abs(levels[i] - levels[j])
            for a in range(directions):
                cell = matrices[i, j, a]
                sums[both, a] += cell
                distances[apart, a] += cell
    return sums, distances
