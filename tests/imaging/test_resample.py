"""Resampling: exact grids, crops that change nothing, kinds of interpolation."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import map_coordinates

from gc_ray.errors import ScanError
from gc_ray.imaging.grid import Grid
from gc_ray.imaging.itk import image_of
from gc_ray.imaging.resample import (
    SPLINE_MARGIN_VOXELS,
    check_size,
    pyradiomics_grid,
    resample_mask,
    resample_volume,
)
from gc_ray.imaging.volume import Mask, Volume

FULL = Grid((150, 140, 60), (0.7, 0.7, 2.5), (-31.5, 12.25, 7.0), (-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0))
OBLIQUE = Grid((150, 140, 60), (0.7, 0.7, 2.5), (3.0, 4.0, 5.0), (0.6, 0.8, 0, -0.8, 0.6, 0, 0, 0, 1.0))


def noise(grid, kind):
    return Volume(np.random.default_rng(3).normal(0, 300, grid.shape).astype(kind), grid)


def uncropped(volume, grid):
    image = sitk.Resample(
        image_of(volume),
        grid.size,
        sitk.Transform(),
        sitk.sitkBSpline,
        grid.origin_mm,
        grid.spacing_mm,
        grid.direction,
    )
    return sitk.GetArrayFromImage(image)


@pytest.mark.parametrize("full", [FULL, OBLIQUE])
@pytest.mark.parametrize("kind", [np.int16, np.int32, np.float32, np.float64])
def test_crop_does_not_change_the_result(kind, full):
    """White noise, the spline's worst case: equal to the resampling of the whole scan, bit for bit in whole HU."""
    volume = noise(full, kind)
    grid = pyradiomics_grid(full, ((60, 50, 25), (20, 25, 8)), (1, 1, 1), 5)
    got = resample_volume(volume, grid)
    assert got.array.dtype == kind
    if np.issubdtype(kind, np.integer):
        np.testing.assert_array_equal(got.array, uncropped(volume, grid))
    else:
        rounding = 2e-4 if kind == np.float32 else 1e-10
        np.testing.assert_allclose(got.array, uncropped(volume, grid), rtol=0, atol=rounding)


def test_spline_margin_is_below_double_precision():
    """The prefilter's pole to the power of the margin, less the kernel's 2 voxels, is under half an ulp of 1."""
    assert (2 - np.sqrt(3)) ** (SPLINE_MARGIN_VOXELS - 2) < np.finfo(float).eps / 2


def test_linear_ramp_is_reproduced():
    """Meaning: a ramp in millimetres has, resampled, the value that its position says."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in FULL.size], indexing="ij"), -1).transpose(2, 1, 0, 3)
    ramp = Volume(FULL.index_to_mm(index) @ np.array([1.0, -2.0, 0.5]), FULL)
    grid = pyradiomics_grid(FULL, ((60, 50, 25), (20, 25, 8)), (1, 1, 1), 0)
    got = resample_volume(ramp, grid)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.size], indexing="ij"), -1).transpose(2, 1, 0, 3)
    np.testing.assert_allclose(got.array, grid.index_to_mm(index) @ np.array([1.0, -2.0, 0.5]), atol=1e-4)


def test_grid_of_the_scan_is_cut_out_and_not_interpolated():
    """Voxels that lie on the grid keep their value in every bit, in memory of their own."""
    volume = noise(OBLIQUE, np.float32)
    mask = Mask((volume.array > 0).astype(np.uint8), OBLIQUE)
    part = OBLIQUE.crop((7, 11, 13), (20, 30, 40))
    for got, whole in ((resample_volume(volume, part), volume), (resample_mask(mask, part), mask)):
        np.testing.assert_array_equal(got.array, whole.array[13:53, 11:41, 7:27])
        assert not np.shares_memory(got.array, whole.array)
        assert got.grid == part


@pytest.mark.parametrize("kind", [np.int16, np.float64])
def test_one_point_on_a_voxel_is_interpolated_when_the_spacing_changes(kind):
    """An axis that shrinks to one point is interpolated as in PyRadiomics, to the last bit, and not cut out."""
    full = Grid((3, 11, 11), (0.2, 1.0, 7.0))
    volume = Volume(np.arange(363).reshape(11, 11, 3).astype(kind), full)
    grid = pyradiomics_grid(full, ((0, 0, 5), (3, 8, 2)), (1, 1, 0), 3)
    assert grid.size[0] == 1 and grid.origin_mm[0] == pytest.approx(2 * 0.2)
    np.testing.assert_array_equal(resample_volume(volume, grid).array, uncropped(volume, grid))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("kind", [np.int16, np.float32, np.float64])
def test_beyond_the_second_of_two_slices_no_other_memory_is_read(kind, axis):
    """The spline of two voxels is SciPy's with mirrored ends; ITK alone reads before the image there."""
    size, spacing = [9, 8, 7], [1.0, 1.0, 1.0]
    size[axis], spacing[axis] = 2, 2.5
    full = Grid(tuple(size), tuple(spacing), (-3.0, 4.0, 5.0))
    volume = noise(full, kind)
    grid = pyradiomics_grid(full, ((0, 0, 0), full.size), (1, 1, 1), 5)
    index = full.mm_to_index(grid.index_to_mm(np.moveaxis(np.indices(grid.size), 0, -1)))
    assert (index[..., axis] > 1).any() and (index < np.asarray(full.size) - 0.5).all()
    wanted = map_coordinates(volume.array.astype(float), index.T[::-1], order=3, mode="mirror")
    tolerance = 1 + 1e-9 if kind == np.int16 else 1e-3 if kind == np.float32 else 1e-9
    np.testing.assert_allclose(resample_volume(volume, grid).array, wanted, rtol=0, atol=tolerance)


def test_two_slices_end_where_the_scan_ends():
    """Beyond the far face of two slices points are 0 HU, as beyond any scan."""
    volume = Volume(np.full((2, 5, 5), 77, np.int16), Grid((5, 5, 2), (1.0, 1.0, 3.0)))
    values = resample_volume(volume, Grid((1, 1, 7), (1.0, 1.0, 1.0), (2.0, 2.0, -1.0))).array.ravel()
    assert values[:6] == pytest.approx(77, abs=1) and values[6] == 0


def test_mask_stays_a_mask():
    """Nearest neighbour: 0 and 1 only, and the volume in millilitres is kept."""
    z, y, x = np.meshgrid(*[np.arange(n) for n in FULL.shape], indexing="ij")
    ball = ((x - 70) * 0.7) ** 2 + ((y - 70) * 0.7) ** 2 + ((z - 30) * 2.5) ** 2 < 20**2
    mask = Mask(ball.astype(np.uint8), FULL)
    got = resample_mask(mask, pyradiomics_grid(FULL, mask.bounding_box(), (1, 1, 1), 2))
    assert set(np.unique(got.array)) == {0, 1}
    assert got.voxels * got.grid.voxel_mm3 == pytest.approx(mask.voxels * FULL.voxel_mm3, rel=0.01)


def test_spacing_kept_where_wanted_or_one_voxel_thick():
    """0 keeps the scan's spacing; so does an axis along which the region is one voxel thick."""
    assert pyradiomics_grid(FULL, ((60, 50, 25), (20, 25, 8)), (1, 1, 0), 5).spacing_mm == (1, 1, 2.5)
    assert pyradiomics_grid(FULL, ((60, 50, 25), (20, 25, 1)), (1, 1, 1), 5).spacing_mm == (1, 1, 2.5)


def test_scans_own_spacing_gives_a_part_of_the_scan():
    """Box and padding in the scan's own voxels, cut off at its ends."""
    grid = pyradiomics_grid(FULL, ((2, 50, 50), (20, 25, 8)), (0.7, 0.7, 2.5), 5)
    assert grid == FULL.crop((0, 45, 45), (27, 35, 15))


def test_pixel_type_of_the_result_can_be_asked_for():
    """An integer scan interpolated into float32 equals its float copy, without a cast of the whole scan."""
    volume = noise(FULL, np.int16)
    copy = Volume(volume.array.astype(np.float32), FULL)
    for grid in (pyradiomics_grid(FULL, ((60, 50, 25), (20, 25, 8)), (1, 1, 1), 5), FULL.crop((1, 2, 3), (4, 5, 6))):
        got = resample_volume(volume, grid, pixel_type=sitk.sitkFloat32)
        assert got.array.dtype == np.float32
        np.testing.assert_array_equal(got.array, resample_volume(copy, grid).array)


def test_grid_beside_the_scan_is_refused():
    """Nothing to read is a ScanError and not a field of zeros."""
    with pytest.raises(ScanError, match="outside"):
        resample_volume(noise(FULL, np.int16), Grid((4, 4, 4), (1.0, 1.0, 1.0), (1000.0, 0.0, 0.0)))


def test_outside_the_scan_is_zero_hu():
    """As in PyRadiomics, points that leave the scan are 0."""
    grid = Grid((3, 1, 1), (1.0, 1.0, 1.0), (-1.0, 2.0, 2.0))
    volume = Volume(np.full((5, 5, 5), 77, np.float32), Grid((5, 5, 5), (0.9, 0.9, 0.9)))
    assert resample_volume(volume, grid).array.ravel().tolist() == [0, 77, 77]


def test_a_grid_of_more_voxels_than_any_ct_is_refused_before_memory_is_taken():
    """A header in metres instead of millimetres makes a thousand times as many voxels along each axis."""
    metres = Grid((40, 40, 40), (700.0, 700.0, 700.0))
    fine = pyradiomics_grid(metres, ((10, 10, 10), (5, 5, 5)), (1, 1, 1), 10)
    with pytest.raises(ScanError, match=r"from 700 x 700 x 700 mm to 1 x 1 x 1 mm makes 3521 x 3521 x 3521 voxels"):
        check_size(fine, metres)
    check_size(metres, metres)
