"""Fixtures of the feature tests: the reference scans as our types, expected values, parameter files."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk

from gc_ray.imaging.grid import Grid
from gc_ray.imaging.itk import mask_of, volume_of
from gc_ray.imaging.volume import Mask, Volume


@pytest.fixture(scope="session")
def scan_images(data):
    """name -> (image, mask of UInt8) of a reference scan, as SimpleITK reads it."""

    def read(folder, image, mask):
        return sitk.ReadImage(str(data / folder / image)), sitk.ReadImage(str(data / folder / mask))

    def load(name):
        if name in ("lung1", "breast1"):
            image, mask = read("pyradiomics_nrrd", f"{name}_image.nrrd", f"{name}_label.nrrd")
        elif name == "totalseg_stomach":
            image, mask = read("totalseg_abdomen_nifti", "ct.nii.gz", "seg_multilabel.nii.gz")
            mask = mask == 6
        elif name == "ibsi_ct_phantom":
            image, mask = read("ibsi/ct_phantom", "image.nii.gz", "mask.nii.gz")
        elif name.startswith("cropped_"):
            patient = name.removeprefix("cropped_")
            image, mask = read("sts_cohort_cropped", f"{patient}_ct.nii.gz", f"{patient}_gtv.nii.gz")
        else:
            image, mask = read("sts_ct_rtstruct/STS_025", "CT_image.nii.gz", "CT_mask.nii.gz")
        if name == "STS_025_dicom":
            reader = sitk.ImageSeriesReader()
            reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(data / "sts_ct_rtstruct/STS_025/dicom")))
            image = reader.Execute()
            mask.CopyInformation(image)
        return image, sitk.Cast(mask, sitk.sitkUInt8)

    return load


@pytest.fixture(scope="session")
def scan(scan_images):
    """(name, pixel type or None) -> (Volume, Mask) of a reference scan."""

    def load(name, pixel_type=None):
        image, mask = scan_images(name)
        if pixel_type is not None:
            image = sitk.Cast(image, getattr(sitk, pixel_type))
        return volume_of(image), mask_of(mask)

    return load


@pytest.fixture(scope="session")
def expected(data):
    """(case, plain or windowed, pixel type or None) -> the record that plain PyRadiomics left."""

    def load(name, mode, pixel_type=None):
        variant = data / "oracle" / "dtype_variants" / f"{name}_{mode}_{pixel_type}.json"
        path = variant if variant.exists() else data / "oracle" / f"{name}_{mode}.json"
        return json.loads(path.read_text())

    return load


@pytest.fixture
def parameter_file(tmp_path):
    """settings -> path of a parameter file that holds them."""

    def write(settings, name="custom.json"):
        path = tmp_path / name
        path.write_text(json.dumps(settings))
        return str(path)

    return write


@pytest.fixture(scope="session")
def phantom():
    """A textured int16 volume of 40 x 36 x 14 voxels with an ellipsoid inside; no grid point at 1 mm is a tie."""
    grid = Grid((40, 36, 14), (0.813, 0.907, 2.337), (-17.3, 4.1, 88.0))
    rng = np.random.default_rng(7)
    smooth = sitk.GetArrayFromImage(
        sitk.SmoothingRecursiveGaussian(sitk.GetImageFromArray(rng.normal(size=grid.shape)), 1.0)
    )
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in grid.shape], indexing="ij")
    inside = (z / 0.7) ** 2 + (y / 0.6) ** 2 + (x / 0.5) ** 2 < 1
    array = np.where(inside, 60, -80) + 400 * smooth
    return Volume(array.astype(np.int16), grid), Mask(inside.astype(np.uint8), grid)
