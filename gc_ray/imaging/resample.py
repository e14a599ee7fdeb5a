"""Another grid for a volume or a mask: only the part of the input that the output depends on is read."""

from __future__ import annotations

import math

import numpy as np
import SimpleITK as sitk

from gc_ray.errors import ScanError
from gc_ray.imaging.grid import MAX_VOXELS, Box, Grid
from gc_ray.imaging.itk import image_of
from gc_ray.imaging.volume import Mask, Slab, Volume

# Input voxels kept around the output. The cubic B-spline prefilter is recursive with pole sqrt(3) - 2 = -0.268:
# what lies n voxels away weighs 0.268^n, below half an ulp of a double at n = 28. The kernel adds 2, and the last
# ulps of difference take some ten more to die out.
SPLINE_MARGIN_VOXELS = 40

# A mask whose corners lie within this of the scan's is on its grid: the same positions written by two programs
# (DICOM in decimal strings, NIfTI in float32) differ by up to 6e-5 mm.
SAME_GRID_MM = 1e-3

# Grid points closer than this to a voxel centre, or to the end of the scan, count as lying on it; rounding moves
# an index by about 1e-12, and no scanner states positions to a millionth of a voxel.
COINCIDENCE_VOXELS = 1e-6


def pyradiomics_grid(full: Grid, box: Box, spacing_mm: tuple[float, float, float], pad: int) -> Grid:
    """The grid onto which PyRadiomics resamples a scan: it covers the region's box and ``pad`` voxels on each side.

    full: the grid of the scan and its mask. box: (start, size) of the region, x, y, z voxels.
    spacing_mm: wanted spacing x, y, z; 0 keeps the scan's. An axis along which the region is one voxel thick keeps
    its spacing. The grid never starts before the scan. When the spacing stays as it is, voxels are those of the scan.
    Source: ``radiomics.imageoperations.resampleImage`` of PyRadiomics 3, whose values this equals bit for bit.
    """
    start, size = np.asarray(box[0]), np.asarray(box[1])
    old = np.asarray(full.spacing_mm)
    new = np.where((np.asarray(spacing_mm) == 0) | (size == 1), old, np.asarray(spacing_mm, float))
    if np.allclose(old, new):
        return padded_part(full, box, pad)
    ratio = old / new
    first = np.maximum(np.floor((start - 0.5) * ratio - pad), 0)
    last = np.minimum(np.ceil((start + size - 0.5) * ratio + pad), np.ceil(np.asarray(full.size) * ratio) - 1)
    origin_index = 0.5 * (new - old) / old + first / ratio
    return Grid(
        tuple(int(n) for n in last - first + 1),
        tuple(float(v) for v in new),
        _itk_point(full, origin_index),
        full.direction,
    )


def padded_part(full: Grid, box: Box, pad: int) -> Grid:
    """The part of a grid that covers ``box`` (start and size, x, y, z) and up to ``pad`` voxels around it."""
    start = np.maximum(np.asarray(box[0]) - pad, 0)
    stop = np.minimum(np.asarray(box[0]) + np.asarray(box[1]) + pad, np.asarray(full.size))
    return full.crop(tuple(int(v) for v in start), tuple(int(v) for v in stop - start))


def check_size(grid: Grid, full: Grid) -> None:
    """Raises ScanError when a new grid has more voxels than any CT, before memory is asked for them."""
    if math.prod(grid.size) <= MAX_VOXELS:
        return
    size, new, old = (" x ".join(f"{v:g}" for v in of) for of in (grid.size, grid.spacing_mm, full.spacing_mm))
    raise ScanError(
        f"resampling from {old} mm to {new} mm makes {size} voxels of the region, wanted at most {MAX_VOXELS}; "
        "check the scan's spacing, or resample to a larger one"
    )


def needed_part(full: Grid, kind: np.dtype, grid: Grid) -> Box:
    """The part of a scan on grid ``full``, of pixel type ``kind``, that ``resample_volume`` reads for ``grid``.

    Values at ``grid`` depend on no other voxel, to the last bit. Raises ScanError when it lies wholly outside.
    """
    start = _coinciding_start(full, grid)
    if start is not None:
        return start, grid.size
    corners = np.stack(np.meshgrid(*[(0, n - 1) for n in grid.size], indexing="ij"), -1).reshape(-1, 3)
    index = full.mm_to_index(grid.index_to_mm(corners))
    low, high = index.min(axis=0), index.max(axis=0)
    start = np.maximum(np.floor(low) - SPLINE_MARGIN_VOXELS, 0)
    stop = np.minimum(np.ceil(high) + SPLINE_MARGIN_VOXELS + 1, full.size)
    if np.any(stop <= start):
        raise ScanError("resampling wanted a grid that meets the scan, got one outside it; check the mask's geometry")
    # No shorter type absorbs the 1e-13 of a moved origin, which LBP3D on a plateau turns into 10 %.
    keeps_every_bit = kind == np.float64
    start = np.where(keeps_every_bit | _decided_by_rounding(full, grid, low, high), 0, start)
    return tuple(int(v) for v in start), tuple(int(v) for v in stop - start)


def resample_volume(
    volume: Volume | Slab, grid: Grid, interpolator: int = sitk.sitkBSpline, pixel_type: int = sitk.sitkUnknown
) -> Volume:
    """The volume on ``grid`` by cubic B-spline, or by another interpolator of SimpleITK.

    pixel_type: SimpleITK's type of the result; by default the volume's own, where ITK cuts integers off towards zero.
    Points outside the scan are 0 HU, as in PyRadiomics. A grid that is a part of the volume's own takes its voxels as
    they are. Raises ScanError when the grid lies wholly outside the scan.
    """
    box = needed_part(volume.grid, volume.dtype, grid)
    here, place = volume.part(box), volume.grid.crop(*box)
    if _coinciding_start(volume.grid, grid) is not None:
        place, interpolator = grid, sitk.sitkNearestNeighbor
    source = Volume(here, place)
    array = _resampled(source, grid, interpolator, pixel_type)
    if interpolator == sitk.sitkBSpline and 2 in place.size:
        array = _corrected_spline(array, source, grid, pixel_type)
    return Volume(array, grid)


def resample_mask(mask: Mask, grid: Grid) -> Mask:
    """The mask on ``grid``: each voxel takes the nearest voxel's value; outside the mask's grid it is 0.

    The whole mask is handed over, uncropped: new centres midway between two voxels (0.5 mm to 1 mm, every fifth of
    2.5 mm to 1 mm) fall to either side by the rounding of the origin, which a crop would move.
    """
    start = _coinciding_start(mask.grid, grid)
    if start is not None:
        return Mask(mask.part((start, grid.size)).copy(), grid)
    return Mask(_resampled(mask, grid, sitk.sitkNearestNeighbor), grid)


def _resampled(thing: Volume | Mask, grid: Grid, interpolator: int, pixel_type: int = sitk.sitkUnknown) -> np.ndarray:
    place = (grid.origin_mm, grid.spacing_mm, grid.direction)
    image = sitk.Resample(image_of(thing), grid.size, sitk.Transform(), interpolator, *place, 0.0, pixel_type)
    return sitk.GetArrayFromImage(image)


def _corrected_spline(array: np.ndarray, source: Volume, grid: Grid, pixel_type: int) -> np.ndarray:
    """ITK's B-spline of ``source`` on ``grid``, corrected beyond the second voxel of an axis of two.

    There ITK reads memory before the image's first voxel: it mirrors index 3 to index -1. With the first voxel
    repeated after the second, the mirrored image is the same and ITK stays inside it. array: the uncorrected values.
    """
    place = source.grid
    index = place.mm_to_index(grid.index_to_mm(np.moveaxis(np.indices(grid.size), 0, -1)))
    beyond = np.any((index > 1 - COINCIDENCE_VOXELS) & (np.asarray(place.size) == 2), axis=-1).T
    inside = _resampled(Mask(np.ones(place.shape, np.uint8), place), grid, sitk.sitkNearestNeighbor) == 1
    longer = np.pad(source.array, [(0, int(n == 2)) for n in place.shape], "reflect")
    longer_grid = Grid(longer.shape[::-1], place.spacing_mm, place.origin_mm, place.direction)
    right = _resampled(Volume(longer, longer_grid), grid, sitk.sitkBSpline, pixel_type)
    return np.where(beyond & inside, right, array)


def _itk_point(grid: Grid, index: np.ndarray) -> tuple[float, float, float]:
    # ITK's own sum, not Grid's: the last bit of the origin decides ties between voxels.
    probe = sitk.Image(1, 1, 1, sitk.sitkUInt8)
    probe.SetSpacing(grid.spacing_mm)
    probe.SetOrigin(grid.origin_mm)
    probe.SetDirection(grid.direction)
    return probe.TransformContinuousIndexToPhysicalPoint([float(v) for v in index])


def _coinciding_start(full: Grid, grid: Grid) -> tuple[int, int, int] | None:
    """The voxel of ``full`` at which ``grid`` begins, if it is a part of ``full``: same spacing, points on voxels."""
    ends = full.mm_to_index(grid.index_to_mm(np.array([(0, 0, 0), np.asarray(grid.size) - 1])))
    first = np.rint(ends[0])
    same = (
        np.allclose(full.spacing_mm, grid.spacing_mm)
        and np.allclose(full.direction, grid.direction, rtol=0, atol=COINCIDENCE_VOXELS)
        and np.allclose(ends, [first, first + np.asarray(grid.size) - 1], rtol=0, atol=COINCIDENCE_VOXELS)
        and np.all(first >= 0)
        and np.all(first + np.asarray(grid.size) <= np.asarray(full.size))
    )
    return tuple(int(v) for v in first) if same else None


def _decided_by_rounding(full: Grid, grid: Grid, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Axes along which the last bit of a point's index decides its value, so that the origin must stay as it is.

    A point exactly at the far face of the scan (2.5 mm slices, an odd number) is inside or outside by rounding. A
    point exactly on a voxel (3 mm to 1 mm on all axes) is a whole HU, which ITK cuts down to the next if it falls
    short by 1e-13. low, high: the indices (x, y, z) in ``full`` of the grid's first and last points.
    """
    at_far_face = np.abs(high - (np.asarray(full.size) - 0.5)) < COINCIDENCE_VOXELS
    points = [np.linspace(a, b, n) for a, b, n in zip(low, high, grid.size, strict=True)]
    on_voxels = all(np.any(np.abs(p - np.rint(p)) < COINCIDENCE_VOXELS) for p in points)
    return at_far_face | on_voxels
