"""The counts of the texture kernels are PyRadiomics' own, voxel volume by voxel volume."""

from __future__ import annotations

import numpy as np
import pytest
import radiomics
import SimpleITK as sitk
from radiomics import cMatrices, imageoperations

from gc_ray.features import texture
from gc_ray.features.extract import _class_features
from gc_ray.features.feature_set import feature_set
from gc_ray.features.kernels_texture import DIRECTIONS, neighbourhoods, zones
from gc_ray.features.messages import collected_messages
from gc_ray.features.prepare import prepare
from gc_ray.features.texture import Picture, Region, covers, region_of, texture_calculator

TEXTURE = ("glcm", "glrlm", "glszm", "gldm", "ngtdm")
SHAPES = [(9, 11, 13), (4, 5, 30), (2, 2, 2), (1, 12, 10), (12, 1, 9), (10, 8, 1), (1, 1, 15), (2, 17, 2)]


def random_box(seed, shape, levels=6, filled=0.7):
    """Levels from 1, and a mask with holes that touches all sides of its box."""
    rng = np.random.default_rng(seed)
    inside = rng.random(shape) < filled
    inside[0, 0, 0] = inside[-1, -1, -1] = True
    return rng.integers(1, levels + 1, shape), inside


def counted(box, inside):
    """Our five counts of one box."""
    region, greys = Region(inside), int(box[inside].max())
    spread = region.spread(box[inside])
    found = neighbourhoods(spread, region.at, region.steps, greys, max(inside.shape))
    return *found, zones(spread, region.at, region.steps, 4)


@pytest.mark.parametrize("filled", [0.05, 0.4, 0.9, 1.0])
@pytest.mark.parametrize("levels", [1, 2, 7, 90])
@pytest.mark.parametrize("shape", SHAPES)
def test_counts_equal_those_of_the_c_extension(shape, levels, filled):
    """GLCM, GLSZM, GLDM and NGTDM of random volumes, solid to sparse, one level to nearly one a voxel, thin boxes."""
    box, inside = random_box(1, shape, levels, filled)
    greys = int(box[inside].max())
    pairs, _, alike, tones, (zone_levels, zone_sizes) = counted(box, inside)
    valid = np.all(np.abs(DIRECTIONS) < shape, axis=1)
    one = np.array([1])
    glcm, angles = cMatrices.calculate_glcm(box, inside, one, greys, False, 0)
    np.testing.assert_array_equal(angles, DIRECTIONS[valid])
    np.testing.assert_array_equal(pairs[:, :, valid], glcm[0])
    assert not pairs[:, :, ~valid].any()
    gldm = cMatrices.calculate_gldm(box, inside, one, greys, 0, False, 0)[0]
    np.testing.assert_array_equal(alike[:, : gldm.shape[1]], gldm[:, : alike.shape[1]])
    np.testing.assert_array_equal(tones, cMatrices.calculate_ngtdm(box, inside, one, greys, False, 0)[0, :, :2])
    glszm = cMatrices.calculate_glszm(box, inside, greys, int(inside.sum()), False, 0)[0]
    ours = np.zeros_like(glszm)
    np.add.at(ours, (zone_levels - 1, zone_sizes - 1), 1)
    np.testing.assert_array_equal(ours, glszm)


def images(box, inside, spacing=(1.0, 1.0, 1.0)):
    """A box as PyRadiomics' classes take it."""
    image, roi = sitk.GetImageFromArray(box), sitk.GetImageFromArray(inside.astype(np.uint8))
    image.SetSpacing(spacing)
    roi.SetSpacing(spacing)
    return image, roi


def assert_same_class(name, image, roi, own):
    """The matrix, all coefficients and their order in memory, and all features of one class."""
    ours = texture_calculator(name, Picture(image, roi, region_of(roi), own))
    theirs = radiomics.getFeatureClasses()[name](image, roi, **own)
    theirs._initCalculation()
    matrix, wanted = getattr(ours, f"P_{name}"), getattr(theirs, f"P_{name}")
    np.testing.assert_array_equal(matrix, wanted)
    assert matrix.strides[1:] == wanted.strides[1:] or 1 in matrix.shape[1:]
    for key, value in theirs.coefficients.items():
        np.testing.assert_array_equal(ours.coefficients[key], value, err_msg=key)
    for feature, deprecated in theirs.getFeatureNames().items():
        if not deprecated and not (feature == "MCC" and np.isnan(wanted).any()):  # eigenvalues of nothing
            found, there = (getattr(c, f"get{feature}FeatureValue")() for c in (ours, theirs))
            np.testing.assert_array_equal(np.squeeze(found), np.squeeze(there), err_msg=feature)


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
@pytest.mark.parametrize("name", TEXTURE)
@pytest.mark.parametrize("shape", SHAPES)
def test_classes_equal_pyradiomics_to_the_bit(name, shape):
    """Matrix, coefficients and features of whole classes, for sparse, solid, flat and many-valued boxes."""
    for seed, (levels, filled) in enumerate([(1, 0.6), (3, 0.1), (6, 0.8), (40, 1.0), (3000, 0.5)]):
        box, inside = random_box(seed, shape, levels, filled)
        assert_same_class(name, *images(box, inside), {"binWidth": 1.5 if levels < 100 else 40, "label": 1})


@pytest.mark.parametrize("own", [{"binCount": 8}, {"binWidth": 7, "symmetricalGLCM": False}, {"binWidth": 0.3}])
@pytest.mark.parametrize("name", TEXTURE)
def test_settings_of_levels_are_obeyed(name, own):
    """A number of bins, a width of bins and a one-sided GLCM, on values that are no whole numbers."""
    box, inside = random_box(5, (7, 9, 8))
    values = np.random.default_rng(6).normal(3, 2, box.shape).astype(np.float32)
    assert_same_class(name, *images(values, inside), own)


@pytest.mark.parametrize("dimension", [0, 1, 2])
@pytest.mark.parametrize("shape", SHAPES)
def test_zones_in_slices_equal_pyradiomics_to_the_bit(shape, dimension):
    """Zones end at their slice with force2D; they are counted here, without a column for each size there could be."""
    own = {"binWidth": 1.5, "force2D": True, "force2Ddimension": dimension}
    for seed, filled in enumerate((0.3, 0.9, 1.0)):
        image, roi = images(*random_box(seed, shape, 3, filled))
        if sorted(np.delete(shape, dimension))[-1] > 1:
            assert_same_class("glszm", image, roi, own)
            continue
        with pytest.raises(ValueError, match="no voxel has a neighbour"):  # PyRadiomics has no answer either
            texture_calculator("glszm", Picture(image, roi, region_of(roi), own))


@pytest.mark.parametrize("own", [{}, {"symmetricalGLCM": False}])
@pytest.mark.parametrize("shape", [(9, 11, 13), (1, 12, 10), (1, 1, 15), (2, 2, 2)])
def test_large_matrices_one_direction_at_a_time_give_the_same_features(shape, own, monkeypatch):
    """Memory of one direction instead of all; sums in another order differ in their last digits."""
    box, inside = random_box(8, shape, 20, 0.5)
    picture = Picture(*images(box, inside), Region(inside), {"binWidth": 1, "label": 1} | own)
    features = [name for name, old in radiomics.getFeatureClasses()["glcm"].getFeatureNames().items() if not old]
    with collected_messages():
        together = dict(_class_features("glcm", features, picture))
        monkeypatch.setattr(texture, "MATRICES_BYTES", 0)
        one_by_one = dict(_class_features("glcm", features, picture))
    assert list(one_by_one) == features
    assert one_by_one == pytest.approx(together, rel=1e-12, abs=1e-12)


def test_large_matrices_without_a_pair_have_no_features(monkeypatch):
    """Specks that do not touch: a reason and no 0, whichever way."""
    inside = np.zeros((9, 9, 9), bool)
    inside[::4, ::4, ::4] = True
    picture = Picture(*images(np.arange(729).reshape(9, 9, 9), inside), Region(inside), {"binWidth": 1})
    monkeypatch.setattr(texture, "MATRICES_BYTES", 0)
    found = dict(_class_features("glcm", ["Contrast", "Idm"], picture))
    assert all("not finite" in reason for reason in found.values())


def test_many_levels_in_one_direction_have_the_features_of_pyradiomics():
    """Above 256 levels a single matrix is summed in another order than PyRadiomics': 1e-12."""
    rng = np.random.default_rng(4)
    image, roi = images(rng.permutation(400).reshape(1, 1, 400), np.ones((1, 1, 400), bool))
    ours = texture_calculator("glcm", Picture(image, roi, region_of(roi), {"binWidth": 1}))
    theirs = radiomics.getFeatureClasses()["glcm"](image, roi, binWidth=1)
    theirs._initCalculation()
    for key, value in theirs.coefficients.items():
        np.testing.assert_allclose(ours.coefficients[key], value, rtol=1e-12, atol=1e-15, err_msg=key)


@pytest.mark.parametrize("name", ["glrlm", "glszm", "gldm", "ngtdm"])
def test_distant_voxels_on_a_line_keep_its_direction(name):
    """Two voxels of one line with a gap: PyRadiomics counts runs of one there, and none where each line has one."""
    inside = np.zeros((5, 6, 7), bool)
    inside[0, 0, 0] = inside[4, 0, 0] = inside[0, 5, 6] = inside[4, 5, 5] = True
    box, _ = random_box(2, inside.shape)
    image, roi = images(box, inside)
    assert_same_class(name, image, roi, {"binWidth": 1})


@pytest.mark.parametrize("name", ["lung1", "STS_025", "totalseg_stomach", "breast1"])
def test_real_scans_equal_pyradiomics_to_the_bit(name, scan):
    """All five classes on original images at 1 mm."""
    ready = prepare(*scan(name), feature_set("pyradiomics-ct"))
    image, roi = imageoperations.cropToTumorMask(ready.image, ready.roi, ready.box)
    for class_name in TEXTURE:
        assert_same_class(class_name, image, roi, {"binWidth": 25})


@pytest.mark.parametrize(
    "own",
    [{"distances": [1, 2]}, {"distances": [2]}, {"force2D": True}, {"weightingNorm": "euclidean"}, {"gldm_a": 1}],
)
def test_other_neighbourhoods_are_left_to_pyradiomics(own):
    """What the kernels do not count they do not claim."""
    assert covers("glcm", {}) and covers(
        "glcm", {"distances": [1], "weightingNorm": None, "gldm_a": 0, "force2D": False}
    )
    assert not covers("glcm", own)


def test_levels_of_values_with_nan_are_those_of_pyradiomics():
    """LBP3D's kurtosis can be NaN: Python's min and max pass over some, and that decides the edges."""
    _, inside = random_box(3, (5, 5, 5))
    values = np.random.default_rng(3).normal(0, 50, inside.shape)
    values[2, 2] = np.nan
    picture = Picture(*images(values, inside), Region(inside), {"binWidth": 25})
    theirs, _ = imageoperations.binImage(values, inside, binWidth=25)
    np.testing.assert_array_equal(picture.levels, theirs[inside])
