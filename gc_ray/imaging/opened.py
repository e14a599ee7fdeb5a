"""What opening a volume file of any format gives: its header judged, its voxels not read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from gc_ray.imaging.grid import Grid
from gc_ray.imaging.scan import Notes


@dataclass(frozen=True, eq=False)
class OpenedVolume:
    """A NIfTI, NRRD or MetaImage file with its header read.

    Attributes
    ----------
    name : str
        The file's name, for messages.
    grid : Grid
        Where the voxels lie.
    channels : int
        Values per voxel.
    real : bool
        Whether a value is one real number; complex ones are not.
    read : callable
        Gives the voxels (z, y, x[, channel]) in their stored type, which may hold NaN; raises ScanError when the file
        is corrupted.
    notes : Notes
        What was changed or is worth knowing.
    metadata : mapping
        Free keys of the header, such as those of 3D Slicer's segments.
    """

    name: str
    grid: Grid
    channels: int
    real: bool
    read: Callable[[], np.ndarray] = field(repr=False)
    notes: Notes = field(default_factory=Notes)
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)
