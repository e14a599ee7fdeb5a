"""Augmented views: the transformations do what they are called, and a view depends on its own names alone."""

import numpy as np
import pytest

from gc_ray.models.augment import ROTATION_DEGREES, augmented, flipped, rotated, smoothed, view

FILL = -0.34


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """A small volume without any symmetry."""
    return np.random.default_rng(0).uniform(-1, 1, (6, 21, 21)).astype(np.float32)


def test_view_0_is_the_image_itself(image):
    """What is scored is not augmented."""
    assert np.array_equal(view(image, 3, "P1", 0, FILL), image)


def test_a_view_is_a_function_of_seed_item_and_number(image):
    """The same again bit for bit; another one when any of the three differs."""
    first = view(image, 3, "P1", 1, FILL)
    assert np.array_equal(first, view(image, 3, "P1", 1, FILL))
    for other in ((4, "P1", 1), (3, "P2", 1), (3, "P1", 2)):
        assert not np.array_equal(first, view(image, *other, FILL))
    assert first.dtype == np.float32
    assert first.shape == image.shape


def test_views_leave_the_image_as_it_was(image):
    """The stored volume is read by others."""
    before = image.copy()
    for number in range(8):
        view(image, 0, "P1", number, FILL)
    assert np.array_equal(image, before)


def test_a_flip_twice_is_no_flip(image):
    """Mirroring is its own inverse along every axis."""
    for axes in ((), (0,), (1, 2), (0, 1, 2)):
        assert np.array_equal(flipped(flipped(image, axes), axes), image)


def test_a_rotation_turns_about_z(image):
    """A quarter turn is exact within the inscribed circle, a full one is none, and slices do not mix."""
    turned = rotated(image, 90.0, FILL)
    assert np.allclose(turned, np.rot90(image, axes=(1, 2)), atol=1e-5)
    assert np.allclose(rotated(image, 360.0, FILL), image, atol=1e-5)
    one = np.full_like(image, FILL)
    one[2] = image[2]
    assert np.allclose(np.delete(rotated(one, 10.0, FILL), 2, axis=0), FILL)


def test_what_a_rotation_brings_in_is_0_hu():
    """The corners come from outside the volume of interest, where the recipe pads with 0 HU."""
    turned = rotated(np.ones((2, 31, 31), np.float32), ROTATION_DEGREES, FILL)
    assert np.allclose(turned[:, 0, 0], FILL)
    assert turned[0, 15, 15] == pytest.approx(1)


def test_smoothing_keeps_the_mean_and_takes_contrast(image):
    """A Gaussian filter blurs; with no width it does nothing."""
    blurred = smoothed(image, 1.0)
    assert blurred.std() < 0.5 * image.std()
    assert blurred.mean() == pytest.approx(image.mean(), abs=0.02)
    assert np.array_equal(smoothed(image, 0.0), image)


def test_views_differ_in_kind(image):
    """Over many draws there are flips, turns and smoothing, none of them always; values stay in range."""
    views = [augmented(image, np.random.default_rng(i), FILL) for i in range(60)]
    contrast = np.array([v[:, 5:16, 5:16].std() for v in views]) / image[:, 5:16, 5:16].std()
    assert contrast.min() < 0.5 < 0.6 < contrast.max()
    assert max(np.abs(v).max() for v in views) <= 1
