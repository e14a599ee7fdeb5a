"""Which features to compute and how: a preset or a PyRadiomics parameter file, checked before the first scan."""

from __future__ import annotations

import json
import math
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

import radiomics
from pykwalify.core import Core
from pykwalify.errors import PyKwalifyException
from radiomics.featureextractor import RadiomicsFeatureExtractor
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from gc_ray.errors import StudyError
from gc_ray.features.discretise import LARGEST_LIMIT, MAX_GREY_LEVELS, checked_level_limit, level_limit
from gc_ray.features.ibsi_sets import IBSI_SETS, ibsi_settings, recipe_of, settings_of
from gc_ray.features.messages import collected_messages, one_line
from gc_ray.features.names import column_names, enabled_features
from gc_ray.names import name_of_file

# Raise it whenever a change of this package changes any value: stored results then count as out of date.
CODE_VERSION = 3

PRESETS = {"pyradiomics-ct": "pyradiomics_ct.yaml", "guo2025": "guo2025.yaml"}
PARAMETER_FILES = (".yaml", ".yml", ".json")

OWN_FIELDS = {
    "pixel_type": "pixel_type: float32",
    "clip_hu": "clip_hu: [low, high]",
    "window_hu": "window_hu: {level: L, width: W}",
    "max_grey_levels": f"max_grey_levels: 1 to {LARGEST_LIMIT}",
}

TEXT_SETTINGS = ("interpolator", "resegmentMode", "wavelet", "weightingNorm", "lbp2DMethod")

# Settings that change no value here: a Mask has one region, and nothing but features is returned.
WITHOUT_EFFECT = ("label", "label_channel", "additionalInfo")

# What PyRadiomics imports inside a filter; without it the filter's features vanish from its output without an error.
LIBRARIES = {
    "LBP2D": (("skimage.feature", "local_binary_pattern", "scikit-image"),),
    "LBP3D": (
        ("trimesh.creation", "icosphere", "trimesh"),
        ("scipy.special", "sph_harm", "'scipy<1.17'"),
        ("scipy.ndimage.interpolation", "map_coordinates", "'scipy<1.17'"),
    ),
}


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """A named, checked list of features.

    name: the preset's name, or the parameter file's name without its ending, in plain letters (``name_of_file``).
    settings: JSON-able: ``code_version``, ``pyradiomics`` (its version), and the sections of the parameter file with
    all defaults filled in: ``imageType``, ``featureClass`` (with each feature named), ``setting``, ``gc_ray``.
    names: the columns, in PyRadiomics' order.
    """

    name: str
    settings: dict[str, Any]
    names: tuple[str, ...]

    def settings_json(self) -> str:
        """One canonical line with all that decides the values and the order of the columns, to be hashed."""
        return json.dumps(self.settings, separators=(",", ":"), allow_nan=False)


def feature_set(name_or_yaml_path: str) -> FeatureSet:
    """The feature set of a preset (``PRESETS``, ``IBSI_SETS``) or of a PyRadiomics parameter file (YAML or JSON).

    A file may hold, besides PyRadiomics' sections, a section ``gc_ray`` with ``pixel_type: float32`` (cast before
    resampling), ``clip_hu: [low, high]`` and ``window_hu: {level, width}`` (after resampling, in this order), and
    ``max_grey_levels`` (of one image type, 2,000 unless given: a scan with more is refused).
    A file with a section ``ibsi`` holds nothing else: the fields of ``ibsi_sets.Recipe``.
    Raises StudyError, in one line, for an unknown name, an unreadable file, a setting that PyRadiomics' schema
    refuses, voxel-based extraction, and a library that is missing.
    """
    name, text = (name_or_yaml_path, "") if name_or_yaml_path in IBSI_SETS else _parameter_text(name_or_yaml_path)
    try:
        with collected_messages():
            settings = _versioned(ibsi_settings(name)) if name in IBSI_SETS else _resolved(text)
            made = FeatureSet(name, settings, column_names(settings))
        check_libraries(made)
    except StudyError as error:
        raise StudyError(f"feature set {name}: {error}") from error
    return made


def ibsi_feature_set(name: str, settings: dict[str, Any]) -> FeatureSet:
    """The feature set of settings from ``ibsi_sets.settings_of``."""
    versioned = _versioned(settings)
    return FeatureSet(name, versioned, column_names(versioned))


def in_float32(wanted: FeatureSet) -> FeatureSet:
    """The same feature set with ``pixel_type: float32``, for a scan whose integer type is too narrow."""
    own = wanted.settings["gc_ray"] | {"pixel_type": "float32"}
    return replace(wanted, settings=wanted.settings | {"gc_ray": own})


def check_libraries(wanted: FeatureSet) -> None:
    """Raises StudyError when a library is missing without which PyRadiomics would drop features and say nothing."""
    for image_type in wanted.settings["imageType"]:
        for module, attribute, package in LIBRARIES.get(image_type, ()):
            try:
                with collected_messages():
                    getattr(import_module(module), attribute)
            except (ImportError, AttributeError):
                raise StudyError(
                    f"{image_type} wants {module}.{attribute}, which is not installed; run pip install {package}"
                ) from None


def _parameter_text(name_or_path: str) -> tuple[str, str]:
    """The set's name and the text of its parameter file."""
    if name_or_path in PRESETS:
        return name_or_path, files(__package__).joinpath(PRESETS[name_or_path]).read_text(encoding="utf-8")
    path = Path(name_or_path)
    known = ", ".join([*PRESETS, *IBSI_SETS])
    if path.suffix not in PARAMETER_FILES:
        raise StudyError(f"feature set wants {known} or a parameter file (.yaml), got {path.name}; choose one")
    if path.stem in (*PRESETS, *IBSI_SETS):
        raise StudyError(f"feature set file {path.name} bears the name of a preset; rename it")
    try:
        return name_of_file(path.stem), path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a name with a zero byte
        raise StudyError(f"feature set file {path.name} cannot be read ({type(error).__name__}); check it") from error


def _resolved(text: str) -> dict[str, Any]:
    """``FeatureSet.settings`` from the text of a parameter file."""
    try:
        given = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise StudyError(f"not valid YAML: {one_line(error)}") from error
    if not isinstance(given, dict):
        raise StudyError("wanted sections imageType, featureClass, setting; the file holds no mapping")
    if "voxelSetting" in given:
        raise StudyError("voxel-based extraction (voxelSetting) gives images, not features; remove the section")
    if "ibsi" in given:
        return _versioned(_ibsi_section(given))
    own = _own_section(given.pop("gc_ray", None))
    checked = _checked_by_pyradiomics(given)
    setting = RadiomicsFeatureExtractor().settings | (checked.get("setting") or {})
    _check_setting(setting)
    classes = checked.get("featureClass") or _all_classes(setting)
    if "shape2D" in classes and not setting["force2D"]:
        raise StudyError("class shape2D wants setting force2D: true; add it or drop the class")
    settings = {
        "imageType": {t: kwargs or {} for t, kwargs in (checked.get("imageType") or {"Original": {}}).items()},
        "featureClass": {name: list(enabled_features(name, asked)) for name, asked in classes.items()},
        "setting": {key: setting[key] for key in sorted(setting) if key not in WITHOUT_EFFECT},
        "gc_ray": own,
    }
    for given in (settings["setting"], *settings["imageType"].values()):
        _check_numbers(given)
    _check_bins(settings)
    return _versioned(settings)


def _versioned(settings: dict[str, Any]) -> dict[str, Any]:
    return {"code_version": CODE_VERSION, "pyradiomics": radiomics.__version__, **settings}


def _ibsi_section(given: dict[str, Any]) -> dict[str, Any]:
    """The settings of a file that holds nothing but a section ``ibsi``."""
    if set(given) != {"ibsi"}:
        raise StudyError("section ibsi says all by itself; remove the other sections")
    try:
        return settings_of(recipe_of(given["ibsi"]))
    except ValueError as error:
        raise StudyError(str(error)) from error


def _checked_by_pyradiomics(given: dict[str, Any]) -> dict[str, Any]:
    """The sections after PyRadiomics' own schema; its extractor is not used for it, as it sets ITK's tolerances."""
    schema, functions = _schema()
    try:
        return Core(source_data=given, schema_data=deepcopy(schema), extensions=[functions]).validate()
    except (PyKwalifyException, ValueError, TypeError) as error:
        raise StudyError(f"PyRadiomics refuses the parameters: {one_line(getattr(error, 'msg', error))}") from error


@cache
def _schema() -> tuple[dict[str, Any], str]:
    """PyRadiomics' schema of parameter files, read once, and the file with its functions."""
    schema, functions = radiomics.getParameterValidationFiles()
    return YAML(typ="safe", pure=True).load(Path(schema)), functions


def _all_classes(setting: dict[str, Any]) -> dict[str, None]:
    """What a file without a class stands for: each class that can be computed."""
    return {name: None for name in radiomics.getFeatureClasses() if name != "shape2D" or setting["force2D"]}


def _check_setting(setting: dict[str, Any]) -> None:
    spacing = setting["resampledPixelSpacing"]
    if spacing is not None and len(spacing) != 3:
        raise StudyError(f"resampledPixelSpacing wants 3 values in mm (x, y, z), got {len(spacing)}; give all three")
    bounds = setting["resegmentRange"]
    if bounds is not None and len(bounds) not in (1, 2):
        raise StudyError(f"resegmentRange wants 1 or 2 thresholds, got {len(bounds)}; give [low] or [low, high]")


def _own_section(given: Any) -> dict[str, Any]:
    """The section ``gc_ray`` with its defaults; empty or absent means the defaults alone."""
    own = {} if given is None else given
    if not isinstance(own, dict) or set(own) - set(OWN_FIELDS):
        raise StudyError(f"section gc_ray wants only {', '.join(OWN_FIELDS.values())}; remove what is not among them")
    try:
        checked = _own_values(own)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        allowed = ", ".join(OWN_FIELDS.values())
        raise StudyError(f"section gc_ray wants {allowed}; a value is of another kind") from error
    return checked


def _own_values(own: dict[str, Any]) -> dict[str, Any]:
    """The section's values as numbers; KeyError, TypeError or ValueError when one is not what it should be."""
    checked: dict[str, Any] = {"max_grey_levels": checked_level_limit(own.get("max_grey_levels", MAX_GREY_LEVELS))}
    if "pixel_type" in own:
        checked["pixel_type"] = own["pixel_type"]
    if "clip_hu" in own:
        checked["clip_hu"] = [float(v) for v in own["clip_hu"]]
    if "window_hu" in own:
        checked["window_hu"] = {key: float(own["window_hu"][key]) for key in ("level", "width")}
    low, high = checked.get("clip_hu", (0, 1))
    window = checked.get("window_hu", {"level": 0, "width": 1})
    if checked.get("pixel_type", "float32") != "float32" or not low < high or not window["width"] > 0:
        raise ValueError
    if not all(math.isfinite(v) for v in (low, high, *window.values())):
        raise ValueError
    return checked


def _check_numbers(given: dict[str, Any]) -> None:
    """StudyError when a setting that PyRadiomics' schema lets pass is text or not finite where it wants a number."""
    for name, value in given.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, str) and name not in TEXT_SETTINGS:
                raise StudyError(f"{name} wants a number, got text; remove the quotes")
            if isinstance(one, float) and not math.isfinite(one):
                raise StudyError(f"{name} wants a finite number, got {one}; give another one")


def _check_bins(settings: dict[str, Any]) -> None:
    """StudyError when a number of bins is above the limit of grey levels."""
    limit = level_limit(settings)
    for image_type, of_type in settings["imageType"].items():
        own = settings["setting"] | of_type
        if (own.get("binCount") or 0) > limit:
            raise StudyError(
                f"binCount of {image_type} wants at most {limit:,} (max_grey_levels), got {own['binCount']:,}; "
                "give fewer bins"
            )
