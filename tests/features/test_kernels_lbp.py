"""LBP3D is PyRadiomics' own to the bit, and its memory does not grow by the sphere."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import SimpleITK as sitk
from radiomics import imageoperations
from scipy import ndimage

from gc_ray.features.feature_set import feature_set
from gc_ray.features.kernels_lbp import MARGIN_VOXELS, sphere_samples
from gc_ray.features.lbp3d import lbp3d_images
from gc_ray.features.messages import collected_messages
from gc_ray.features.prepare import prepare


def assert_same_images(image, roi, **own):
    """Names and the region's values of all images."""
    inside = sitk.GetArrayFromImage(roi) == 1
    with collected_messages():
        theirs = [
            (sitk.GetArrayFromImage(i)[inside], name)
            for i, name, _ in imageoperations.getLBP3DImage(image, roi, **own)
        ]
        ours = [(sitk.GetArrayFromImage(i)[inside], name) for i, name, _ in lbp3d_images(image, roi, **own)]
    assert [name for _, name in ours] == [name for _, name in theirs]
    for (found, name), (wanted, _) in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(found, wanted, err_msg=name)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(12, 13, 14), (3, 20, 4), (2, 5, 9), (1, 8, 8)])
def test_random_volumes_equal_pyradiomics_to_the_bit(shape, dtype):
    """Regions with holes that reach the image's edge, in every pixel type."""
    rng = np.random.default_rng(4)
    array = rng.normal(120, 60, shape).clip(0, 255).astype(dtype)
    roi = sitk.GetImageFromArray((rng.random(shape) < 0.6).astype(np.uint8))
    assert_same_images(sitk.GetImageFromArray(array), roi)


@pytest.mark.parametrize(
    "own",
    [{"lbp3DLevels": 3}, {"lbp3DLevels": 4}, {"lbp3DIcosphereRadius": 2.5}, {"lbp3DIcosphereSubdivision": 0}],
)
def test_settings_of_the_sphere_are_obeyed(own):
    """Degrees, radius and fineness of the sphere."""
    rng = np.random.default_rng(5)
    image = sitk.GetImageFromArray(rng.normal(0, 60, (9, 10, 11)).astype(np.float32))
    roi = sitk.GetImageFromArray((rng.random((9, 10, 11)) < 0.8).astype(np.uint8))
    assert_same_images(image, roi, **own)


def test_a_plateau_equals_pyradiomics_to_the_bit():
    """Where values are equal the sign of a rounding error decides the pattern: a clipped image is half plateau."""
    rng = np.random.default_rng(6)
    smooth = ndimage.gaussian_filter(rng.normal(0, 900, (16, 17, 18)), 1.5)
    array = np.clip(smooth, -40, 40).astype(np.float32)
    assert np.mean(np.abs(array) == 40) > 0.3
    assert_same_images(sitk.GetImageFromArray(array), sitk.GetImageFromArray(np.ones(array.shape, np.uint8)))


@pytest.mark.parametrize(("name", "preset"), [("lung1", "pyradiomics-ct"), ("STS_025", "guo2025")])
def test_real_scans_equal_pyradiomics_to_the_bit(name, preset, scan):
    """An integer scan and a windowed one."""
    ready = prepare(*scan(name), feature_set(preset))
    assert_same_images(ready.image, ready.roi)


def test_points_next_to_a_coefficient_fall_where_scipy_puts_them():
    """Offsets a rounding error below and above a whole voxel round differently from voxel to voxel."""
    array = np.random.default_rng(7).normal(size=(6, 6, 40))
    points = np.array([(0, 0, o) for o in (1 - 1e-16, 1 - 2e-16, 1 - 3e-15, -1e-16, 1e-15, 0.3, -5.0, 7.5)])
    coefficients = np.pad(ndimage.spline_filter(array, 3, np.float64, "constant"), MARGIN_VOXELS, "reflect")
    samples = sphere_samples(coefficients, np.array([[2, 3, 0, 40], [5, 0, 3, 9]]), points)
    voxels = np.array([(2, 3, x) for x in range(40)] + [(5, 0, x) for x in range(3, 12)], float)
    places = voxels[:, None, :] + points[None]
    np.testing.assert_array_equal(samples, ndimage.map_coordinates(array, places.transpose(2, 0, 1), order=3))


def test_memory_is_below_500_bytes_a_voxel():
    """A region of 350,000 voxels: PyRadiomics takes 4.5 KB for each."""
    rng = np.random.default_rng(8)
    image = sitk.GetImageFromArray(rng.normal(size=(70, 72, 74)).astype(np.float32))
    roi = sitk.GetImageFromArray(np.pad(np.ones((68, 70, 72), np.uint8), 1))
    with collected_messages():
        next(lbp3d_images(image[:5, :5, :5], roi[:5, :5, :5]))  # compiles
        tracemalloc.start()
        for _ in lbp3d_images(image, roi):
            pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 500 * 68 * 70 * 72
