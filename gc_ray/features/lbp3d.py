"""PyRadiomics' LBP3D images, computed for the region's voxels alone and in pieces of bounded size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import SimpleITK as sitk
from radiomics import imageoperations
from scipy import ndimage
from scipy.stats import kurtosis

from gc_ray.features.kernels_lbp import MARGIN_VOXELS, pattern_weights, sphere_samples
from gc_ray.features.pixel_type import check_fits

# Worked on at once: at 42 points a voxel, complex products of 2 MB, which a core's cache holds.
PIECE_VOXELS = 1024


def lbp3d_images(image: sitk.Image, roi: sitk.Image, **own: Any) -> Iterator[tuple[sitk.Image, str, dict[str, Any]]]:
    """Local binary patterns in 3D: (image, name, settings) for each degree of harmonics and for the kurtosis.

    Only the region's voxels hold values. own: PyRadiomics' settings ``lbp3DLevels``, ``lbp3DIcosphereRadius``,
    ``lbp3DIcosphereSubdivision``. Source: Banerjee et al., ACCV 2012 workshops, as in
    ``radiomics.imageoperations.getLBP3DImage`` of PyRadiomics 3, whose values these are.
    """
    if own.get("force2D"):
        imageoperations.logger.warning("LBP3D is computed in 3D although features are extracted in 2D")
    levels = own.get("lbp3DLevels", 2)
    points, harmonics, degree = _sphere(
        own.get("lbp3DIcosphereSubdivision", 1), own.get("lbp3DIcosphereRadius", 1), levels
    )
    array = sitk.GetArrayViewFromImage(image)
    inside = sitk.GetArrayViewFromImage(roi) == own.get("label", 1)
    coefficients = np.pad(ndimage.spline_filter(array, 3, np.float64, "constant"), MARGIN_VOXELS, "reflect")
    runs = _runs(inside)
    cuts = np.flatnonzero(np.diff(np.cumsum(runs[:, 3]) // PIECE_VOXELS)) + 1
    values = np.concatenate(
        [_piece(array, coefficients, piece, points, harmonics, degree) for piece in np.split(runs, cuts)]
    )
    names = [f"lbp-3D-m{level + 1}" for level in range(levels)] + ["lbp-3D-k"]
    for column, name in enumerate(names):
        result = np.zeros(array.shape)
        result[inside] = values[:, column]
        made = sitk.GetImageFromArray(result)
        made.CopyInformation(image)
        yield made, name, own


def _sphere(subdivision: int, radius: float, levels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Offsets of the points on the sphere, the harmonics at each, shape (points, harmonics), and their degrees."""
    # Here, as feature sets without LBP3D neither need nor load them; ``check_libraries`` says when one is missing.
    from scipy.special import sph_harm
    from trimesh.creation import icosphere

    points = np.array(icosphere(subdivision, radius).vertices)
    theta, phi = np.arccos(points[:, 2] / radius), np.arctan2(points[:, 1], points[:, 0])
    orders = [(m, n) for n in range(levels) for m in range(-n, n + 1)]
    harmonics = np.column_stack([sph_harm(m, n, theta, phi) for m, n in orders])
    return points, harmonics, np.array([n for _, n in orders])


def _runs(inside: np.ndarray) -> np.ndarray:
    """The region's voxels, in raster order, as runs along x: z, y, first x, length."""
    edges = np.diff(np.pad(inside, ((0, 0), (0, 0), (1, 1))).astype(np.int8), axis=2)
    begins, ends = np.argwhere(edges == 1), np.argwhere(edges == -1)
    return np.column_stack([begins, ends[:, 2] - begins[:, 2]])


def _piece(
    array: np.ndarray,
    coefficients: np.ndarray,
    runs: np.ndarray,
    points: np.ndarray,
    harmonics: np.ndarray,
    degree: np.ndarray,
) -> np.ndarray:
    """Values of some voxels: a column for each degree, and the kurtosis."""
    samples = _stored_as(array.dtype, sphere_samples(coefficients, runs, points))
    centres = np.concatenate([array[z, y, x : x + n] for z, y, x, n in runs])
    weights = pattern_weights(samples >= centres[:, None], harmonics)
    return np.column_stack([_strengths(weights, harmonics, degree), kurtosis(samples, axis=1)])


def _strengths(weights: np.ndarray, harmonics: np.ndarray, degree: np.ndarray) -> np.ndarray:
    """How strong each degree of harmonics is in each pattern: shape (voxels, degrees).

    By NumPy's complex products as in PyRadiomics and not in a kernel: NumPy fuses multiplication and addition where
    the processor can, and as many voxels share a pattern, and percentiles fall among them, the last bit counts.
    """
    parts = [
        np.sum(np.multiply(weights[:, None, degree == n], harmonics[None, :, degree == n]), axis=2, keepdims=True)
        for n in range(degree[-1] + 1)
    ]
    return np.real(np.sqrt(np.sum(np.concatenate(parts, axis=2) ** 2, axis=1)))


def _stored_as(dtype: np.dtype, samples: np.ndarray) -> np.ndarray:
    """The samples in the image's own type, integers rounded as ``scipy.ndimage`` does.

    It cuts samples off at both ends of an unsigned type and wraps them around in a signed one: then BeyondPixelType
    is raised.
    """
    if dtype.kind == "f":
        return samples.astype(dtype, copy=False)
    rounded = samples + np.copysign(0.5, samples)
    if dtype.kind == "u":
        return np.trunc(np.clip(rounded, 0, np.iinfo(dtype).max)).astype(dtype)
    check_fits((rounded.min(), rounded.max()), dtype, "a sample of LBP3D")
    return np.trunc(rounded).astype(dtype)
