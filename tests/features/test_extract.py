"""Extraction: every column always, invariances, meaning, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from radiomics import imageoperations

from gc_ray.errors import MaskError
from gc_ray.features.extract import extract_features
from gc_ray.features.feature_set import feature_set
from gc_ray.imaging.grid import Grid
from gc_ray.imaging.volume import Mask, Volume


def row_of(volume, mask, wanted):
    """name -> value."""
    return dict(zip(wanted.names, extract_features(volume, mask, wanted).values, strict=True))


@pytest.fixture(scope="module")
def preset():
    return feature_set("pyradiomics-ct")


@pytest.fixture(scope="module")
def reference(phantom, preset):
    return extract_features(*phantom, preset)


def test_ordinary_region_has_every_value(reference, preset, phantom):
    """1,925 asked is 1,925 finite, float64, none missing."""
    assert reference.values.shape == (1925,)
    assert reference.values.dtype == np.float64
    assert np.isfinite(reference.values).all()
    assert reference.missing == {}
    assert reference.mask_voxels == pytest.approx(phantom[1].voxels * phantom[1].grid.voxel_mm3, rel=0.03)


def test_repeated_extraction_is_bitwise_equal_and_leaves_the_input(phantom, preset, reference):
    """Nothing random, nothing kept, nothing written into the caller's arrays."""
    volume, mask = phantom
    image, region = volume.array.copy(), mask.array.copy()
    again = extract_features(volume, mask, preset)
    np.testing.assert_array_equal(again.values, reference.values)
    np.testing.assert_array_equal(volume.array, image)
    np.testing.assert_array_equal(mask.array, region)


def test_origin_does_not_matter(phantom, preset, reference):
    """The same voxels elsewhere in the room have the same features."""
    volume, mask = phantom
    moved = Grid(volume.grid.size, volume.grid.spacing_mm, (512.0, -256.0, 1024.0))
    row = extract_features(Volume(volume.array, moved), Mask(mask.array, moved), preset)
    np.testing.assert_allclose(row.values, reference.values, rtol=1e-9, atol=1e-9)


def test_more_scan_beyond_the_padding_does_not_matter(phantom, preset):
    """Slices further away than padding and spline margin leave every bit; the grid starts at the same voxel."""
    volume, mask = phantom
    long_grid = Grid((40, 36, 120), volume.grid.spacing_mm, volume.grid.origin_mm)
    fill = np.random.default_rng(0).normal(0, 100, long_grid.shape).astype(np.int16)
    fill[:14] = volume.array
    region = np.zeros(long_grid.shape, np.uint8)
    region[:14] = mask.array
    shorter = long_grid.crop((0, 0, 0), (40, 36, 60))
    whole = extract_features(Volume(fill, long_grid), Mask(region, long_grid), preset)
    cut = extract_features(Volume(fill[:60], shorter), Mask(region[:60], shorter), preset)
    np.testing.assert_array_equal(cut.values, whole.values)


def test_grey_value_shift_leaves_shape_and_moves_the_mean(phantom, parameter_file):
    """A constant added to all voxels changes no shape and adds itself to the mean."""
    volume, mask = phantom
    wanted = feature_set(parameter_file({"featureClass": {"shape": None, "firstorder": ["Mean", "Variance"]}}))
    before, after = (
        row_of(volume, mask, wanted),
        row_of(Volume(volume.array + np.int16(50), volume.grid), mask, wanted),
    )
    assert after.pop("original_firstorder_Mean") == pytest.approx(before.pop("original_firstorder_Mean") + 50)
    assert after == pytest.approx(before)


def test_quarter_turn_leaves_what_has_no_direction(phantom, parameter_file):
    """First-order features and volume do not know where the patient's left is."""
    volume, mask = phantom
    wanted = feature_set(
        parameter_file({"featureClass": {"firstorder": None, "shape": ["MeshVolume", "SurfaceArea"]}})
    )
    (nx, ny, nz), (dx, dy, dz) = volume.grid.size, volume.grid.spacing_mm
    turned = Grid((ny, nx, nz), (dy, dx, dz))
    image, region = (np.ascontiguousarray(np.rot90(a, axes=(1, 2))) for a in (volume.array, mask.array))
    after = row_of(Volume(image, turned), Mask(region, turned), wanted)
    assert after == pytest.approx(row_of(volume, mask, wanted), rel=1e-6)


def test_brighter_region_has_a_higher_mean(phantom, preset, reference):
    """Direction: 100 HU more inside the region raise firstorder_Mean by nearly that."""
    volume, mask = phantom
    brighter = Volume(volume.array + 100 * mask.array.astype(np.int16), volume.grid)
    wanted = list(preset.names).index("original_firstorder_Mean")
    gain = extract_features(brighter, mask, preset).values[wanted] - reference.values[wanted]
    assert 80 < gain < 101


def test_random_texture_has_more_entropy_than_a_flat_one(phantom, parameter_file):
    """Limit: a flat region has no entropy; noise has."""
    volume, mask = phantom
    wanted = feature_set(parameter_file({"featureClass": {"firstorder": ["Entropy"], "glcm": ["JointEntropy"]}}))
    flat = row_of(Volume(np.full_like(volume.array, 40), volume.grid), mask, wanted)
    noise = np.random.default_rng(1).normal(40, 100, volume.grid.shape).astype(np.int16)
    random = row_of(Volume(noise, volume.grid), mask, wanted)
    for name in wanted.names:
        assert flat[name] == pytest.approx(0, abs=1e-9)
        assert random[name] > 3


def test_known_cube_has_known_volume(parameter_file):
    """Ten voxels of 1 x 1 x 2 mm on each side are 2,000 mm3."""
    grid = Grid((30, 30, 30), (1.0, 1.0, 2.0))
    region = np.zeros(grid.shape, np.uint8)
    region[10:20, 10:20, 10:20] = 1
    wanted = feature_set(parameter_file({"featureClass": {"shape": ["VoxelVolume", "MeshVolume"]}}))
    row = row_of(Volume(np.zeros(grid.shape, np.int16), grid), Mask(region, grid), wanted)
    assert row["original_shape_VoxelVolume"] == 2000
    assert row["original_shape_MeshVolume"] == pytest.approx(2000, rel=0.02)


def test_flat_image_costs_only_the_features_it_leaves_undefined(phantom, preset, capfd):
    """NaN with a reason, never 0 and never a missing column; nothing is printed."""
    volume, mask = phantom
    row = extract_features(Volume(np.zeros_like(volume.array), volume.grid), mask, preset)
    assert row.values.shape == (1925,)
    assert set(row.missing) == {n for n, v in zip(preset.names, row.values, strict=True) if np.isnan(v)}
    assert 0 < len(row.missing) < 1000
    assert all(reason and "\n" not in reason for reason in row.missing.values())
    assert not any(name.startswith("original_shape") for name in row.missing)
    assert capfd.readouterr() == ("", "")


def test_filter_that_makes_no_image_is_named_as_the_reason(phantom, parameter_file):
    """A LoG wider than the image is skipped by PyRadiomics with a log line: here its columns say so."""
    volume, mask = phantom
    wanted = feature_set(
        parameter_file({"imageType": {"Original": {}, "LoG": {"sigma": [1, 90]}}, "featureClass": {"ngtdm": None}})
    )
    row = extract_features(volume, mask, wanted)
    assert {name.split("_")[0] for name in row.missing} == {"log-sigma-90-mm-3D"}
    assert len(row.missing) == 5
    assert all("sigma(90)" in reason for reason in row.missing.values())


@pytest.mark.parametrize("error", [ZeroDivisionError("by\nzero"), ValueError("bad")])
def test_failing_filter_costs_its_own_columns_only(error, phantom, preset, reference, monkeypatch):
    """An exception inside a filter makes its 91 values NaN with the exception as reason."""

    def fails(image, mask, **settings):
        raise error
        yield

    monkeypatch.setattr(imageoperations, "getSquareImage", fails)
    row = extract_features(*phantom, preset)
    assert {name.split("_")[0] for name in row.missing} == {"square"}
    assert len(row.missing) == 91
    assert all(type(error).__name__ in reason for reason in row.missing.values())
    others = [not name.startswith("square_") for name in preset.names]
    np.testing.assert_array_equal(row.values[others], reference.values[others])


def test_failing_class_costs_its_own_columns_only(phantom, preset, monkeypatch):
    """An exception inside a class makes its values NaN on each image."""
    monkeypatch.setattr("radiomics.ngtdm.RadiomicsNGTDM._calculateCoefficients", lambda *_: 1 / 0)
    row = extract_features(*phantom, preset)
    assert {name.split("_")[1] for name in row.missing} == {"ngtdm"}
    assert len(row.missing) == 21 * 5


def test_memory_error_is_not_a_missing_value(phantom, preset, monkeypatch):
    """What the machine lacked must not be written down as a property of the scan."""

    def exhausted(*_, **__):
        raise MemoryError

    monkeypatch.setattr(imageoperations, "getSquareImage", exhausted)
    with pytest.raises(MemoryError):
        extract_features(*phantom, preset)


def test_library_warnings_become_remarks(phantom, parameter_file, capfd):
    """PyRadiomics' advice reaches the caller, once, and not the terminal."""
    wanted = feature_set(parameter_file({"featureClass": {"glcm": ["SumAverage"]}}))
    row = extract_features(*phantom, wanted)
    assert row.remarks == (
        "GLCM is symmetrical, therefore Sum Average = 2 * Joint Average, only 1 needs to be calculated",
    )
    assert capfd.readouterr() == ("", "")


def _with(mask, *boxes):
    array = np.zeros_like(mask.array)
    for box in boxes:
        array[box] = 1
    return Mask(array, mask.grid)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ((), "at least one voxel inside"),
        ([np.s_[7, 18, 20]], "dimensions of more than one voxel after resampling, it has [01]"),
    ],
)
def test_region_too_small_is_refused(boxes, message, phantom, preset):
    """Nothing or next to nothing in the mask is a MaskError of one line, not a row of NaN."""
    volume, mask = phantom
    with pytest.raises(MaskError, match=message) as caught:
        extract_features(volume, _with(mask, *boxes), preset)
    assert "\n" not in str(caught.value)


def test_region_that_vanishes_between_grid_points_is_refused(phantom, parameter_file):
    """A speck of 2 voxels falls between centres 5 mm apart."""
    volume, mask = phantom
    wanted = feature_set(parameter_file({"setting": {"resampledPixelSpacing": [5, 5, 5]}}))
    with pytest.raises(MaskError, match="after resampling"):
        extract_features(volume, _with(mask, np.s_[7:9, 17:19, 18:20]), wanted)


def test_least_size_and_range_are_obeyed(phantom, parameter_file):
    """minimumROISize and a resegmentRange that leaves nothing are MaskErrors."""
    volume, mask = phantom
    small = feature_set(parameter_file({"setting": {"minimumROISize": 10**6}}))
    with pytest.raises(MaskError, match="more than 1000000 voxels"):
        extract_features(volume, mask, small)
    nothing = feature_set(parameter_file({"setting": {"resegmentRange": [20000]}}))
    with pytest.raises(MaskError, match="resegmentRange"):
        extract_features(volume, mask, nothing)


def test_mask_on_another_grid_is_refused_unless_allowed(phantom, preset, reference, parameter_file):
    """1e-3 mm is rounding of headers; more is another scan, unless a tolerance or correctMask is asked for."""
    volume, mask = phantom
    x, y, z = mask.grid.origin_mm
    near, far = (Grid(mask.grid.size, mask.grid.spacing_mm, (x + d, y, z)) for d in (6e-5, 0.2))
    np.testing.assert_array_equal(extract_features(volume, Mask(mask.array, near), preset).values, reference.values)
    with pytest.raises(MaskError, match=r"corners are 0.2 mm away"):
        extract_features(volume, Mask(mask.array, far), preset)
    classes = {"featureClass": {"shape": None}}
    for setting in ({"correctMask": True}, {"geometryTolerance": 0.5}):
        wanted = feature_set(parameter_file({**classes, "setting": setting}))
        corrected = extract_features(volume, Mask(mask.array, far), wanted)
        np.testing.assert_array_equal(corrected.values, extract_features(volume, mask, wanted).values)
