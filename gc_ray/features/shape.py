"""PyRadiomics' shape features without its comparison of all pairs of mesh vertices."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

import numpy as np
import SimpleITK as sitk
from radiomics import cShape
from radiomics.shape import RadiomicsShape

from gc_ray.features.kernels_shape import cube_patterns, hull_corners, largest_squared_distance

# Mesh vertices are midpoints, so that six times a cube's part of the volume is a whole number of these.
VOLUME_UNIT = 1 / 8


def shape_calculator(roi: sitk.Image) -> RadiomicsShape:
    """PyRadiomics' calculator of the shape class for the voxels of value 1, ready for its feature functions.

    Surface and volume come from counting the 256 patterns of 2 x 2 x 2 voxels; what each pattern contributes is
    asked of PyRadiomics' own mesh. They differ from its running sums in the last digits (1e-12 relative).
    """
    calculator = RadiomicsShape.__new__(RadiomicsShape)
    calculator.logger = logging.getLogger(RadiomicsShape.__module__)
    inside = np.pad(sitk.GetArrayViewFromImage(roi) == 1, 1)
    spacing_mm = np.array(roi.GetSpacing()[::-1])
    counts, places = cube_patterns(inside)
    calculator.maskArray = inside
    calculator.pixelSpacing = spacing_mm
    calculator.labelledVoxelCoordinates = np.where(inside)
    calculator.SurfaceArea = float(counts @ _pattern_areas(tuple(spacing_mm)))
    calculator.Volume = _volume(counts, places, spacing_mm)
    calculator.diameters = diameters_mm(inside, spacing_mm)
    calculator.eigenValues = _eigenvalues(
        np.array(calculator.labelledVoxelCoordinates).T, spacing_mm, calculator.logger
    )
    return calculator


def diameters_mm(inside: np.ndarray, spacing_mm: np.ndarray) -> tuple[float, float, float, float]:
    """Largest distance between two mesh vertices of equal z, of equal y, of equal x, and of any two.

    inside: bool, z, y, x, with a margin of False. A vertex lies midway between a voxel of the region and one outside.
    Both ends of a largest distance are corners of the convex hull of each plane through them.
    """
    vertices = []
    for axis in range(3):
        crossings = 2 * np.argwhere(np.diff(inside, axis=axis))  # in half voxels
        crossings[:, axis] += 1
        vertices.append(crossings)
    halves = np.concatenate(vertices)
    everywhere = np.ones(len(halves), bool)
    found = []
    for plane in range(3):
        line, along = (axis for axis in range(3) if axis != plane)
        order = np.lexsort((halves[:, along], halves[:, line], halves[:, plane]))
        ordered = halves[order]
        corner = hull_corners(*(np.ascontiguousarray(ordered[:, axis]) for axis in (plane, line, along)))
        corners = ordered[corner]
        found.append(largest_squared_distance(corners / 2 * spacing_mm, corners[:, plane]))
        everywhere[order[~corner]] = False
    corners = halves[everywhere] / 2 * spacing_mm
    found.append(largest_squared_distance(corners, np.zeros(len(corners), np.int64)))
    return tuple(float(np.sqrt(squared)) for squared in found)


def _cube(pattern: int) -> np.ndarray:
    return (pattern >> np.arange(8) & 1).astype(bool).reshape(2, 2, 2)


@cache
def _pattern_areas(spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """Area in mm2 of the mesh in each pattern of 2 x 2 x 2 voxels, by PyRadiomics' mesh."""
    return np.array([cShape.calculate_coefficients(_cube(p), np.array(spacing_mm))[0] for p in range(256)])


@cache
def _pattern_volumes() -> tuple[np.ndarray, np.ndarray]:
    """What each pattern adds to six times the mesh's volume, in ``VOLUME_UNIT``: at the origin and per voxel z, y, x.

    PyRadiomics sums signed tetrahedra from the image's corner. The second number is seen when a slice goes before
    the pattern, which moves it on by one voxel.
    """

    def six_volumes(inside: np.ndarray) -> float:
        return 6 * cShape.calculate_coefficients(inside, np.ones(3))[1] / VOLUME_UNIT

    here = np.array([six_volumes(_cube(p)) for p in range(256)])
    moved = np.zeros((256, 3))
    for p in range(256):
        for axis in range(3):
            near = np.take(_cube(p), [0], axis)
            before = np.concatenate([np.zeros_like(near), near], axis)
            both = np.concatenate([np.zeros_like(near), _cube(p)], axis)
            moved[p, axis] = six_volumes(both) - six_volumes(before) - here[p]
    return np.rint(here).astype(np.int64), np.rint(moved).astype(np.int64)


def _volume(counts: np.ndarray, places: np.ndarray, spacing_mm: np.ndarray) -> float:
    """The mesh's volume in mm3."""
    here, moved = _pattern_volumes()
    return float((counts @ here + np.sum(places * moved)) * VOLUME_UNIT * np.prod(spacing_mm) / 6)


def _eigenvalues(coordinates: np.ndarray, spacing_mm: np.ndarray, logger: Any) -> np.ndarray:
    """Of the covariance of the voxels' places, ascending. Source: ``radiomics.shape`` of PyRadiomics 3."""
    places = coordinates * spacing_mm[None, :]
    places -= np.mean(places, axis=0)
    places /= np.sqrt(len(places))
    values = np.linalg.eigvals(np.dot(places.T.copy(), places))
    errors = (values < 0) & (values > -1e-10)
    if errors.any():
        logger.warning("Encountered %d eigenvalues < 0 and > -1e-10, rounding to 0", errors.sum())
        values[errors] = 0
    return np.sort(values)
