"""The shape class without all pairs of vertices: what PyRadiomics' mesh gives."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from radiomics import cShape
from radiomics.shape import RadiomicsShape

from gc_ray.features.feature_set import feature_set
from gc_ray.features.prepare import prepare
from gc_ray.features.shape import diameters_mm, shape_calculator

MM = (1.0, 1.0, 1.0)
UNEVEN = (0.813, 0.907, 2.337)


def assert_same_shape(inside, spacing=MM):
    """Area, volume, the four diameters and the axes' eigenvalues."""
    roi = sitk.GetImageFromArray(inside.astype(np.uint8))
    roi.SetSpacing(spacing)
    ours, theirs = shape_calculator(roi), RadiomicsShape(roi, roi)
    assert ours.SurfaceArea == pytest.approx(theirs.SurfaceArea, rel=2e-12)
    assert ours.Volume == pytest.approx(theirs.Volume, rel=2e-12)
    if spacing == MM:
        assert ours.Volume == theirs.Volume
        assert ours.diameters == theirs.diameters
    np.testing.assert_allclose(ours.diameters, theirs.diameters, rtol=1e-15)
    np.testing.assert_array_equal(ours.eigenValues, theirs.eigenValues)


@pytest.mark.parametrize("spacing", [MM, UNEVEN])
@pytest.mark.parametrize("filled", [0.02, 0.3, 0.5, 0.95, 1.0])
@pytest.mark.parametrize("shape", [(6, 9, 8), (1, 9, 8), (2, 2, 15), (7, 1, 1), (1, 1, 1), (13, 14, 4)])
def test_random_regions_have_the_mesh_of_pyradiomics(shape, filled, spacing):
    """Every pattern of 2 x 2 x 2 voxels; one slice, one line and one voxel, where hulls degenerate."""
    inside = np.random.default_rng(11).random(shape) < filled
    inside[0, 0, 0] = True
    assert_same_shape(inside, spacing)


@pytest.mark.parametrize("name", ["lung1", "STS_025", "totalseg_stomach"])
def test_real_regions_have_the_mesh_of_pyradiomics(name, scan):
    """At 1 mm all but the area are equal to the bit."""
    ready = prepare(*scan(name), feature_set("pyradiomics-ct"))
    assert_same_shape(sitk.GetArrayFromImage(ready.shape_roi) == 1)


def test_volume_does_not_depend_on_the_place():
    """The mesh is closed: moved by any number of voxels it encloses the same volume, and 8 x 8 x 8 nearly 512."""
    inside = np.zeros((30, 31, 32), bool)
    inside[4:12, 5:13, 6:14] = True
    here = shape_calculator(sitk.GetImageFromArray(inside.astype(np.uint8)))
    there = shape_calculator(sitk.GetImageFromArray(np.roll(inside, (15, 14, 13), (0, 1, 2)).astype(np.uint8)))
    assert here.Volume == there.Volume
    assert here.SurfaceArea == there.SurfaceArea
    assert 8**3 - 12 * 8 * 0.125 - 2 < here.Volume < 8**3


def test_diameters_equal_those_of_all_pairs():
    """Against the C extension, on two blobs far apart: the hull spans both."""
    inside = np.zeros((20, 24, 28), bool)
    inside[2:5, 3:6, 2:9] = inside[14:18, 17:22, 20:26] = True
    found = diameters_mm(inside, np.array(UNEVEN))
    np.testing.assert_allclose(found, cShape.calculate_coefficients(inside, np.array(UNEVEN))[2], rtol=1e-15)
