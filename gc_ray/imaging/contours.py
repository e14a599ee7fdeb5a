"""Polygons to voxels: even-odd filling at voxel centres."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def fill_even_odd(polygons: Iterable[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """The voxels of one slice (rows, columns), uint8, whose centre lies inside an odd number of closed polygons.

    polygons: each (n, 2), x and y in continuous voxel indices; the last point joins the first. The even-odd rule
    over all polygons together makes inner contours holes and honours keyholes (DICOM PS3.3, C.8.8.6.3). A centre
    exactly on an edge belongs to the polygon on its high-x, high-y side, so that neighbours never share it.
    """
    rows, columns = shape
    toggles = np.zeros((rows, columns + 1), np.int64)
    for polygon in polygons:
        row, x = _crossings(np.asarray(polygon, float), rows)
        np.add.at(toggles, (row, np.clip(np.ceil(x), 0, columns).astype(np.int64)), 1)
    return (np.cumsum(toggles[:, :-1], axis=1) & 1).astype(np.uint8)


def _crossings(polygon: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """(row, x) wherever an edge crosses a row of voxel centres; each edge owns its lower end, not its upper one."""
    start, end = polygon, np.roll(polygon, -1, axis=0)
    upward = (start[:, 1] < end[:, 1])[:, None]
    low, high = np.where(upward, start, end), np.where(upward, end, start)
    first = np.clip(np.ceil(low[:, 1]), 0, rows).astype(np.int64)
    counts = np.maximum(np.clip(np.ceil(high[:, 1]), 0, rows).astype(np.int64) - first, 0)
    edge = np.repeat(np.arange(len(polygon)), counts)
    row = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts)
    rise = high[edge, 1] - low[edge, 1]
    x = low[edge, 0] + (row - low[edge, 1]) / rise * (high[edge, 0] - low[edge, 0])
    return row, x
