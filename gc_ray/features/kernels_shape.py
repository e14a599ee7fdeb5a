"""A region's mesh by the patterns of its cubes, and the largest distances between points, for the shape features."""

from __future__ import annotations

import numpy as np

from gc_ray.kernels import compiled


def cube_patterns(inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How often each pattern of 2 x 2 x 2 voxels occurs, int64 (256,), and the sum of its places z, y, x, (256, 3).

    inside: bool. Bit 4 z + 2 y + x of a pattern is the voxel z, y, x of its cube. The patterns 0 and 255, which
    have no surface, are left out. Raises ValueError unless ``inside`` is a box of bool; an empty one has no pattern.
    """
    if inside.ndim != 3 or inside.dtype != np.bool_:
        raise ValueError(f"a region must be bool (z, y, x), got {inside.dtype} of {inside.ndim} axes")
    if inside.size == 0:
        return np.zeros(256, np.int64), np.zeros((256, 3), np.int64)
    return _cube_patterns(np.ascontiguousarray(inside))


def hull_corners(plane: np.ndarray, line: np.ndarray, along: np.ndarray) -> np.ndarray:
    """Which points are corners of the convex hull of all points in their plane: bool (n,).

    plane, line, along: int64 (n,), the points' coordinates, in ascending order of plane, then line, then along.
    Source: Andrew's monotone chain. Raises ValueError unless they are whole numbers, equally many.
    """
    points = (plane, line, along)
    if any(a.ndim != 1 or a.dtype.kind not in "iu" or len(a) != len(plane) for a in points):
        raise ValueError("points must be three equally long arrays of whole numbers: plane, line, along")
    return _hull_corners(*(np.ascontiguousarray(a, np.int64) for a in points))


def largest_squared_distance(points: np.ndarray, plane: np.ndarray) -> float:
    """The largest squared distance between two of ``points``, float64 (n, 3), that have the same ``plane``, (n,).

    Points of one plane must follow each other. Raises ValueError when the shapes do not match.
    """
    if points.ndim != 2 or points.shape[1] != 3 or plane.shape != points.shape[:1] or plane.dtype.kind not in "iu":
        raise ValueError(f"points must be (n, 3) and planes (n,) whole numbers, got {points.shape} and {plane.shape}")
    return _largest_squared_distance(np.ascontiguousarray(points, np.float64), np.ascontiguousarray(plane, np.int64))


@compiled
def _cube_patterns(inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    counts, places = np.zeros(256, np.int64), np.zeros((256, 3), np.int64)
    nz, ny, nx = inside.shape
    for z in range(nz - 1):
        for y in range(ny - 1):
            a, b, c, d = inside[z, y], inside[z, y + 1], inside[z + 1, y], inside[z + 1, y + 1]
            left = a[0] + 4 * b[0] + 16 * c[0] + 64 * d[0]
            for x in range(nx - 1):
                right = a[x + 1] + 4 * b[x + 1] + 16 * c[x + 1] + 64 * d[x + 1]
                pattern = left + 2 * right
                left = right
                if 0 < pattern < 255:
                    counts[pattern] += 1
                    places[pattern, 0] += z
                    places[pattern, 1] += y
                    places[pattern, 2] += x
    return counts, places


@compiled
def _hull_corners(plane: np.ndarray, line: np.ndarray, along: np.ndarray) -> np.ndarray:
    n = len(plane)
    corner = np.zeros(n, np.bool_)
    chain = np.empty(n, np.int64)
    begin = 0
    while begin < n:
        end = begin
        while end < n and plane[end] == plane[begin]:
            end += 1
        for upper in range(2):
            size = 0
            for k in range(end - begin):
                i = end - 1 - k if upper else begin + k
                while size >= 2:
                    o, p = chain[size - 2], chain[size - 1]
                    turn = (line[p] - line[o]) * (along[i] - along[o]) - (along[p] - along[o]) * (line[i] - line[o])
                    if turn > 0:
                        break
                    size -= 1
                chain[size] = i
                size += 1
            for k in range(size):
                corner[chain[k]] = True
        begin = end
    return corner


@compiled
def _largest_squared_distance(points: np.ndarray, plane: np.ndarray) -> float:
    largest = 0.0
    for i in range(len(points)):
        for j in range(i + 1, len(points)):
            if plane[i] != plane[j]:
                break  # planes are in order
            z, y, x = points[i, 0] - points[j, 0], points[i, 1] - points[j, 1], points[i, 2] - points[j, 2]
            distance = z * z + y * y + x * x
            largest = max(largest, distance)
    return largest
