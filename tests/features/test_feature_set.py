"""Feature sets: known names, checked files, columns known before the first scan."""

from __future__ import annotations

import json
import re
import sys

import pytest
import SimpleITK as sitk

from gc_ray.errors import StudyError
from gc_ray.features.feature_set import PRESETS, check_libraries, feature_set
from gc_ray.names import is_name
from gc_ray.study_signatures import set_name


def test_presets_hold_1925_features():
    """14 of shape and 91 of each of 21 images, each name once."""
    for name in PRESETS:
        names = feature_set(name).names
        assert len(names) == len(set(names)) == 14 + 21 * 91
        assert sum(n.startswith("original_shape_") for n in names) == 14


def test_pyradiomics_ct_has_the_settings_of_the_reference(data, tmp_path):
    """The packaged file and the reference's parameter file resolve to the same settings and columns."""
    path = tmp_path / "reference.yaml"
    path.write_text((data / "oracle" / "preset_1925.yaml").read_text())
    assert feature_set(str(path)).settings_json() == feature_set("pyradiomics-ct").settings_json()


def test_guo2025_is_pyradiomics_ct_on_a_window():
    """The two presets differ in the section gc_ray alone."""
    plain, windowed = feature_set("pyradiomics-ct"), feature_set("guo2025")
    assert windowed.names == plain.names
    assert windowed.settings | {"gc_ray": plain.settings["gc_ray"]} == plain.settings
    assert windowed.settings["gc_ray"] == plain.settings["gc_ray"] | {
        "pixel_type": "float32",
        "clip_hu": [-1024.0, 1024.0],
        "window_hu": {"level": 50.0, "width": 350.0},
    }


def test_settings_json_tells_apart_what_changes_a_value(parameter_file):
    """The text changes with a setting, a default stated by hand changes nothing, and it reads back as JSON."""
    base = feature_set(parameter_file({"setting": {"binWidth": 25}})).settings_json()
    assert feature_set(parameter_file({"setting": {"binWidth": 25, "padDistance": 5}})).settings_json() == base
    assert feature_set(parameter_file({"setting": {"binWidth": 25, "label": 3}})).settings_json() == base
    assert feature_set(parameter_file({"setting": {"binWidth": 10}})).settings_json() != base
    assert {"code_version", "pyradiomics", "gc_ray"} < set(json.loads(base))


def test_file_without_classes_means_all_of_them(parameter_file):
    """As in PyRadiomics: the original image, every class, no deprecated feature, shape2D only with force2D."""
    names = feature_set(parameter_file({"setting": {"binWidth": 25}})).names
    assert len(names) == 107
    assert "original_firstorder_StandardDeviation" not in names
    flat = feature_set(parameter_file({"setting": {"force2D": True}})).names
    assert sum(n.startswith("original_shape2D_") for n in flat) == 9


def test_a_file_may_have_any_name_and_two_files_never_share_one(tmp_path):
    """Blanks, umlauts, devices of Windows: the store has plain letters; a study that names the file finds them."""
    stems = ["CT params v2", "CT  params v2", "ct params v2", "CT-params-v2", "参数", "Größe", "con", "a;b"]
    names = {}
    for stem in stems:
        path = tmp_path / f"{stem}.yaml"
        path.write_text("featureClass: {firstorder: [Mean]}")
        names[stem] = feature_set(str(path)).name
        assert is_name(names[stem])
        assert set_name(str(path)) == set_name(path.name) == names[stem]
    assert len({name.casefold() for name in names.values()}) == len(stems)
    assert names["CT-params-v2"] == "CT-params-v2"
    assert re.fullmatch(r"ct-params-v2-[0-9a-f]{16}", names["CT params v2"])


def test_name_is_the_presets_or_the_files(parameter_file):
    """A file's set is called after the file."""
    assert feature_set("guo2025").name == "guo2025"
    assert feature_set(parameter_file({"setting": {"binWidth": 5}}, "portal_phase.json")).name == "portal_phase"


def test_unknown_name_lists_the_known_ones():
    """The message names every preset."""
    with pytest.raises(
        StudyError, match=r"wants pyradiomics-ct, guo2025, ibsi-digital, .* or a parameter file .* got nonsense"
    ):
        feature_set("nonsense")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"imageType": {"Sharpened": {}}}, "Sharpened is not recognized"),
        ({"featureClass": {"colour": None}}, "colour is not recognized"),
        ({"featureClass": {"glcm": ["Colour"]}}, "unrecognized features"),
        ({"featureClass": {"glcm": ["Homogeneity1"]}}, "Homogeneity1 is withdrawn"),
        ({"featureClass": {"shape2D": None}}, "shape2D wants setting force2D"),
        ({"imageType": {"LoG": {}}}, "LoG wants a list of sigma"),
        ({"setting": {"binwidth": 25}}, "binwidth"),
        ({"setting": {"binWidth": "wide"}}, "wide"),
        ({"setting": {"resampledPixelSpacing": [1, 1]}}, "wants 3 values"),
        ({"setting": {"resegmentRange": [1, 2, 3]}}, "1 or 2 thresholds"),
        ({"voxelSetting": {"kernelRadius": 1}}, "voxel-based"),
        ({"gc_ray": {"blur": 1}}, "section gc_ray wants only"),
        ({"gc_ray": {"clip_hu": [1]}}, "section gc_ray wants"),
        ({"gc_ray": {"clip_hu": [200, -100]}}, "section gc_ray wants"),
        ({"gc_ray": {"pixel_type": "int8"}}, "section gc_ray wants"),
        ({"gc_ray": {"window_hu": {"level": 50}}}, "section gc_ray wants"),
        ({"gc_ray": {"window_hu": {"level": 50, "width": 0}}}, "section gc_ray wants"),
        ([1, 2], "no mapping"),
    ],
)
def test_wrong_parameters_are_one_line(settings, message, parameter_file, capfd):
    """Whatever is wrong is a StudyError of one line that names the file's set, and nothing is printed."""
    with pytest.raises(StudyError, match=message) as caught:
        feature_set(parameter_file(settings))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("feature set custom: ")
    assert capfd.readouterr() == ("", "")


def test_unreadable_files_are_study_errors(tmp_path):
    """A missing file, bad YAML, a key given twice and a preset's name are refused without the folder's name."""
    bad, twice, taken = tmp_path / "bad.yaml", tmp_path / "twice.yaml", tmp_path / "guo2025.yaml"
    bad.write_text("setting: [1, 2")
    twice.write_text("setting: {binWidth: 1, binWidth: 2}")
    taken.write_text("setting: {}")
    for path, message in (
        (tmp_path / "none.yaml", "none.yaml cannot be read"),
        (bad, "not valid YAML"),
        (twice, "not valid YAML"),
        (taken, "name of a preset"),
    ):
        with pytest.raises(StudyError, match=message) as caught:
            feature_set(str(path))
        assert "\n" not in str(caught.value)
        assert tmp_path.name not in str(caught.value)


def test_missing_library_is_an_error_before_any_scan(monkeypatch):
    """Without trimesh PyRadiomics would return 273 features fewer and say nothing."""
    wanted = feature_set("pyradiomics-ct")
    check_libraries(wanted)
    monkeypatch.setitem(sys.modules, "trimesh.creation", None)
    with pytest.raises(StudyError, match=r"LBP3D wants trimesh.creation.icosphere.* pip install trimesh"):
        check_libraries(wanted)
    with pytest.raises(StudyError, match="LBP3D"):
        feature_set("pyradiomics-ct")


def test_lbp3d_without_sph_harm_is_an_error(monkeypatch):
    """SciPy 1.17 removed the function that LBP3D calls."""
    monkeypatch.delattr("scipy.special.sph_harm")
    with pytest.raises(StudyError, match=r"sph_harm.*'scipy<1.17'"):
        feature_set("guo2025")


def test_tolerances_of_itk_stay_as_they_are(parameter_file):
    """geometryTolerance is kept as a setting and not set for the whole process, as PyRadiomics' extractor does."""
    before = sitk.ProcessObject.GetGlobalDefaultCoordinateTolerance()
    wanted = feature_set(parameter_file({"setting": {"geometryTolerance": 0.5}}))
    assert wanted.settings["setting"]["geometryTolerance"] == 0.5
    assert sitk.ProcessObject.GetGlobalDefaultCoordinateTolerance() == before


def test_the_limit_of_grey_levels_is_a_setting_of_every_set(parameter_file):
    """2,000 unless a file says otherwise, stated in the settings and so in the hash."""
    sections = {
        "as it is": {},
        "own": {"gc_ray": {"max_grey_levels": 300}},
        "ibsi": {"ibsi": {"max_grey_levels": 300}},
    }
    found = {name: feature_set(parameter_file(section)) for name, section in sections.items()}
    limits = {name: of.settings["gc_ray"]["max_grey_levels"] for name, of in found.items()}
    assert limits == {"as it is": 2000, "own": 300, "ibsi": 300}
    assert len({of.settings_json() for of in found.values()}) == 3
    for name in (*PRESETS, "ibsi-digital", "ibsi-a", "ibsi-ct"):
        assert feature_set(name).settings["gc_ray"]["max_grey_levels"] == 2000


@pytest.mark.parametrize("limit", [0, -1, 2000.0, "2000", True, None, 65536])
def test_a_limit_that_is_no_number_of_levels_is_refused(limit, parameter_file):
    """A whole number from 1 to 65,535; beyond, a matrix alone would take 200 GB."""
    for section in ("gc_ray", "ibsi"):
        with pytest.raises(StudyError, match=r"max_grey_levels.* 1 to 65535"):
            feature_set(parameter_file({section: {"max_grey_levels": limit}}))


def test_more_bins_than_the_limit_are_refused_before_any_scan(parameter_file):
    """A number of bins is known beforehand, for all images or for those of one filter."""
    everywhere = {"setting": {"binCount": 2001}}
    of_a_filter = {"imageType": {"Original": {}, "Square": {"binCount": 500}}, "gc_ray": {"max_grey_levels": 400}}
    for settings, message in (
        (everywhere, "binCount of Original wants at most 2,000"),
        (of_a_filter, "binCount of Square wants at most 400"),
    ):
        with pytest.raises(StudyError, match=message):
            feature_set(parameter_file(settings))
    feature_set(parameter_file({**everywhere, "gc_ray": {"max_grey_levels": 2001}}))
    feature_set(parameter_file({**everywhere, "featureClass": {"firstorder": None}}))  # these need no matrix


@pytest.mark.parametrize("text", [".inf", ".nan", "'25'"])
@pytest.mark.parametrize("name", ["binWidth", "normalizeScale", "sigma", "resampledPixelSpacing", "resegmentRange"])
def test_a_setting_that_is_no_finite_number_is_refused(name, text, tmp_path):
    """PyRadiomics' schema lets infinity, NaN and numbers in quotes pass; each would end a run with a traceback."""
    given = text if name in ("binWidth", "normalizeScale") else f"[{text}, 1, 2]"
    path = tmp_path / "wrong.yaml"
    for written in (f"setting: {{{name}: {given}}}", f"imageType: {{LoG: {{{name}: {given}}}}}"):
        path.write_text(written)
        with pytest.raises(StudyError, match=rf"{name} wants a (finite )?number|resegmentRange wants 1 or 2"):
            feature_set(str(path))


@pytest.mark.parametrize("window", [".inf", ".nan"])
def test_a_window_that_is_not_finite_is_refused(window, tmp_path):
    """It could not be written into the settings, and an integer image has no such value."""
    path = tmp_path / "wrong.yaml"
    for written in (f"clip_hu: [-1000, {window}]", f"window_hu: {{level: {window}, width: 400}}"):
        path.write_text(f"gc_ray: {{{written}}}")
        with pytest.raises(StudyError, match="section gc_ray wants"):
            feature_set(str(path))
