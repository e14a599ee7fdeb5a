"""The contours of one region on one slice, put together: duplicates, holes, islands, overlaps.

The rules, and why, are in docs/readers.md under "Contours".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from gc_ray.errors import MaskError
from gc_ray.imaging.contours import LINE_TOLERANCE, Outline, Patch, encloses, lie_near, sorted_edges

REDRAWN = 0.5  # voxels; no wall is thinner, so a line that stays this near to another one is the outline drawn again
MOST_PAIRS = 10_000  # of contours with overlapping bounding boxes on a slice; each takes up to a millisecond
PROBES = 16  # points of a line that are looked at before all are


class Relation(Enum):
    """How one contour lies to another; a line within a tenth of a voxel of another line counts as on it."""

    APART = "neither reaches into the other"
    INSIDE = "no point of it lies outside the other"
    AROUND = "the other lies inside it"
    CROSSING = "it overlaps the other and neither lies inside the other"


@dataclass(frozen=True, eq=False)
class Layout:
    """How the contours of a slice lie to each other; numbers are their places in the list.

    levels: outer contours, then holes, then islands in holes, and so on. crosses: for every contour, those that it
    crosses. redrawn: those that lie inside another contour, within REDRAWN of its line all along, and are no holes.
    """

    levels: tuple[tuple[int, ...], ...]
    crosses: tuple[frozenset[int], ...]
    redrawn: tuple[int, ...]

    @property
    def crossing(self) -> tuple[int, ...]:
        """The contours that cross another one."""
        return tuple(i for i, others in enumerate(self.crosses) if others)


def relation(a: Outline, b: Outline) -> Relation:
    """How contour ``a`` lies to another contour ``b``, by points of both lines at most half a voxel apart."""
    a_in_b, b_in_a = _lies_in(a, b), _lies_in(b, a)
    if a_in_b != b_in_a:
        return Relation.INSIDE if a_in_b else Relation.AROUND
    if a_in_b or _reaches_into(a, b) or _reaches_into(b, a):
        return Relation.CROSSING
    return Relation.APART


def same_line(a: Outline, b: Outline) -> bool:
    """Whether no point of either contour lies further from the other's line than LINE_TOLERANCE.

    This is their symmetric (Hausdorff) distance: start point, direction and number of points do not count.
    """
    if np.abs([a.low - b.low, a.high - b.high]).max() > LINE_TOLERANCE + 1e-9:
        return False
    return _same_points(a.points, b.points) or (_runs_along(a, b) and _runs_along(b, a))


def distinct(contours: Sequence[Outline]) -> list[int]:
    """The contours that repeat no earlier one of the list."""
    kept: list[int] = []
    corners = np.array([(*c.low, *c.high) for c in contours])
    for i, contour in enumerate(contours):
        alike = np.abs(corners[kept] - corners[i]).max(axis=1, initial=0) <= LINE_TOLERANCE + 1e-9
        if not any(same_line(contour, contours[kept[j]]) for j in np.flatnonzero(alike)):
            kept.append(i)
    return kept


def layout(contours: Sequence[Outline], what: str) -> Layout:
    """How distinct contours of a slice lie to each other.

    The level of a contour is the length of the longest chain of contours that lie one inside the other around it:
    two overlapping outer contours around a hole are one level, not two.

    Raises
    ------
    MaskError
        More than MOST_PAIRS pairs of contours overlap; ``what`` names region and slice.
    """
    around: list[set[int]] = [set() for _ in contours]
    crosses: list[set[int]] = [set() for _ in contours]
    redrawn = set()
    for i, j in _neighbours(contours, what):
        found = relation(contours[i], contours[j])
        if found is Relation.CROSSING:
            crosses[i].add(j)
            crosses[j].add(i)
        elif found is not Relation.APART:
            inner, outer = (i, j) if found is Relation.INSIDE else (j, i)
            if _runs_beside(contours[inner], contours[outer]):
                redrawn.add(inner)
            else:
                around[inner].add(outer)
    levels, tangled = _levels(around)
    for i in tangled:
        crosses[i] |= tangled - {i}
    return Layout(levels, tuple(map(frozenset, crosses)), tuple(sorted(redrawn)))


def nested(patches: Sequence[Patch], lay: Layout, shape: tuple[int, int]) -> np.ndarray:
    """The voxels (rows, columns) of a slice, bool, by nesting: even levels are filled, odd ones are holes.

    Contours of one level are united. A hole removes nothing of a filled contour that crosses it.
    """
    region = np.zeros(shape, bool)
    filled = {i for members in lay.levels[::2] for i in members}
    for depth, members in enumerate(lay.levels):
        for i in members:
            if depth % 2 == 0:
                region[patches[i].place] |= patches[i].inside
            else:
                spared = _united([patches[j] for j in lay.crosses[i] & filled], shape)
                region[patches[i].place] &= ~patches[i].interior | spared[patches[i].place]
    return region


def exclusive(patches: Sequence[Patch], shape: tuple[int, int]) -> np.ndarray:
    """The voxels (rows, columns), bool, that an odd number of contours enclose, and those on traced lines."""
    region, lines = np.zeros(shape, bool), np.zeros(shape, bool)
    for patch in patches:
        region[patch.place] ^= patch.interior
        lines[patch.place] |= patch.inside & ~patch.interior
    return region | lines


def _united(patches: Sequence[Patch], shape: tuple[int, int]) -> np.ndarray:
    """The voxels (rows, columns), bool, of any of the patches."""
    if not patches:
        return np.broadcast_to(np.False_, shape)
    whole = np.zeros(shape, bool)
    for patch in patches:
        whole[patch.place] |= patch.inside
    return whole


def _neighbours(contours: Sequence[Outline], what: str) -> list[tuple[int, int]]:
    """The pairs whose bounding boxes overlap."""
    low, high = (np.array([getattr(c, side) for c in contours]) for side in ("low", "high"))
    pairs: list[tuple[int, int]] = []
    for i in range(len(contours) - 1):
        later = slice(i + 1, None)
        near = (low[later] <= high[i] + LINE_TOLERANCE) & (high[later] >= low[i] - LINE_TOLERANCE)
        pairs += [(i, i + 1 + int(j)) for j in np.flatnonzero(near.all(axis=1))]
        if len(pairs) > MOST_PAIRS:
            raise MaskError(
                f"{what}: over {MOST_PAIRS} pairs of its {len(contours)} contours overlap; wanted each part drawn "
                "once; clean the structure up or export it as a DICOM SEG"
            )
    return pairs


def _lies_in(a: Outline, b: Outline) -> bool:
    """Whether no point of ``a`` lies further outside ``b`` than LINE_TOLERANCE."""
    slack = LINE_TOLERANCE + 1e-9
    if (a.low < b.low - slack).any() or (a.high > b.high + slack).any():
        return False
    return all(lie_near(b.line, some[~encloses(b.edges, some)]).all() for some in _in_two_looks(a.samples))


def _reaches_into(a: Outline, b: Outline) -> bool:
    """Whether a point of ``a`` lies further inside ``b`` than LINE_TOLERANCE."""
    held = a.samples[((a.samples > b.low) & (a.samples < b.high)).all(axis=1)]
    return any(not lie_near(b.line, some[encloses(b.edges, some)]).all() for some in _in_two_looks(held))


def _runs_along(a: Outline, b: Outline) -> bool:
    """Whether no point of ``a`` lies further from the line of ``b`` than LINE_TOLERANCE."""
    return all(lie_near(b.line, some).all() for some in _in_two_looks(a.samples))


def _same_points(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether the points agree one by one from some start on, in either direction: then the lines do, too."""
    if len(a) != len(b):
        return False
    start = int(((b - a[0]) ** 2).sum(axis=1).argmin())
    forward = np.roll(b, -start, axis=0)
    backward = np.roll(b[::-1], start + 1, axis=0)
    return any(((a - other) ** 2).sum(axis=1).max() <= LINE_TOLERANCE**2 for other in (forward, backward))


def _in_two_looks(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A few points from all along the line, which often settle a question, then all of them."""
    return points[:: len(points) // PROBES + 1], points


def _runs_beside(a: Outline, b: Outline) -> bool:
    """Whether both lines stay within REDRAWN of each other all along."""
    if np.abs([a.low - b.low, a.high - b.high]).max() > REDRAWN:
        return False
    pairs = ((a, b), (b, a))
    return all(bool(lie_near(sorted_edges(line.points, REDRAWN), other.samples).all()) for line, other in pairs)


def _levels(around: Sequence[set[int]]) -> tuple[tuple[tuple[int, ...], ...], set[int]]:
    """(contours by level, those that lie within a tenth of a voxel in each other's circle and have no order)."""
    levels: list[tuple[int, ...]] = []
    tangled: set[int] = set()
    waiting = set(range(len(around)))
    while waiting:
        ready = {i for i in waiting if not around[i] & waiting}
        if not ready:
            ready = tangled = waiting
        levels.append(tuple(sorted(ready)))
        waiting = waiting - ready
    return tuple(levels), tangled
