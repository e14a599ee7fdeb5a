"""Our features of a case beside PyRadiomics' own."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from radiomics import imageoperations
from radiomics.featureextractor import RadiomicsFeatureExtractor

from gc_ray.errors import MaskError
from gc_ray.features.extract import FeatureRow, extract_features
from gc_ray.features.feature_set import feature_set
from gc_ray.features.messages import collected_messages
from gc_ray.imaging.itk import mask_of, volume_of
from gc_ray.imaging.scan import Notes

RELATIVE = 1e-6
RELATIVE_LBP3D = 1e-3  # its patterns turn over by the last bit of a sample
NEAR_ZERO = 1e-9  # of what a feature that comes out near 0 is the difference of: see ``_scale``
OVER_VOLUME = ("original_shape_SurfaceVolumeRatio", "original_shape_SphericalDisproportion")
IN_FLOAT32 = "computed in float32"


def read_region(folder: Path) -> Notes:
    """Extract the case of a folder by our way and by PyRadiomics'; AssertionError when they differ.

    Our refusals (ScanError, MaskError) are raised on. One of the mask wants PyRadiomics to refuse it too.
    """
    case = json.loads((folder / "case.json").read_text())
    image, mask = (sitk.GetImageFromArray(np.load(folder / f"{name}.npy")) for name in ("image", "mask"))
    image.SetSpacing(case["spacing"])
    mask.SetSpacing(case["spacing"])
    ours = {key: value for key, value in case["parameters"].items() if value}
    path = folder / "parameters.json"
    path.write_text(json.dumps(ours))
    theirs = {key: value for key, value in ours.items() if key != "gc_ray"}
    wanted = feature_set(str(path))
    try:
        row = extract_features(volume_of(image), mask_of(mask), wanted)
    except MaskError:
        assert not _extracted(image, mask, theirs), "refused for its mask, PyRadiomics extracts it"
        raise
    _check_row(row, wanted.names)
    if reads_other_memory(image, mask, theirs):
        again = extract_features(volume_of(image), mask_of(mask), wanted)
        np.testing.assert_array_equal(row.values, again.values, "another value the second time")
        _compare(dict(zip(wanted.names, row.values, strict=True)), _answers(image, mask, _shape_alone(theirs)))
        return _said(row)
    wide = leaves_its_type(image, mask, theirs)
    assert wide == any(remark.startswith(IN_FLOAT32) for remark in row.remarks), f"in float32 was wanted: {wide}"
    found = _answers(sitk.Cast(image, sitk.sitkFloat32) if wide else image, mask, theirs)
    _compare(dict(zip(wanted.names, row.values, strict=True)), found)
    return _said(row)


def _said(row: FeatureRow) -> Notes:
    return Notes(remarks=tuple(row.remarks) + tuple(row.missing.values()))


def _extracted(image: sitk.Image, mask: sitk.Image, parameters: dict[str, Any]) -> bool:
    """Whether PyRadiomics extracts a region: that of the float32 copy where its integers overflow."""
    if not _executed(image, mask, parameters) or reads_other_memory(image, mask, parameters):
        return False
    wide = leaves_its_type(image, mask, parameters)
    return not wide or bool(_executed(sitk.Cast(image, sitk.sitkFloat32), mask, parameters))


def _shape_alone(parameters: dict[str, Any]) -> dict[str, Any]:
    """The classes that no grey value decides; none when the region is re-segmented."""
    classes = {name: features for name, features in parameters["featureClass"].items() if name.startswith("shape")}
    return {**parameters, "featureClass": {} if parameters["setting"].get("resegmentRange") else classes}


def reads_other_memory(image: sitk.Image, mask: sitk.Image, parameters: dict[str, Any]) -> bool:
    """Whether PyRadiomics' resampled image has a point at or beyond the second of two voxels of an axis.

    There ITK's B-spline mirrors index 3 to index -1 and reads memory outside the image: PyRadiomics' values differ
    from run to run.
    """
    extractor = _extractor(parameters)
    setting = extractor.settings
    if 2 not in image.GetSize() or setting["interpolator"] not in ("sitkBSpline", sitk.sitkBSpline):
        return False
    with collected_messages():
        ready, _ = extractor.loadImage(image, mask, None, **setting)
    if ready.GetSpacing() == image.GetSpacing():  # not resampled
        return False
    last = image.TransformPhysicalPointToContinuousIndex(
        ready.TransformIndexToPhysicalPoint([n - 1 for n in ready.GetSize()])
    )
    return any(n == 2 and place > 1 - 1e-6 for n, place in zip(image.GetSize(), last, strict=True))


def leaves_its_type(image: sitk.Image, mask: sitk.Image, parameters: dict[str, Any]) -> bool:
    """Whether PyRadiomics' integer arithmetic overflows on this image: its steps in float64 and Python's integers."""
    extractor = _extractor(parameters)
    setting, kind = extractor.settings, sitk.GetArrayViewFromImage(image).dtype
    if kind.kind == "f" or setting["normalize"]:
        return False
    limits = np.iinfo(kind)

    def beyond(values: list[float]) -> bool:
        low, high = min(values), max(values)
        return high >= limits.max + 1 or (limits.min < 0 and low <= limits.min - 1)

    with collected_messages():
        real, _ = extractor.loadImage(sitk.Cast(image, sitk.sitkFloat64), mask, None, **setting)
        ready, region = extractor.loadImage(image, mask, None, **setting)
    exact, array = sitk.GetArrayFromImage(real), sitk.GetArrayFromImage(ready)
    inside = sitk.GetArrayFromImage(region) == 1
    if beyond([exact.min(), exact.max()]):
        return True
    if setting["resegmentRange"] is not None:
        shares = [s for s in setting["resegmentRange"] if isinstance(s, int)]
        if setting.get("resegmentMode") == "relative" and shares:
            products = [share * int(array[inside].max()) for share in shares]
            if beyond([*shares, *products]) or (limits.min == 0 and min(shares) < 0):
                return True
        with collected_messages():
            inside = sitk.GetArrayFromImage(imageoperations.resegmentMask(ready, region, **setting)) == 1
    if set(extractor.enabledFeatures) <= {"shape", "shape2D"}:
        return "LBP3D" in parameters["imageType"] and beyond(_sphere_ends(array, inside))
    return ("Original" in parameters["imageType"] and beyond(_edges(array[inside], setting))) or (
        "LBP3D" in parameters["imageType"] and beyond(_sphere_ends(array, inside))
    )


def _edges(values: np.ndarray, setting: dict[str, Any]) -> list[int]:
    """What ``getBinEdges`` adds up, in Python's integers."""
    width = setting.get("binWidth", 25)
    if setting.get("binCount") is not None or not isinstance(width, int):
        return [0]
    low, high = int(values.min()), int(values.max())
    first, end = low - low % width, high + 2 * width
    return [first, end, end - first, 2 * width]


def _sphere_ends(array: np.ndarray, inside: np.ndarray) -> list[float]:
    """The lowest and the highest sample of LBP3D, rounded as SciPy rounds into an integer image.

    An unsigned image has none beyond its type: SciPy cuts them off.
    """
    from scipy.ndimage import map_coordinates
    from trimesh.creation import icosphere

    if array.dtype.kind == "u":
        return [0.0]
    places = np.argwhere(inside)[None] + np.array(icosphere(1, 1).vertices)[:, None]
    samples = map_coordinates(array.astype(np.float64), places.T, order=3)
    return [samples.min() - 0.5, samples.max() + 0.5]


def _check_row(row: FeatureRow, names: tuple[str, ...]) -> None:
    without = {name for name, value in zip(names, row.values, strict=True) if not np.isfinite(value)}
    assert without == set(row.missing), "a value is missing without a reason"
    assert not np.isinf(row.values).any(), "a value is infinite"


def _extractor(parameters: dict[str, Any]) -> RadiomicsFeatureExtractor:
    """PyRadiomics' extractor; ``feature_set`` has checked the parameters by its schema, which takes long to read."""
    extractor = RadiomicsFeatureExtractor(**parameters.get("setting", {}), additionalInfo=False)
    extractor.enabledImagetypes = parameters["imageType"]
    extractor.enabledFeatures = parameters["featureClass"]
    return extractor


def _executed(image: sitk.Image, mask: sitk.Image, parameters: dict[str, Any]) -> dict[str, float]:
    """What PyRadiomics answers; nothing when it raises an exception."""
    with collected_messages(), warnings.catch_warnings(), np.errstate(all="ignore"):
        try:
            found = _extractor(parameters).execute(image, mask)
        except Exception:  # noqa: BLE001 - whatever stops it, it does not answer
            return {}
    return {name: float(value) for name, value in found.items() if not name.startswith("diagnostics_")}


def _answers(image: sitk.Image, mask: sitk.Image, parameters: dict[str, Any]) -> dict[str, float]:
    """What PyRadiomics answers; where one class stops the whole extraction, each image and class alone."""
    found = _executed(image, mask, parameters)
    if found:
        return found
    for image_type, own in parameters["imageType"].items():
        for name, features in parameters["featureClass"].items():
            part = {**parameters, "imageType": {image_type: own}, "featureClass": {name: features}}
            found |= _executed(image, mask, part)
    return found


def _compare(ours: dict[str, float], theirs: dict[str, float]) -> None:
    """AssertionError for the first value that differs where PyRadiomics has a finite one."""
    for name, value in theirs.items():
        if not np.isfinite(value):
            continue
        assert name in ours, f"{name} is not among the columns"
        if name in OVER_VOLUME and not ours.get("original_shape_MeshVolume", 1.0):
            continue  # divided by a volume that is 0 here, and the last bits of a sum there
        relative = RELATIVE_LBP3D if name.startswith("lbp-3D") else RELATIVE
        allowed = max(relative * abs(value), NEAR_ZERO * _scale(name, ours))
        assert abs(ours[name] - value) <= allowed, f"{name} is {ours[name]!r}, PyRadiomics has {value!r}"


def _scale(name: str, ours: dict[str, float]) -> float:
    """What a feature near 0 is compared with: for one in grey values their largest, else 1."""
    image, of_class, feature = name.split("_")
    if of_class != "firstorder" or feature in ("Skewness", "Kurtosis", "Entropy", "Uniformity"):
        return 1.0
    largest = max(abs(ours.get(f"{image}_firstorder_{end}", 0.0)) for end in ("Minimum", "Maximum"))
    return largest**2 if feature in ("Variance", "Energy", "TotalEnergy") else largest
