"""PyRadiomics' Laplacian of Gaussian, computed for the region's box and no further than the box needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import SimpleITK as sitk
from radiomics import imageoperations

# Images of these types ITK keeps in float32 between the passes of its filter, and so does one pass alone.
FILTERED_IN_FLOAT32 = (sitk.sitkInt16, sitk.sitkInt32, sitk.sitkFloat32)


def log_images(image: sitk.Image, roi: sitk.Image, **own: Any) -> Iterator[tuple[sitk.Image, str, dict[str, Any]]]:
    """Laplacians of Gaussians: (image, name, settings) for each of ``sigma`` (mm), equal to PyRadiomics' to the bit.

    Only the box of ``roi`` holds values. Source: ``radiomics.imageoperations.getLoGImage`` of PyRadiomics 3, which
    runs ``LaplacianRecursiveGaussianImageFilter`` of ITK and decides which sigmas an image is large enough for.
    """
    size, spacing_mm = np.asarray(image.GetSize()), np.asarray(image.GetSpacing())
    large = size.min() >= 4 and all(s > 0 and np.all(size >= np.ceil(s / spacing_mm) + 1) for s in own["sigma"])
    if not large or image.GetPixelID() not in FILTERED_IN_FLOAT32:
        yield from imageoperations.getLoGImage(image, roi, **own)
        return
    box = _box(roi, own.get("label", 1))
    for sigma in own["sigma"]:
        result = np.zeros(size[::-1], np.float32)
        result[box] = _laplacian(image, sigma, box)
        made = sitk.GetImageFromArray(result)
        made.CopyInformation(image)
        yield made, f"log-sigma-{str(sigma).replace('.', '-')}-mm-3D", own


def _box(roi: sitk.Image, label: int) -> tuple[slice, ...]:
    """The smallest box that holds the region, z, y, x."""
    where = np.nonzero(sitk.GetArrayViewFromImage(roi) == label)
    return tuple(slice(int(along.min()), int(along.max()) + 1) for along in where)


def _laplacian(image: sitk.Image, sigma: float, box: tuple[slice, ...]) -> np.ndarray:
    """ITK's Laplacian in ``box``: the sum over the axes of a second derivative along one, smoothed along the others.

    Each pass works along lines that do not know of each other, and the lines outside the box are of no use to the
    passes that follow: what a pass leaves is cut to the box along its own axis.
    """
    total = np.zeros([part.stop - part.start for part in box], np.float32)
    for derived in range(3):
        along = [derived, *(axis for axis in range(3) if axis != derived)]
        part = image
        for axis in along:
            order = sitk.RecursiveGaussianImageFilter.SecondOrder if axis == derived else 0
            part = _cut(sitk.RecursiveGaussian(part, sigma, True, order, axis), axis, box[2 - axis])
        per_mm2 = np.float64(1 / image.GetSpacing()[derived] ** 2)
        # As ITK: each sum is made in double precision and kept in single.
        total = (total + sitk.GetArrayViewFromImage(part) * per_mm2).astype(np.float32)
    return total


def _cut(image: sitk.Image, axis: int, kept: slice) -> sitk.Image:
    lower, upper = [0, 0, 0], [0, 0, 0]
    lower[axis], upper[axis] = kept.start, image.GetSize()[axis] - kept.stop
    return sitk.Crop(image, lower, upper)
