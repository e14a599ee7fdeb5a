"""Figures of heat-maps: PNG that is the same for the same input, with what must be read in it."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from gc_ray.models.heatmap import CASCADE
from gc_ray.report.heatmap import heatmap_png, sanity_png


@pytest.fixture
def case():
    """A CT with a bright corner, a mask and a map that is hot in one place."""
    rng = np.random.default_rng(0)
    ct_hu = rng.normal(80, 20, (10, 40, 40)).astype(np.int16)
    mask = np.zeros(ct_hu.shape, np.uint8)
    mask[2:8, 8:32, 10:30] = 1
    heat = np.zeros(ct_hu.shape, np.float32)
    heat[3:7, 15:22, 20:27] = 1
    return ct_hu, mask, heat


def pixels(png: bytes) -> np.ndarray:
    """RGBA of a PNG."""
    return plt.imread(io.BytesIO(png), format="png")


def test_a_heatmap_is_a_png_and_repeats_itself(case):
    """The same bytes for the same input, large enough to read, and no figure is left open."""
    png = heatmap_png(*case, "Grad-CAM of the deep learning score")
    assert png == heatmap_png(*case, "Grad-CAM of the deep learning score")
    assert min(pixels(png).shape[:2]) > 400
    assert not plt.get_fignums()


def test_the_map_shows_and_only_in_the_lower_row(case):
    """Another map changes the lower half of the picture alone; the CT above stays as it is."""
    ct_hu, mask, heat = case
    with_map, without = (pixels(heatmap_png(ct_hu, mask, h, "x")) for h in (heat, 0 * heat))
    differs = (with_map != without).any(axis=(1, 2))
    assert differs.any()
    assert np.flatnonzero(differs).min() > len(differs) * 0.45


@pytest.mark.parametrize("slices", [1, 2, 10])
def test_any_number_of_slices_can_be_drawn(slices):
    """A region of one slice, or one that fills its slices to the rim, is drawn without a warning."""
    ones = np.ones((slices, 12, 12), np.uint8)
    assert heatmap_png(ones.astype(np.int16), ones, ones.astype(np.float32), "x").startswith(b"\x89PNG")


def test_the_figure_of_the_check_says_its_verdict():
    """A passed and a failed check are different pictures, each a PNG."""
    stages = [stage for stage in CASCADE for _ in range(3)]
    good = pd.DataFrame({"stage": stages, "image": [0, 1, 2] * len(CASCADE), "similarity": 0.1})
    bad = good.assign(similarity=0.95)
    assert sanity_png(good).startswith(b"\x89PNG")
    assert not np.array_equal(pixels(sanity_png(good)), pixels(sanity_png(bad)))
