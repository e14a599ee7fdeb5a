"""The contours of a region on one slice: duplicates, holes, islands, overlaps, lines through voxel centres."""

from itertools import permutations

import numpy as np
import pytest

from gc_ray.errors import MaskError
from gc_ray.imaging import contour_sets
from gc_ray.imaging.contour_slices import FilledSlice, Finding, Placed, Reading, fill_slice, traced_from_voxels
from gc_ray.imaging.contours import outline

SHAPE = (16, 20)

# What OpenCV 5.0 findContours (RETR_TREE) draws around the voxels marked "#"
MARKED = (
    "....................",
    ".####......###......",
    ".#..#.....#####...#.",
    ".#..#.....##.##.....",
    ".####....##...##....",
    ".........##.#.##....",
    "..#......##...##....",
    "..#......######.....",
    "..#..##.............",
    "......##....##......",
    "........#...##......",
    ".........#.....###..",
    "........#.#....#.#..",
    ".......#...#...###..",
    "....................",
    "....................",
)
SIMPLE = [
    *([(15, 11), (15, 13), (17, 13), (17, 11)], [(15, 12), (16, 11), (17, 12), (16, 13)]),
    *([(12, 9), (12, 10), (13, 10), (13, 9)], [(2, 6), (2, 8)], [(18, 2)], [(12, 5)]),
    [(5, 8), (6, 9), (7, 9), (9, 11), (7, 13), (9, 11), (11, 13), (6, 8)],
    [(11, 1), (10, 2), (10, 3), (9, 4), (9, 7), (14, 7), (15, 6), (15, 4), (14, 3), (14, 2), (13, 1)],
    [(12, 2), (14, 4), (14, 6), (13, 7), (11, 7), (10, 6), (10, 4)],
    *([(1, 1), (1, 4), (4, 4), (4, 1)], [(1, 2), (2, 1), (3, 1), (4, 2), (4, 3), (3, 4), (2, 4), (1, 3)]),
]
NONE = [*SIMPLE[:3], [(2, 6), (2, 7), (2, 8), (2, 7)], *SIMPLE[4:]]


def box(x0: int, x1: int, y0: int, y1: int, grow: float = 0.0) -> np.ndarray:
    """The contour around voxels x0..x1, y0..y1 (inclusive), pushed outwards by ``grow`` voxels."""
    a, b, c, d = x0 - 0.5 - grow, x1 + 0.5 + grow, y0 - 0.5 - grow, y1 + 0.5 + grow
    return np.array([(a, c), (b, c), (b, d), (a, d)])


def voxels(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    """The voxels of boxes x0, x1, y0, y1 (inclusive), united."""
    wanted = np.zeros(SHAPE, np.uint8)
    for x0, x1, y0, y1 in boxes:
        wanted[y0 : y1 + 1, x0 : x1 + 1] = 1
    return wanted


def filled(*contours, xor: bool = False, traced: bool = False) -> FilledSlice:
    """What becomes of contours, numbered from 1, on slice 7."""
    laid = [Placed(n, 7, outline(np.array(points, float))) for n, points in enumerate(contours, 1)]
    return fill_slice(laid, SHAPE, Reading(xor, traced), "RS.dcm: ROI 'GTV'")


def found(result: FilledSlice) -> dict[Finding, list[int]]:
    """The findings that any contour gave cause for."""
    return {finding: numbers for finding, numbers in result.seen.items() if numbers}


def more_points(points: np.ndarray, parts: int = 7) -> np.ndarray:
    """The same line with further points on its edges."""
    share = np.arange(parts)[:, None, None] / parts
    return (points + share * (np.roll(points, -1, axis=0) - points)).transpose(1, 0, 2).reshape(-1, 2)


OUTER = box(2, 13, 2, 12)
HOLE = box(5, 8, 4, 9)
COPIES = {
    "same": lambda p: p,
    "other start": lambda p: np.roll(p, 3, axis=0),
    "reversed": lambda p: p[::-1],
    "closed": lambda p: np.concatenate([p, p[:1]]),
    "closed, reversed, other start": lambda p: np.roll(np.concatenate([p, p[:1]])[::-1], 2, axis=0),
    "more points": more_points,
    "fewer points": lambda p: p,  # of the first contour, which is given more
    "more points, reversed": lambda p: more_points(p)[::-1],
    "0.06 voxels off": lambda p: p + np.array([0.06, 0.07]),
    "0.09 voxels larger": lambda p: p + 0.06 * np.sign(p - p.mean(axis=0)),
    "jittered": lambda p: more_points(p) + np.random.default_rng(0).uniform(-0.07, 0.07, (28, 2)),
}


@pytest.mark.parametrize("xor", [False, True])
@pytest.mark.parametrize("name", COPIES)
def test_a_copy_is_dropped_and_never_cancels(name, xor):
    """Up to a tenth of a voxel, whatever start point, direction, closing point or number of points."""
    first = more_points(OUTER) if name == "fewer points" else OUTER
    result = filled(first, COPIES[name](OUTER), xor=xor)
    assert np.array_equal(result.region, voxels((2, 13, 2, 12)))
    assert found(result) == {Finding.DUPLICATE: [2]}


def test_all_copies_of_one_contour_are_dropped():
    """Three times, five times: the number of copies does not matter."""
    for times in (3, 4, 5):
        result = filled(*[np.roll(OUTER, i, axis=0) for i in range(times)])
        assert np.array_equal(result.region, voxels((2, 13, 2, 12)))
        assert found(result) == {Finding.DUPLICATE: list(range(2, times + 1))}


def test_equal_points_in_another_order_are_no_copy():
    """A bow tie has the corners of its box, but not its lines."""
    result = filled(box(2, 13, 2, 12), box(2, 13, 2, 12)[[0, 2, 1, 3]])
    assert Finding.DUPLICATE not in found(result)


def test_a_hole_drawn_twice_stays_a_hole():
    """Copies of the outer contour and of the hole are dropped, each for itself."""
    wanted = voxels((2, 13, 2, 12)) - voxels((5, 8, 4, 9))
    for contours in permutations([OUTER, OUTER[::-1], HOLE, np.roll(HOLE, 1, axis=0)]):
        result = filled(*contours)
        assert np.array_equal(result.region, wanted)
        assert len(found(result)[Finding.DUPLICATE]) == 2


def test_more_than_a_tenth_off_is_no_copy_and_is_united():
    """0.3 voxels off, as by another reader: united, with a note."""
    result = filled(OUTER, OUTER + np.array([0.3, 0]))
    assert np.array_equal(result.region, voxels((2, 13, 2, 12)))
    assert found(result) == {Finding.CROSSING: [1, 2]}


def test_holes_and_islands_alternate_in_any_order():
    """A contour in a hole is an island, one in the island a hole again."""
    boxes = [box(1, 15, 1, 13), box(3, 13, 3, 11), box(5, 11, 5, 9), box(7, 9, 6, 8)]
    wanted = voxels((1, 15, 1, 13)) - voxels((3, 13, 3, 11)) + voxels((5, 11, 5, 9)) - voxels((7, 9, 6, 8))
    for contours in permutations(boxes):
        result = filled(*contours)
        assert np.array_equal(result.region, wanted)
        assert not found(result)


@pytest.mark.parametrize("hole", [box(2, 8, 4, 9), box(2, 8, 2, 12), box(2, 13, 2, 5)])
def test_a_hole_may_touch_its_outer_contour(hole):
    """On one side, on three sides: it is a hole still."""
    result = filled(OUTER, hole)
    assert result.region.sum() == 12 * 11 - filled(hole).region.sum()
    assert not found(result)


@pytest.mark.parametrize("other", [box(9, 11, 4, 9), box(9, 11, 10, 11), box(5, 8, 10, 11)])
def test_holes_may_touch_each_other(other):
    """By an edge or by a corner: both are holes, without a note."""
    result = filled(OUTER, HOLE, other)
    assert result.region.sum() == 12 * 11 - 4 * 6 - filled(other).region.sum()
    assert not found(result)


@pytest.mark.parametrize(
    ("beyond", "wanted"),
    [
        (0.08, voxels((2, 13, 2, 12)) - voxels((10, 13, 4, 9))),
        (0.3, voxels((2, 13, 2, 12))),
        (1.0, voxels((2, 13, 2, 12), (10, 14, 4, 9))),
    ],
)
def test_a_contour_is_a_hole_when_at_most_a_tenth_of_a_voxel_lies_outside(beyond, wanted):
    """Further out it crosses the outer contour, and both are united with a note."""
    hole = box(10, 13, 4, 9)
    hole[1:3, 0] += beyond
    result = filled(OUTER, hole)
    assert np.array_equal(result.region, wanted)
    assert found(result) == ({} if beyond < 0.1 else {Finding.CROSSING: [1, 2]})


def test_pieces_with_a_common_edge_are_united_without_a_note():
    """Side by side, at a corner, overlapping by less than a tenth of a voxel: they do not cross."""
    pieces = [box(2, 5, 2, 6), box(6, 9, 2, 6, grow=0.04), box(10, 12, 7, 9)]
    result = filled(*pieces)
    assert np.array_equal(result.region, voxels((2, 9, 2, 6), (10, 12, 7, 9)))
    assert not found(result)


def test_contours_that_cross_are_united_with_a_note():
    """Corners in each other, bars that cross without a corner inside, three around one spot."""
    left, right, below = (2, 8, 2, 8), (6, 12, 5, 11), (4, 10, 7, 14)
    wide, high = (1, 17, 6, 8), (8, 10, 1, 14)
    for boxes in ([left, right], [wide, high], [left, right, below]):
        result = filled(*[box(*b) for b in boxes])
        assert np.array_equal(result.region, voxels(*boxes))
        assert found(result) == {Finding.CROSSING: list(range(1, len(boxes) + 1))}


def test_a_hole_in_two_overlapping_contours_is_a_hole():
    """Two outer contours that cross are one level: what lies in both is cut out of their union, and noted."""
    left, right, hole = (1, 12, 1, 13), (5, 17, 2, 12), (7, 10, 5, 9)
    for contours in permutations([box(*left), box(*right), box(*hole)]):
        result = filled(*contours)
        assert np.array_equal(result.region, voxels(left, right) - voxels(hole))
        assert len(found(result)[Finding.CROSSING]) == 2


def test_holes_that_cross_are_one_hole():
    """They are united as holes, with a note."""
    for contours in permutations([OUTER, HOLE, box(7, 11, 6, 10)]):
        result = filled(*contours)
        assert np.array_equal(result.region, voxels((2, 13, 2, 12)) - voxels((5, 8, 4, 9), (7, 11, 6, 10)))
        assert len(found(result)[Finding.CROSSING]) == 2


def test_a_hole_removes_nothing_of_a_contour_that_crosses_it():
    """A piece over the edge of both the outer contour and its hole is kept whole."""
    piece = (7, 18, 5, 7)
    for contours in permutations([OUTER, HOLE, box(*piece)]):
        result = filled(*contours)
        holed = voxels((2, 13, 2, 12)) - voxels((5, 8, 4, 9))
        assert np.array_equal(result.region, holed | voxels(piece))
        assert found(result) == {Finding.CROSSING: [1, 2, 3]}


def test_exclusive_contours_cut_out_what_two_enclose():
    """CLOSEDPLANAR_XOR: the overlap of two is outside, that of three inside."""
    boxes = [(2, 8, 2, 8), (6, 12, 5, 11), (4, 10, 7, 14)]
    result = filled(*[box(*b) for b in boxes], xor=True)
    assert np.array_equal(result.region, sum(voxels(b) for b in boxes) % 2)
    assert not found(result)


def test_a_keyhole_may_hold_an_island():
    """The hole of a keyhole is outside its contour: a contour there is a piece of its own."""
    inner = HOLE[::-1]
    keyhole = np.concatenate([OUTER, OUTER[:1], inner, inner[:1]])
    result = filled(keyhole, box(6, 7, 6, 7))
    assert np.array_equal(result.region, voxels((2, 13, 2, 12)) - voxels((5, 8, 4, 9)) + voxels((6, 7, 6, 7)))
    assert not found(result)


def test_a_contour_around_no_centre_is_named():
    """Smaller than a voxel, between centres: it fills nothing, and is no hole."""
    result = filled(OUTER, box(15, 15, 5, 5, grow=-0.2) + 0.5, box(6, 6, 6, 6, grow=-0.2) + 0.5)
    assert np.array_equal(result.region, voxels((2, 13, 2, 12)))
    assert found(result) == {Finding.EMPTY: [2, 3]}


@pytest.mark.parametrize(
    "again",
    [
        pytest.param(box(2, 13, 2, 12, grow=-0.3), id="smaller"),
        pytest.param(OUTER * 0.97 + np.array([7.5, 7]) * 0.03, id="scaled"),
    ],
)
def test_an_outline_drawn_again_a_little_smaller_is_no_hole(again):
    """Within half a voxel all along it would leave a rim that is thinner than any wall: united, with a note."""
    for contours, number in (((OUTER, again), 2), ((again, OUTER), 1)):
        result = filled(*contours)
        assert np.array_equal(result.region, voxels((2, 13, 2, 12)))
        assert found(result) == {Finding.REDRAWN: [number]}


def test_a_circle_with_half_of_its_points_is_no_hole():
    """Between its points it lies a quarter of a voxel inside."""
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    circle = np.array([9.3, 7.6]) + 7 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    result = filled(circle, circle[::2])
    assert np.array_equal(result.region, filled(circle).region)
    assert found(result) == {Finding.REDRAWN: [2]}


def test_a_wall_of_one_voxel_is_a_wall():
    """Its inner line is a whole voxel away."""
    result = filled(OUTER, box(3, 12, 3, 11))
    assert result.region.sum() == 12 * 11 - 10 * 9
    assert not found(result)


def test_a_contour_drawn_twice_around_is_counted_once():
    """Its two rounds would cancel."""
    result = filled(np.concatenate([OUTER, OUTER]))
    assert np.array_equal(result.region, voxels((2, 13, 2, 12)))
    assert found(result) == {Finding.ROUNDS: [1]}


def test_three_lines_around_each_other_in_a_circle_are_united():
    """Each lies in the next up to a tenth of a voxel and the last in the first: none is a hole of another."""
    around = [{1}, {2}, {0}, {0, 1, 2}]
    levels, tangled = contour_sets._levels(around)
    assert levels == ((0, 1, 2, 3),)
    assert tangled == {0, 1, 2, 3}


def test_too_many_overlapping_contours_are_refused(monkeypatch):
    """Time grows with the pairs: a slice of a thousand contours one over the other is no region."""
    monkeypatch.setattr(contour_sets, "MOST_PAIRS", 5)
    with pytest.raises(MaskError, match=r"RS.dcm: ROI 'GTV': slice 7: over 5 pairs of its 4 contours overlap"):
        filled(*[OUTER + 0.5 * i for i in range(4)])


@pytest.mark.parametrize("contours", [SIMPLE, NONE, SIMPLE[::-1]], ids=["corners", "all points", "other order"])
@pytest.mark.parametrize("off", [0.0, 0.04])
def test_contours_traced_from_voxels_give_the_voxels_back(contours, off):
    """Holes, islands in holes, single voxels, lines, diagonals: all that findContours was given, and no more."""
    shifted = [np.array(points, float) + off for points in contours]
    assert traced_from_voxels(map(outline, shifted))
    result = filled(*shifted, traced=True)
    assert np.array_equal(result.region, [[c == "#" for c in row] for row in MARKED])
    assert not found(result)
    assert result.centred == []


@pytest.mark.parametrize(
    "other",
    [
        pytest.param([(2, 2), (6.5, 2), (6, 6)], id="a point between centres"),
        pytest.param([(2, 2), (8, 2), (8, 5)], id="a step that is no row, column or diagonal"),
        pytest.param([(2.2, 2.2), (8.2, 2.2), (8.2, 8.2), (2.2, 8.2)], id="a fifth of a voxel off"),
    ],
)
def test_one_other_contour_and_none_counts_as_traced(other):
    """Where not all contours run from centre to centre, none is taken to include its line."""
    contours = [outline(np.array(points, float)) for points in (SIMPLE[0], other)]
    assert traced_from_voxels(contours[:1])
    assert not traced_from_voxels(contours)


@pytest.mark.parametrize(
    ("points", "on_lines", "counted"),
    [
        pytest.param([(2, 2), (12, 2), (12, 9), (2, 9)], 34, 16, id="box through centres"),
        pytest.param([(2, 2.5), (12, 2.5), (12, 9.5), (2, 9.5)], 14, 7, id="in one axis"),
        pytest.param([(2, 2), (9, 4), (12, 11), (3, 9)], 4, 1, id="corners on centres"),
        pytest.param([(2.5, 5.5), (6.5, 1.5), (12.5, 7.5), (8.5, 11.5)], 20, 10, id="diagonals"),
    ],
)
def test_a_line_through_voxel_centres_is_seen(points, on_lines, counted):
    """Counted are the voxels on its low-x, low-y sides."""
    result = filled(points)
    assert result.centred == [1]
    assert (result.on_lines, result.counted) == (on_lines, counted)


@pytest.mark.parametrize("seed", range(10))
def test_a_drawn_line_meets_centres_by_chance_only(seed):
    """No note for a free contour."""
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    radius = 5 + np.random.default_rng(seed).normal(0, 0.3, 60)
    assert filled(np.stack([9 + radius * np.cos(angle), 8 + radius * np.sin(angle)], 1)).centred == []
