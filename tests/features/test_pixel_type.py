"""An integer image whose values leave its type has the features of its float32 copy; any other keeps its type."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from radiomics.featureextractor import RadiomicsFeatureExtractor

from gc_ray.errors import MaskError
from gc_ray.features.extract import extract_features
from gc_ray.features.feature_set import feature_set
from gc_ray.features.messages import collected_messages
from gc_ray.features.pixel_type import BeyondPixelType, check_fits
from gc_ray.imaging.grid import Grid
from gc_ray.imaging.itk import image_of
from gc_ray.imaging.volume import Mask, Volume

FINE, COARSE = (1.0, 1.0, 1.0), (1.7, 1.9, 2.3)
MILLIMETRE = {"resampledPixelSpacing": [1, 1, 1], "interpolator": "sitkBSpline", "padDistance": 6, "binWidth": 2500}
CLASSES = {"firstorder": None, "glcm": ["Contrast", "Idmn", "Imc2"], "glszm": None, "ngtdm": None}
INSIDE, MARGIN = np.s_[5:7, 8:10, 8:10], np.s_[5:7, 8:10, 13:15]


def scan(kind, spacing, low=0.0, spread=20.0, **voxels):
    """A ball of 4 voxels in noise around ``low``; ``voxels``: values of 8 by place, ``inside`` or ``margin``."""
    rng = np.random.default_rng(3)
    array = low + spread * rng.normal(size=(11, 17, 17))
    if (limits := np.iinfo(kind)).min == 0:
        array = np.abs(array)
    array = np.clip(array, limits.min, limits.max).astype(kind)
    for name, value in voxels.items():
        array[{"inside": INSIDE, "margin": MARGIN}[name]] = value
    z, y, x = np.indices(array.shape)
    mask = ((z - 5) ** 2 + (y - 8) ** 2 + (x - 8) ** 2 <= 16).astype(np.uint8)
    grid = Grid(array.shape[::-1], spacing)
    return Volume(array, grid), Mask(mask, grid)


def by_pyradiomics(volume, mask, parameters, kind=None):
    """PyRadiomics' features of an image, cast before anything else if a type is given."""
    image = image_of(volume)
    with collected_messages():
        found = RadiomicsFeatureExtractor(parameters).execute(
            sitk.Cast(image, kind) if kind else image, image_of(mask)
        )
    return {name: float(value) for name, value in found.items() if not name.startswith("diagnostics_")}


def assert_equals(volume, mask, parameters, parameter_file, kind=None):
    """Our row has PyRadiomics' values; returns it."""
    wanted = feature_set(parameter_file(parameters))
    row = extract_features(volume, mask, wanted)
    theirs = by_pyradiomics(volume, mask, parameters, kind)
    assert dict(zip(wanted.names, row.values, strict=True)) == pytest.approx(theirs, rel=1e-6, abs=1e-9)
    assert row.missing == {}
    return row


BEYOND = {
    "metal at the end of int16": (scan(np.int16, COARSE, inside=32700), {}, "resampling"),
    "the lowest int16": (scan(np.int16, COARSE, inside=-32768), {}, "resampling"),
    "metal outside the region": (scan(np.int16, COARSE, margin=32767), {}, "resampling"),
    "the end of int32": (scan(np.int32, COARSE, inside=2**31 - 1), {"binWidth": 10**8}, "resampling"),
    "white in uint8": (scan(np.uint8, COARSE, low=100, inside=255), {"binWidth": 20}, "resampling"),
    "an edge above int16": (scan(np.int16, FINE, inside=32740), {}, "range"),
    "a range wider than int16": (scan(np.int16, FINE, low=-1500, inside=31500), {}, "range"),
    "an edge above uint8": (scan(np.uint8, FINE, low=100, inside=230), {"binWidth": 20}, "range"),
    "a width above uint8": (scan(np.uint8, FINE, low=100), {"binWidth": 300}, "range"),
    "an edge below int8": (scan(np.int8, FINE, inside=-128), {"binWidth": 10}, "range"),
    "an edge above int32": (scan(np.int32, FINE, low=2**31 - 9000, spread=2000), {"binWidth": 9000}, "range"),
}


@pytest.mark.parametrize("name", BEYOND)
def test_values_beyond_an_integer_type_are_those_of_the_float32_copy(name, parameter_file):
    """PyRadiomics would cut off or wrap around; the ledger's notes say what was done and why."""
    (volume, mask), changed, what = BEYOND[name]
    spacing = MILLIMETRE if what == "resampling" else {"binWidth": 400}
    parameters = {
        "imageType": {"Original": {}, "LoG": {"sigma": [1.5]}, "Square": {}},
        "featureClass": CLASSES,
        "setting": {**spacing, **changed},
    }
    row = assert_equals(volume, mask, parameters, parameter_file, sitk.sitkFloat32)
    assert row.remarks[0].startswith("computed in float32: ")
    assert what in row.remarks[0] and str(volume.dtype) in row.remarks[0]


def test_integers_that_float32_rounds_are_rounded_before_they_are_resampled(parameter_file):
    """Otherwise a Laplacian, a small difference of large numbers, would differ in its fourth digit."""
    volume, mask = scan(np.uint32, COARSE, low=2**31, spread=2**29, inside=2**32 - 1)
    parameters = {"featureClass": {"firstorder": ["Mean", "Energy"]}, "setting": {**MILLIMETRE, "binWidth": 10**8}}
    wanted = feature_set(parameter_file(parameters))
    theirs = by_pyradiomics(volume, mask, parameters, sitk.sitkFloat32)
    ours = dict(zip(wanted.names, extract_features(volume, mask, wanted).values, strict=True))
    assert ours == pytest.approx(theirs, rel=1e-13)


def test_an_overshoot_of_the_spline_is_not_cut_off(parameter_file):
    """Meaning: between a bright voxel and its dark neighbours the spline goes beyond both."""
    volume, mask = scan(np.int16, COARSE, inside=32767)
    wanted = feature_set(parameter_file({"featureClass": {"firstorder": ["Maximum"]}, "setting": MILLIMETRE}))
    assert extract_features(volume, mask, wanted).values[0] > 33000


def test_a_sample_of_lbp3d_beyond_the_type_is_that_of_the_float32_copy(parameter_file):
    """SciPy wraps a sample of an int16 image around: the pattern would see black beside white."""
    volume, mask = scan(np.int16, FINE)
    volume.array[...] = np.where(np.random.default_rng(5).random(volume.array.shape) < 0.5, 32767, -32768)
    parameters = {"imageType": {"LBP3D": {"binWidth": 0.5}}, "featureClass": {"firstorder": None}}
    row = assert_equals(volume, mask, parameters, parameter_file, sitk.sitkFloat32)
    assert row.remarks[0].startswith("computed in float32: a sample of LBP3D reaches ")


def test_a_relative_threshold_beyond_the_type_is_not_wrapped_around(parameter_file):
    """Twice a maximum of 20,000 is no int16; wrapped around it would leave nothing of the region."""
    volume, mask = scan(np.int16, FINE, low=5000, spread=500, inside=20000)
    setting = {"resegmentRange": [0, 2], "resegmentMode": "relative", "binWidth": 250}
    parameters = {"featureClass": CLASSES, "setting": setting}
    row = assert_equals(volume, mask, {"imageType": {"Original": {}}, **parameters}, parameter_file, sitk.sitkFloat32)
    assert "resegmentRange" in row.remarks[0]


@pytest.mark.parametrize(("kind", "shares"), [(np.uint16, [-1, 1]), (np.uint8, [-2]), (np.int8, [-200, 1])])
def test_a_relative_threshold_by_a_factor_beyond_the_type_is_computed_in_float32(kind, shares, parameter_file):
    """NumPy multiplies no uint16 by -1 and no int8 by -200; float32 leaves the voxels up to the maximum."""
    volume, mask = scan(kind, FINE, low=50 if kind == np.int8 else 100, spread=5)
    setting = {"resegmentRange": shares, "resegmentMode": "relative", "binWidth": 3}
    parameters = {"imageType": {"Original": {}}, "featureClass": CLASSES, "setting": setting}
    row = assert_equals(volume, mask, parameters, parameter_file, sitk.sitkFloat32)
    assert "resegmentRange" in row.remarks[0] and str(volume.dtype) in row.remarks[0]


@pytest.mark.parametrize(
    ("setting", "kept"),
    [
        ({"resegmentRange": [-1000, 110]}, lambda v: v <= 110),
        ({"resegmentRange": [-1000, 70000]}, lambda v: v < 70000),
        ({"resegmentRange": [-1000]}, lambda v: v >= -1000),
        ({"resegmentRange": [-0.5, 0.9], "resegmentMode": "relative"}, lambda v: v <= 0.9 * v.max()),
        ({"resegmentRange": [-1, 1], "resegmentMode": "sigma"}, lambda v: abs(v - v.mean()) <= v.std()),
    ],
)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_threshold_below_0_keeps_all_low_voxels_of_an_unsigned_image(kind, setting, kept, parameter_file):
    """Nothing wraps around: air at 0 lies above -1000; what is kept is counted by NumPy, and is PyRadiomics' too."""
    volume, mask = scan(kind, FINE, low=100)
    parameters = {"imageType": {"Original": {}}, "featureClass": CLASSES, "setting": {**setting, "binWidth": 5}}
    wanted = {**parameters, "featureClass": {"firstorder": ["Maximum", "Mean"]}}
    values = volume.array[mask.array == 1].astype(float)
    row = extract_features(volume, mask, feature_set(parameter_file(wanted)))
    left = values[kept(values)]
    assert row.values == pytest.approx([left.max(), left.mean()])
    assert not assert_equals(volume, mask, parameters, parameter_file).remarks


WITHIN = {
    "int16 near its end": (scan(np.int16, COARSE, inside=15000), {"binWidth": 1000.0}),
    "uint16 that rings below 0": (scan(np.uint16, COARSE, low=0, inside=3000), {"binWidth": 100}),
    "uint8 with room": (scan(np.uint8, COARSE, low=100), {"binWidth": 5}),
    "int32": (scan(np.int32, COARSE, low=10**6, inside=2 * 10**6), {"binWidth": 10**4}),
    "int64": (scan(np.int64, COARSE, inside=2**40), {"binWidth": 2**35}),
    "an edge as a fraction": (scan(np.int16, FINE, inside=32767), {"binWidth": 250.0, "resampledPixelSpacing": None}),
    "a number of bins": (scan(np.uint8, FINE, inside=255), {"binCount": 9, "resampledPixelSpacing": None}),
}


@pytest.mark.parametrize("name", WITHIN)
def test_an_integer_image_that_fits_keeps_its_type(name, parameter_file):
    """Values are PyRadiomics' of the image as it is; unsigned images are cut off at 0, as it does."""
    (volume, mask), changed = WITHIN[name]
    setting = {key: value for key, value in {**MILLIMETRE, **changed}.items() if value is not None}
    parameters = {"imageType": {"Original": {}, "Square": {}}, "featureClass": CLASSES, "setting": setting}
    row = assert_equals(volume, mask, parameters, parameter_file)
    assert not any("float32" in remark for remark in row.remarks)


def test_what_a_clip_takes_away_needs_no_other_type(parameter_file):
    """Metal cut off at 32,767 and clipped to 1,024 HU is the same in either type: the integers stay."""
    volume, mask = scan(np.int16, COARSE, inside=32767)
    parameters = {"featureClass": {"firstorder": ["Mean", "Maximum"]}, "setting": MILLIMETRE}
    clipped = feature_set(parameter_file({**parameters, "gc_ray": {"clip_hu": [-1024, 1024]}}))
    row = extract_features(volume, mask, clipped)
    assert row.remarks == ()
    assert dict(zip(clipped.names, row.values, strict=True))["original_firstorder_Maximum"] == 1024


@pytest.mark.parametrize("own", [{"clip_hu": [-1024, -100]}, {"window_hu": {"level": 400, "width": 200}}])
def test_a_clip_without_a_value_of_the_type_is_done_in_float32(own, parameter_file):
    """An 8-bit image holds no value below 0 or above 255."""
    volume, mask = scan(np.uint8, FINE, low=100)
    wanted = feature_set(parameter_file({"featureClass": {"firstorder": ["Minimum"]}, "gc_ray": own}))
    row = extract_features(volume, mask, wanted)
    assert row.values[0] == (-100 if "clip_hu" in own else 300)
    assert "float32" in row.remarks[0]


def test_a_refusal_comes_before_the_type(parameter_file):
    """A region that cannot be used is refused for what it is, whatever the values."""
    volume, mask = scan(np.int16, COARSE, inside=32767)
    empty = Mask(np.zeros_like(mask.array), mask.grid)
    with pytest.raises(MaskError, match="at least one voxel"):
        extract_features(volume, empty, feature_set(parameter_file({"setting": MILLIMETRE})))


@pytest.mark.parametrize(
    ("kind", "fits", "beyond"),
    [
        (np.int16, (-32768.9, 32767.9), (-32769, 32768)),
        (np.uint8, (-5, 255.9), (256,)),
        (np.float32, (1e300, float("inf")), ()),
    ],
)
def test_a_fraction_is_cut_off_before_it_is_compared(kind, fits, beyond):
    """32,767.9 is the int16 32,767; a floating-point type is never too narrow."""
    check_fits(fits, np.dtype(kind), "a value")
    for value in beyond:
        with pytest.raises(BeyondPixelType, match=f"a value reaches {value}, beyond {np.dtype(kind)}"):
            check_fits((value,), np.dtype(kind), "a value")
