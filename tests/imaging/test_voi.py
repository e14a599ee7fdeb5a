"""Network inputs: size, place, padding and refusals of the named recipes."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from gc_ray.errors import MaskError, StudyError
from gc_ray.imaging.grid import Grid
from gc_ray.imaging.itk import mask_of, volume_of
from gc_ray.imaging.voi import cut_voi, voi_recipe
from gc_ray.imaging.volume import Mask, Volume

OBLIQUE = (0.6, 0.8, 0.0, -0.8, 0.6, 0.0, 0.0, 0.0, 1.0)
FLIPPED = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)


def ball(grid, centre, radius_mm, kind=np.int16):
    """A volume of -50 HU with a ball of 120 HU about a voxel (x, y, z), and the ball's mask."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.size], indexing="ij"), -1).transpose(2, 1, 0, 3)
    inside = (((index - np.asarray(centre)) * grid.spacing_mm) ** 2).sum(-1) < radius_mm**2
    return Volume(np.where(inside, 120, -50).astype(kind), grid), Mask(inside.astype(np.uint8), grid)


def centroid_mm(mask):
    return mask.grid.index_to_mm(np.argwhere(mask.array)[:, ::-1].mean(axis=0))


GRIDS = [
    Grid((96, 80, 40), (0.8, 0.8, 2.5), (-20.0, 33.0, 100.0)),
    Grid((96, 80, 40), (0.8, 0.8, 2.5), (-20.0, 33.0, 100.0), FLIPPED),
    Grid((96, 80, 40), (0.8, 0.8, 2.5), (-20.0, 33.0, 100.0), OBLIQUE),
]


@pytest.mark.parametrize("centre", [(40, 50, 20), (5, 77, 2)])
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("name", ["guo2025", "cao2024"])
def test_tumour_stays_where_it_is(name, grid, centre):
    """The region's centre, in mm, is kept within half a voxel of 1 mm, also where it touches the scan's end."""
    volume, mask = ball(grid, centre, 15)
    voi, region = cut_voi(volume, mask, voi_recipe(name))
    assert voi.grid == region.grid
    assert voi.grid.direction == grid.direction
    assert np.linalg.norm(centroid_mm(region) - centroid_mm(mask)) < 0.5
    assert region.voxels * region.grid.voxel_mm3 == pytest.approx(mask.voxels * grid.voxel_mm3, rel=0.1)
    assert voi.array[region.array == 1].mean() == pytest.approx(120, abs=12)


@pytest.mark.parametrize("name", ["guo2025", "cao2024"])
def test_real_tumour_stays_where_it_is(name, data):
    """The same on a real scan with anisotropic voxels."""
    folder = data / "sts_ct_rtstruct" / "STS_025"
    volume = volume_of(sitk.ReadImage(str(folder / "CT_image.nii.gz")))
    mask = mask_of(sitk.ReadImage(str(folder / "CT_mask.nii.gz"), sitk.sitkUInt8))
    mask = Mask(mask.array, volume.grid)
    voi, region = cut_voi(volume, mask, voi_recipe(name))
    assert np.linalg.norm(centroid_mm(region) - centroid_mm(mask)) < 0.5
    assert voi.array[region.array == 1].mean() == pytest.approx(volume.array[mask.array == 1].mean(), rel=0.05)


def test_guo2025_is_the_box_and_5_mm_at_1_mm():
    """A box of 20 x 30 x 10 mm becomes 30 x 40 x 20 voxels of int16 HU and uint8 mask."""
    grid = Grid((90, 90, 30), (0.5, 1.0, 2.0))
    region = np.zeros(grid.shape, np.uint8)
    region[10:15, 20:50, 30:70] = 1
    voi, mask = cut_voi(Volume(np.zeros(grid.shape, np.float32), grid), Mask(region, grid), voi_recipe("guo2025"))
    assert voi.grid.size == (30, 40, 20)
    assert voi.grid.spacing_mm == (1, 1, 1)
    assert (voi.array.dtype, mask.array.dtype) == (np.int16, np.uint8)
    assert mask.bounding_box() == ((5, 5, 5), (20, 30, 10))


def test_box_is_cut_off_at_the_scans_end_and_nothing_invented():
    """A region in the corner has no margin there; every voxel lies in the scan, none is padding."""
    grid = Grid((90, 90, 30), (1.0, 1.0, 1.0))
    region = np.zeros(grid.shape, np.uint8)
    region[:10, :10, :10] = 1
    voi, _ = cut_voi(Volume(np.full(grid.shape, -600, np.int16), grid), Mask(region, grid), voi_recipe("guo2025"))
    assert voi.grid.size == (15, 15, 15)
    assert voi.grid.origin_mm == (0, 0, 0)
    assert (voi.array == -600).all()


def test_cao2024_pads_to_a_square_and_to_64_slices_with_0_hu():
    """A box of 40 x 20 x 30 mm fills the middle half of the square's height and 30 of 64 slices."""
    grid = Grid((90, 90, 60), (1.0, 1.0, 1.0))
    region = np.zeros(grid.shape, np.uint8)
    region[10:40, 50:70, 20:60] = 1
    voi, mask = cut_voi(Volume(np.full(grid.shape, -600, np.int16), grid), Mask(region, grid), voi_recipe("cao2024"))
    assert voi.array.shape == (64, 112, 112)
    assert voi.grid.spacing_mm == pytest.approx((40 / 112, 40 / 112, 1))
    assert mask.bounding_box() == ((0, 28, 17), (112, 56, 30))
    assert (voi.array[mask.array == 1] == -600).mean() > 0.95
    assert (voi.array[:17] == 0).all()
    assert (voi.array[:, :27] == 0).all()


def test_cao2024_crops_a_tall_region_about_its_centre():
    """Of 80 slices the middle 64 are kept, at their true place."""
    grid = Grid((40, 40, 100), (1.0, 1.0, 1.0))
    region = np.zeros(grid.shape, np.uint8)
    region[10:90, 10:30, 10:30] = 1
    slices = np.broadcast_to(np.arange(100, dtype=np.int16)[:, None, None], grid.shape).copy()
    voi, mask = cut_voi(Volume(slices, grid), Mask(region, grid), voi_recipe("cao2024"))
    assert voi.grid.size == (112, 112, 64)
    assert voi.grid.origin_mm[2] == pytest.approx(18)
    np.testing.assert_array_equal(voi.array[:, 50, 50], np.arange(18, 82))
    assert mask.voxels == 112 * 112 * 64


def test_float_and_integer_copies_give_one_input():
    """A NIfTI in float32 and a DICOM in int16 of the same scan become the same int16 voxels."""
    grid = GRIDS[0]
    integer, mask = ball(grid, (40, 50, 20), 15)
    floating = Volume(integer.array.astype(np.float32), grid)
    for name in ("guo2025", "cao2024"):
        one, other = (cut_voi(v, mask, voi_recipe(name))[0].array for v in (integer, floating))
        np.testing.assert_array_equal(one, other)


def test_values_beyond_int16_are_clipped_and_not_wrapped():
    """Metal at 40,000 HU stays bright."""
    volume, mask = ball(GRIDS[0], (40, 50, 20), 15, np.int32)
    bright = Volume(volume.array * 400, volume.grid)
    assert cut_voi(bright, mask, voi_recipe("guo2025"))[0].array.max() == np.iinfo(np.int16).max


def test_recipes_say_what_they_assume_and_hash_what_they_do():
    """Unknown names are refused with the known ones; the settings change with every field."""
    with pytest.raises(StudyError, match="one of guo2025, cao2024, got vgg"):
        voi_recipe("vgg")
    recipe = voi_recipe("cao2024")
    assert len(recipe.assumptions) > 2
    assert json.loads(recipe.settings_json())["plane_voxels"] == 112
    assert replace(recipe, margin_mm=1.0).settings_json() != recipe.settings_json()


def test_empty_or_misplaced_mask_is_refused():
    """No voxel inside, or another grid, is a MaskError."""
    volume, mask = ball(GRIDS[0], (40, 50, 20), 15)
    recipe = voi_recipe("guo2025")
    with pytest.raises(MaskError, match="at least one voxel"):
        cut_voi(volume, Mask(np.zeros_like(mask.array), mask.grid), recipe)
    with pytest.raises(MaskError, match="grid of its scan"):
        cut_voi(volume, Mask(mask.array, GRIDS[1]), recipe)
    speck = np.zeros_like(mask.array)
    speck[20, 50, 40] = 1
    with pytest.raises(MaskError, match="thinner than a voxel"):
        cut_voi(volume, Mask(speck, mask.grid), replace(recipe, spacing_mm=30.0, margin_mm=15.0))
