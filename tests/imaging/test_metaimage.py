"""MetaImage headers: units and sizes that ITK passes over."""

import numpy as np
import pytest
import SimpleITK as sitk

from gc_ray.errors import ScanError
from gc_ray.imaging.read import read_ct, survey_ct

VOXELS = np.arange(-60, 60, dtype="<i2").reshape(4, 5, 6)


@pytest.fixture
def write(tmp_path):
    def save(more="ElementSpacing = 0.8 0.8 3\n", kind="MET_SHORT", data=VOXELS.tobytes()):
        head = f"ObjectType = Image\nNDims = 3\nBinaryData = True\nDimSize = 6 5 4\n{more}ElementType = {kind}\n"
        (tmp_path / "a.mha").write_bytes(f"{head}ElementDataFile = LOCAL\n".encode() + data)
        return tmp_path / "a.mha"

    return save


def test_voxels_and_place_are_those_of_simpleitk(write):
    """Spacing, offset and a matrix, in the header's order."""
    path = write("ElementSpacing = 0.8 0.8 3\nOffset = 1 2 3\nTransformMatrix = -1 0 0 0 -1 0 0 0 1\n")
    image, scan = sitk.ReadImage(str(path)), read_ct(path)
    assert np.array_equal(scan.volume.array, sitk.GetArrayFromImage(image))
    grid = scan.volume.grid
    assert (grid.spacing_mm, grid.origin_mm, grid.direction) == (
        image.GetSpacing(),
        image.GetOrigin(),
        image.GetDirection(),
    )
    assert scan.notes.repairs == ()


@pytest.mark.parametrize("unit", ["um", "cm"])
def test_lengths_in_other_units_are_refused(write, unit):
    """ITK takes every number for millimetres."""
    with pytest.raises(ScanError, match=r"another unit than mm \(DistanceUnits\); save it in mm"):
        survey_ct(write(f"ElementSpacing = 800 800 3000\nDistanceUnits = {unit}\n"))
    assert survey_ct(write("ElementSpacing = 0.8 0.8 3\nDistanceUnits = mm\n")).notes.repairs == ()


def test_a_voxel_size_that_is_not_stated_is_noted_as_a_repair(write):
    """ITK takes 1 mm without a word; ElementSize states it as well."""
    assert survey_ct(write("")).notes.repairs == ("a.mha: the header states no voxel size; 1 mm is taken",)
    assert survey_ct(write("ElementSize = 0.8 0.8 3\n")).grid.spacing_mm == (0.8, 0.8, 3.0)


@pytest.mark.parametrize("spacing", ["0.8 0.8 -3", "0.8 0.8 nan"])
def test_voxel_sizes_that_are_none_are_refused(write, spacing):
    """ITK would mirror the image, or fail much later."""
    with pytest.raises(
        ScanError, match=r"^a\.mha: (voxel sizes or origin in the header are no sound numbers|header)"
    ):
        survey_ct(write(f"ElementSpacing = {spacing}\n"))


@pytest.mark.parametrize(
    ("matrix", "words"), [("2 0 0 0 2 0 0 0 2", "no unit vectors|not unit"), ("1 0 0 0.1 1 0 0 0 1", "orthogonal")]
)
def test_axes_that_are_none_are_refused(write, matrix, words):
    """Longer than 1, or not at right angles."""
    with pytest.raises(ScanError, match=words):
        survey_ct(write(f"ElementSpacing = 0.8 0.8 3\nTransformMatrix = {matrix}\n"))
