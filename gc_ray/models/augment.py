"""Views of a volume: flips, rotations and Gaussian filters, each a function of seed, item and number of the view."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

# Cao et al. name the three transformations and nothing about them; all that follows is assumed.
ROTATION_DEGREES = 15.0  # largest turn either way, about the patient's long axis
SMOOTHING_VOXELS = 1.0  # largest SD of the Gaussian filter: beyond it the texture is gone
SMOOTHING_SHARE = 0.5  # how often a view is smoothed at all


def view(image: np.ndarray, seed: int, item: str, number: int, fill: float) -> np.ndarray:
    """View ``number`` of ``image`` (z, y, x; float32): number 0 is the image itself, the others are augmented.

    item: the name of the scan or patient, so that its views are the same whoever else is in the cohort.
    fill: the value that stands for 0 HU, for what a rotation brings in from outside.
    """
    if number == 0:
        return image
    return augmented(image, np.random.default_rng([seed, number, *item.encode()]), fill)


def augmented(image: np.ndarray, rng: np.random.Generator, fill: float) -> np.ndarray:
    """The image flipped, turned and half of the time smoothed at random (z, y, x; float32).

    Source: Cao et al., Int J Surg 2024, Data preparation.
    """
    axes = tuple(int(axis) for axis in np.flatnonzero(rng.random(3) < 0.5))
    degrees = rng.uniform(-ROTATION_DEGREES, ROTATION_DEGREES)
    smoothing = rng.uniform(0, SMOOTHING_VOXELS) if rng.random() < SMOOTHING_SHARE else 0.0
    return smoothed(rotated(flipped(image, axes), degrees, fill), smoothing)


def flipped(image: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """The image mirrored along some of its axes (0, 1, 2 for z, y, x)."""
    return np.ascontiguousarray(np.flip(image, axes))


def rotated(image: np.ndarray, degrees: float, fill: float) -> np.ndarray:
    """The image turned about z by linear interpolation; ``fill`` where it shows what was outside."""
    return ndimage.rotate(image, degrees, axes=(1, 2), reshape=False, order=1, mode="constant", cval=fill)


def smoothed(image: np.ndarray, sd_voxels: float) -> np.ndarray:
    """The image under a Gaussian filter of this SD along every axis; the border is repeated outwards."""
    return ndimage.gaussian_filter(image, sd_voxels, mode="nearest")
