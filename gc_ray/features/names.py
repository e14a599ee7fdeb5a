"""The names of the columns that a set of PyRadiomics parameters gives, known before any scan is read."""

from __future__ import annotations

from itertools import product
from typing import Any

import radiomics

from gc_ray.errors import StudyError

# Classes that describe the region alone: computed once, on the original image, before all others.
SHAPE_CLASSES = ("shape", "shape2D")

_PLAIN = {
    "Original": "original",
    "Square": "square",
    "SquareRoot": "squareroot",
    "Logarithm": "logarithm",
    "Exponential": "exponential",
    "Gradient": "gradient",
    "LBP2D": "lbp-2D",
}


def image_names(image_type: str, settings: dict[str, Any]) -> tuple[str, ...]:
    """The names of the images that a filter makes, in PyRadiomics' order.

    settings: the general settings updated with the filter's own. Raises StudyError when they make no image.
    Source: the ``get<image_type>Image`` functions of ``radiomics.imageoperations``.
    """
    if image_type in _PLAIN:
        return (_PLAIN[image_type],)
    if image_type == "LoG":
        if not settings.get("sigma"):
            raise StudyError("LoG wants a list of sigma in mm, got none; add for example LoG: {sigma: [1.0, 3.0]}")
        return tuple(f"log-sigma-{str(sigma).replace('.', '-')}-mm-3D" for sigma in settings["sigma"])
    if image_type == "Wavelet":
        return _wavelet_names(settings.get("level", 1), 2 if settings.get("force2D") else 3)
    if image_type == "LBP3D":
        return (*(f"lbp-3D-m{level}" for level in range(1, settings.get("lbp3DLevels", 2) + 1)), "lbp-3D-k")
    raise StudyError(f"image type {image_type} has no known names; use one of {', '.join([*_PLAIN, 'LoG'])}")


def _wavelet_names(levels: int, axes: int) -> tuple[str, ...]:
    # The smoothed image (all L) is kept of the last level only, and comes last.
    prefixes = ["wavelet-"] + [f"wavelet{level}-" for level in range(2, levels + 1)]
    bands = ["".join(band) for band in product("LH", repeat=axes)]
    return (*(prefix + band for prefix in prefixes for band in bands[1:]), prefixes[-1] + bands[0])


def enabled_features(class_name: str, asked: list[str] | None) -> tuple[str, ...]:
    """The features of a class: those asked for, or all that are not deprecated when none is named.

    Raises StudyError for a deprecated feature for which PyRadiomics gives no value any more.
    """
    calculator = radiomics.getFeatureClasses()[class_name]
    if not asked:
        return tuple(name for name, deprecated in calculator.getFeatureNames().items() if not deprecated)
    for name in asked:
        if calculator.getFeatureNames()[name] and _refuses(calculator, name):
            raise StudyError(
                f"feature {class_name} {name} is withdrawn by PyRadiomics, which gives no value; drop it"
            )
    return tuple(dict.fromkeys(asked))


def _refuses(calculator: type, name: str) -> bool:
    """Whether the feature's code does nothing but raise DeprecationWarning, so that no instance is needed."""
    try:
        getattr(calculator, f"get{name}FeatureValue")(None)
    except DeprecationWarning:
        return True
    except AttributeError:
        return False
    return False


def column_names(settings: dict[str, Any]) -> tuple[str, ...]:
    """All columns in PyRadiomics' own order, from the sections ``imageType``, ``featureClass`` and ``setting``."""
    classes = settings["featureClass"]
    columns = [f"original_{name}_{f}" for name in SHAPE_CLASSES for f in classes.get(name, ())]
    for image_type, own in settings["imageType"].items():
        for image in image_names(image_type, settings["setting"] | own):
            for name, features in classes.items():
                if name not in SHAPE_CLASSES:
                    columns += [f"{image}_{name}_{f}" for f in features]
    return tuple(dict.fromkeys(columns))
