"""Closed contours around the pixels of a mask, as an RTSTRUCT holds them."""

from __future__ import annotations

import numpy as np

# A side of a pixel: the corner it starts at (row, column; the corner above and left of a pixel has the pixel's
# indices) and its direction (rows, columns). Sides run clockwise around what is inside.
Side = tuple[int, int, int, int]


def contours_of(region: np.ndarray) -> list[np.ndarray]:
    """Closed polygons (points, 2: x, y in pixel indices) whose even-odd filling at pixel centres is ``region``.

    region: bool (y, x). A polygon joins the middles of the sides between inside and outside, so it never comes
    nearer than .35 pixels to a centre, and it cuts corners as a drawn line does. A hole is a polygon of its own.
    """
    sides = _sides(region)
    polygons, left = [], set(sides)
    while left:
        side = start = min(left)
        middles = []
        while not middles or side != start:
            left.remove(side)
            row, column, down, right = side
            middles.append((column + (right - 1) / 2, row + (down - 1) / 2))
            side = _next_side(side, sides)
        polygons.append(np.array(middles))
    return polygons


def _sides(region: np.ndarray) -> frozenset[Side]:
    padded = np.pad(region.astype(bool), 1)
    inside = padded[1:-1, 1:-1]
    found = []
    # For each neighbour: its offset in ``padded``, the corner of the pixel where the shared side starts, direction.
    for (y, x), (corner_y, corner_x), direction in (
        ((0, 1), (0, 0), (0, 1)),
        ((1, 2), (0, 1), (1, 0)),
        ((2, 1), (1, 1), (0, -1)),
        ((1, 0), (1, 0), (-1, 0)),
    ):
        neighbour = padded[y : y + inside.shape[0], x : x + inside.shape[1]]
        rows, columns = np.nonzero(inside & ~neighbour)
        found += [(int(r) + corner_y, int(c) + corner_x, *direction) for r, c in zip(rows, columns, strict=True)]
    return frozenset(found)


def _next_side(side: Side, sides: frozenset[Side]) -> Side:
    """The side that goes on at the end of this one; turning right first keeps pixels apart that touch at a corner."""
    row, column, down, right = side
    corner = (row + down, column + right)
    turns = ((right, -down), (down, right), (-right, down))
    return next((*corner, *turn) for turn in turns if (*corner, *turn) in sides)
