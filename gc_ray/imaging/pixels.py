"""Pixel data of CT slices: their length checked from the file's structure, decoded, and rescaled to HU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from pydicom.encaps import get_frame

from gc_ray.errors import ScanError
from gc_ray.imaging.dicom_files import (
    DicomFile,
    blaming,
    dicom_stream,
    numbers,
    open_dicom,
    printable_uid,
    quiet_libraries,
    text,
)
from gc_ray.imaging.jpeg import check_jpeg

# Transfer syntaxes that may lose information: JPEG baseline and extended, JPEG-LS near-lossless,
# JPEG 2000 and HTJ2K in their not strictly reversible forms (DICOM PS3.5, A.4).
LOSSY_SYNTAXES = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 81, 91, 203))

JPEG = tuple(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 57, 70))
JPEG_LS = tuple(f"1.2.840.10008.1.2.4.{n}" for n in (80, 81))

PIXEL_KEYWORDS = [
    *("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames"),
    *("BitsAllocated", "BitsStored", "PixelRepresentation", "LossyImageCompression"),
    *("RescaleSlope", "RescaleIntercept", "RescaleType"),
]
MAX_RESCALE = 1e6  # no scanner comes near it, and integer HU stay exact below it
MAX_SIDE = 4096  # pixels; the largest CT matrix in use is 2048, and a compressed slice may promise anything
HU_TYPES = ("", "HU", "US")  # US = unspecified, which scanners and converters write for HU


def is_lossy(file: DicomFile) -> bool:
    """Whether a slice was compressed with loss, now or at any time before."""
    return text(file, "LossyImageCompression") == "01" or file.transfer_syntax in LOSSY_SYNTAXES


def matrix(file: DicomFile) -> tuple[int, int]:
    """(rows, columns) of a grey-scale slice of one frame; raises ScanError for anything else."""
    rows, columns = numbers(file, "Rows", 1), numbers(file, "Columns", 1)
    if rows is None or columns is None or min(rows + columns) < 1:
        raise ScanError(f"{file.name}: Rows or Columns is missing: no pixel data to be had, not an image")
    if max(rows + columns) > MAX_SIDE:
        raise ScanError(f"{file.name}: {columns[0]:g} x {rows[0]:g} pixels, no CT has more than {MAX_SIDE} a side")
    if (numbers(file, "NumberOfFrames", 1) or (1.0,))[0] > 1:
        raise ScanError(f"{file.name}: several frames in one CT object; export the series as one file per slice")
    if (numbers(file, "SamplesPerPixel", 1) or (1.0,))[0] != 1:
        raise ScanError(f"{file.name}: a colour image, wanted grey values (SamplesPerPixel 1)")
    if text(file, "PhotometricInterpretation") != "MONOCHROME2":
        raise ScanError(f"{file.name}: PhotometricInterpretation is not MONOCHROME2, the only one a CT may have")
    return int(rows[0]), int(columns[0])


def rescale(file: DicomFile) -> tuple[float, float] | None:
    """(slope, intercept) to HU, None when either is missing; raises ScanError when the result is not HU."""
    slope, intercept = numbers(file, "RescaleSlope", 1), numbers(file, "RescaleIntercept", 1)
    if slope is None or intercept is None:
        return None
    if not 0 < abs(slope[0]) < MAX_RESCALE or abs(intercept[0]) > MAX_RESCALE:
        raise ScanError(f"{file.name}: RescaleSlope is 0 or the rescale lies beyond any HU scale; export it again")
    if text(file, "RescaleType") not in HU_TYPES:
        raise ScanError(f"{file.name}: RescaleType says that the values are not HU; use the HU series")
    return slope[0], intercept[0]


def hu_bounds(file: DicomFile, slope: float, intercept: float) -> tuple[float, float]:
    """The lowest and the highest HU that a slice can hold, going by the bits of its header."""
    bits, sign = numbers(file, "BitsAllocated", 1), numbers(file, "PixelRepresentation", 1)
    if bits is None or sign is None or bits[0] not in (8, 16, 32):
        return -np.inf, np.inf
    lowest = -(2.0 ** (bits[0] - 1)) if sign[0] else 0.0
    ends = [slope * stored + intercept for stored in (lowest, lowest + 2.0 ** bits[0] - 1)]
    return min(ends), max(ends)


def check_pixel_bytes(file: DicomFile, values: int) -> None:
    """Raises ScanError unless the file holds pixel data of ``values`` values, whole to the last byte."""
    span = file.pixels
    if span is None:
        raise ScanError(f"{file.name}: no pixel data in the file; copy or export it again")
    if span.encapsulated:
        if not span.ended or span.held_bytes == 0:
            raise ScanError(f"{file.name}: truncated: its compressed pixel data break off; copy it again")
        return
    bits = numbers(file, "BitsAllocated", 1)
    if bits is None:
        raise ScanError(f"{file.name}: BitsAllocated is missing, so the pixel data cannot be decoded")
    wanted = -(-values * int(bits[0]) // 8)
    if span.held_bytes < wanted or not span.ended:
        raise ScanError(
            f"{file.name}: truncated: it holds {span.held_bytes} of {wanted} bytes of pixel data; copy it again"
        )


def decode(file: DicomFile, shape: tuple[int, int]) -> np.ndarray:
    """The stored integer values (rows, columns) of one slice."""
    uid = printable_uid(file.transfer_syntax)
    with blaming(file.name, f"its pixel data cannot be decoded (transfer syntax {pydicom.uid.UID(uid).name}, {uid})"):
        with dicom_stream(file.path, file.name) as stream:
            data = pydicom.dcmread(stream)
            # on a damaged stream GDCM ends the process
            if file.transfer_syntax in JPEG_LS:
                data.pixel_array_options(decoding_plugin="pyjpegls")
            if file.transfer_syntax in JPEG:
                check_jpeg(get_frame(data.PixelData, 0, number_of_frames=1), shape, data.BitsAllocated // 8)
            stored = data.pixel_array
        if stored.shape != shape or stored.dtype.kind not in "iu":
            raise ValueError
    return stored


def to_hu(stored: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    """Hounsfield units ``slope * stored + intercept``: int32 when both are whole numbers, else float64."""
    if slope.is_integer() and intercept.is_integer():
        hu = stored.astype(np.int64) * int(slope) + int(intercept)
        if np.abs(hu).max() <= np.iinfo(np.int32).max:
            return hu.astype(np.int32)
    return slope * stored.astype(np.float64) + intercept


def fits_int16(hu: np.ndarray) -> bool:
    """Whether whole-numbered values survive as int16."""
    bounds = np.iinfo(np.int16)
    return hu.dtype.kind == "i" and hu.min() >= bounds.min and hu.max() <= bounds.max


def read_slice_hu(path: Path) -> np.ndarray:
    """The Hounsfield units (rows, columns) of one DICOM slice: int16 where they fit, else int32 or float64.

    Raises ScanError, naming the file, when it is no complete grey-scale CT image with a rescale to HU.
    """
    with quiet_libraries():
        file = open_dicom(path, path.name, PIXEL_KEYWORDS)
        shape, scale = matrix(file), rescale(file)
        if scale is None:
            raise ScanError(f"{file.name}: RescaleSlope or RescaleIntercept is missing, so HU are unknown")
        check_pixel_bytes(file, shape[0] * shape[1])
        hu = to_hu(decode(file, shape), *scale)
    return hu.astype(np.int16) if fits_int16(hu) else hu
