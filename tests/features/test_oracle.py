"""Equality with plain PyRadiomics on real scans.

Recipe of the expected values: pyradiomics-bhklab 3.1.4 (bit-identical with 3.0.1), one thread, uncropped images, in
the pixel type named; ``windowed`` clips the resampled image to [-1024, 1024] and [-125, 225] HU before the features.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from gc_ray.features.extract import extract_features
from gc_ray.features.feature_set import feature_set
from gc_ray.features.prepare import prepare
from gc_ray.imaging.itk import volume_of

PLAIN = [
    ("lung1", None),
    ("lung1", "sitkFloat32"),
    ("STS_025_dicom", None),
    ("STS_025", None),
    ("totalseg_stomach", None),
    pytest.param("lung1", "sitkFloat64", marks=pytest.mark.slow),
    pytest.param("STS_025", "sitkFloat64", marks=pytest.mark.slow),
    pytest.param("STS_025", "sitkInt16", marks=pytest.mark.slow),
    pytest.param("totalseg_stomach", "sitkFloat32", marks=pytest.mark.slow),
    pytest.param("totalseg_stomach", "sitkFloat64", marks=pytest.mark.slow),
]
GUO = ["lung1", "STS_025", pytest.param("totalseg_stomach", marks=pytest.mark.slow)]
WINDOWED = [
    ("lung1", None),
    ("lung1", "sitkFloat64"),
    ("STS_025_dicom", None),
    pytest.param("STS_025", "sitkFloat64", marks=pytest.mark.slow),
    pytest.param("STS_025", "sitkInt16", marks=pytest.mark.slow),
    pytest.param("totalseg_stomach", None, marks=pytest.mark.slow),
    pytest.param("totalseg_stomach", "sitkFloat64", marks=pytest.mark.slow),
]
WINDOW = {"clip_hu": [-1024, 1024], "window_hu": {"level": 50, "width": 350}}


def assert_equal_features(row, names, record):
    """1e-6 relative or of the region's deviation in that image, on 99.9 %; LBP3D, ill-conditioned, 1e-3 on 99 %."""
    assert list(names) == list(record["features"])
    assert row.mask_voxels == record["mask_voxels_after_resampling"]
    assert row.missing == {}
    wanted = np.array([record["features"][name] for name in names])
    spread = np.sqrt([record["features"][f"{name.split('_')[0]}_firstorder_Variance"] for name in names])
    lbp = np.array([name.startswith("lbp-3D") for name in names])
    off = np.abs(row.values - wanted)
    for these, tolerance, share in ((~lbp, 1e-6, 0.999), (lbp, 1e-3, 0.99)):
        within = (off <= tolerance * np.abs(wanted)) | (off <= tolerance * spread)
        assert np.mean(within[these]) >= share, [n for n, ok in zip(names, within | ~these, strict=True) if not ok]


@pytest.mark.parametrize(("name", "pixel_type"), PLAIN)
def test_pyradiomics_ct_equals_plain_pyradiomics(name, pixel_type, scan, expected):
    """The preset gives the 1,925 features of an uncropped run in the scan's stored pixel type, in the same order."""
    wanted = feature_set("pyradiomics-ct")
    assert len(wanted.names) == 1925
    row = extract_features(*scan(name, pixel_type), wanted)
    assert_equal_features(row, wanted.names, expected(name, "plain", pixel_type))


@pytest.mark.parametrize("name", GUO)
def test_guo2025_equals_the_windowed_run_in_float32(name, scan, expected):
    """Whatever type the scan is stored in, guo2025 resamples in float32, then clips and windows."""
    wanted = feature_set("guo2025")
    row = extract_features(*scan(name), wanted)
    assert_equal_features(row, wanted.names, expected(name, "windowed", "sitkFloat32"))


@pytest.mark.parametrize(("name", "pixel_type"), WINDOWED)
def test_window_without_cast_equals_the_windowed_run_in_the_stored_type(
    name, pixel_type, scan, expected, parameter_file
):
    """The section gc_ray of a parameter file is obeyed part by part."""
    record = expected(name, "windowed", pixel_type)
    wanted = feature_set(parameter_file({**expected(name, "plain")["preset"], "gc_ray": WINDOW}))
    row = extract_features(*scan(name, pixel_type), wanted)
    assert_equal_features(row, wanted.names, record)


@pytest.mark.parametrize("pixel_type", [None, "sitkInt16", "sitkFloat32"])
@pytest.mark.parametrize("name", ["lung1", "STS_025", "STS_025_dicom", "totalseg_stomach"])
def test_cropped_resampling_is_bit_identical(name, pixel_type, scan, expected, data):
    """The resampled image has the very bytes of the uncropped resampling."""
    if pixel_type and not (data / "oracle" / "dtype_variants" / f"{name}_plain_{pixel_type}.json").exists():
        pixel_type = None
    record = expected(name, "plain", pixel_type)["resampled_image"]
    image = volume_of(prepare(*scan(name, pixel_type), feature_set("pyradiomics-ct")).image)
    assert image.grid.size == tuple(record["size_xyz"])
    assert image.grid.origin_mm == pytest.approx(tuple(record["origin"]), abs=1e-9)
    assert hashlib.sha256(image.array.tobytes()).hexdigest() == record["array_sha256"]
