"""What the header of one CT slice says, and whether the slices of a series agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gc_ray.errors import ScanError
from gc_ray.imaging.dicom_files import DicomFile, numbers, text
from gc_ray.imaging.pixel_bits import PixelBits, read_bits
from gc_ray.imaging.pixels import PIXEL_KEYWORDS, check_pixel_bytes, matrix
from gc_ray.imaging.rescale import rescale

SLICE_KEYWORDS = [
    *("SOPInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "PatientID", "ImageType"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"),
    *PIXEL_KEYWORDS,
]

SPACING_TOLERANCE_MM = 1e-5  # over 1,000 voxels it moves the far edge by 0.01 mm
ORIENTATION_TOLERANCE = 1e-4  # cosines written with four decimals; 0.05 mm over a field of view of 500 mm


@dataclass(frozen=True)
class Slice:
    """What one CT slice's header says; lengths in millimetres, ``spacing`` as (between rows, between columns)."""

    file: DicomFile
    shape: tuple[int, int]
    spacing: tuple[float, float]
    orientation: tuple[float, ...]
    position: tuple[float, float, float]
    rescale: tuple[float, float] | None
    thickness: float | None
    bits: PixelBits


def read_slice(file: DicomFile) -> Slice:
    """A slice's header as plain numbers; raises ScanError when position, orientation, spacing or pixels are amiss."""
    shape = matrix(file)
    position, orientation = numbers(file, "ImagePositionPatient", 3), numbers(file, "ImageOrientationPatient", 6)
    spacing, thickness = numbers(file, "PixelSpacing", 2), numbers(file, "SliceThickness", 1)
    for keyword, value in (
        ("ImagePositionPatient", position),
        ("ImageOrientationPatient", orientation),
        ("PixelSpacing", spacing),
    ):
        if value is None:
            raise ScanError(f"{file.name}: {keyword} is missing, so the slice has no place in space")
    if min(spacing) <= 0:
        raise ScanError(f"{file.name}: PixelSpacing must be positive")
    row, column = np.reshape(orientation, (2, 3))
    if max(abs(row @ row - 1), abs(column @ column - 1), abs(row @ column)) > 10 * ORIENTATION_TOLERANCE:
        raise ScanError(f"{file.name}: ImageOrientationPatient is not two orthogonal unit vectors")
    bits = read_bits(file)
    check_pixel_bytes(file, shape[0] * shape[1])
    return Slice(file, shape, spacing, orientation, position, rescale(file), thickness and thickness[0], bits)


def check_agreement(slices: Sequence[Slice]) -> None:
    """Raises ScanError unless all slices belong to one image of one patient with known HU."""
    unknown = [s.file.name for s in slices if s.rescale is None]
    if unknown:
        raise ScanError(
            f"{unknown[0]}: RescaleSlope or RescaleIntercept is missing in {len(unknown)} of {len(slices)} slices, "
            "so HU are unknown; export the series again"
        )
    _want_one(slices, "Rows x Columns", lambda s: s.shape, 0)
    _want_one(slices, "PixelSpacing", lambda s: s.spacing, SPACING_TOLERANCE_MM)
    _want_one(slices, "ImageOrientationPatient", lambda s: s.orientation, ORIENTATION_TOLERANCE)
    for keyword, meaning in (
        ("FrameOfReferenceUID", "several coordinate systems"),
        ("PatientID", "several patients"),
    ):
        if len({text(s.file, keyword) for s in slices} - {""}) > 1:
            raise ScanError(f"{keyword} differs between the slices of one series: {meaning}; separate the files")


def _want_one(
    slices: Sequence[Slice], what: str, value: Callable[[Slice], tuple[float, ...]], tolerance: float
) -> None:
    first = np.asarray(value(slices[0]), float)
    odd = [s.file.name for s in slices if np.abs(np.asarray(value(s)) - first).max() > tolerance]
    if odd:
        raise ScanError(
            f"{odd[0]}: {what} differs from {slices[0].file.name} ({len(odd)} of {len(slices)} slices differ); "
            "wanted one series of equal slices"
        )
