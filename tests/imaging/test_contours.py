"""Filling of polygons."""

import numpy as np
import pytest

from gc_ray.imaging.contours import fill_even_odd

SHAPE = (12, 15)


def star(points: int = 9, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.stack([7 + 6 * rng.random(points) * np.cos(angle), 5.5 + 5 * rng.random(points) * np.sin(angle)], 1)


def test_box_fills_exactly_the_voxels_whose_centres_it_encloses():
    """A box from 2.5 to 6.5 and 3.5 to 5.5 holds columns 3 to 6 of rows 4 and 5."""
    filled = fill_even_odd([np.array([(2.5, 3.5), (6.5, 3.5), (6.5, 5.5), (2.5, 5.5)])], SHAPE)
    wanted = np.zeros(SHAPE, np.uint8)
    wanted[4:6, 3:7] = 1
    assert np.array_equal(filled, wanted)
    assert filled.dtype == np.uint8


def test_filling_agrees_with_a_winding_test_of_every_voxel():
    """Independent reference: crossing parity of a ray, one voxel at a time."""
    polygon = star()

    def inside(x: float, y: float) -> bool:
        odd = False
        for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            if (y0 > y) != (y1 > y) and x < (x1 - x0) * (y - y0) / (y1 - y0) + x0:
                odd = not odd
        return odd

    wanted = [[inside(x, y) for x in range(SHAPE[1])] for y in range(SHAPE[0])]
    assert np.array_equal(fill_even_odd([polygon], SHAPE), np.array(wanted, np.uint8))
    assert np.any(wanted)


@pytest.mark.parametrize("seed", range(20))
def test_start_point_and_sense_of_rotation_do_not_matter(seed: int):
    """A polygon is a ring: rotating its points or reversing them gives the same voxels."""
    polygon = star(11, seed)
    filled = fill_even_odd([polygon], SHAPE)
    assert np.array_equal(fill_even_odd([np.roll(polygon, 4, axis=0)], SHAPE), filled)
    assert np.array_equal(fill_even_odd([polygon[::-1]], SHAPE), filled)


def test_inner_contour_is_a_hole_and_a_keyhole_says_the_same():
    """Even-odd over all contours of a slice: an inner contour cuts out, with or without a channel."""
    outer = [(0.5, 0.5), (10.5, 0.5), (10.5, 10.5), (0.5, 10.5)]
    inner = [(3.5, 3.5), (3.5, 6.5), (6.5, 6.5), (6.5, 3.5)]
    two = fill_even_odd([np.array(outer), np.array(inner)], SHAPE)
    keyhole = fill_even_odd([np.array([*outer, outer[0], *inner, inner[0], outer[0]])], SHAPE)
    assert two.sum() == 100 - 9
    assert np.array_equal(two, keyhole)


def test_neighbours_share_no_voxel_and_leave_none_out():
    """Two boxes with a common edge through voxel centres fill each of these voxels once."""
    left = np.array([(2.0, 2.0), (5.0, 2.0), (5.0, 8.0), (2.0, 8.0)])
    right = left + np.array([3.0, 0.0])
    together = fill_even_odd([left], SHAPE).astype(int) + fill_even_odd([right], SHAPE)
    assert together.max() == 1
    assert together.sum() == 6 * 6
