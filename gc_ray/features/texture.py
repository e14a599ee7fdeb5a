"""PyRadiomics' texture and first-order formulas over one shared discretisation and our own counts."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import SimpleITK as sitk

from gc_ray.features.discretise import levels_of
from gc_ray.features.ibsi_calculators import calculator_class
from gc_ray.features.kernels_texture import DIRECTIONS, neighbourhoods, zones

# Of the co-occurrence matrices. Features of all directions at once take eight times as much memory: above this they
# are computed one direction after the other.
MATRICES_BYTES = 64 << 20

# A step whose neighbour touches all other neighbours that come before a voxel, for zones in space and, by the axis
# across it, in a plane.
BELOW = (1, 0, 0)
BELOW_IN_PLANE = ((0, 1, 0), (1, 0, 0), (1, 0, 0))


@dataclass(frozen=True, eq=False)
class Region:
    """Which voxels of a box the classes work on.

    inside: bool, shape z, y, x. The flat box, here, is the box in raster order with one voxel of margin on each side.
    """

    inside: np.ndarray

    @cached_property
    def at(self) -> np.ndarray:
        """The region's voxels as indices of the flat box, ascending."""
        return np.flatnonzero(np.pad(self.inside, 1))

    @cached_property
    def steps(self) -> np.ndarray:
        """How far on in the flat box the neighbour in each of ``DIRECTIONS`` is."""
        _, ny, nx = np.asarray(self.inside.shape) + 2
        return DIRECTIONS @ np.array([ny * nx, nx, 1])

    def spread(self, values: np.ndarray) -> np.ndarray:
        """The flat box, int32: ``values`` in the region's voxels, 0 in all others."""
        if len(values) and values.max() > np.iinfo(np.int32).max:
            raise ValueError(f"grey levels must fit 32 bits, the highest is {values.max()}")
        box = np.zeros(np.prod(np.asarray(self.inside.shape) + 2), np.int32)
        box[self.at] = values
        return box

    def holds_pairs(self, direction: np.ndarray) -> bool:
        """Whether two voxels of the region lie on one line along ``direction``, near or far."""
        where = np.argwhere(self.inside)
        axis = np.flatnonzero(direction)[0]
        lines = where - np.outer(where[:, axis] * direction[axis], direction)
        return len(np.unique(lines, axis=0)) < len(where)


def region_of(roi: sitk.Image) -> Region:
    """The region whose voxels are 1 in ``roi``."""
    return Region(sitk.GetArrayViewFromImage(roi) == 1)


@dataclass(frozen=True, eq=False)
class Picture:
    """One filtered image in the region's box, and what its classes share.

    image, roi: cut to the box. own: PyRadiomics' settings for it.
    """

    image: sitk.Image
    roi: sitk.Image
    region: Region
    own: dict[str, Any]

    @cached_property
    def values(self) -> np.ndarray:
        """The region's values in raster order, in the image's type."""
        return sitk.GetArrayViewFromImage(self.image)[self.region.inside]

    @cached_property
    def levels(self) -> np.ndarray:
        """The region's grey levels, from 1."""
        return levels_of(self.values, self.own)

    @cached_property
    def counts(self) -> np.ndarray:
        """Voxels of each grey level, from level 1 to the highest."""
        return np.bincount(self.levels)[1:]

    @cached_property
    def voxels_by_level(self) -> np.ndarray:
        """Voxels of each grey level that occurs; 0 is one where bins are finer than the digits of the values."""
        counts = np.bincount(self.levels)
        return counts[counts > 0]

    @cached_property
    def present(self) -> np.ndarray:
        """The grey levels that occur."""
        return np.flatnonzero(self.counts) + 1

    @cached_property
    def absent(self) -> np.ndarray:
        """Rows of the grey levels up to the highest that do not occur."""
        return np.flatnonzero(self.counts == 0)

    @cached_property
    def spread(self) -> np.ndarray:
        """The grey levels in the flat box; ValueError when PyRadiomics' bins leave a voxel without a level."""
        if self.levels.min() < 1:
            raise ValueError(f"bins are finer than the digits of {self.values.dtype} at {self.values.max():g}")
        return self.region.spread(self.levels)

    @cached_property
    def valid(self) -> np.ndarray:
        """The directions that PyRadiomics looks in: none across a box of a single voxel."""
        return np.all(np.abs(DIRECTIONS) < self.region.inside.shape, axis=1)

    @cached_property
    def neighbourhoods(self) -> tuple[np.ndarray, ...]:
        """GLCM, GLRLM, GLDM and NGTDM counts, each over all levels up to the highest."""
        longest = max(self.region.inside.shape)
        return neighbourhoods(self.spread, self.region.at, self.region.steps, len(self.counts), longest)


def covers(name: str, own: dict[str, Any]) -> bool:
    """Whether this package counts the matrices of a texture class as the settings ask; if not, PyRadiomics does.

    Zones are always counted here: PyRadiomics' matrix has a column for each size up to the largest, gigabytes for a
    large flat region of many levels.
    """
    return name == "glszm" or (
        list(own.get("distances") or [1]) == [1]
        and not own.get("force2D")
        and own.get("weightingNorm") is None
        and own.get("gldm_a", 0) == 0
    )


def texture_calculator(name: str, picture: Picture) -> Any:
    """PyRadiomics' calculator of one texture class (a key of ``MATRICES``), ready for its feature functions."""
    calculator = _bare_calculator(name, picture)
    MATRICES[name](calculator, picture)
    return calculator


def needs_single_directions(picture: Picture) -> bool:
    """Whether the co-occurrence matrices are so large that features are computed one direction after the other."""
    return len(picture.counts) ** 2 * np.count_nonzero(picture.valid) * 8 > MATRICES_BYTES


def glcm_calculators(picture: Picture) -> Iterator[Any]:
    """A calculator of the co-occurrence features for each direction that holds pairs of voxels.

    PyRadiomics' value is the mean over these directions.
    """
    for a in np.flatnonzero(picture.valid):
        if picture.neighbourhoods[0][:, :, a].any():
            calculator = _bare_calculator("glcm", picture)
            _fill_glcm(calculator, picture, np.array([a]))
            yield calculator


def _bare_calculator(name: str, picture: Picture) -> Any:
    """A calculator without its matrix."""
    of_class = calculator_class(name, picture.own)
    calculator = of_class.__new__(of_class)  # its own __init__ would bin the image again
    calculator.logger = logging.getLogger(calculator.__module__)
    calculator.settings = picture.own
    calculator.inputImage, calculator.inputMask = picture.image, picture.roi
    calculator.coefficients = {"grayLevels": picture.present, "Ng": len(picture.counts)}
    return calculator


# The deletions and sums below are those of PyRadiomics' ``_calculateMatrix`` in their order: what numpy.delete leaves
# in memory decides in which order later sums are added, and so their last bit.


def _glcm(calculator: Any, picture: Picture) -> None:
    _fill_glcm(calculator, picture, np.flatnonzero(picture.valid))


def _fill_glcm(calculator: Any, picture: Picture, directions: np.ndarray) -> None:
    calculator.symmetricalGLCM = picture.own.get("symmetricalGLCM", True)
    matrix = picture.neighbourhoods[0][None, :, :, directions].astype(np.float64, order="C")
    matrix = np.delete(np.delete(matrix, picture.absent, 1), picture.absent, 2)
    if calculator.symmetricalGLCM:
        matrix += np.transpose(matrix, (0, 2, 1, 3)).copy()
    sums = np.sum(matrix, (1, 2))
    matrix, sums = _without_empty_directions(matrix, sums)
    matrix /= sums[:, None, None, :]
    calculator.P_glcm = matrix
    calculator._calculateCoefficients()


def _glrlm(calculator: Any, picture: Picture) -> None:
    runs, pairs = picture.neighbourhoods[1].astype(np.float64), picture.neighbourhoods[0].sum((0, 1))
    for a in np.flatnonzero(pairs == 0):
        if not picture.region.holds_pairs(DIRECTIONS[a]):  # then PyRadiomics leaves the direction out
            runs[:, :, a] = 0
    matrix = np.delete(np.ascontiguousarray(runs[None, :, :, picture.valid]), picture.absent, 1)
    matrix, sums = _without_empty_directions(matrix, np.sum(matrix, (1, 2)))
    calculator.P_glrlm = matrix
    calculator.coefficients["Nr"] = sums
    calculator._calculateCoefficients()


def _without_empty_directions(matrix: np.ndarray, sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if matrix.shape[3] > 1:
        empty = np.where(np.sum(sums, 0) == 0)
        if len(empty[0]) > 0:
            matrix, sums = np.delete(matrix, empty, 3), np.delete(sums, empty, 1)
    sums[sums == 0] = np.nan
    return matrix, sums


def _glszm(calculator: Any, picture: Picture) -> None:
    levels, zone_sizes = zones(picture.spread, picture.region.at, *_connecting_steps(picture))
    sizes, columns = np.unique(zone_sizes, return_inverse=True)
    # numpy.delete leaves another order in memory when it takes a single column away than when it takes several.
    spare = 1 if sizes[-1] - len(sizes) == 1 else 0
    width = len(sizes) + spare
    cells = np.bincount((levels.astype(np.int64) - 1) * width + columns, minlength=len(picture.counts) * width)
    matrix = np.delete(cells.astype(np.float64).reshape(1, -1, width), picture.absent, 1)
    calculator.P_glszm = np.delete(matrix, (np.arange(len(sizes), width),), 2)
    size = sizes.astype(np.float64)
    zones_by_size = np.sum(matrix, 1)[:, : len(sizes)]
    calculator.coefficients |= {
        "Np": np.sum(zones_by_size * size[None, :], 1),
        "Nz": np.sum(matrix, (1, 2)),
        "ps": zones_by_size,
        "pg": np.sum(matrix, 2),
        "ivector": picture.present.astype(float),
        "jvector": size,
    }


def _connecting_steps(picture: Picture) -> tuple[np.ndarray, int]:
    """The steps to neighbours of one zone, and which of them is the one below."""
    if not picture.own.get("force2D"):
        return picture.region.steps, _index_of(BELOW, DIRECTIONS)
    across = picture.own.get("force2Ddimension", 0)
    in_plane = DIRECTIONS[:, across] == 0
    if not picture.valid[in_plane].any():
        raise ValueError("the region is one voxel wide in every slice: no voxel has a neighbour")
    return picture.region.steps[in_plane], _index_of(BELOW_IN_PLANE[across], DIRECTIONS[in_plane])


def _index_of(direction: tuple[int, int, int], directions: np.ndarray) -> int:
    return int(np.flatnonzero((directions == direction).all(axis=1))[0])


def _gldm(calculator: Any, picture: Picture) -> None:
    # PyRadiomics has columns to spare; two more than can be filled make numpy.delete take several away, as there.
    sizes = np.pad(picture.neighbourhoods[2], ((0, 0), (0, 2)))
    matrix = np.delete(sizes[None].astype(np.float64), picture.absent, 1)
    by_size = np.sum(matrix, 1)
    empty = np.where(np.sum(by_size, 0) == 0)
    calculator.P_gldm = np.delete(matrix, empty, 2)
    by_size = np.delete(by_size, empty, 1)
    calculator.coefficients |= {
        "Nz": np.sum(by_size, 1),
        "pd": by_size,
        "pg": np.sum(matrix, 2),
        "ivector": picture.present.astype(float),
        "jvector": np.delete(np.arange(1, matrix.shape[2] + 1, dtype=np.float64), empty),
    }


def _ngtdm(calculator: Any, picture: Picture) -> None:
    tones = picture.neighbourhoods[3]
    matrix = np.column_stack([tones, np.arange(1.0, len(tones) + 1)])[None]
    calculator.P_ngtdm = np.delete(matrix, np.where(np.sum(matrix[:, :, 0], 0) == 0), 1)
    calculator._calculateCoefficients()


MATRICES = {"glcm": _glcm, "glrlm": _glrlm, "glszm": _glszm, "gldm": _gldm, "ngtdm": _ngtdm}
