"""Grey values: clipping, windows and the scale that networks take."""

from __future__ import annotations

import math

import numpy as np

from gc_ray.imaging.volume import Volume


def clip_hu(volume: Volume, low: float, high: float) -> Volume:
    """The volume with every voxel below ``low`` set to ``low`` and above ``high`` to ``high`` (HU), same pixel type.

    Bounds that an integer type cannot hold are taken to the nearest value inside [low, high] that it can.
    Raises ValueError unless low < high.
    """
    if not low < high:
        raise ValueError(f"clipping wants low < high, got {low} and {high} HU; swap or widen the bounds")
    kind = volume.array.dtype
    if np.issubdtype(kind, np.integer):
        limits = np.iinfo(kind)
        low, high = max(math.ceil(low), limits.min), min(math.floor(high), limits.max)
    return Volume(np.clip(volume.array, kind.type(low), kind.type(high)), volume.grid)


def window(volume: Volume, level: float, width: float) -> Volume:
    """The volume clipped to the display window [level - width / 2, level + width / 2] (HU), same pixel type.

    Raises ValueError unless width > 0.
    """
    return clip_hu(volume, level - width / 2, level + width / 2)


def scale_to_unit(array: np.ndarray, low: float, high: float) -> np.ndarray:
    """float32 array in [-1, 1]: ``low`` (HU) and less map to -1, ``high`` and more to 1, linear between.

    Raises ValueError unless low < high.
    """
    if not low < high:
        raise ValueError(f"scaling wants low < high, got {low} and {high} HU; swap or widen the bounds")
    clipped = np.clip(np.asarray(array, np.float32), low, high)
    return (2 * (clipped - np.float32(low)) / np.float32(high - low) - 1).astype(np.float32)
