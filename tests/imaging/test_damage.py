"""Damage that ITK does not tell of."""

import gzip

import numpy as np
import pytest
import SimpleITK as sitk

from gc_ray.errors import ScanError
from gc_ray.imaging.damage import check_voxel_file
from gc_ray.imaging.read import read_ct, survey_ct


@pytest.fixture
def image() -> sitk.Image:
    array = np.random.default_rng(0).integers(-1000, 1000, (20, 30, 40)).astype(np.int16)
    return sitk.GetImageFromArray(array)


FORMATS = [
    ("a.nii", False),
    ("a.nii.gz", True),
    ("a.nrrd", False),
    ("a.nrrd", True),
    ("a.mha", False),
    ("a.mha", True),
]


@pytest.mark.parametrize(("name", "packed"), [*FORMATS, ("a.mhd", False), ("a.mhd", True)])
def test_whole_files_pass(name, packed, image, tmp_path):
    """What ITK wrote is read back to the voxel."""
    sitk.WriteImage(image, tmp_path / name, useCompression=packed)
    assert np.array_equal(read_ct(tmp_path / name).volume.array, sitk.GetArrayFromImage(image))


@pytest.mark.parametrize(("name", "packed"), FORMATS)
@pytest.mark.parametrize("share", [0.1, 0.6, 0.999])
def test_files_cut_short_are_refused_and_named(name, packed, share, image, tmp_path, capfd):
    """ITK fills a truncated NIfTI up without a word; nothing of it may pass."""
    sitk.WriteImage(image, tmp_path / name, useCompression=packed)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ScanError, match=f"^{name}: ") as refusal:
        read_ct(tmp_path / name)
    assert str(tmp_path) not in str(refusal.value)
    assert str(tmp_path) not in capfd.readouterr().err


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.mha", "a.mhd"])
def test_a_flipped_byte_in_a_compressed_file_is_refused(name, image, tmp_path):
    """Checksums of the compressed stream are compared in every format."""
    sitk.WriteImage(image, tmp_path / name, useCompression=True)
    target = tmp_path / "a.zraw" if name == "a.mhd" else tmp_path / name
    spoilt = bytearray(target.read_bytes())
    spoilt[len(spoilt) // 2] ^= 255
    target.write_bytes(spoilt)
    with pytest.raises(ScanError, match=name):
        read_ct(tmp_path / name)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mha"])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(name, kind, bad, image, tmp_path):
    """ITK turns NaN in a NIfTI into 0, which would be water."""
    array = sitk.GetArrayFromImage(image).astype(kind)
    array[3, 4, 5] = bad
    sitk.WriteImage(sitk.GetImageFromArray(array), tmp_path / name)
    with pytest.raises(ScanError, match=f"{name}: holds NaN or infinite values"):
        read_ct(tmp_path / name)


def test_big_endian_and_nifti_2_headers_are_understood(image, tmp_path):
    """The voxel count is read from either byte order; a byte too few is found in both."""
    nifti = np.zeros(352, np.uint8)
    nifti[:4] = np.frombuffer(np.array(348, ">i4").tobytes(), np.uint8)
    nifti[40:56] = np.frombuffer(np.array([3, 4, 3, 2, 1, 1, 1, 1], ">i2").tobytes(), np.uint8)
    nifti[70:74] = np.frombuffer(np.array([4, 16], ">i2").tobytes(), np.uint8)
    nifti[108:112] = np.frombuffer(np.array(352, ">f4").tobytes(), np.uint8)
    second = np.zeros(544, np.uint8)
    second[:4] = np.frombuffer(np.array(540, "<i4").tobytes(), np.uint8)
    second[12:16] = np.frombuffer(np.array([4, 16], "<i2").tobytes(), np.uint8)
    second[16:80] = np.frombuffer(np.array([3, 4, 3, 2, 1, 1, 1, 1], "<i8").tobytes(), np.uint8)
    second[168:176] = np.frombuffer(np.array(544, "<i8").tobytes(), np.uint8)
    for header in (nifti.tobytes(), second.tobytes()):
        for name, pack in (("a.nii", bytes), ("a.nii.gz", gzip.compress)):
            (tmp_path / name).write_bytes(pack(header + bytes(48)))
            check_voxel_file(tmp_path / name)
            (tmp_path / name).write_bytes(pack(header + bytes(47)))
            with pytest.raises(ScanError, match="1 bytes of voxels are missing"):
                check_voxel_file(tmp_path / name)


def test_survey_needs_no_voxels(image, tmp_path):
    """The header alone gives the geometry, the same that reading gives."""
    sitk.WriteImage(image, tmp_path / "a.nii.gz")
    assert survey_ct(tmp_path / "a.nii.gz").grid == read_ct(tmp_path / "a.nii.gz").volume.grid
