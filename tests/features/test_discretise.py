"""Grey levels are counted before memory is taken: too many are a refusal that says how many, why, and what to do."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from radiomics import cMatrices, imageoperations

from gc_ray.errors import ScanError
from gc_ray.features.discretise import check_grey_levels, direction_count, level_count, levels_of
from gc_ray.features.extract import extract_features
from gc_ray.features.feature_set import feature_set
from gc_ray.imaging.volume import Volume

FIXED_SIZE = {"discretisation": {"method": "fixed bin size", "width": 25.0, "first_edge": -1000.0}}
numbers = st.floats(-1e5, 1e5, width=32)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(numbers, min_size=2, max_size=20),
    st.one_of(st.floats(20, 1e4), st.integers(20, 1000)),
    st.sampled_from((np.float32, np.float64)),
)
def test_the_count_is_that_of_the_levels(values, width, kind):
    """What is refused by its count is what PyRadiomics would make.

    A rounded edge may move it by one; in float32 its edges drift apart and there may be fewer, never more.
    """
    values, own = np.array(values, kind), {"binWidth": width}
    theirs, _ = imageoperations.binImage(values, np.ones(values.shape, bool), **own)
    np.testing.assert_array_equal(levels_of(values, own), theirs)
    assert theirs.max() <= level_count(values, own) + 1
    assert kind == np.float32 or theirs.max() >= level_count(values, own) - 1


@pytest.mark.parametrize(
    ("values", "own", "wanted"),
    [
        ([0, 24, 25], {}, 2),
        ([-1, 0], {"binWidth": 25}, 2),
        ([0, 50_000], {"binWidth": 25}, 2001),
        ([5, 5], {"binWidth": 0.01}, 1),
        ([0, 1], {"binWidth": 1e9}, 1),
        ([0, 1e30], {"binCount": 32}, 32),
        ([-1000, 400], FIXED_SIZE, 57),
        ([3, 2600], {"discretisation": {"method": "none"}}, 2600),
        ([0, 1e30], {"discretisation": {"method": "fixed bin number", "bins": 32}}, 32),
    ],
)
def test_levels_of_every_discretisation_are_counted(values, own, wanted):
    """Bins of a width or a number, PyRadiomics' or the standard's."""
    assert level_count(np.array(values, float), own) == wanted


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_left_to_the_classes(bad):
    """A filter's NaN costs its columns, with the reason of each class, and not the scan."""
    own = {"binWidth": 25}
    check_grey_levels("exponential", np.array([1.0, bad, 7.0]), own, 2000, 13)
    with pytest.raises(ScanError, match="grey levels"):
        check_grey_levels("exponential", np.array([1.0, 1e9, 7.0]), own, 2000, 13)


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(*[st.integers(1, 5)] * 3),
    st.lists(st.integers(1, 4), min_size=1, max_size=3, unique=True),
    st.sampled_from((None, 0, 1, 2)),
)
def test_directions_are_those_of_the_c_extension(size, distances, across):
    """As many as PyRadiomics' matrix has."""
    own = {"distances": distances} | ({} if across is None else {"force2D": True, "force2Ddimension": across})
    wanted = direction_count(own, size)
    levels = np.ones(size, int)
    arguments = (levels, levels > 0, np.array(distances), 1, across is not None, across or 0)
    if wanted == 0:
        with pytest.raises(RuntimeError, match="angle"):
            cMatrices.calculate_glcm(*arguments)
    else:
        assert cMatrices.calculate_glcm(*arguments)[0].shape[-1] == wanted


@pytest.fixture
def metal(phantom):
    """The phantom in float32 with a bright and a dark voxel inside: 65,000 HU apart."""
    volume, mask = phantom
    array = volume.array.astype(np.float32)
    array[7, 18, 20], array[7, 18, 21] = 41000, -24000
    return Volume(array, volume.grid), mask


def test_too_many_levels_refuse_the_scan_with_number_range_and_fix(metal, parameter_file):
    """One line: which image, how many levels, from where to where, how many there may be, what to set."""
    wanted = feature_set(parameter_file({"setting": {"binWidth": 25}}))
    with pytest.raises(ScanError) as caught:
        extract_features(*metal, wanted)
    assert str(caught.value) == (
        "original image: 2,601 grey levels, as the values in the region range from -24,000 to 41,000 HU; wanted at "
        "most 2,000 (max_grey_levels); set a larger binWidth or a binCount, or exclude metal (resegmentRange, "
        "clip_hu, window_hu, the mask)"
    )


@pytest.mark.parametrize(
    "section",
    [
        {"setting": {"binWidth": 50}},
        {"setting": {"binCount": 64}},
        {"gc_ray": {"clip_hu": [-1024, 3071]}},
        {"gc_ray": {"window_hu": {"level": 50, "width": 350}}},
        {"setting": {"resegmentRange": [-1000, 3000]}},
        {"gc_ray": {"max_grey_levels": 3000}},
        {"featureClass": {"firstorder": None}},
        {"featureClass": {"shape": None}},
    ],
)
def test_each_fix_that_the_refusal_names_helps(section, metal, parameter_file):
    """Values without a gap; first-order features alone, which need no matrix, have no such limit."""
    classes = {"featureClass": {"firstorder": None, "glszm": None, "gldm": None}}
    row = extract_features(*metal, feature_set(parameter_file({**classes, **section})))
    assert row.missing == {} and np.isfinite(row.values).all()


def test_a_filtered_image_with_too_many_levels_is_named(metal, parameter_file):
    """The original image may pass and the wavelets, which widen its range, not."""
    volume, mask = metal
    volume.array[6:9, 18:21, 20:23] = 41000
    sections = {"imageType": {"Original": {}, "Wavelet": {}}, "featureClass": {"ngtdm": None}}
    bins = {"setting": {"binWidth": 240}, "gc_ray": {"max_grey_levels": 300}}
    message = r"^wavelet-[LH]{3} image: [\d,]+ grey levels.* range from [-\d,.]+ to [\d,.]+; wanted at most 300 "
    with pytest.raises(ScanError, match=message):
        extract_features(volume, mask, feature_set(parameter_file({**sections, **bins})))


def test_more_directions_lower_the_limit(phantom, parameter_file):
    """62 directions at 137 levels take the memory of 13 at 300; without that matrix they do not matter."""
    sections = {"setting": {"distances": [1, 2], "binWidth": 2}, "gc_ray": {"max_grey_levels": 300}}
    with pytest.raises(ScanError, match=r"wanted at most 137 in 62 directions, 300 in 13 \(max_grey_levels\)"):
        extract_features(*phantom, feature_set(parameter_file(sections)))
    without = feature_set(parameter_file({**sections, "featureClass": {"gldm": None}}))
    assert extract_features(*phantom, without).missing == {}


def test_a_limit_of_the_standards_own_bins_is_kept(phantom, parameter_file):
    """Of a recipe: another width of bins or range is the way out, which the refusal says."""
    recipe = {"range_hu": [-1000, 400], "bin_hu": 0.5}
    with pytest.raises(ScanError, match="set a larger bin_hu or a narrower range_hu"):
        extract_features(*phantom, feature_set(parameter_file({"ibsi": {**recipe, "max_grey_levels": 1000}})))


@pytest.mark.parametrize("top", [1e9, 1e30, 3e38])
def test_a_refusal_takes_no_memory(top, metal, parameter_file):
    """1e30 HU are refused as fast as 3,000 levels: nothing is as long as the levels."""
    volume, mask = metal
    volume.array[7, 18, 20] = top
    wanted = feature_set(parameter_file({"featureClass": {"firstorder": None}, "setting": {"binWidth": 25}}))
    tracemalloc.start()
    with pytest.raises(ScanError, match="wanted at most 10,000,000;"):
        extract_features(volume, mask, wanted)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 << 20


def test_settings_of_an_older_bundle_have_the_limit_too(metal, parameter_file):
    """A bundle keeps the settings that it was made with, before there was a limit."""
    wanted = feature_set(parameter_file({"setting": {"binWidth": 25}}))
    with pytest.raises(ScanError, match="wanted at most 2,000"):
        extract_features(*metal, replace(wanted, settings=wanted.settings | {"gc_ray": {}}))


def test_bins_finer_than_the_digits_of_the_values_are_said_to_be_so(phantom, parameter_file):
    """At 2e9 the float32 numbers are 128 apart and bins of 25 have no edges: textures are NaN with that reason."""
    volume, mask = phantom
    flat = Volume(np.full(volume.array.shape, 2**31, np.float32), volume.grid)
    wanted = feature_set(parameter_file({"featureClass": {"firstorder": ["Mean", "Uniformity"], "glszm": None}}))
    row = extract_features(flat, mask, wanted)
    assert row.values[:2].tolist() == [2**31, 1.0]
    assert set(row.missing.values()) == {"ValueError: bins are finer than the digits of float32 at 2.14748e+09"}
    assert len(row.missing) == 16
