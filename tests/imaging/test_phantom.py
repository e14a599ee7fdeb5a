"""The phantom: fields of the stated correlation, tumours of the stated size, outlines of the stated overlap."""

import numpy as np
import pytest

from gc_ray.imaging.grid import Grid
from gc_ray.imaging.phantom import (
    ABDOMEN,
    HU_RANGE,
    MOVABLE,
    STOMACH,
    Ellipsoid,
    Scanner,
    Texture,
    correlated_field,
    dice_of,
    gaussian_field,
    inside,
    paint,
    redrawn,
    scan,
    textured_ball,
    varied,
    wall_tumour,
)
from gc_ray.imaging.volume import Mask

GRID = Grid((96, 96, 40), (3.75, 3.75, 4.0), (-178.0, -178.0, -78.0))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def tumour(length_mm: float = 60.0, thickness_mm: float = 20.0, seed: int = 0, grid: Grid = GRID):
    return wall_tumour(grid, (0.9, -0.2, -0.1), length_mm, thickness_mm, rng(seed))


def test_field_has_mean_0_and_variance_1():
    """Over many draws every point has mean 0 and variance 1, also where the kernel is wider than the grid."""
    points = np.array([gaussian_field((4, 9, 12), (0.7, 2.0, 6.0), rng(i))[1, 2, 3] for i in range(2000)])
    assert abs(points.mean()) < 4 / np.sqrt(2000)
    assert points.var() == pytest.approx(1, abs=4 * np.sqrt(2 / 2000))


def test_field_correlation_is_1_over_e_at_its_length():
    """Neighbours at the stated distance correlate by exp(-1), whatever the spacing of the axis."""
    grid = Grid((120, 120, 60), (1.0, 1.0, 2.0))
    field = correlated_field(grid, 8.0, rng())
    along_x = np.corrcoef(field[:, :, 8:].ravel(), field[:, :, :-8].ravel())[0, 1]
    along_z = np.corrcoef(field[4:].ravel(), field[:-4].ravel())[0, 1]
    assert along_x == pytest.approx(np.exp(-1), abs=0.05)
    assert along_z == pytest.approx(np.exp(-1), abs=0.05)


def test_ellipsoid_has_its_volume():
    """The voxels inside an ellipsoid fill 4/3 pi a b c."""
    organ = Ellipsoid("organ", 50.0, (3.0, -5.0, 2.0), (60.0, 45.0, 50.0))
    volume = inside(organ, GRID).sum() * GRID.voxel_mm3
    assert volume == pytest.approx(4 / 3 * np.pi * 60 * 45 * 50, rel=0.01)


def test_later_organs_cover_earlier_ones():
    """Every voxel has the HU of the last organ that holds it, or of air."""
    image = paint(ABDOMEN, GRID)
    expected = np.full(GRID.shape, -1000.0)
    for organ in ABDOMEN:
        expected[inside(organ, GRID)] = organ.hu
    assert np.array_equal(image, expected)


def test_tumour_is_one_part_on_the_gastric_wall():
    """A tumour is connected, lies about the wall where it was asked for and reaches its length."""
    mask = tumour()
    points = GRID.index_to_mm(np.argwhere(mask.array)[:, ::-1])
    offset = points.mean(axis=0) - STOMACH.centre_mm
    assert np.dot(offset, (0.9, -0.2, -0.1)) / np.linalg.norm(offset) / np.linalg.norm((0.9, -0.2, -0.1)) > 0.95
    assert np.ptp(points, axis=0).max() == pytest.approx(60, rel=0.25)


@pytest.mark.parametrize("seed", range(5))
def test_longer_or_thicker_tumours_are_larger(seed):
    """Volume grows with length and with thickness."""
    small, longer, thicker = (tumour(*size, seed).voxels for size in ((30, 12), (60, 12), (30, 24)))
    assert small < longer
    assert small < thicker


def test_tumour_keeps_its_volume_on_a_finer_grid():
    """Another grid shows a tumour of the same nominal size: the volumes agree but for the random outline."""
    fine = Grid((144, 144, 54), (2.5, 2.5, 3.0), (-178.75, -178.75, -79.5))
    volumes = [[tumour(seed=s, grid=g).voxels * g.voxel_mm3 for s in range(6)] for g in (GRID, fine)]
    assert np.mean(volumes[0]) == pytest.approx(np.mean(volumes[1]), rel=0.15)


def test_texture_has_the_stated_mean_and_sd():
    """Without blur and noise the tumour's voxels have the texture's mean and SD, up to rounding to whole HU."""
    mask = tumour()
    volume = scan(ABDOMEN, mask, Texture(95.0, 25.0, 8.0), Scanner(0.0, 2.0, 0.0), rng())
    inside_hu = volume.array[mask.array == 1]
    assert inside_hu.mean() == pytest.approx(95, abs=0.1)
    assert inside_hu.std() == pytest.approx(25, abs=0.1)


def test_noise_has_the_stated_sd_and_stays_in_12_bits():
    """Far from edges the SD is the scanner's; HU fit 12 bits."""
    volume = scan(ABDOMEN, tumour(), Texture(95.0, 25.0, 8.0), Scanner(14.0, 2.0, 0.7), rng())
    liver = Ellipsoid("inner liver", 0.0, (-75.0, -10.0, 5.0), (40.0, 35.0, 40.0))
    assert volume.array[inside(liver, GRID)].std() == pytest.approx(14, rel=0.05)
    assert volume.array.dtype == np.int16
    assert volume.array.min() >= HU_RANGE[0]
    assert volume.array.max() <= HU_RANGE[1]


@pytest.mark.parametrize("dice", [0.85, 0.9, 0.95])
@pytest.mark.parametrize("seed", range(3))
def test_second_outline_overlaps_as_asked(dice, seed):
    """The Dice overlap with the first outline is the one asked for, within what whole voxels allow."""
    mask = tumour(seed=seed)
    other = redrawn(mask, dice, rng(seed))
    assert dice_of(mask.array == 1, other.array == 1) == pytest.approx(dice, abs=0.02)


def test_second_outline_of_a_tiny_region_is_not_empty():
    """Even a single voxel keeps an outline."""
    array = np.zeros(GRID.shape, np.uint8)
    array[20, 40, 40] = 1
    assert redrawn(Mask(array, GRID), 0.5, rng()).voxels >= 1


def test_another_person_has_other_organs_about_the_same_stomach():
    """Layers of the body and the stomach keep their place, so that the tumour stays on the wall."""
    person = varied(ABDOMEN, rng())
    moved = {a.name for a, b in zip(ABDOMEN, person, strict=True) if a.centre_mm != b.centre_mm}
    assert moved == MOVABLE
    assert all(a.hu != b.hu for a, b in zip(ABDOMEN, person, strict=True))


def test_textured_ball_is_a_ball_with_texture():
    """The test phantom has its volume, its texture and a margin, and is always the same."""
    volume, mask = textured_ball()
    again, _ = textured_ball()
    assert np.array_equal(volume.array, again.array)
    assert mask.voxels == pytest.approx(4 / 3 * np.pi * 10**3, rel=0.02)
    assert volume.array[mask.array == 1].std() == pytest.approx(20, abs=0.2)
    assert mask.bounding_box()[0] == (5, 5, 5)
