"""Clipping, windows, scaling."""

from __future__ import annotations

import numpy as np
import pytest

from gc_ray.imaging.grid import Grid
from gc_ray.imaging.intensity import clip_hu, scale_to_unit, window
from gc_ray.imaging.volume import Volume

GRID = Grid((5, 1, 1), (1.0, 1.0, 1.0))


def volume(values, kind):
    return Volume(np.array(values, kind).reshape(1, 1, 5), GRID)


@pytest.mark.parametrize("kind", [np.int16, np.int32, np.float32, np.float64])
def test_window_clips_and_keeps_the_pixel_type(kind):
    """Level 50, width 350 is -125 to 225 HU; what lies inside is untouched, the input too."""
    before = volume([-1024, -125, 50, 225, 3000], kind)
    after = window(before, level=50, width=350)
    assert after.array.dtype == kind
    assert after.array.ravel().tolist() == [-125, -125, 50, 225, 225]
    assert before.array[0, 0, 0] == -1024
    assert after.grid == GRID


def test_clip_is_idempotent():
    """Clipping twice is clipping once."""
    once = clip_hu(volume([-2000, -1, 0, 1, 2000], np.int16), -1024, 1024)
    np.testing.assert_array_equal(clip_hu(once, -1024, 1024).array, once.array)


def test_integer_types_keep_to_bounds_they_can_hold():
    """A bound between whole HU, or outside the type, is taken to the nearest value inside."""
    assert clip_hu(volume([-9, -2, 0, 2, 9], np.int16), -1.5, 1.5).array.ravel().tolist() == [-1, -1, 0, 1, 1]
    assert clip_hu(volume([0, 1, 2, 3, 255], np.uint8), -125, 225).array.ravel().tolist() == [0, 1, 2, 3, 225]


def test_scale_maps_the_ends_to_minus_one_and_one():
    """-115 to 235 HU of Cao et al. become -1 to 1, the middle 0, what is outside stays at the ends."""
    scaled = scale_to_unit(np.array([-1000, -115, 60, 235, 1000], np.int16), -115, 235)
    assert scaled.dtype == np.float32
    assert scaled.tolist() == [-1, -1, 0, 1, 1]


@pytest.mark.parametrize("bounds", [(1, 1), (2, 1), (float("nan"), 1)])
def test_empty_range_is_refused(bounds):
    """A range without width has no scale."""
    with pytest.raises(ValueError, match="low < high"):
        scale_to_unit(np.zeros(3), *bounds)
    with pytest.raises(ValueError, match="low < high"):
        clip_hu(volume([0] * 5, np.int16), *bounds)
