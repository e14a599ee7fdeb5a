"""Masks whose grid is another arrangement or part of the CT's voxels: placed exactly, never resampled."""

import itertools

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform

from gc_ray.errors import MaskError
from gc_ray.imaging.grid import Grid
from gc_ray.imaging.placement import find_placement, put_on_grid
from gc_ray.imaging.read import read_mask, survey_mask
from gc_ray.imaging.scan import ScanGeometry

C, S = np.cos(0.3), np.sin(0.3)
OBLIQUE = (C, -S, 0.0, S, C, 0.0, 0.0, 0.0, 1.0)
GRID = Grid((12, 10, 8), (0.5, 0.75, 2.0), (-10.0, 5.0, 100.0), OBLIQUE)
CT = ScanGeometry(GRID)
REGION = np.zeros(GRID.shape, np.uint8)
REGION[2, 3:7, 2:6] = REGION[3, 3:5, 2:10] = REGION[5, 8, 1:9] = 1  # no symmetry


@pytest.fixture
def write(tmp_path):
    def save(image, name="mask.nii.gz"):
        sitk.WriteImage(image, tmp_path / name)
        return tmp_path / name

    return save


def image_of(array, grid=GRID):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(grid.spacing_mm)
    image.SetOrigin(grid.origin_mm)
    image.SetDirection(grid.direction)
    return image


@pytest.mark.parametrize("name", ["mask.nii.gz", "mask.nrrd", "mask.mha"])
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", [(False,) * 3, (True, False, False), (False, True, True)])
def test_axes_in_another_order_are_an_exact_index_flip(write, name, order, flips):
    """SimpleITK rearranges the image with its header; the region comes back voxel for voxel, with a note."""
    image = sitk.Flip(sitk.PermuteAxes(image_of(REGION), order), flips, False)
    path = write(image, name)
    read = read_mask(path, None, CT)
    assert np.array_equal(read.mask.array, REGION)
    assert read.mask.grid is GRID
    turned = order != (0, 1, 2) or any(flips)
    told = [note for note in read.notes.repairs if "axes run another way than the CT's" in note]
    assert ["exact index flip, values equal" in note for note in told] == [True] * turned
    assert survey_mask(path, None, CT).repairs == read.notes.repairs


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "SAL", "LIP"])
def test_a_nifti_in_any_orientation_of_nibabel_is_the_same_region(tmp_path, codes):
    """An independent rearrangement: nibabel's, of an axial CT."""
    grid = Grid((12, 10, 8), (0.5, 0.75, 2.0), (-10.0, 5.0, 100.0))
    affine = np.diag([-0.5, -0.75, 2.0, 1.0])
    affine[:3, 3] = (10.0, -5.0, 100.0)
    image = nibabel.Nifti1Image(REGION.T, affine)
    turned = image.as_reoriented(ornt_transform(io_orientation(affine), axcodes2ornt(codes)))
    nibabel.save(turned, tmp_path / "mask.nii.gz")
    assert np.array_equal(read_mask(tmp_path / "mask.nii.gz", "1", ScanGeometry(grid)).mask.array, REGION)


def test_an_equal_header_is_never_flipped(write):
    """However the array looks: the header says where voxels lie."""
    read = read_mask(write(image_of(REGION[:, ::-1].copy())), None, CT)
    assert np.array_equal(read.mask.array, REGION[:, ::-1])
    assert read.notes.repairs == ()


def test_a_flip_about_another_centre_is_refused_from_the_header(write):
    """A sign lost in the header puts the mask beside its CT; it is not guessed back."""
    image = image_of(REGION, Grid(GRID.size, GRID.spacing_mm, GRID.origin_mm, (*np.negative(OBLIQUE[:6]), 0, 0, 1)))
    for call in (survey_mask, read_mask):
        with pytest.raises(MaskError, match=r"geometry mismatch with the CT: direction differs \(axes flipped"):
            call(write(image), None, CT)


BOXES = [((2, 3, 2), (8, 6, 4)), ((0, 0, 0), (12, 10, 6)), ((1, 2, 1), (11, 8, 7)), ((0, 0, 2), (12, 10, 4))]


@pytest.mark.parametrize("name", ["mask.nii.gz", "mask.nrrd", "mask.mha"])
@pytest.mark.parametrize(("start", "size"), BOXES)
def test_a_part_of_the_grid_is_padded_with_a_note(write, name, start, size):
    """A mask cropped to its region, as 3D Slicer and nibabel slicing write it; SimpleITK cuts it here."""
    image = sitk.RegionOfInterest(image_of(REGION), size, start)
    read = read_mask(write(image, name), None, CT)
    expected = np.zeros_like(REGION)
    box = tuple(slice(s, s + n) for s, n in zip(start[::-1], size[::-1], strict=True))
    expected[box] = REGION[box]
    assert np.array_equal(read.mask.array, expected)
    assert f"covers a part of the CT's grid ({size} voxels from {start} on), cropped; padded with 0" in str(
        read.notes
    )


def test_a_single_slice_is_a_part_of_the_grid(write):
    """A tumour on one slice, cropped to it."""
    image = sitk.RegionOfInterest(image_of(REGION), (12, 10, 1), (0, 0, 2))
    read = read_mask(write(image), None, CT)
    assert np.array_equal(read.mask.array[2], REGION[2])
    assert read.mask.voxels == REGION[2].sum()


def test_a_single_slice_of_another_thickness_is_refused(write):
    """Its spacing is not the CT's, though its voxel centres are."""
    image = sitk.RegionOfInterest(image_of(REGION), (12, 10, 1), (0, 0, 2))
    image.SetSpacing((0.5, 0.75, 2.5))
    with pytest.raises(MaskError, match=r"spacing \(0.500, 0.750, 2.500\) where the CT has"):
        survey_mask(write(image), None, CT)


def test_a_part_that_is_flipped_too_is_placed(write):
    """Both at once are still whole voxels."""
    image = sitk.Flip(sitk.RegionOfInterest(image_of(REGION), (10, 8, 6), (1, 2, 1)), (True, True, False), False)
    read = read_mask(write(image), None, CT)
    assert np.array_equal(read.mask.array, REGION)
    assert len(read.notes.repairs) >= 2


@pytest.mark.parametrize("beyond", [((3, 0, 0), (0, 0, 0)), ((0, 2, 1), (1, 0, 4))])
def test_a_larger_grid_is_cropped_when_nothing_of_the_region_lies_outside(write, beyond):
    """A mask of a larger field of view; with one voxel of the region outside it is refused."""
    low, high = beyond
    image = sitk.ConstantPad(image_of(REGION), low, high, 0)
    read = read_mask(write(image), None, CT)
    assert np.array_equal(read.mask.array, REGION)
    assert "cropped to the CT, outside which the region must have no voxel" in read.notes.repairs[0]
    image[0, image.GetSize()[1] - 1, image.GetSize()[2] - 1] = 1
    with pytest.raises(MaskError, match=r"mask\.nii\.gz: label 1: 1 of its voxels lie outside the CT's grid"):
        read_mask(write(image), None, CT)
    survey_mask(write(image), None, CT)


@pytest.mark.parametrize(
    ("origin", "spacing", "words"),
    [
        ((0.25, 0, 0), (0.5, 0.75, 2.0), "origin differs"),
        ((0, 0, 0), (0.51, 0.75, 2.0), "spacing"),
        ((0, 0, 0), (0.5, 0.75, 1.0), "spacing"),
        ((0, 0, 1000), (0.5, 0.75, 2.0), "origin differs"),
    ],
)
def test_a_part_that_is_not_voxel_exact_is_refused(write, origin, spacing, words):
    """Half a voxel off, another spacing, or beside the CT: nothing is resampled."""
    image = image_of(REGION[1:6, 2:8, 1:9].copy())
    image.SetOrigin(tuple(np.add(GRID.index_to_mm(np.array([1, 2, 1])), origin)))
    image.SetSpacing(spacing)
    for call in (survey_mask, read_mask):
        with pytest.raises(MaskError, match=rf"size \(8, 6, 5\) where the CT has \(12, 10, 8\) voxels, {words}"):
            call(write(image), None, CT)


def test_the_cts_size_shifted_by_whole_voxels_is_refused(write):
    """A mask of the CT's size belongs on all of it: a shift is a fault of its header, or another scan."""
    image = image_of(REGION)
    image.SetOrigin(tuple(GRID.index_to_mm(np.array([0, 1, 0]))))
    for call in (survey_mask, read_mask):
        with pytest.raises(
            MaskError, match=r"geometry mismatch with the CT: origin differs by .* \(0.000, 1.000, 0.000\)"
        ):
            call(write(image), None, CT)


@pytest.mark.parametrize("seed", range(20))
def test_any_arrangement_and_part_comes_back(seed):
    """Random grids, axis orders, flips and parts: every voxel centre keeps its value."""
    rng = np.random.default_rng(seed)
    direction, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    ct = Grid(
        tuple(int(n) for n in rng.integers(4, 9, 3)),
        tuple(float(v) for v in rng.uniform(0.3, 5, 3)),
        tuple(float(v) for v in rng.uniform(-500, 500, 3)),
        tuple(direction.ravel().tolist()),
    )
    array = rng.integers(0, 2, ct.shape).astype(np.uint8)
    low, high = rng.integers(0, 2, 3), np.subtract(ct.size, rng.integers(0, 2, 3))
    image = image_of(array, ct)[tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))]
    image = sitk.Flip(
        sitk.PermuteAxes(image, [int(a) for a in rng.permutation(3)]), [bool(b) for b in rng.random(3) < 0.5], False
    )
    mask = Grid(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())
    placed = find_placement(mask, ct)
    found = put_on_grid(sitk.GetArrayFromImage(image), placed, ct, "mask")
    expected = np.zeros_like(array)
    box = tuple(slice(a, b) for a, b in zip(low[::-1], high[::-1], strict=True))
    expected[box] = array[box]
    assert np.array_equal(found, expected)
    assert placed.distance_mm < 1e-9


def test_apply_orientation_of_nibabel_agrees():
    """The array part alone, against nibabel's own."""
    mask = Grid(
        GRID.size, GRID.spacing_mm, tuple(GRID.index_to_mm(np.array([11, 0, 0]))), (-C, -S, 0, -S, C, 0, 0, 0, 1)
    )
    placed = find_placement(mask, GRID)
    ornt = np.array([[0, -1], [1, 1], [2, 1]])
    assert np.array_equal(put_on_grid(REGION, placed, GRID, "mask").T, apply_orientation(REGION.T, ornt))
