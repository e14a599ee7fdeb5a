"""One closed contour on a slice."""

import numpy as np
import pytest

from gc_ray.imaging.contours import (
    Outline,
    centres_on,
    encloses,
    fill,
    fill_traced,
    lie_near,
    one_round,
    outline,
    sorted_edges,
)

SHAPE = (12, 15)
OUTER = [(0.5, 0.5), (10.5, 0.5), (10.5, 10.5), (0.5, 10.5)]
INNER = [(3.5, 3.5), (3.5, 6.5), (6.5, 6.5), (6.5, 3.5)]


def star(points: int = 9, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.stack([7 + 6 * rng.random(points) * np.cos(angle), 5.5 + 5 * rng.random(points) * np.sin(angle)], 1)


def filled(points: np.ndarray | list) -> np.ndarray:
    """The voxels of a slice (rows, columns) as 0 and 1."""
    patch = fill(outline(np.array(points, float)), SHAPE)
    whole = np.zeros(SHAPE, np.uint8)
    whole[patch.place] = patch.inside
    return whole


def winding_inside(points: np.ndarray, x: float, y: float) -> bool:
    """Independent reference: crossing parity of a ray, one voxel at a time."""
    odd = False
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if (y0 > y) != (y1 > y) and x < (x1 - x0) * (y - y0) / (y1 - y0) + x0:
            odd = not odd
    return odd


def distance(points: np.ndarray, x: float, y: float) -> float:
    """Independent reference: from a point to the nearest of many points on the closed line."""
    share = np.linspace(0, 1, 401)[:, None]
    edges = zip(points, np.roll(points, -1, axis=0), strict=True)
    return min(float(np.hypot(*(a + share * (b - a) - (x, y)).T).min()) for a, b in edges)


def test_box_fills_exactly_the_voxels_whose_centres_it_encloses():
    """A box from 2.5 to 6.5 and 3.5 to 5.5 holds columns 3 to 6 of rows 4 and 5."""
    wanted = np.zeros(SHAPE, np.uint8)
    wanted[4:6, 3:7] = 1
    assert np.array_equal(filled([(2.5, 3.5), (6.5, 3.5), (6.5, 5.5), (2.5, 5.5)]), wanted)


@pytest.mark.parametrize("seed", range(5))
def test_filling_agrees_with_a_winding_test_of_every_voxel(seed):
    """Ragged stars and lines that cross themselves, voxel by voxel."""
    polygon = star(9, seed) if seed else np.random.default_rng(0).uniform(0, 11, (9, 2))
    wanted = [[winding_inside(polygon, x, y) for x in range(SHAPE[1])] for y in range(SHAPE[0])]
    assert np.array_equal(filled(polygon), np.array(wanted, np.uint8))
    assert np.any(wanted)


@pytest.mark.parametrize("seed", range(20))
def test_start_point_and_sense_of_rotation_do_not_matter(seed: int):
    """A polygon is a ring: rotating its points or reversing them gives the same voxels."""
    polygon = star(11, seed)
    assert np.array_equal(filled(np.roll(polygon, 4, axis=0)), filled(polygon))
    assert np.array_equal(filled(polygon[::-1]), filled(polygon))


def test_a_keyhole_stays_a_hole():
    """One contour that goes in through a channel and around the hole: 100 voxels less 9."""
    keyhole = filled([*OUTER, OUTER[0], *INNER, INNER[0], OUTER[0]])
    assert keyhole.sum() == 100 - 9
    assert not keyhole[4:7, 4:7].any()


def test_neighbours_share_no_voxel_and_leave_none_out():
    """Two boxes with a common edge through voxel centres fill each of these voxels once."""
    left = np.array([(2.0, 2.0), (5.0, 2.0), (5.0, 8.0), (2.0, 8.0)])
    together = filled(left).astype(int) + filled(left + np.array([3.0, 0.0]))
    assert together.max() == 1
    assert together.sum() == 6 * 6


def test_repeated_points_are_left_out():
    """A point that repeats its neighbour, and a last point that closes the contour, add nothing."""
    closed = np.array([OUTER[0], OUTER[0], *OUTER[1:], OUTER[0]])
    assert sorted(map(tuple, outline(closed).points)) == sorted(OUTER)
    assert len(outline(np.ones((4, 2))).points) == 1


@pytest.mark.parametrize("times", [1, 2, 3, 4, 6, 9])
def test_a_line_drawn_several_times_around_counts_once(times):
    """Points that go round twice would cancel by the even-odd rule."""
    line = one_round(outline(np.array(OUTER * times)))
    assert len(line.points) == 4
    assert filled(line.points).sum() == 100


@pytest.mark.parametrize("seed", range(5))
def test_points_are_placed_as_one_by_one(seed):
    """Inside, and within a tenth of a voxel of the line, for points anywhere and outside the bounding box."""
    polygon = star(11, seed)
    points = np.random.default_rng(seed).uniform(-2, 16, (30, 2))
    points = np.concatenate([points, polygon, polygon + 0.05])
    line = Outline(polygon)
    assert encloses(line.edges, points[:30]).tolist() == [winding_inside(polygon, *p) for p in points[:30]]
    assert lie_near(line.line, points).tolist() == [distance(polygon, *p) <= 0.1 for p in points]
    far = sorted_edges(polygon, 0.7)
    assert lie_near(far, points).tolist() == [distance(polygon, *p) <= 0.7 for p in points]


def test_points_along_a_line_are_at_most_half_a_voxel_apart():
    """Long edges are divided, the contour's own points are kept."""
    line = Outline(star(7))
    gaps = np.hypot(*(np.roll(line.samples, -1, axis=0) - line.samples).T)
    assert gaps.max() <= 0.5
    assert {tuple(p) for p in line.points} <= {tuple(p) for p in line.samples}


def test_voxel_centres_on_a_line():
    """A box through centres meets each on its line; one between centres meets none; a diagonal meets its own."""
    through = outline(np.array([(2, 2), (6, 2), (6, 5), (2, 5)], float))
    met = {tuple(c) for c in centres_on(through, 1e-6)[0]}
    assert met == {(x, y) for x in range(2, 7) for y in range(2, 6) if x in (2, 6) or y in (2, 5)}
    assert len(centres_on(outline(np.array(OUTER)), 1e-6)[0]) == 0
    slanted = outline(np.array([(1, 1), (4, 4), (4, 1.3)], float))
    assert {(2, 2), (3, 3)} < {tuple(c) for c in centres_on(slanted, 1e-6)[0]}
    assert {tuple(c) for c in centres_on(outline(np.array([(3.0, 4.0)])), 1e-6)[0]} == {(3, 4)}


def test_a_traced_contour_fills_its_line():
    """A box traced through the centres of 5 x 4 voxels fills all 20; as a hole it removes the 3 x 2 within."""
    patch = fill_traced(outline(np.array([(2.04, 2), (6, 2), (6, 5), (2, 4.95)], float)), SHAPE)
    assert patch.place == (slice(2, 6), slice(2, 7))
    assert patch.inside.sum() == 20
    assert np.array_equal(np.argwhere(patch.interior), [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)])
