"""Integer images with values that do not fit their type.

PyRadiomics resamples, bins and samples an integer image in the image's own type. ITK cuts a resampled value off at
the ends of the type; NumPy (bin edges, thresholds) and SciPy (samples of LBP3D) wrap around. Such an image is
computed in float32 instead, as PyRadiomics computes its float32 copy.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np


class BeyondPixelType(Exception):  # noqa: N818 - no fault of the input: the scan is computed in float32
    """A value does not fit the integer type of the image; the message says what reaches how far."""


def is_integer(kind: np.dtype) -> bool:
    """Whether voxels of this type are whole numbers."""
    return kind.kind in "iu"


def check_fits(values: Iterable[float], kind: np.dtype, what: str) -> None:
    """Raises BeyondPixelType when one of ``values``, cut off towards zero, lies beyond the integer type ``kind``.

    Values below 0 of an unsigned type are no such case: all libraries cut them off at 0, as they cut off fractions.
    Nothing is checked for a floating-point type.
    """
    if not is_integer(kind):
        return
    limits = np.iinfo(kind)
    lowest = limits.min - 1 if limits.min < 0 else -np.inf
    for value in values:
        if not lowest < value < limits.max + 1:
            raise BeyondPixelType(f"{what} reaches {value:.6g}, beyond {kind} ({limits.min} to {limits.max})")


def check_factor(factor: int, kind: np.dtype, what: str) -> None:
    """Raises BeyondPixelType when NumPy cannot multiply a value of the integer type ``kind`` by ``factor``.

    NumPy converts the factor to the type first, and stops at one that does not fit, such as -1 in an unsigned type.
    """
    limits = np.iinfo(kind)
    if not limits.min <= factor <= limits.max:
        raise BeyondPixelType(f"{what} is {factor} times a value of {kind} ({limits.min} to {limits.max})")


def check_range(ends: tuple[float, float], kind: np.dtype, what: str) -> None:
    """Raises BeyondPixelType when an integer type ``kind`` holds no value in the closed range ``ends``."""
    if not is_integer(kind):
        return
    limits = np.iinfo(kind)
    if max(math.ceil(ends[0]), limits.min) > min(math.floor(ends[1]), limits.max):
        raise BeyondPixelType(f"{what} is {ends[0]:g} to {ends[1]:g}, where {kind} has no value")


def reaches_limits(array: np.ndarray) -> bool:
    """Whether an integer array holds an end of its type, where ITK may have cut values off."""
    if not is_integer(array.dtype) or not array.size:
        return False
    limits = np.iinfo(array.dtype)
    return bool(array.max() == limits.max or (limits.min < 0 and array.min() == limits.min))
