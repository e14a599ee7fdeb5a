"""Grey levels of a region: how many there will be, checked before memory is taken, and the levels themselves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from radiomics import imageoperations

from gc_ray.errors import ScanError
from gc_ray.features.ibsi import grey_levels
from gc_ray.features.pixel_type import check_fits, is_integer

# Of one image type. The co-occurrence matrix has levels x levels x 13 directions: at 2,000 levels 0.4 GB and half a
# minute for each image type; PyRadiomics takes gigabytes and minutes. Tissue at the usual 25 HU has fewer than 200.
MAX_GREY_LEVELS = 2_000

# What the setting may be: beyond, one matrix of int32 alone would take 200 GB.
LARGEST_LIMIT = 65_535

# Of first-order features alone, which need a list of the levels and no matrix: 0.1 GB.
MAX_BINS = 10_000_000

TEXTURE_CLASSES = ("glcm", "glrlm", "glszm", "gldm", "ngtdm")

DIRECTIONS_IN_3D = 13  # of the matrices that MAX_GREY_LEVELS is meant for: distance 1


def check_grey_levels(name: str, values: np.ndarray, own: dict[str, Any], limit: int, directions: int) -> None:
    """Raises unless the grey levels of an image can be computed in reasonable memory and without overflow.

    Parameters
    ----------
    name : the image type, for the message.
    values : the region's values (HU, or what a filter made of them), in the image's pixel type.
    own : PyRadiomics' settings for this image.
    limit : the most grey levels that are accepted in 13 directions; see ``level_limit``.
    directions : of the co-occurrence matrix; more than 13 lower the limit, so that the matrix takes no more memory.

    Raises
    ------
    ScanError : more levels than the limit.
    BeyondPixelType : PyRadiomics' bin edges would not fit the integer type of the image.
    """
    levels = level_count(values, own)
    if not math.isfinite(levels):  # a filter made a value that is not finite: the reason is given class by class
        return
    share = min(1.0, math.sqrt(DIRECTIONS_IN_3D / directions)) if directions else 1.0
    if levels > limit * share:
        unit = " HU" if name == "original" else ""
        named = " (max_grey_levels)" if limit != MAX_BINS else ""
        looked_in = f" in {directions} directions, {limit:,} in 13" if share < 1 else ""
        raise ScanError(
            f"{name} image: {_counted(levels)} grey levels, as the values in the region range from "
            f"{float(values.min()):,.7g} to {float(values.max()):,.7g}{unit}; wanted at most "
            f"{int(limit * share):,}{looked_in}{named}; {_fix(own)}"
        )
    _check_edges(values, own)


def checked_level_limit(given: Any) -> int:
    """``max_grey_levels`` as it was given; ValueError unless it is a whole number from 1 to ``LARGEST_LIMIT``."""
    if not isinstance(given, int) or isinstance(given, bool) or not 1 <= given <= LARGEST_LIMIT:
        raise ValueError(f"max_grey_levels wants a whole number from 1 to {LARGEST_LIMIT}")
    return given


def level_limit(settings: dict[str, Any]) -> int:
    """The most grey levels that a feature set accepts in one image, from ``FeatureSet.settings``.

    ``max_grey_levels`` where a texture class is asked for; ``MAX_BINS`` where only first-order features are.
    """
    if not set(TEXTURE_CLASSES) & set(settings["featureClass"]):
        return MAX_BINS
    return settings["gc_ray"].get("max_grey_levels", MAX_GREY_LEVELS)  # bundles of 0.1.0 do not hold it


def level_count(values: np.ndarray, own: dict[str, Any]) -> float:
    """How many grey levels there are from the lowest value to the highest; not finite where a value is not."""
    low, high = (float(v) for v in _extremes(values))
    given = own.get("discretisation")
    if given is not None and given["method"] == "none":
        return high
    if given is not None and given["method"] == "fixed bin size":
        return _whole((high - given["first_edge"]) / given["width"]) + 1
    bins = given["bins"] if given is not None else own.get("binCount")
    if bins is not None:
        return bins
    return _whole(high / own.get("binWidth", 25)) - _whole(low / own.get("binWidth", 25)) + 1


def levels_of(values: np.ndarray, own: dict[str, Any]) -> np.ndarray:
    """The grey level of each value, from 1: those of the standard if asked for, else those of ``binImage``."""
    if "discretisation" in own:
        return grey_levels(values, np.ones(values.shape, bool), own["discretisation"])
    ends = np.array([values.min(), values.max()])
    # The edges depend on the extremes alone, except that min() and max() pass over some NaNs.
    edges = imageoperations.getBinEdges(values if np.isnan(ends).any() else ends, **own)
    return np.digitize(values, edges)


def direction_count(own: dict[str, Any], size: tuple[int, ...]) -> int:
    """How many directions PyRadiomics looks in, in a box of ``size`` (z, y, x)."""
    reach = np.asarray(size) - 1
    if own.get("force2D"):
        reach[own.get("force2Ddimension", 0)] = 0
    shells = 0
    for distance in set(own.get("distances") or [1]):
        outer, inner = (math.prod(int(2 * min(d, r) + 1) for r in reach) for d in (distance, distance - 1))
        shells += outer - inner
    return shells // 2


def _extremes(values: np.ndarray) -> tuple[Any, Any]:
    """The lowest and highest value; with NaNs those that PyRadiomics takes for them."""
    low, high = values.min(), values.max()
    return (min(values), max(values)) if np.isnan(low) else (low, high)


def _whole(ratio: float) -> float:
    return math.floor(ratio) if math.isfinite(ratio) else math.nan


def _check_edges(values: np.ndarray, own: dict[str, Any]) -> None:
    """Raises BeyondPixelType when the sums of ``getBinEdges`` would leave the integer type of ``values``.

    Only with a whole number as width: another makes NumPy count in float64.
    """
    width = own.get("binWidth", 25)
    by_width = "discretisation" not in own and own.get("binCount") is None
    if not (by_width and isinstance(width, int) and is_integer(values.dtype)):
        return
    low, high = int(values.min()), int(values.max())
    first, end = low - low % width, high + 2 * width
    # NumPy's arange also takes the difference of its ends in their type
    check_fits([first, 2 * width, end, end - first], values.dtype, "the grey levels' range")


def _counted(levels: float) -> str:
    return f"{levels:,.0f}" if levels < MAX_BINS else f"{levels:.3g}"


def _fix(own: dict[str, Any]) -> str:
    if own.get("discretisation", {}).get("method") == "none":
        return "this feature set takes values for levels: choose another one"
    if "discretisation" in own:
        return "set a larger bin_hu or a narrower range_hu"
    return "set a larger binWidth or a binCount, or exclude metal (resegmentRange, clip_hu, window_hu, the mask)"
