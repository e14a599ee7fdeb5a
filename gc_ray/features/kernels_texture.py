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
DIRECTLY_BELOW = 4  # index of (1, 0, 0)


@compiled
def neighbourhoods(
    levels: np.ndarray, at: np.ndarray, steps: np.ndarray, greys: int, longest: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """GLCM (greys, greys, 13), GLRLM (greys, longest, 13), GLDM (greys, 27) and NGTDM (greys, 2) in one pass.

    levels: int32, flat, 1 to ``greys`` in the region and 0 outside, with at least one voxel of 0 on each side.
    at: where the region's voxels are, in ascending order. steps: how far on the neighbour in each direction is.
    The GLCM is one-sided; the GLDM counts neighbours of the very same level; the NGTDM holds voxels per level, and
    the sum of their distances from their neighbours' mean.
    """
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
                runs[row, length, a] += 1
        alike[row, equal] += 1
        tones[row, 0] += 1
        if neighbours > 0:
            tones[row, 1] += abs(level - total / neighbours)
    return pairs, runs, alike, tones


@compiled
def _root(parent: np.ndarray, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@compiled
def zones(levels: np.ndarray, at: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Grey level and size of each zone: 26-connected voxels of one level, for the GLSZM. Arguments as above."""
    parent = np.empty(len(levels), np.int32)
    for i in at:
        level = levels[i]
        j = i - steps[DIRECTLY_BELOW]
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
