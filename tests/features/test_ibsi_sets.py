"""The IBSI feature sets as feature sets: names, settings, invariances, meaning, refusals."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from gc_ray.errors import MaskError, StudyError
from gc_ray.features.extract import extract_features
from gc_ray.features.feature_set import feature_set
from gc_ray.features.ibsi_sets import IBSI_SETS
from gc_ray.imaging.grid import Grid
from gc_ray.imaging.volume import Mask, Volume


def values_of(volume, mask, name):
    """Column -> value."""
    wanted = feature_set(name)
    return dict(zip(wanted.names, extract_features(volume, mask, wanted).values, strict=True))


@pytest.fixture(scope="module")
def phantom_row(phantom):
    return extract_features(*phantom, feature_set("ibsi-ct"))


@pytest.mark.parametrize("name", IBSI_SETS)
def test_names_are_known_before_the_first_scan(name):
    """141 columns a configuration with both aggregations; 11 of shape and 21 x 91 for studies; each once."""
    names = feature_set(name).names
    assert len(names) == len(set(names)) == (11 + 21 * 91 if name == "ibsi-ct" else 141)
    assert sum(n.endswith("_merged") for n in names) == (0 if name == "ibsi-ct" else 23 + 16)


def test_columns_of_ibsi_ct_are_those_of_pyradiomics():
    """Where both sets have a feature it bears one name, so that results can be laid side by side."""
    plain, standard = set(feature_set("pyradiomics-ct").names), set(feature_set("ibsi-ct").names)
    assert {n.rsplit("_", 1)[1] for n in standard - plain} == {"SumAverage"}
    assert {n.rsplit("_", 1)[1] for n in plain - standard} == {
        "TotalEnergy",
        "Maximum2DDiameterColumn",
        "Maximum2DDiameterRow",
        "Maximum2DDiameterSlice",
    }


def test_settings_tell_the_sets_apart_and_name_each_assumption():
    """Each set has its own text to be hashed; ibsi-ct's holds range, bins, grid, and what filtered images get."""
    texts = {feature_set(name).settings_json() for name in IBSI_SETS}
    assert len(texts) == len(IBSI_SETS)
    settings = json.loads(feature_set("ibsi-ct").settings_json())
    assert settings["ibsi"]["range_hu"] == [-200, 300]
    assert settings["ibsi"]["spline_order"] == 3
    assert settings["setting"]["discretisation"] == {"method": "fixed bin size", "width": 25, "first_edge": -200}
    assert len(settings["imageType"]) == 8
    for image_type, own in settings["imageType"].items():
        bins = {} if image_type == "Original" else {"discretisation": {"method": "fixed bin number", "bins": 32}}
        assert own.get("discretisation", {}) == bins.get("discretisation", {})


def test_ordinary_region_has_every_value(phantom_row, phantom):
    """1,922 asked is 1,922 finite, and the volume is kept."""
    assert phantom_row.values.shape == (1922,)
    assert np.isfinite(phantom_row.values).all()
    assert phantom_row.missing == {}
    assert phantom_row.remarks == ()
    assert phantom_row.mask_voxels == pytest.approx(phantom[1].voxels * phantom[1].grid.voxel_mm3, rel=0.03)


def test_place_in_the_room_leaves_every_bit(phantom, phantom_row):
    """Interpolation goes by sizes and spacings, so the same voxels elsewhere give the same bits."""
    volume, mask = phantom
    moved = Grid(volume.grid.size, volume.grid.spacing_mm, (512.3, -256.7, 1024.1))
    row = extract_features(Volume(volume.array, moved), Mask(mask.array, moved), feature_set("ibsi-ct"))
    np.testing.assert_array_equal(row.values, phantom_row.values)


def test_scan_far_away_does_not_matter(phantom):
    """As many slices added on both sides leave the grid's centre, and all but the spline's last digits."""
    volume, mask = phantom
    nx, ny, nz = volume.grid.size
    long_grid = Grid((nx, ny, nz + 120), volume.grid.spacing_mm)
    fill = np.random.default_rng(0).integers(-300, 300, long_grid.shape).astype(np.int16)
    fill[60:-60] = volume.array
    inner, region = np.zeros_like(mask.array), np.zeros(long_grid.shape, np.uint8)
    inner[5:9] = mask.array[5:9]
    region[60:-60] = inner
    far = np.random.default_rng(1).integers(-300, 300, long_grid.shape).astype(np.int16)
    far[15:-15] = fill[15:-15]
    one = values_of(Volume(fill, long_grid), Mask(region, long_grid), "ibsi-e")
    two = values_of(Volume(far, long_grid), Mask(region, long_grid), "ibsi-e")
    assert one == two


def test_shift_of_the_bins_is_seen(phantom):
    """The level counts from the range: 25 HU more are one level more, which PyRadiomics' own binning would undo."""
    volume, mask = phantom
    calm = Volume(np.clip(volume.array, -100, 200), volume.grid)
    before = values_of(calm, mask, "ibsi-a")
    after = values_of(Volume(calm.array + np.int16(25), volume.grid), mask, "ibsi-a")
    assert after["original_glcm_JointAverage"] == pytest.approx(before["original_glcm_JointAverage"] + 1)
    assert after["original_glcm_Contrast"] == pytest.approx(before["original_glcm_Contrast"])
    assert after["original_firstorder_Entropy"] == pytest.approx(before["original_firstorder_Entropy"])


def test_region_without_direction_has_equal_aggregations(phantom):
    """Limit: on a flat image averaged and merged co-occurrence agree; in texture they differ, if only a little."""
    volume, mask = phantom
    flat = values_of(Volume(np.zeros_like(volume.array), volume.grid), mask, "ibsi-c")
    assert flat["original_glcm_JointEnergy_merged"] == flat["original_glcm_JointEnergy"] == 1
    textured = values_of(volume, mask, "ibsi-c")
    averaged, merged = (textured[f"original_glcm_JointEntropy{suffix}"] for suffix in ("", "_merged"))
    assert averaged < merged < 1.2 * averaged


def test_flat_image_costs_only_what_it_leaves_undefined(phantom):
    """NaN with a reason, never a missing column."""
    volume, mask = phantom
    wanted = feature_set("ibsi-c")
    row = extract_features(Volume(np.zeros_like(volume.array), volume.grid), mask, wanted)
    assert set(row.missing) == {n for n, v in zip(wanted.names, row.values, strict=True) if np.isnan(v)}
    assert len(row.missing) < 40


def test_shape_is_that_of_the_whole_region(phantom):
    """Voxels that re-segmentation takes from texture stay in the shape, also at the region's border."""
    volume, mask = phantom
    burnt = volume.array.copy()
    burnt[:7] = 3000
    before = values_of(volume, mask, "ibsi-a")
    after = values_of(Volume(burnt, volume.grid), mask, "ibsi-a")
    shape = [n for n in before if "_shape_" in n]
    assert [after[n] for n in shape] == [before[n] for n in shape]
    assert after["original_firstorder_Energy"] < before["original_firstorder_Energy"]


def test_region_outside_the_range_is_refused(phantom):
    """A mask on air has nothing to describe: one line, no value."""
    volume, mask = phantom
    with pytest.raises(MaskError, match="wants voxels of -200 to 300 HU, it has none"):
        extract_features(Volume(np.full_like(volume.array, -1000), volume.grid), mask, feature_set("ibsi-ct"))


def test_empty_and_foreign_masks_are_refused(phantom):
    """The rules are those of every other set."""
    volume, mask = phantom
    with pytest.raises(MaskError, match="at least one voxel"):
        extract_features(volume, Mask(np.zeros_like(mask.array), mask.grid), feature_set("ibsi-c"))
    elsewhere = Grid(mask.grid.size, mask.grid.spacing_mm, (500.0, 0.0, 0.0))
    with pytest.raises(MaskError, match="wants the grid of its scan"):
        extract_features(volume, Mask(mask.array, elsewhere), feature_set("ibsi-c"))


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"bin_hu": 25}, "bin_hu wants range_hu too"),
        ({"bin_hu": -1, "range_hu": [0, 1]}, "bin_hu wants a width"),
        ({"range_hu": [400, -500]}, "range_hu wants"),
        ({"range_hu": [400]}, "range_hu wants"),
        ({"range_hu": ["a", "b"]}, "another kind"),
        ({"spacing_mm": [1, 1]}, "spacing_mm wants x, y, z"),
        ({"spline_order": 2}, "spline_order wants 1 or 3"),
        ({"sigmas": 0}, "sigmas wants"),
        ({"slicewise": "no"}, "slicewise wants true or false"),
        ({"blur": 1}, "section ibsi wants only spacing_mm, "),
        (None, "section ibsi wants only"),
    ],
)
def test_wrong_recipes_are_one_line(section, message, parameter_file):
    """Whatever is wrong with a section ibsi is said before the first scan."""
    with pytest.raises(StudyError, match=message) as caught:
        feature_set(parameter_file({"ibsi": section}))
    assert "\n" not in str(caught.value)


def test_missing_library_is_an_error_before_any_scan(monkeypatch):
    """As for every other set, named in the message."""
    monkeypatch.setitem(sys.modules, "trimesh.creation", None)
    with pytest.raises(StudyError, match=r"^feature set ibsi-ct: LBP3D wants trimesh.creation.icosphere"):
        feature_set("ibsi-ct")


def test_recipe_of_a_file_gives_the_named_set(parameter_file):
    """The section that says what ibsi-ct says has its columns and its settings; another range has others."""
    section = {"spacing_mm": [1, 1.0, 1], "spline_order": 3, "range_hu": [-200, 300], "bin_hu": 25, "filters": True}
    named, ours = feature_set("ibsi-ct"), feature_set(parameter_file({"ibsi": section}))
    assert ours.names == named.names
    assert ours.settings_json() == named.settings_json()
    lung = feature_set(parameter_file({"ibsi": section | {"range_hu": [-1000, 400]}}))
    assert lung.settings["setting"]["discretisation"]["first_edge"] == -1000
    with pytest.raises(StudyError, match="says all by itself"):
        feature_set(parameter_file({"ibsi": section, "setting": {"binWidth": 25}}))
