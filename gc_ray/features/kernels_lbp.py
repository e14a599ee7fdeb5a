"""Values on a sphere around each voxel by cubic spline, and their patterns in spherical harmonics, for LBP3D."""

from __future__ import annotations

import numpy as np

from gc_ray.kernels import compiled

# Mirrored spline coefficients needed around the image: for a point inside it a cubic spline takes one before and two
# after.
MARGIN_VOXELS = 2


@compiled
def _spline_weights(fraction: float) -> tuple[float, float, float, float]:
    """The cubic B-spline weights of four coefficients for a point ``fraction`` of a voxel after the second."""
    rest = 1.0 - fraction
    first = rest * rest * rest / 6.0
    second = (fraction * fraction * (fraction - 2.0) * 3.0 + 4.0) / 6.0
    third = (rest * rest * (rest - 2.0) * 3.0 + 4.0) / 6.0
    return first, second, third, 1.0 - first - second - third


@compiled
def _add_line(total: np.ndarray, line: np.ndarray, weights: np.ndarray, z_weight: float, y_weight: float) -> None:
    """Adds to each voxel of a stretch what one line of coefficients contributes."""
    w0, w1, w2, w3 = weights[0], weights[1], weights[2], weights[3]
    for i in range(len(total)):
        sum_ = total[i]
        sum_ += line[i] * z_weight * y_weight * w0[i]
        sum_ += line[i + 1] * z_weight * y_weight * w1[i]
        sum_ += line[i + 2] * z_weight * y_weight * w2[i]
        sum_ += line[i + 3] * z_weight * y_weight * w3[i]
        total[i] = sum_


@compiled
def _stretch(xs: np.ndarray, begin: int, weights: np.ndarray) -> tuple[int, int]:
    """End of the points from ``begin`` on that step from coefficient to coefficient, the first's, and all weights.

    Points one voxel apart do so, but for those within rounding of a coefficient.
    """
    first = int(np.floor(xs[begin]))
    end = begin
    while end < len(xs) and int(np.floor(xs[end])) == first + end - begin:
        for k, weight in enumerate(_spline_weights(xs[end] - np.floor(xs[end]))):
            weights[k, end] = weight
        end += 1
    return end, first


@compiled
def _row_samples(coefficients: np.ndarray, z: float, y: float, xs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The spline at (z, y, x) for each x, ascending by 1, all inside the image."""
    total = np.zeros(len(xs))
    low_z, low_y = int(np.floor(z)), int(np.floor(y))
    z_weights, y_weights = _spline_weights(z - low_z), _spline_weights(y - low_y)
    begin = 0
    while begin < len(xs):
        end, low_x = _stretch(xs, begin, weights)
        from_x = low_x - 1 + MARGIN_VOXELS
        for k in range(4):
            for m in range(4):
                line = coefficients[low_z - 1 + MARGIN_VOXELS + k, low_y - 1 + MARGIN_VOXELS + m, from_x:]
                _add_line(total[begin:end], line, weights[:, begin:end], z_weights[k], y_weights[m])
        begin = end
    return total


def sphere_samples(coefficients: np.ndarray, runs: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The image at each of ``points`` around each voxel: float64, shape (voxels, points); 0 outside the image.

    coefficients: of the cubic spline, with ``MARGIN_VOXELS`` mirrored voxels on each side. runs: int64 (n, 4), the
    voxels as runs along x: z, y, first x, length. points: offsets z, y, x in voxels.
    The sums are those of ``scipy.ndimage.map_coordinates`` in their order, for the voxels of a run side by side.
    Raises ValueError when a run leaves the image, a point is not finite, or an array has another shape.
    """
    if coefficients.ndim != 3 or runs.ndim != 2 or runs.shape[1] != 4 or points.ndim != 2 or points.shape[1] != 3:
        raise ValueError("wanted coefficients (z, y, x), runs (n, 4) and points (n, 3)")
    size = np.asarray(coefficients.shape) - 2 * MARGIN_VOXELS
    if size.min() < 1 or runs.dtype.kind not in "iu" or not np.isfinite(points).all():
        raise ValueError("wanted an image of one voxel or more, runs of whole numbers and finite points")
    if not len(runs):
        return np.zeros((0, len(points)))
    ends = np.column_stack([runs[:, 0] + 1, runs[:, 1] + 1, runs[:, 2] + runs[:, 3]])  # z, y, x after the last voxel
    if runs[:, :3].min() < 0 or runs[:, 3].min() < 1 or runs.max() > size.max() or np.any(ends > size):
        raise ValueError("runs must lie in the image")
    arrays = (coefficients, np.float64), (runs, np.int64), (points, np.float64)
    return _sphere_samples(*(np.ascontiguousarray(array, kind) for array, kind in arrays))


def pattern_weights(above: np.ndarray, harmonics: np.ndarray) -> np.ndarray:
    """Each pattern's weight in each harmonic: complex, shape (voxels, harmonics).

    above: bool, shape (voxels, points), the pattern. harmonics: complex, shape (points, harmonics).
    Raises ValueError when the points are not equally many.
    """
    if above.ndim != 2 or harmonics.ndim != 2 or above.shape[1] != len(harmonics):
        raise ValueError(f"patterns and harmonics must have the same points, got {above.shape} and {harmonics.shape}")
    return _pattern_weights(np.ascontiguousarray(above, np.bool_), np.ascontiguousarray(harmonics, np.complex128))


@compiled
def _sphere_samples(coefficients: np.ndarray, runs: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The samples of ``sphere_samples`` for arguments that were checked."""
    nz, ny, nx = [n - 2 * MARGIN_VOXELS for n in coefficients.shape]
    samples = np.zeros((runs[:, 3].sum(), len(points)))
    weights = np.empty((4, runs[:, 3].max()))
    done = 0
    for run in runs:
        here = np.arange(run[2], run[2] + run[3])
        for p in range(len(points)):
            z, y, xs = run[0] + points[p, 0], run[1] + points[p, 1], here + points[p, 2]
            if z < 0 or z > nz - 1 or y < 0 or y > ny - 1:
                continue
            low, high = np.searchsorted(xs, 0.0), np.searchsorted(xs, nx - 1.0, side="right")
            if low < high:
                samples[done + low : done + high, p] = _row_samples(coefficients, z, y, xs[low:high], weights)
        done += run[3]
    return samples


@compiled
def _pattern_weights(above: np.ndarray, harmonics: np.ndarray) -> np.ndarray:
    """The weights of ``pattern_weights`` for arguments that were checked."""
    weights = np.zeros((len(above), harmonics.shape[1]), np.complex128)
    for i in range(len(above)):
        for p in range(above.shape[1]):
            if above[i, p]:
                for h in range(harmonics.shape[1]):
                    weights[i, h] += harmonics[p, h]
    return weights
