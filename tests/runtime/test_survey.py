"""The first look at a scan: stamp and memory, from listings and headers that no reader has checked."""

import gzip

import numpy as np
import pytest
import SimpleITK as sitk

from gc_ray.cohort.manifest import ScanRow
from gc_ray.runtime.manifests import read_manifests
from gc_ray.runtime.memory import WORKER_BYTES
from gc_ray.runtime.survey import survey_scan, volume_bytes
from gc_ray.source import list_source


def image(pixel_type: int) -> sitk.Image:
    """A volume of 20 x 30 x 40 voxels."""
    return sitk.Image(20, 30, 40, pixel_type)


@pytest.mark.parametrize("ending", ["nii", "nii.gz", "nrrd", "mha", "nhdr", "mhd"])
@pytest.mark.parametrize(
    ("pixel_type", "width"),
    [(sitk.sitkInt16, 2), (sitk.sitkUInt8, 1), (sitk.sitkFloat32, 4), (sitk.sitkFloat64, 8), (sitk.sitkInt32, 4)],
)
def test_the_header_tells_the_decoded_size(tmp_path, ending, pixel_type, width):
    """Whatever the format and the compression: voxels times bytes, from the first 64 KiB and without a reader."""
    path = tmp_path / f"ct.{ending}"
    sitk.WriteImage(image(pixel_type), str(path), ending == "mha")
    assert volume_bytes(list_source(str(path))) == 20 * 30 * 40 * width


def test_a_dicom_series_counts_its_slices(cohort):
    """Rows x columns x 2 bytes for every file."""
    row = read_manifests((str(cohort / "scans.csv"),))[0]
    assert volume_bytes(list_source(row.image_uri)) == 64 * 64 * 32 * 2


@pytest.mark.parametrize(
    "content", [b"", b"NRRD0004\nsizes: a b\n", b"\x1f\x8bnot gzip", gzip.compress(b"no image"), bytes(400)]
)
def test_a_damaged_header_falls_back_to_the_size_of_the_file(tmp_path, content):
    """Nothing is raised: the scan's own task will say what is wrong with it."""
    path = tmp_path / "ct.nii"
    path.write_bytes(content)
    assert volume_bytes(list_source(str(path))) == len(content)


def test_a_compressed_file_without_a_header_is_taken_to_grow(tmp_path):
    """Better too much memory promised than too little."""
    path = tmp_path / "ct.nii.gz"
    path.write_bytes(np.random.default_rng(0).bytes(1000))
    assert volume_bytes(list_source(str(path))) == 4000


def test_a_source_that_is_not_there_is_surveyed_too(tmp_path):
    """It has a stamp, which changes when the source appears, and needs no more than a bare worker."""
    row = ScanRow("s", "R1", 0, "", "p", "a", "v", "ct", "m", "", str(tmp_path / "ct"), str(tmp_path / "m"))
    before = survey_scan(row)
    assert before.memory == WORKER_BYTES
    (tmp_path / "ct").write_bytes(b"x")
    assert survey_scan(row).stamp != before.stamp
