"""One closed contour on a slice: which voxels it fills, which centres it runs through, and how points lie to it.

Coordinates are x, y in continuous voxel indices: the centre of the voxel in column 3 of row 5 is (3, 5).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

LINE_TOLERANCE = 0.1  # voxels; a point this near to a line lies on it
SAMPLE_STEP = 0.5  # voxels; the longest gap between the points of a line that are compared with another line
MOST_ROUNDS = 9  # that one contour may make along the same line
PAIRS_AT_ONCE = 1 << 20  # of points and edges; bounds the memory of a comparison to some 100 MB


@dataclass(frozen=True, eq=False)
class Outline:
    """A closed contour.

    Parameters
    ----------
    points : ndarray of shape (n, 2)
        x and y in voxels, neighbours distinct; the last point joins the first.
    """

    points: np.ndarray

    @cached_property
    def low(self) -> np.ndarray:
        """The lower corner (2,) of the bounding box."""
        return self.points.min(axis=0)

    @cached_property
    def high(self) -> np.ndarray:
        """The upper corner (2,) of the bounding box."""
        return self.points.max(axis=0)

    @cached_property
    def samples(self) -> np.ndarray:
        """Points (m, 2) along the line, the contour's own among them, at most SAMPLE_STEP apart."""
        steps = following(self.points) - self.points
        parts = np.maximum(np.ceil(np.hypot(*steps.T) / SAMPLE_STEP), 1).astype(np.int64)
        edge, part = _expanded(np.zeros(len(parts), np.int64), parts)
        return self.points[edge] + steps[edge] * (part / parts[edge])[:, None]

    @cached_property
    def edges(self) -> Edges:
        """The edges, sorted to see which points they enclose."""
        return sorted_edges(self.points, 0.0)

    @cached_property
    def line(self) -> Edges:
        """The edges, sorted to see which points lie within LINE_TOLERANCE of them."""
        return sorted_edges(self.points, LINE_TOLERANCE)


@dataclass(frozen=True, eq=False)
class Edges:
    """The edges of a closed contour in horizontal bands; a band lists each edge that comes within ``reach`` of it.

    start, end: (n, 2). bottom, height: of the first band, and of each. first: (bands + 1,), where the list of a band
    begins in ``listed``.
    """

    start: np.ndarray
    end: np.ndarray
    reach: float
    bottom: float
    height: float
    first: np.ndarray
    listed: np.ndarray


@dataclass(frozen=True, eq=False)
class Patch:
    """Voxels of a slice within a box.

    place: the box as row and column slices. inside: bool, the voxels of the contour. interior: bool, those that it
    removes when it is a hole; the same, except in a contour traced from voxels, where the line is no part of it.
    """

    place: tuple[slice, slice]
    inside: np.ndarray
    interior: np.ndarray


def following(points: np.ndarray) -> np.ndarray:
    """For each point of a closed contour the next one."""
    return np.concatenate((points[1:], points[:1]))


def outline(points: np.ndarray) -> Outline:
    """The closed contour through ``points`` (n, 2), without points that repeat their neighbour."""
    changes = (points != following(points)).any(axis=1)
    return Outline(points[changes] if changes.any() else points[:1])


def one_round(contour: Outline) -> Outline:
    """The contour, or one round of it where its points go up to ``MOST_ROUNDS`` times along the same line.

    By the even-odd rule two rounds would cancel.
    """
    points = contour.points
    apart = min(LINE_TOLERANCE, float((contour.high - contour.low).max()) / 10)
    for times in range(MOST_ROUNDS, 1, -1):
        shift, rest = divmod(len(points), times)
        if rest or shift < 3 or np.abs(points[0] - points[shift]).max() > apart:
            continue
        if np.abs(points - np.roll(points, shift, axis=0)).max() <= apart:
            return Outline(points[:shift])
    return contour


def fill(contour: Outline, shape: tuple[int, int]) -> Patch:
    """The voxels of a slice of ``shape`` (rows, columns) whose centre lies inside the contour, by the even-odd rule.

    A centre exactly on the line belongs to the contour on its high-x, high-y side, so that contours with a common
    edge never share a voxel. A keyhole stays a hole (DICOM PS3.3, C.8.8.6.3).
    """
    rows, columns = shape
    row, x = _crossings(contour.points, rows)
    if len(row) == 0:
        none = np.zeros((0, 0), bool)
        return Patch((slice(0, 0), slice(0, 0)), none, none)
    column = np.clip(np.ceil(x), 0, columns).astype(np.int64)
    top, left = int(row.min()), int(column.min())
    height, width = int(row.max()) - top + 1, int(column.max()) - left
    cell = (row - top) * (width + 1) + column - left
    toggles = np.bincount(cell, minlength=height * (width + 1)).reshape(height, width + 1)
    inside = np.cumsum(toggles[:, :-1], axis=1) % 2 == 1
    return Patch((slice(top, top + height), slice(left, left + width)), inside, inside)


def fill_traced(contour: Outline, shape: tuple[int, int]) -> Patch:
    """As ``fill`` for a contour that was traced from voxels: those on its line count as inside, and not as interior.

    The points are rounded to voxel centres and must lie on the slice.
    """
    traced = outline(np.round(contour.points))
    left, top = traced.low.astype(np.int64)
    right, bottom = traced.high.astype(np.int64) + 1
    filled, (column, row) = fill(traced, shape), centres_on(traced, 1e-6)[0].T
    whole = np.zeros(shape, bool)
    whole[filled.place] = filled.inside
    line = np.zeros(shape, bool)
    line[row, column] = True
    place = slice(int(top), int(bottom)), slice(int(left), int(right))
    return Patch(place, (whole | line)[place], (whole & ~line)[place])


def centres_on(contour: Outline, tolerance: float) -> tuple[np.ndarray, int]:
    """(voxel centres on the line up to ``tolerance`` as column, row (n, 2), some twice; how many it could have met).

    Every edge is followed along the axis in which it is longer, and could meet one centre in each column or row that
    it passes there.
    """
    start, step = contour.points, following(contour.points) - contour.points
    edges = np.arange(len(start))
    major = (np.abs(step[:, 1]) > np.abs(step[:, 0])).astype(np.int64)
    begin, length = start[edges, major], step[edges, major]
    first = np.ceil(np.minimum(begin, begin + length) - tolerance).astype(np.int64)
    last = np.floor(np.maximum(begin, begin + length) + tolerance).astype(np.int64)
    edge, along = _expanded(first, np.maximum(last - first + 1, 0))
    share = np.clip((along - begin[edge]) / np.where(length == 0, 1, length)[edge], 0, 1)
    at = start[edge] + share[:, None] * step[edge]
    centre = np.round(at)
    centre[np.arange(len(edge)), major[edge]] = along
    met = np.abs(at - centre).max(axis=1) <= tolerance
    return centre[met].astype(np.int64), len(edge)


def sorted_edges(points: np.ndarray, reach: float) -> Edges:
    """The edges of a closed contour, to be compared with points up to ``reach`` voxels away."""
    start, end = points, following(points)
    low = np.minimum(start[:, 1], end[:, 1]) - reach
    high = np.maximum(start[:, 1], end[:, 1]) + reach
    bottom = float(low.min())
    height = float((high - low).mean()) or 1.0  # each edge then lies in some two bands, however the contour winds
    band = np.floor((low - bottom) / height).astype(np.int64)
    counts = np.floor((high - bottom) / height).astype(np.int64) - band + 1
    edge, bands = _expanded(band, counts)
    order = np.argsort(bands, kind="stable")
    first = np.searchsorted(bands[order], np.arange(bands.max() + 2))
    return Edges(np.asfortranarray(start), np.asfortranarray(end), reach, bottom, height, first, edge[order])


def encloses(edges: Edges, points: np.ndarray) -> np.ndarray:
    """Which of the points (m, 2) lie inside the contour by the even-odd rule, bool (m,)."""
    crossed = np.zeros(len(points), np.int64)
    (x0, y0), (x1, y1), (x, y) = edges.start.T, edges.end.T, points.T
    for point, edge in _pairs(edges, y):
        spans = (y0[edge] <= y[point]) != (y1[edge] <= y[point])
        point, edge = point[spans], edge[spans]
        at = x0[edge] + (y[point] - y0[edge]) / (y1[edge] - y0[edge]) * (x1[edge] - x0[edge])
        crossed += np.bincount(point[at <= x[point]], minlength=len(points))
    return crossed % 2 == 1


def lie_near(edges: Edges, points: np.ndarray) -> np.ndarray:
    """Which of the points (m, 2) lie within the edges' reach of the contour's line, bool (m,)."""
    near = np.zeros(len(points), bool)
    reach = edges.reach + 1e-9
    left, right = (side(edges.start[:, 0], edges.end[:, 0]) for side in (np.minimum, np.maximum))
    x, y = points.T
    for point, edge in _pairs(edges, y):
        beside = np.abs(x[point] - np.clip(x[point], left[edge], right[edge])) <= reach
        point, edge = point[beside], edge[beside]
        start, step = edges.start[edge], edges.end[edge] - edges.start[edge]
        length2 = (step**2).sum(axis=1)
        share = ((points[point] - start) * step).sum(axis=1) / np.where(length2 == 0, 1, length2)
        apart = points[point] - start - np.clip(share, 0, 1)[:, None] * step
        near[point[(apart**2).sum(axis=1) <= reach**2]] = True
    return near


def _pairs(edges: Edges, y: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(indices of points, indices of edges) of one band, some at a time; other pairs lie further apart than reach."""
    band = np.floor((y - edges.bottom) / edges.height)
    held = np.flatnonzero((band >= 0) & (band < len(edges.first) - 1))
    first = edges.first[band[held].astype(np.int64)]
    counts = edges.first[band[held].astype(np.int64) + 1] - first
    turn = np.cumsum(counts) // PAIRS_AT_ONCE
    for n in range(int(turn[-1]) + 1 if len(turn) else 0):
        now = turn == n
        of, place = _expanded(first[now], counts[now])
        yield held[now][of], edges.listed[place]


def _crossings(points: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """(row, x) wherever an edge crosses a row of voxel centres; each edge owns its lower end, not its upper one."""
    start, end = points, following(points)
    upward = (start[:, 1] < end[:, 1])[:, None]
    low, high = np.where(upward, start, end), np.where(upward, end, start)
    first = np.clip(np.ceil(low[:, 1]), 0, rows).astype(np.int64)
    counts = np.maximum(np.clip(np.ceil(high[:, 1]), 0, rows).astype(np.int64) - first, 0)
    edge, row = _expanded(first, counts)
    rise = high[edge, 1] - low[edge, 1]
    x = low[edge, 0] + (row - low[edge, 1]) / rise * (high[edge, 0] - low[edge, 0])
    return row, x


def _expanded(first: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(which, number): each index i of ``first`` counts[i] times, and beside it first[i], first[i] + 1, ..."""
    which = np.repeat(np.arange(len(counts)), counts)
    return which, first[which] + np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
