"""The bridge between our types and SimpleITK images; no copy is made that SimpleITK does not make itself."""

from __future__ import annotations

import SimpleITK as sitk

from gc_ray.imaging.grid import Grid
from gc_ray.imaging.volume import Mask, Volume


def grid_of(image: sitk.Image) -> Grid:
    """The grid of a 3D SimpleITK image (or of an ``ImageFileReader`` that has read its header)."""
    return Grid(
        tuple(image.GetSize()), tuple(image.GetSpacing()), tuple(image.GetOrigin()), tuple(image.GetDirection())
    )


def image_of(thing: Volume | Mask) -> sitk.Image:
    """The SimpleITK image of a volume or mask, in the same pixel type."""
    image = sitk.GetImageFromArray(thing.array)
    image.SetSpacing(thing.grid.spacing_mm)
    image.SetOrigin(thing.grid.origin_mm)
    image.SetDirection(thing.grid.direction)
    return image


def volume_of(image: sitk.Image) -> Volume:
    """The volume of a 3D SimpleITK image, in the same pixel type."""
    return Volume(sitk.GetArrayFromImage(image), grid_of(image))


def mask_of(image: sitk.Image) -> Mask:
    """The mask of a 3D SimpleITK image of type UInt8 that holds only 0 and 1."""
    return Mask(sitk.GetArrayFromImage(image), grid_of(image))
