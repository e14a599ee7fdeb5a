"""Products: what one scan's work is reckoned to take."""

from __future__ import annotations

import numpy as np
import pytest

from gc_ray.features.feature_set import feature_set
from gc_ray.imaging.grid import Grid
from gc_ray.imaging.volume import Mask
from gc_ray.runtime.products import Radiomics

MASK = Mask(np.ones((4, 5, 6), np.uint8), Grid((6, 5, 4), (0.5, 0.5, 3.0)))


@pytest.mark.parametrize(
    ("name", "voxels"),
    [("pyradiomics-ct", 120 * 0.75), ("ibsi-a", 120), ("ibsi-b", 120 / 16), ("ibsi-c", 120 * 0.75 / 8)],
)
def test_a_region_counts_by_its_voxels_after_resampling(name, voxels):
    """A spacing of 0 keeps that axis; without resampling the region stays as it is."""
    assert Radiomics(feature_set(name)).region_voxels(MASK) == pytest.approx(voxels)
