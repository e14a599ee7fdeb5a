"""Contours of a mask: filling them gives the mask back, voxel for voxel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gc_ray.cohort.synthetic.contours import contours_of


def filled(polygons: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Even-odd by definition: count the edges that a ray from each centre towards +x crosses."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    inside = np.zeros(shape, bool)
    for polygon in polygons:
        for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            spans = (y0 <= y) != (y1 <= y)
            if y0 != y1:
                inside ^= spans & (x < x0 + (y - y0) / (y1 - y0) * (x1 - x0))
    return inside


@given(arrays(bool, st.tuples(st.integers(1, 8), st.integers(1, 8))))
@settings(max_examples=300, deadline=None)
def test_filling_the_contours_gives_the_region(region):
    """Any region comes back: holes, islands in holes, pixels that touch at a corner or the border."""
    assert np.array_equal(filled(contours_of(region), region.shape), region)


def test_ring_has_an_outer_and_an_inner_contour():
    """A hole is a polygon of its own."""
    ring = np.ones((5, 5), bool)
    ring[2, 2] = False
    outer, inner = sorted(contours_of(ring), key=len, reverse=True)
    assert len(outer) == 20
    assert sorted(map(tuple, inner)) == [(1.5, 2.0), (2.0, 1.5), (2.0, 2.5), (2.5, 2.0)]


def test_no_contour_comes_near_a_centre():
    """Edges keep .35 pixels from every pixel centre, so rounding of coordinates cannot flip a voxel."""
    region = np.random.default_rng(0).random((12, 12)) < 0.5
    centres = np.stack(np.meshgrid(np.arange(12), np.arange(12)), -1).reshape(-1, 1, 2)
    for polygon in contours_of(region):
        step = np.roll(polygon, -1, axis=0) - polygon
        place = np.clip(((centres - polygon) * step).sum(-1) / (step**2).sum(-1), 0, 1)
        nearest = polygon + place[..., None] * step
        assert np.linalg.norm(centres - nearest, axis=-1).min() == pytest.approx(0.5**1.5, abs=1e-12)


def test_empty_region_has_no_contour():
    """Nothing inside, nothing drawn."""
    assert contours_of(np.zeros((3, 3), bool)) == []
