"""The features of one region of one scan: every column asked for, a value or NaN with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import SimpleITK as sitk
from radiomics import imageoperations

from gc_ray.features.discretise import check_grey_levels, direction_count, level_limit
from gc_ray.features.feature_set import FeatureSet, in_float32
from gc_ray.features.first_order import first_order
from gc_ray.features.ibsi_calculators import MERGED, calculator_class
from gc_ray.features.ibsi_prepare import part_read as ibsi_part_read
from gc_ray.features.ibsi_prepare import prepare_ibsi
from gc_ray.features.laplacian import log_images
from gc_ray.features.lbp3d import lbp3d_images
from gc_ray.features.messages import collected_messages, one_line
from gc_ray.features.names import SHAPE_CLASSES, image_names
from gc_ray.features.pixel_type import BeyondPixelType
from gc_ray.features.prepare import Prepared, prepare
from gc_ray.features.prepare import part_read as plain_part_read
from gc_ray.features.shape import shape_calculator
from gc_ray.features.texture import (
    MATRICES,
    Picture,
    Region,
    covers,
    glcm_calculators,
    needs_single_directions,
    region_of,
    texture_calculator,
)
from gc_ray.imaging.grid import Box, Grid
from gc_ray.imaging.volume import Mask, Slab, Volume

# A feature's value, or why it has none.
Found = float | str

# Faster than PyRadiomics' functions of the same filters, and equal to them in the region.
OWN_FILTERS = {"LBP3D": lbp3d_images, "LoG": log_images}


@dataclass(frozen=True, eq=False)
class FeatureRow:
    """The features of one region.

    values: float64, one per name of the feature set, in its order; NaN where there is none.
    missing: name -> reason, for exactly the values that are NaN.
    mask_voxels: voxels of the region after resampling.
    remarks: distinct warnings of the libraries while computing, one line each.
    """

    values: np.ndarray
    missing: dict[str, str]
    mask_voxels: int
    remarks: tuple[str, ...]


def part_read(full: Grid, kind: np.dtype, mask: Mask, feature_set: FeatureSet) -> Box:
    """The part of a scan on grid ``full``, of pixel type ``kind``, that ``extract_features`` reads for this region.

    All of it where the settings want the whole image. Raises MaskError or ScanError where that will too.
    """
    if "ibsi" in feature_set.settings:
        return ibsi_part_read(full, mask, feature_set)
    return plain_part_read(full, kind, mask, feature_set)


def extract_features(volume: Volume | Slab, mask: Mask, feature_set: FeatureSet) -> FeatureRow:
    """The features of ``mask`` in ``volume`` (HU), by PyRadiomics' filters and classes.

    Equal to a run of PyRadiomics' extractor with the same parameters; the sets of the IBSI put the standard's own
    preprocessing first. The image is cropped before it is resampled, so that time and memory depend on the region and
    not on the scan. A filter or class that fails costs its own columns only. An integer image whose values do not
    fit its type is computed in float32, with a remark. Raises MaskError when the region is empty, off the scan's
    grid or too small after resampling, ScanError when an image has more grey levels than the set accepts.
    """
    try:
        return _features(volume, mask, feature_set)
    except BeyondPixelType as beyond:
        row = _features(volume, mask, in_float32(feature_set))
        return replace(row, remarks=(f"computed in float32: {beyond}", *row.remarks))


def _features(volume: Volume | Slab, mask: Mask, feature_set: FeatureSet) -> FeatureRow:
    """The features in the image's own type, or in the one that the settings name; raises BeyondPixelType too."""
    with collected_messages() as messages:
        ready = (prepare_ibsi if "ibsi" in feature_set.settings else prepare)(volume, mask, feature_set)
        found = _shape_features(ready, feature_set.settings)
        region = region_of(imageoperations.cropToTumorMask(ready.roi, ready.roi, ready.box)[0])
        for image_type in feature_set.settings["imageType"]:
            found |= _filter_features(image_type, ready, region, feature_set.settings, messages)
    values = np.full(len(feature_set.names), np.nan)
    missing = {}
    for column, name in enumerate(feature_set.names):
        if isinstance(found[name], str):
            missing[name] = found[name]
        else:
            values[column] = found[name]
    return FeatureRow(values, missing, ready.mask_voxels, tuple(dict.fromkeys(messages)))


def _shape_features(ready: Prepared, settings: dict[str, Any]) -> dict[str, Found]:
    found: dict[str, Found] = {}
    image, roi = imageoperations.cropToTumorMask(ready.image, ready.shape_roi, ready.box)
    for name in SHAPE_CLASSES:
        if name in settings["featureClass"]:
            features = settings["featureClass"][name]
            picture = Picture(image, roi, region_of(roi), settings["setting"])
            for feature, value in _class_features(name, features, picture):
                found[f"original_{name}_{feature}"] = value
    return found


def _filter_features(
    image_type: str, ready: Prepared, region: Region, settings: dict[str, Any], messages: list[str]
) -> dict[str, Found]:
    """The features of all images that one filter makes."""
    own = settings["setting"] | settings["imageType"][image_type]
    heard = len(messages)
    images, failure = _filtered(image_type, ready, own)
    found: dict[str, Found] = {}
    for image_name in image_names(image_type, own):
        why = f"{image_type} made no image {image_name}: {failure or '; '.join(messages[heard:])}"
        picture = Picture(*images[image_name], region, own) if image_name in images else None
        if picture and set(settings["featureClass"]) - set(SHAPE_CLASSES):
            check_grey_levels(image_name, picture.values, own, level_limit(settings), _directions(settings, picture))
        for name, features in settings["featureClass"].items():
            if name in SHAPE_CLASSES:
                continue
            if picture:
                computed = _class_features(name, features, picture)
            else:
                computed = ((feature, one_line(why)) for feature in features)
            found |= {f"{image_name}_{name}_{feature}": value for feature, value in computed}
    return found


def _directions(settings: dict[str, Any], picture: Picture) -> int:
    """Of the co-occurrence matrix of an image; 0 without one."""
    return direction_count(picture.own, picture.region.inside.shape) if "glcm" in settings["featureClass"] else 0


def _filtered(
    image_type: str, ready: Prepared, own: dict[str, Any]
) -> tuple[dict[str, tuple[sitk.Image, sitk.Image]], str]:
    """The filter's images and the region, both cut to its box, by image name; and why it stopped, if it did."""
    images = {}
    try:
        make = OWN_FILTERS.get(image_type) or getattr(imageoperations, f"get{image_type}Image")
        for image, name, _ in make(ready.image, ready.roi, **own):
            images[name] = imageoperations.cropToTumorMask(image, ready.roi, ready.box)
    except (MemoryError, BeyondPixelType):  # the machine's fault, another attempt may succeed; in float32
        raise
    except Exception as error:  # noqa: BLE001 - any failure of a filter costs its columns, not the scan's others
        return images, one_line(error)
    return images, ""


def _class_features(name: str, features: list[str], picture: Picture) -> Iterator[tuple[str, Found]]:
    """Each feature of one class on one image, with its value or the reason why it has none.

    The features are called one by one, as PyRadiomics' ``execute`` does, because that turns an exception into a NaN
    whose reason is only logged.
    """
    try:
        if name == "firstorder" and not np.isnan(picture.values).any():
            shift, spacing_mm = picture.own.get("voxelArrayShift", 0), picture.image.GetSpacing()
            values = first_order(picture.values, picture.voxels_by_level, shift, spacing_mm)
            yield from ((feature, _finite(values[feature])) for feature in features)
            return
        if name == "glcm" and _one_direction_at_a_time(features, picture):
            yield from _mean_over_directions(features, picture)
            return
        calculator = _calculator(name, picture)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - any failure of a class costs its columns, not the scan's others
        yield from ((feature, one_line(error)) for feature in features)
        return
    for feature in features:
        yield feature, _value(calculator, feature)


def _one_direction_at_a_time(features: list[str], picture: Picture) -> bool:
    merged = any(feature.endswith(MERGED) for feature in features)  # these are of all directions together
    return covers("glcm", picture.own) and not merged and needs_single_directions(picture)


def _mean_over_directions(features: list[str], picture: Picture) -> Iterator[tuple[str, Found]]:
    by_direction = [[_raw(calculator, feature) for feature in features] for calculator in glcm_calculators(picture)]
    for feature, *values in zip(features, *by_direction, strict=True):
        reasons = [value for value in values if isinstance(value, str)]
        # As PyRadiomics: a direction without a value is left out of the mean.
        yield feature, reasons[0] if reasons else _finite(float(np.nanmean(values)) if values else np.nan)


def _calculator(name: str, picture: Picture) -> Any:
    if name in MATRICES and covers(name, picture.own):
        return texture_calculator(name, picture)
    if name == "shape" and "discretisation" not in picture.own:
        return shape_calculator(picture.roi)
    calculator = calculator_class(name, picture.own)(picture.image, picture.roi, **picture.own)
    calculator._initCalculation()
    return calculator


def _value(calculator: Any, feature: str) -> Found:
    value = _raw(calculator, feature)
    return value if isinstance(value, str) else _finite(value)


def _raw(calculator: Any, feature: str) -> Found:
    """A feature's value, finite or not, or the exception that it raised."""
    try:
        return float(np.squeeze(getattr(calculator, f"get{feature}FeatureValue")()))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - any failure of a feature costs one column
        return one_line(error)


def _finite(value: float) -> Found:
    return value if np.isfinite(value) else f"not finite ({value}): its formula divides by zero on this region"
