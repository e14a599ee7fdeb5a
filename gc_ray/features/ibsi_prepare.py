"""From a scan to what filters and classes take, by the standard's own preprocessing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gc_ray.errors import MaskError
from gc_ray.features.feature_set import FeatureSet
from gc_ray.features.ibsi import centred_grid, index_on, inside, interpolated, resegmented
from gc_ray.features.ibsi_sets import LINEAR
from gc_ray.features.prepare import Prepared, checked_box, mask_on_scan
from gc_ray.imaging.grid import Box, Grid
from gc_ray.imaging.itk import image_of
from gc_ray.imaging.resample import SPLINE_MARGIN_VOXELS, check_size, padded_part
from gc_ray.imaging.volume import Mask, Slab, Volume


@dataclass(frozen=True)
class _Part:
    """A box of the new grid, and the box of the scan on which its values depend."""

    grid: Grid
    first: np.ndarray  # indices in the scan's box of the part's first voxel, z, y, x
    step: np.ndarray  # distance between the part's voxels in the scan's, z, y, x
    needed: Box  # the scan's box


def part_read(full: Grid, mask: Mask, wanted: FeatureSet) -> Box:
    """The part of a scan on grid ``full`` that ``prepare_ibsi`` reads; raises MaskError as it does."""
    setting = wanted.settings["setting"]
    return _part_around(full, mask_on_scan(full, mask, setting), setting).needed


def prepare_ibsi(volume: Volume | Slab, mask: Mask, wanted: FeatureSet) -> Prepared:
    """The scan as an IBSI feature set wants it: float64 whole HU, morphological mask, intensity mask.

    Raises MaskError when the region is empty, elsewhere, or too small after interpolation or re-segmentation.
    """
    setting, own = wanted.settings["setting"], wanted.settings["ibsi"]
    mask = mask_on_scan(volume.grid, mask, setting)
    part = _part_around(volume.grid, mask, setting)
    region = Mask(inside(_on(part, mask, LINEAR)), part.grid)
    box = checked_box(region, setting)
    hu = np.rint(_on(part, volume, own["spline_order"]))
    kept = Mask(resegmented(hu, region.array, own["range_hu"], own["sigmas"]), part.grid)
    if not kept.voxels:
        wanted_hu = " to ".join(f"{v:g}" for v in own["range_hu"])
        raise MaskError(
            f"the region wants voxels of {wanted_hu} HU, it has none; check the mask, or give another range"
        )
    checked_box(kept, setting)
    # The box is that of the region: it holds the intensity mask as well, and shape wants all of it.
    return Prepared(image_of(Volume(hu, part.grid)), image_of(region), image_of(kept), box, region.voxels)


def _part_around(full: Grid, mask: Mask, setting: dict) -> _Part:
    """The part of the new grid that the region may touch, with the filters' margin, cut to that grid."""
    new = centred_grid(full, setting["resampledPixelSpacing"])
    start, size = (np.asarray(v) for v in mask.bounding_box())
    pad = setting["padDistance"]
    # Beyond half a voxel from the outermost centres no interpolated share reaches one half.
    low = np.floor(index_on(new, full, start - 0.5)).astype(int)
    high = np.ceil(index_on(new, full, start + size - 0.5)).astype(int)
    grid = padded_part(new, (tuple(low), tuple(high - low + 1)), pad)
    check_size(grid, full)
    first = np.maximum(low - pad, 0)
    ends = index_on(full, new, np.stack([first, first + np.asarray(grid.size) - 1]))
    begin = np.maximum(np.floor(ends[0]).astype(int) - SPLINE_MARGIN_VOXELS, 0)
    end = np.minimum(np.ceil(ends[1]).astype(int) + SPLINE_MARGIN_VOXELS + 1, full.size)
    step = np.asarray(new.spacing_mm) / np.asarray(full.spacing_mm)
    needed = tuple(int(v) for v in begin), tuple(int(v) for v in end - begin)
    return _Part(grid, (ends[0] - begin)[::-1], step[::-1], needed)


def _on(part: _Part, scan: Volume | Slab | Mask, order: int) -> np.ndarray:
    """Whole numbers (HU, or a mask's 0 and 1) interpolated at the part's voxels."""
    return interpolated(np.rint(scan.part(part.needed)), part.first, part.step, part.grid.shape, order)
