"""The Laplacian of Gaussian equals PyRadiomics' own, whatever the grid, the pixel type and the region."""

import numpy as np
import pytest
import SimpleITK as sitk
from radiomics import imageoperations

from gc_ray.features.laplacian import log_images

SIGMAS = [1.0, 2.5, 5.0]


def scan(rng, dtype, spacing_mm, size=(21, 24, 27)) -> sitk.Image:
    """Noise on a smooth slope, z, y, x."""
    values = rng.normal(0, 200, size) + 30 * np.indices(size).sum(axis=0)
    image = sitk.GetImageFromArray(values.astype(dtype))
    image.SetSpacing(spacing_mm)
    return image


def region(image: sitk.Image, box: tuple[slice, ...]) -> sitk.Image:
    """All voxels of ``box`` (z, y, x)."""
    inside = np.zeros(image.GetSize()[::-1], np.uint8)
    inside[box] = 1
    roi = sitk.GetImageFromArray(inside)
    roi.CopyInformation(image)
    return roi


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (0.7, 0.9, 2.5)])
@pytest.mark.parametrize(
    "box",
    [np.s_[8:15, 9:16, 10:19], np.s_[0:5, 4:24, 20:27], np.s_[10:11, 3:9, 0:27], np.s_[0:21, 0:24, 0:27]],
    ids=["inside", "at the border", "one slice", "all"],
)
def test_values_in_the_box_are_upstreams_to_the_bit(dtype, spacing_mm, box):
    """Cutting away lines between the passes changes no bit of what is left."""
    image = scan(np.random.default_rng(0), dtype, spacing_mm)
    roi = region(image, box)
    found = list(log_images(image, roi, sigma=SIGMAS))
    expected = list(imageoperations.getLoGImage(image, roi, sigma=SIGMAS))
    assert [name for _, name, _ in found] == [name for _, name, _ in expected]
    for (ours, *_), (theirs, *_) in zip(found, expected, strict=True):
        assert ours.GetOrigin() == theirs.GetOrigin() and ours.GetSpacing() == theirs.GetSpacing()
        ours, theirs = sitk.GetArrayFromImage(ours)[box], sitk.GetArrayFromImage(theirs)[box]
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def test_an_image_too_small_for_a_sigma_is_left_to_upstream():
    """PyRadiomics leaves a sigma out that the image is too small for, and says so."""
    image = scan(np.random.default_rng(0), np.int16, (1.0, 1.0, 1.0), size=(4, 12, 12))
    found = log_images(image, region(image, np.s_[1:3, 2:9, 2:9]), sigma=[1.0, 5.0])
    assert [name for _, name, _ in found] == ["log-sigma-1-0-mm-3D"]
