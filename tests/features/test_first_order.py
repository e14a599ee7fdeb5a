"""First-order features are PyRadiomics' own to the bit."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from radiomics.firstorder import RadiomicsFirstOrder

from gc_ray.features.first_order import first_order


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("n", [3, 10, 599, 600, 601, 9973, 100_000])
def test_all_features_equal_pyradiomics_to_the_bit(n, dtype):
    """Few voxels and many (NumPy takes another median from 600 on), whole numbers and fractions."""
    values = np.random.default_rng(n).normal(90, 40, (1, 1, n)).clip(0, 250).astype(dtype)
    assert_same(values, {"binWidth": 25, "voxelArrayShift": 1000})


def test_a_flat_region_has_the_values_of_pyradiomics():
    """No variance: skewness and kurtosis are 0, not a division by zero."""
    assert_same(np.full((2, 3, 4), 7, np.int16), {"binWidth": 25})


def assert_same(array, own):
    """All features of all voxels of ``array``."""
    image, roi = sitk.GetImageFromArray(array), sitk.GetImageFromArray(np.ones(array.shape, np.uint8))
    image.SetSpacing((0.9, 0.8, 2.5))
    theirs = RadiomicsFirstOrder(image, roi, **own)
    theirs._initCalculation()
    _, counts = np.unique(theirs.discretizedImageArray, return_counts=True)
    ours = first_order(array.ravel(), counts, own.get("voxelArrayShift", 0), image.GetSpacing())
    assert set(ours) == set(theirs.getFeatureNames())
    for name, value in ours.items():
        assert value == np.squeeze(getattr(theirs, f"get{name}FeatureValue")()), name
