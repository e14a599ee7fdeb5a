"""The standard's preprocessing, step by step: grid, interpolation, re-segmentation, grey levels."""

from __future__ import annotations

import numpy as np
import pytest

from gc_ray.features.ibsi import centred_grid, grey_levels, index_on, inside, interpolated, resegmented
from gc_ray.imaging.grid import Grid

TILTED = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)


def test_grid_shares_the_scans_centre_and_covers_it():
    """ceil(n * old / new) voxels an axis, whatever the direction; the corner case of an exact multiple adds none."""
    full = Grid((204, 201, 60), (0.977, 0.977, 3.0), (-174.4, -79.6, -100.4), TILTED)
    new = centred_grid(full, (2, 2, 2))
    assert new.size == (100, 99, 90)
    middles = [grid.index_to_mm((np.asarray(grid.size) - 1) / 2) for grid in (full, new)]
    np.testing.assert_allclose(*middles, atol=1e-9)
    assert new.direction == TILTED
    assert centred_grid(Grid((300, 300, 60), (0.7, 0.1 + 0.2, 3.0000000001)), (1, 0.3, 1)).size == (210, 300, 180)


def test_zero_keeps_an_axis_and_none_the_grid():
    """As in PyRadiomics' resampledPixelSpacing."""
    full = Grid((204, 201, 60), (0.977, 0.977, 3.0))
    assert centred_grid(full, None) is full
    assert centred_grid(full, (2, 2, 0)).size == (100, 99, 60)
    assert centred_grid(full, (2, 2, 0)).spacing_mm == (2, 2, 3)


def test_indices_agree_with_positions_in_the_room_and_invert():
    """index_on goes through sizes and spacings only, and meets the same points as millimetres do."""
    full = Grid((40, 36, 14), (0.813, 0.907, 2.337), (-17.3, 4.1, 88.0), TILTED)
    new = centred_grid(full, (1, 1, 1))
    index = np.array([(0, 0, 0), (5, 7, 11)])
    np.testing.assert_allclose(index_on(full, new, index), full.mm_to_index(new.index_to_mm(index)), atol=1e-9)
    np.testing.assert_allclose(index_on(new, full, index_on(full, new, index)), index, atol=1e-12)


@pytest.mark.parametrize(("order", "degree"), [(1, 1), (3, 3)])
def test_interpolation_reproduces_polynomials_up_to_its_order(order, degree):
    """Far from the ends of a long axis, a line is a line and a cubic a cubic."""
    x = np.arange(81.0)
    curve = 0.3 + 0.2 * x + (1e-4 * (x - 40) ** degree if degree > 1 else 0)
    found = interpolated(curve.reshape(1, 1, -1), np.array([0, 0, 35.25]), np.array([1, 1, 0.5]), (1, 1, 12), order)
    at = 35.25 + 0.5 * np.arange(12)
    expected = 0.3 + 0.2 * at + (1e-4 * (at - 40) ** degree if degree > 1 else 0)
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-9)


def test_beyond_the_scan_lies_its_border():
    """The manual pads with the nearest boundary intensity; zeros would be water in a CT."""
    row = np.full((1, 1, 8), -1000.0)
    for order in (1, 3):
        found = interpolated(row, np.array([0, 0, -0.7]), np.array([1, 1, 0.9]), (1, 1, 10), order)
        np.testing.assert_allclose(found, -1000.0)


def test_half_a_voxel_is_inside():
    """A share of one half counts, also when rounding has left 0.4999999."""
    assert inside(np.array([0.49, 0.5 - 1e-9, 0.5, 1.0])).tolist() == [0, 1, 1, 1]


def test_range_is_closed_and_comes_before_the_outliers():
    """The deviation is that of what the range left: a voxel of metal does not widen it."""
    hu = np.array([-501.0, -500, 0, 10, 20, 400, 401, 3000])
    region = np.ones(8, np.uint8)
    assert resegmented(hu, region, (-500, 400), None).tolist() == [0, 1, 1, 1, 1, 1, 0, 0]
    plain = np.append(np.tile([-10.0, 10.0], 50), [100.0, 3000.0])
    everywhere = np.ones(plain.size, np.uint8)
    assert resegmented(plain, everywhere, None, 3)[-2:].tolist() == [1, 0]
    assert resegmented(plain, everywhere, (-1000, 400), 3)[-2:].tolist() == [0, 0]
    np.testing.assert_array_equal(everywhere, 1)


def test_fixed_bins_count_from_the_range_not_from_the_region():
    """Two regions share their levels: 0 HU is level 41 of [-1000, 400] at 25 HU in both."""
    sized = {"method": "fixed bin size", "width": 25, "first_edge": -1000}
    everywhere = np.ones(3, bool)
    assert grey_levels(np.array([-1000.0, -976, -975]), everywhere, sized).tolist() == [1, 1, 2]
    assert grey_levels(np.array([0.0, 24, 400]), everywhere, sized).tolist() == [41, 41, 57]


def test_fixed_number_puts_the_maximum_into_the_last_bin():
    """32 bins between the region's extremes; voxels outside have no say and no level."""
    numbered = {"method": "fixed bin number", "bins": 32}
    region = np.array([True, True, True, False])
    assert grey_levels(np.array([0.0, 15.99, 32, 999]), region, numbered).tolist() == [1, 16, 32, 0]
    assert grey_levels(np.full(4, 7.0), region, numbered).tolist() == [1, 1, 1, 0]


def test_fixed_number_knows_neither_scale_nor_offset():
    """Twice the contrast on another level gives the same bins."""
    numbered = {"method": "fixed bin number", "bins": 32}
    values = np.random.default_rng(0).integers(-200, 300, 500).astype(float)
    everywhere = np.ones(500, bool)
    np.testing.assert_array_equal(
        grey_levels(values, everywhere, numbered), grey_levels(2 * values - 70, everywhere, numbered)
    )


def test_levels_below_one_are_refused():
    """A value below the first edge would be level 0, which no texture matrix has."""
    with pytest.raises(ValueError, match="want to start at 1, the lowest is 0"):
        grey_levels(np.array([-1.0]), np.ones(1, bool), {"method": "fixed bin size", "width": 25, "first_edge": 0})
