"""What a network sees: the volume of interest around a region, cut and resized by a named recipe."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import numpy as np
import SimpleITK as sitk

from gc_ray.errors import MaskError, StudyError
from gc_ray.imaging.grid import Box, Grid
from gc_ray.imaging.resample import SAME_GRID_MM, needed_part, resample_mask, resample_volume
from gc_ray.imaging.volume import Mask, Slab, Volume

# Raise it whenever a change of this module changes any voxel: stored inputs then count as out of date.
CODE_VERSION = 1

# A box whose length exceeds a whole number of voxels by less than this gets no further voxel; rounding adds 1e-12.
WHOLE_VOXELS = 1e-6


@dataclass(frozen=True)
class VoiRecipe:
    """How a volume of interest is cut.

    spacing_mm: isotropic spacing of the cut. margin_mm: added to the region's box on every side, within the scan.
    plane_voxels: side of the square to which each axial slice is padded, then resized; None keeps size and spacing.
    depth_voxels: number of slices, by centre crop or padding; None keeps it. pad_hu: what padding is filled with.
    assumptions: what the source does not say and we decided, in plain words, for reports.
    """

    name: str
    spacing_mm: float
    margin_mm: float
    plane_voxels: int | None
    depth_voxels: int | None
    pad_hu: int
    assumptions: tuple[str, ...]

    def settings_json(self) -> str:
        """One canonical line with all that decides the voxels, to be hashed."""
        return json.dumps({"code_version": CODE_VERSION, **asdict(self)}, sort_keys=True, separators=(",", ":"))


RECIPES = (
    VoiRecipe(
        name="guo2025",
        spacing_mm=1.0,
        margin_mm=5.0,
        plane_voxels=None,
        depth_voxels=None,
        pad_hu=0,
        assumptions=(
            "the volume of interest is the box of the region and 5 mm around it; the paper names no margin",
            "where that box leaves the scan it is cut off, nothing is invented",
        ),
    ),
    VoiRecipe(
        name="cao2024",
        spacing_mm=1.0,
        margin_mm=0.0,
        plane_voxels=112,
        depth_voxels=64,
        pad_hu=0,
        assumptions=(
            "the volume of interest is the box of the region without margin, surroundings in the box kept; "
            "the paper names neither",
            "depth is 64 slices of 1 mm by centre crop or zero padding; the paper gives no depth",
            "the padding is 0 HU, as the paper pads with zeros after windowing in HU and before scaling to -1..1",
            "each slice is resized by linear interpolation; the paper names none",
            "the window is applied after resizing and not before, so that the stored input serves any window",
        ),
    ),
)


def voi_recipe(name: str) -> VoiRecipe:
    """The recipe of that name. Raises StudyError, naming those that exist, when there is none."""
    for recipe in RECIPES:
        if recipe.name == name:
            return recipe
    raise StudyError(f"network input wants one of {', '.join(r.name for r in RECIPES)}, got {name}; choose one")


def part_read(full: Grid, kind: np.dtype, mask: Mask, recipe: VoiRecipe) -> Box:
    """The part of a scan on grid ``full``, of pixel type ``kind``, that ``cut_voi`` reads for this region."""
    return needed_part(full, kind, _isotropic_grid(full, mask.bounding_box(), recipe))


def cut_voi(volume: Volume | Slab, mask: Mask, recipe: VoiRecipe) -> tuple[Volume, Mask]:
    """The volume of interest (int16, HU as they are) and the region (uint8) on one grid, which states its true place.

    The box of the region with its margin, clipped to the scan, is resampled to ``spacing_mm`` (cubic B-spline; the
    mask by nearest neighbour), then padded or cropped about its centre and resized in plane as the recipe says.
    Raises MaskError when the mask is empty, on another grid, or has no voxel left.
    Source: ``cao2024`` Cao et al., Int J Surg 2024, Data preparation; ``guo2025`` Guo et al., Front Oncol 2025, 2.2.
    """
    if mask.grid.corner_distance_mm(volume.grid) > SAME_GRID_MM:
        raise MaskError(f"the mask wants the grid of its scan within {SAME_GRID_MM} mm; resample it onto the scan")
    if mask.voxels == 0:
        raise MaskError("the mask wants at least one voxel inside, it has none; check the label and the file")
    grid = _isotropic_grid(volume.grid, mask.bounding_box(), recipe)
    voi = resample_volume(volume, grid, pixel_type=sitk.sitkFloat32)
    region = resample_mask(Mask(mask.array, volume.grid), grid)
    if recipe.plane_voxels is not None or recipe.depth_voxels is not None:
        start, size = _frame(grid.size, recipe)
        framed = grid.crop(start, size)
        voi = Volume(_framed(voi.array, start, size, recipe.pad_hu), framed)
        region = Mask(_framed(region.array, start, size, 0), framed)
        resized = _resized_in_plane(framed, recipe.plane_voxels or size[0])
        voi, region = resample_volume(voi, resized, sitk.sitkLinear), resample_mask(region, resized)
    if region.voxels == 0:
        raise MaskError("the region wants a voxel left in the network input, it has none; it is thinner than a voxel")
    return _as_int16(voi), region


def _isotropic_grid(full: Grid, box: Box, recipe: VoiRecipe) -> Grid:
    """The grid centred on the box with its margin, as far as it lies in the scan; every voxel centre is inside."""
    spacing = np.asarray(full.spacing_mm)
    start, size = np.asarray(box[0]), np.asarray(box[1])
    margin = recipe.margin_mm / spacing
    low = np.maximum(start - 0.5 - margin, -0.5)
    high = np.minimum(start + size - 0.5 + margin, np.asarray(full.size) - 0.5)
    voxels = np.ceil((high - low) * spacing / recipe.spacing_mm - WHOLE_VOXELS)
    first = (low + high) / 2 - (voxels - 1) / 2 * recipe.spacing_mm / spacing
    origin = tuple(float(v) for v in full.index_to_mm(first))
    return Grid(tuple(int(n) for n in voxels), (float(recipe.spacing_mm),) * 3, origin, full.direction)


def _as_int16(volume: Volume) -> Volume:
    limits = np.iinfo(np.int16)
    rounded = np.rint(np.clip(volume.array, limits.min, limits.max))
    return Volume(rounded.astype(np.int16), volume.grid)


def _frame(size: tuple[int, int, int], recipe: VoiRecipe) -> Box:
    """Where the square, deep-enough frame begins (x, y, z; negative where it pads) and its size."""
    side = max(size[:2]) if recipe.plane_voxels else None
    wanted = tuple(n if w is None else w for n, w in zip(size, (side, side, recipe.depth_voxels), strict=True))
    return tuple((n - w) // 2 for n, w in zip(size, wanted, strict=True)), wanted


def _framed(array: np.ndarray, start: tuple[int, int, int], size: tuple[int, int, int], fill: int) -> np.ndarray:
    """The box of ``size`` from voxel ``start`` (x, y, z) of an array, ``fill`` where it leaves the array."""
    out = np.full(size[::-1], fill, array.dtype)
    source, target = [], []
    for s, n, available in zip(start[::-1], size[::-1], array.shape, strict=True):
        first, last = max(s, 0), min(s + n, available)
        source.append(slice(first, last))
        target.append(slice(first - s, last - s))
    out[tuple(target)] = array[tuple(source)]
    return out


def _resized_in_plane(grid: Grid, side: int) -> Grid:
    """The same box with ``side`` x ``side`` voxels in each slice."""
    scale = np.array([grid.size[0] / side, grid.size[1] / side, 1.0])
    spacing = tuple(float(v) for v in np.asarray(grid.spacing_mm) * scale)
    origin = tuple(float(v) for v in grid.index_to_mm((scale - 1) / 2))
    return Grid((side, side, grid.size[2]), spacing, origin, grid.direction)
