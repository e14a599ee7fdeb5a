"""The feature sets of IBSI-1 by name: the standard's reference configurations, and one for studies."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from gc_ray.features.discretise import MAX_GREY_LEVELS, checked_level_limit
from gc_ray.features.ibsi_calculators import standard_features

LINEAR, CUBIC = 1, 3  # spline orders

# Four deviations of the widest filter (LoG, 5 mm): the scan beyond weighs less than 1e-3 of its value.
FILTER_MARGIN_VOXELS = 20

LEVELS_AS_THEY_ARE = {"method": "none"}
THIRTY_TWO_BINS = {"method": "fixed bin number", "bins": 32}

FILTERS = {
    "LoG": {"sigma": [1.0, 2.0, 3.0, 4.0, 5.0]},
    "Wavelet": {},
    "Square": {},
    "SquareRoot": {},
    "Logarithm": {},
    "Exponential": {},
    "LBP3D": {},
}


@dataclass(frozen=True)
class Recipe:
    """How one configuration prepares a scan.

    spacing_mm: x, y, z of the grid; 0 keeps an axis, None the whole grid. spline_order: of the image's interpolation.
    range_hu, sigmas: re-segmentation, in this order. bin_hu: width of the bins, counted from the range's lower bound;
    None: 32 bins between the region's extremes. slicewise: texture within slices, merged over them (2.5D).
    filters: also the images of ``FILTERS``, in 32 bins each: their values have no unit and no range, for which the
    manual (discretisation, recommendations) wants a fixed number of bins.
    max_grey_levels: of one image; a scan with more is refused.
    """

    spacing_mm: tuple[float, float, float] | None = None
    spline_order: int = LINEAR
    range_hu: tuple[float, float] | None = None
    sigmas: float | None = None
    bin_hu: float | None = None
    slicewise: bool = False
    filters: bool = False
    max_grey_levels: int = MAX_GREY_LEVELS

    def __post_init__(self) -> None:
        """Raises ValueError when a field is not what it should be, or fixed bins have no range to count from."""
        spacing = (0, 0, 0) if self.spacing_mm is None else self.spacing_mm
        bounds = (0, 1) if self.range_hu is None else self.range_hu
        wrong = [
            (len(spacing) != 3 or not all(0 <= v < math.inf for v in spacing), "spacing_mm wants x, y, z, 0 or more"),
            (self.spline_order not in (LINEAR, CUBIC), f"spline_order wants {LINEAR} or {CUBIC}"),
            (len(bounds) != 2 or not -math.inf < bounds[0] < bounds[1] < math.inf, "range_hu wants [low, high]"),
            (self.sigmas is not None and not 0 < self.sigmas < math.inf, "sigmas wants a number above 0"),
            (self.bin_hu is not None and not 0 < self.bin_hu < math.inf, "bin_hu wants a width above 0 HU"),
            (self.bin_hu is not None and self.range_hu is None, "bin_hu wants range_hu too, to count bins from"),
            (not isinstance(self.slicewise, bool), "slicewise wants true or false"),
            (not isinstance(self.filters, bool), "filters wants true or false"),
        ]
        checked_level_limit(self.max_grey_levels)
        if found := [what for is_wrong, what in wrong if is_wrong]:
            raise ValueError(f"IBSI recipe: {found[0]}; correct it")


# A to E: manual, chapter on reference data sets, configurations of the CT phantom. ibsi-ct: the range is our choice
# for soft tissue, with fat, enhanced organs and vessels inside, air and dense bone outside.
RECIPES = {
    "ibsi-a": Recipe(range_hu=(-500, 400), bin_hu=25, slicewise=True),
    "ibsi-b": Recipe((2, 2, 0), LINEAR, (-500, 400), slicewise=True),
    "ibsi-c": Recipe((2, 2, 2), LINEAR, (-1000, 400), bin_hu=25),
    "ibsi-d": Recipe((2, 2, 2), LINEAR, sigmas=3),
    "ibsi-e": Recipe((2, 2, 2), CUBIC, (-1000, 400), sigmas=3),
    "ibsi-ct": Recipe((1, 1, 1), CUBIC, (-200, 300), bin_hu=25, filters=True),
}
IBSI_SETS = ("ibsi-digital", *RECIPES)


def ibsi_settings(name: str) -> dict[str, Any]:
    """The settings of a set of ``IBSI_SETS``, without versions."""
    if name == "ibsi-digital":
        return settings_of(Recipe(), LEVELS_AS_THEY_ARE)
    return settings_of(RECIPES[name])


def recipe_of(section: Any) -> Recipe:
    """The recipe of a parameter file's section ``ibsi``, whose keys are the fields of ``Recipe``.

    Raises ValueError, in one line, for another key or a value of the wrong kind.
    """
    names = [field.name for field in fields(Recipe)]
    if not isinstance(section, dict) or set(section) - set(names):
        raise ValueError(f"section ibsi wants only {', '.join(names)}; remove what is not among them")
    try:
        return Recipe(**section)
    except TypeError as error:
        raise ValueError("section ibsi: a value is of another kind than its field; see docs/ibsi.md") from error


def settings_of(recipe: Recipe, discretisation: dict[str, Any] | None = None) -> dict[str, Any]:
    """``FeatureSet.settings`` of a recipe, without versions; ``discretisation`` replaces the recipe's bins."""
    return {
        "imageType": _images(recipe),
        "featureClass": standard_features(merged=not recipe.filters),
        "setting": {
            "correctMask": False,
            "discretisation": discretisation or _bins(recipe),
            "distances": [1],
            "force2D": recipe.slicewise,
            "force2Ddimension": 0,
            "gldm_a": 0,
            "minimumROIDimensions": 2,
            "minimumROISize": None,
            "padDistance": FILTER_MARGIN_VOXELS if recipe.filters else 0,
            "resampledPixelSpacing": _numbers(recipe.spacing_mm),
            "symmetricalGLCM": True,
            "voxelArrayShift": 0,
            "weightingNorm": None,
        },
        "gc_ray": {"max_grey_levels": recipe.max_grey_levels},
        "ibsi": {
            "spline_order": recipe.spline_order,
            "range_hu": _numbers(recipe.range_hu),
            "sigmas": None if recipe.sigmas is None else float(recipe.sigmas),
            **_FIXED,
        },
    }


# What every recipe has in common: stated, so that a stored result says how it came about.
_FIXED = {
    "grid": "ceil(n * old / new) voxels, centred on the scan",
    "intensities": "rounded to integers before and after interpolation",
    "beyond_the_scan": "value of the nearest voxel",
    "region": "linear interpolation, at least 0.5",
    "shape": "on the region before re-segmentation; covariance over N - 1",
    "filters": "on the interpolated image before re-segmentation",
}


def _numbers(given: tuple[float, ...] | None) -> list[float] | None:
    return None if given is None else [float(v) for v in given]  # 1 and 1.0 give one text to be hashed


def _bins(recipe: Recipe) -> dict[str, Any]:
    if recipe.bin_hu is None:
        return THIRTY_TWO_BINS
    return {"method": "fixed bin size", "width": float(recipe.bin_hu), "first_edge": float(recipe.range_hu[0])}


def _images(recipe: Recipe) -> dict[str, Any]:
    if not recipe.filters:
        return {"Original": {}}
    return {"Original": {}} | {name: own | {"discretisation": THIRTY_TWO_BINS} for name, own in FILTERS.items()}
