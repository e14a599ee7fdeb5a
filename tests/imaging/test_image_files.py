"""CT volumes in NIfTI, NRRD and MetaImage."""

import struct

import numpy as np
import pytest
import SimpleITK as sitk

from gc_ray.errors import ScanError
from gc_ray.imaging.itk import grid_of
from gc_ray.imaging.read import read_ct, survey_ct


@pytest.fixture
def image() -> sitk.Image:
    array = np.random.default_rng(0).integers(-1000, 1000, (6, 7, 8)).astype(np.int16)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.5, 0.75, 2.0))
    image.SetDirection((-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0))
    return image


@pytest.mark.parametrize("kind", [sitk.sitkInt16, sitk.sitkInt32, sitk.sitkFloat32, sitk.sitkFloat64])
def test_the_stored_pixel_type_is_kept(image, tmp_path, kind):
    """A float volume stays float: rounding it would change every resampled value."""
    sitk.WriteImage(sitk.Cast(image, kind), tmp_path / "ct.nii.gz")
    scan = read_ct(tmp_path / "ct.nii.gz")
    assert scan.volume.array.dtype == sitk.GetArrayViewFromImage(sitk.Cast(image, kind)).dtype
    assert np.array_equal(scan.volume.array, sitk.GetArrayFromImage(image))
    assert scan.volume.grid == survey_ct(tmp_path / "ct.nii.gz").grid == grid_of(image)
    assert scan.geometry.sop_uids == ()


def test_a_fourth_axis_of_length_one_is_left_out_with_a_remark(image, tmp_path):
    """Some writers add a time axis (ITK itself drops it from a NIfTI); two time points are another matter."""
    sitk.WriteImage(sitk.JoinSeries(image), tmp_path / "one.mha")
    scan = read_ct(tmp_path / "one.mha")
    assert scan.volume.grid == grid_of(image)
    assert "fourth axis" in scan.notes.remarks[0]
    sitk.WriteImage(sitk.JoinSeries(image, image), tmp_path / "two.nii.gz")
    with pytest.raises(ScanError, match="4D image of 8 x 7 x 6 x 2, wanted one 3D volume"):
        survey_ct(tmp_path / "two.nii.gz")


def test_colour_flat_and_thin_images_are_refused(image, tmp_path):
    """RGB, 2D, and a volume of one slice are no CT volumes."""
    byte = sitk.Cast(image, sitk.sitkUInt8)
    sitk.WriteImage(sitk.Compose([byte] * 3), tmp_path / "rgb.nrrd")
    sitk.WriteImage(image[:, :, 0], tmp_path / "flat.mha")
    sitk.WriteImage(image[:, :, :1], tmp_path / "thin.nrrd")
    for name, pattern in (("rgb.nrrd", "several values"), ("flat.mha", "2D image"), ("thin.nrrd", "a single slice")):
        with pytest.raises(ScanError, match=f"^{name}: {pattern}"):
            survey_ct(tmp_path / name)


def test_stored_values_instead_of_hu_are_remarked(image, tmp_path):
    """No value below zero in a CT means an offset or a window; it is told, since a tight crop may be so too."""
    sitk.WriteImage(sitk.Cast(image + 1000, sitk.sitkUInt16), tmp_path / "ct.nrrd")
    scan = read_ct(tmp_path / "ct.nrrd")
    assert scan.volume.array.dtype == np.uint16
    assert "no value below 0" in scan.notes.remarks[0]


def test_a_sheared_sform_is_refused_with_its_reason(image, tmp_path):
    """ITK's exception holds a path; ours says what is wrong."""
    path = tmp_path / "ct.nii"
    sitk.WriteImage(image, path)
    header = bytearray(path.read_bytes())
    struct.pack_into("<hh", header, 252, 0, 1)
    struct.pack_into("<12f", header, 280, 1, 0, 0.3, 0, 0, 1, 0, 0, 0, 0, 2, 0)
    path.write_bytes(header)
    with pytest.raises(ScanError, match=r"^ct\.nii: axes are not orthogonal \(sheared sform\)"):
        survey_ct(path)


def test_a_series_uid_needs_dicom(image, tmp_path):
    """A stated series cannot be checked in a NIfTI, so it is not ignored."""
    sitk.WriteImage(image, tmp_path / "ct.nii.gz")
    with pytest.raises(ScanError, match="the file is no DICOM"):
        survey_ct(tmp_path / "ct.nii.gz", "1.2.3")
