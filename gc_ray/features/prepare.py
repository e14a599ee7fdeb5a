"""From a scan to what PyRadiomics' filters and classes take: one grid, one intensity scale, one checked region."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import SimpleITK as sitk
from radiomics import imageoperations

from gc_ray.errors import MaskError
from gc_ray.features.feature_set import FeatureSet
from gc_ray.features.pixel_type import check_factor, check_fits, check_range, is_integer, reaches_limits
from gc_ray.imaging.grid import Box, Grid
from gc_ray.imaging.intensity import clip_hu, window
from gc_ray.imaging.itk import grid_of, image_of, volume_of
from gc_ray.imaging.resample import (
    SAME_GRID_MM,
    check_size,
    needed_part,
    padded_part,
    pyradiomics_grid,
    resample_mask,
    resample_volume,
)
from gc_ray.imaging.volume import Mask, Slab, Volume


@dataclass(frozen=True, eq=False)
class Prepared:
    """What filters and classes work on; all images share one grid.

    image: resampled, clipped, windowed. shape_roi: the region of the shape classes. roi: the region of all others.
    box: lower and upper voxel of ``roi`` as PyRadiomics holds them: x0, x1, y0, y1, z0, z1.
    mask_voxels: size of the region after resampling and before any re-segmentation by grey value.
    """

    image: sitk.Image
    shape_roi: sitk.Image
    roi: sitk.Image
    box: np.ndarray
    mask_voxels: int


def part_read(full: Grid, kind: np.dtype, mask: Mask, wanted: FeatureSet) -> Box:
    """The part of a scan on grid ``full``, of pixel type ``kind``, that ``prepare`` reads; raises as it does."""
    setting = wanted.settings["setting"]
    if setting["normalize"]:
        return (0, 0, 0), full.size
    return needed_part(full, kind, _working_grid(full, mask_on_scan(full, mask, setting), wanted))


def prepare(volume: Volume | Slab, mask: Mask, wanted: FeatureSet) -> Prepared:
    """The scan as the feature set wants it. Raises MaskError when the region is empty, too small or elsewhere."""
    setting = wanted.settings["setting"]
    mask = mask_on_scan(volume.grid, mask, setting)
    if setting["normalize"]:  # by mean and deviation of the whole image
        volume = volume_of(imageoperations.normalizeImage(image_of(volume), **setting))
    grid = _working_grid(volume.grid, mask, wanted)
    resampled = resample_mask(mask, grid)
    box = checked_box(resampled, setting)
    image = image_of(_on_grid(volume, grid, wanted.settings))
    region = image_of(resampled)
    if setting["resegmentRange"] is None:
        return Prepared(image, region, region, box, resampled.voxels)
    kept = _resegmented(image, region, setting)
    # PyRadiomics crops the shape classes to the box of the re-segmented region in either case.
    shape_roi = image_of(kept) if setting.get("resegmentShape") else region
    return Prepared(image, shape_roi, image_of(kept), checked_box(kept, setting), resampled.voxels)


def mask_on_scan(full: Grid, mask: Mask, setting: dict[str, Any]) -> Mask:
    """The mask on the scan's grid; MaskError when it is elsewhere or empty."""
    mask = _on_grid_of(full, mask, setting)
    if mask.voxels == 0:
        raise MaskError("the mask wants at least one voxel inside, it has none; check the label and the file")
    return mask


def _on_grid_of(full: Grid, mask: Mask, setting: dict[str, Any]) -> Mask:
    """The mask on the scan's grid; resampled onto it only if the setting ``correctMask`` allows."""
    distance = mask.grid.corner_distance_mm(full)
    if distance <= max(SAME_GRID_MM, (setting.get("geometryTolerance") or 0) * full.spacing_mm[0]):
        return Mask(mask.array, full)
    if setting.get("correctMask"):
        return resample_mask(mask, full)
    raise MaskError(
        f"the mask wants the grid of its scan within {SAME_GRID_MM} mm, its corners are {distance:.3g} mm away; "
        "resample the mask onto the scan, or set correctMask: true"
    )


def _working_grid(full: Grid, mask: Mask, wanted: FeatureSet) -> Grid:
    setting = wanted.settings["setting"]
    box = mask.bounding_box()
    if setting["interpolator"] is not None and setting["resampledPixelSpacing"] is not None:
        grid = pyradiomics_grid(full, box, setting["resampledPixelSpacing"], setting["padDistance"])
        check_size(grid, full)
        return grid
    if setting["preCrop"]:
        return padded_part(full, box, setting["padDistance"])
    if set(wanted.settings["imageType"]) == {"Original"}:
        return padded_part(full, box, 0)  # classes see the region's box alone; filters would see the whole image
    return full


def _on_grid(volume: Volume | Slab, grid: Grid, settings: dict[str, Any]) -> Volume:
    """The volume resampled, clipped and windowed, in this order."""
    interpolator, own = settings["setting"]["interpolator"], settings["gc_ray"]
    if interpolator is None:
        interpolator = sitk.sitkBSpline  # never used: without an interpolator the grid is the scan's
    elif isinstance(interpolator, str):
        interpolator = getattr(sitk, interpolator)
    if own.get("pixel_type") == "float32":
        return _clipped(resample_volume(_in_float32(volume), grid, interpolator, sitk.sitkFloat32), own)
    resampled = _clipped(resample_volume(volume, grid, interpolator), own)
    if reaches_limits(resampled.array):
        exact = resample_volume(volume, grid, interpolator, sitk.sitkFloat64).array
        check_fits((exact.min(), exact.max()), resampled.dtype, "resampling")
    return resampled


def _in_float32(volume: Volume | Slab) -> Volume | Slab:
    """A volume whose integers float32 cannot all hold in float32, as PyRadiomics would read it; another as it is."""
    if not is_integer(volume.dtype) or volume.dtype.itemsize < 4:
        return volume
    if isinstance(volume, Slab):
        return replace(volume, slices=volume.slices.astype(np.float32))
    return replace(volume, array=volume.array.astype(np.float32))


def _clipped(volume: Volume, own: dict[str, Any]) -> Volume:
    """The volume clipped and windowed, in this order; BeyondPixelType when its type holds no value in the range."""
    if "clip_hu" in own:
        check_range(own["clip_hu"], volume.dtype, "clip_hu")
        volume = clip_hu(volume, *own["clip_hu"])
    if "window_hu" in own:
        level, width = own["window_hu"]["level"], own["window_hu"]["width"]
        check_range((level - width / 2, level + width / 2), volume.dtype, "window_hu")
        volume = window(volume, level, width)
    return volume


def _resegmented(image: sitk.Image, region: sitk.Image, setting: dict[str, Any]) -> Mask:
    if setting.get("resegmentMode") == "relative":
        _check_shares(image, region, setting["resegmentRange"])
    try:
        kept = imageoperations.resegmentMask(image, region, **setting)
    except ValueError as error:
        raise MaskError(
            f"resegmentRange {setting['resegmentRange']} wants more than one voxel of the region left, got fewer; "
            "widen the range or check the mask"
        ) from error
    kept.CopyInformation(image)
    return Mask(sitk.GetArrayFromImage(kept).astype(np.uint8), grid_of(image))


def _check_shares(image: sitk.Image, region: sitk.Image, shares: list[float]) -> None:
    """Raises BeyondPixelType when a whole multiple of the region's maximum leaves an integer type, or the factor."""
    array = sitk.GetArrayViewFromImage(image)
    if not is_integer(array.dtype):
        return
    highest = int(array[sitk.GetArrayViewFromImage(region) == 1].max())
    whole = [share for share in shares if isinstance(share, int)]  # others make NumPy multiply in float64
    for share in whole:
        check_factor(share, array.dtype, "a threshold of resegmentRange")
    check_fits([share * highest for share in whole], array.dtype, "a threshold of resegmentRange")


def checked_box(mask: Mask, setting: dict[str, Any]) -> np.ndarray:
    """The region's box; the rules are those of ``radiomics.imageoperations.checkMask``."""
    voxels = mask.voxels
    if voxels == 0:
        raise MaskError(
            "the region wants at least 2 voxels after resampling, it has none; it is thinner than a voxel"
        )
    start, size = (np.asarray(v) for v in mask.bounding_box())
    extended, wanted = int(np.sum(size > 1)), setting["minimumROIDimensions"]
    if extended == 0 or extended < wanted:
        raise MaskError(
            f"the region wants {max(wanted, 1)} dimensions of more than one voxel after resampling, "
            f"it has {extended} ({voxels} voxels); check the mask"
        )
    least = setting["minimumROISize"]
    if least is not None and voxels <= least:
        raise MaskError(
            f"the region wants more than {least} voxels after resampling, it has {voxels}; check the mask"
        )
    return np.stack([start, start + size - 1], axis=1).ravel()
