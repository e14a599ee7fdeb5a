"""The closed contours of one region on one slice: their voxels, and what has to be said about them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from gc_ray.imaging.contour_sets import distinct, exclusive, layout, nested
from gc_ray.imaging.contours import LINE_TOLERANCE, Outline, centres_on, fill, fill_traced, following, one_round

ON_CENTRE = 0.01  # voxels; a centre this near to a line counts inside or outside by rounding alone
MIN_CENTRES = 4  # on one contour, before it is said to run through voxel centres; fewer happen by chance
MIN_SHARE = 1 / 8  # of the rows or columns that it passes; by chance 1/50 lie within ON_CENTRE
MIN_POINTS = 1 / 2  # of its points within LINE_TOLERANCE of centres; by chance 1/25 do


class Finding(Enum):
    """What can be remarkable about a contour, as a note says it after "contour 3 on slice 7"."""

    DUPLICATE = "dropped: duplicate of another contour"
    ROUNDS = "drawn more than once around in one line: counted once"
    CROSSING = "overlapping another contour without lying inside it: united"
    REDRAWN = "within half a voxel of another contour all along: taken as the same outline, not as a hole"
    EMPTY = "too small, or of lines that cancel: enclosing no voxel centre, filling no voxel"


@dataclass(frozen=True, eq=False)
class Placed:
    """A closed contour on its slice; number: in the region, counted from 1 in the order of the file."""

    number: int
    slice: int
    line: Outline


@dataclass(frozen=True)
class Reading:
    """How the contours of a region are read.

    xor: their type is CLOSEDPLANAR_XOR: an odd number of contours around a voxel put it inside; otherwise nesting
    decides. traced: they were traced from voxels, and the voxels on their lines belong to the region.
    """

    xor: bool
    traced: bool


@dataclass(frozen=True, eq=False)
class FilledSlice:
    """The voxels of a region on one slice and what was seen on the way.

    region: (rows, columns), uint8. seen: the contours' numbers by finding. centred: numbers of the contours that run
    through voxel centres. on_lines, counted: how many voxel centres lie on these, and how many of them are inside.
    """

    slice: int
    region: np.ndarray
    seen: dict[Finding, list[int]]
    centred: list[int]
    on_lines: int
    counted: int


def traced_from_voxels(lines: Iterable[Outline]) -> bool:
    """Whether every contour runs from voxel centre to voxel centre in steps along rows, columns and diagonals.

    So do contours that OpenCV's ``findContours`` draws (rt-utils, TotalSegmentator). All points lie within a tenth of
    a voxel of centres; of a point drawn anywhere that is true once in 25 times.
    """
    for line in lines:
        centres = np.round(line.points)
        steps = np.abs(following(centres) - centres)
        straight = (steps.min(axis=1) == 0) | (steps[:, 0] == steps[:, 1])
        if np.abs(line.points - centres).max() > LINE_TOLERANCE or not straight.all():
            return False
    return True


def fill_slice(contours: Sequence[Placed], shape: tuple[int, int], reading: Reading, what: str) -> FilledSlice:
    """The voxels of a region on one slice: those whose centre its contours enclose.

    Parameters
    ----------
    contours : sequence of Placed
        All of the region on this slice, in the order of the file.
    shape : tuple of int
        Rows and columns of the slice.
    reading : Reading
        How contours are put together.
    what : str
        The region, for messages.

    Raises
    ------
    MaskError
        Too many contours overlap.
    """
    single = [Placed(c.number, c.slice, one_round(c.line)) for c in contours]
    kept = [single[i] for i in distinct([c.line for c in single])]
    patches = [(fill_traced if reading.traced else fill)(c.line, shape) for c in kept]
    seen = {
        Finding.ROUNDS: [c.number for c, s in zip(contours, single, strict=True) if s.line is not c.line],
        Finding.DUPLICATE: sorted({c.number for c in single} - {c.number for c in kept}),
        Finding.EMPTY: [c.number for c, patch in zip(kept, patches, strict=True) if not patch.inside.any()],
    }
    if reading.xor:
        region = exclusive(patches, shape)
    else:
        lay = layout([c.line for c in kept], f"{what}: slice {kept[0].slice}")
        region = nested(patches, lay, shape)
        seen[Finding.CROSSING] = [kept[i].number for i in lay.crossing]
        seen[Finding.REDRAWN] = [kept[i].number for i in lay.redrawn]
    return _with_centres([] if reading.traced else kept, region, seen, contours[0].slice)


def _with_centres(contours: list[Placed], region: np.ndarray, seen: dict[Finding, list[int]], k: int) -> FilledSlice:
    """The filled slice; of ``contours``, those are looked for that run through voxel centres."""
    centred, lines = [], np.zeros(region.shape, bool)
    for contour in contours:
        centres, passed = centres_on(contour.line, ON_CENTRE)
        if _runs_through_centres(contour.line, centres, passed):
            centred.append(contour.number)
            column, row = np.clip(centres, 0, np.array(region.shape[::-1]) - 1).T
            lines[row, column] = True
    counted = int(np.count_nonzero(lines & region))
    return FilledSlice(k, region.astype(np.uint8), seen, centred, int(np.count_nonzero(lines)), counted)


def _runs_through_centres(line: Outline, centres: np.ndarray, passed: int) -> bool:
    """Whether the centres on a line, of ``passed`` that it could have met, are more than chance."""
    least = max(MIN_CENTRES, MIN_SHARE * passed)
    if len(centres) >= least and len(np.unique(centres, axis=0)) >= least:
        return True
    nearest = np.round(line.points)
    at_centre = np.abs(line.points - nearest).max(axis=1) <= LINE_TOLERANCE
    many = np.count_nonzero(at_centre) >= MIN_POINTS * len(at_centre)
    return many and len(np.unique(nearest[at_centre], axis=0)) >= MIN_CENTRES
