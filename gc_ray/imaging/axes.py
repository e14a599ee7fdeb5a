"""Axes of a volume that should be at right angles: how far they are from it, and the nearest that are."""

from __future__ import annotations

import numpy as np

from gc_ray.errors import ScanError

MOST_DEGREES = 0.1  # further from right angles than this, axes are refused
ORTHOGONAL = 1e-4  # products of unit axes up to this are rounding; ITK refuses a NIfTI beyond


def shear_degrees(axes: np.ndarray, name: str, what: str, tool: str) -> float:
    """The largest deviation of two axes from a right angle.

    Parameters
    ----------
    axes : array (3, 3)
        Unit vectors as columns.
    name, what, tool : str
        The file, what in it states the axes, and a tool that resamples it, for the message.

    Raises
    ------
    ScanError
        Above ``MOST_DEGREES``.
    """
    products = np.abs((axes.T @ axes)[np.triu_indices(3, 1)])
    angle = float(np.degrees(np.arcsin(np.clip(products, 0, 1))).max())
    if angle > MOST_DEGREES:
        raise ScanError(
            f"{name}: axes are not orthogonal ({what}): {angle:.2f} degrees from right angles, read are at most "
            f"{MOST_DEGREES:g}; resample it first, for example with {tool}"
        )
    return angle


def nearest_orthogonal(axes: np.ndarray) -> np.ndarray:
    """The orthogonal matrix (3, 3) nearest to axes that are nearly so: the polar factor."""
    left, _, right = np.linalg.svd(axes)
    return left @ right
