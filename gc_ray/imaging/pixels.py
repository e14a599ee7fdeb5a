"""Pixel data of CT slices: their length checked from the file's structure, decoded, and rescaled to HU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from pydicom import Dataset
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
from gc_ray.imaging.jpeg import SAMPLED, Sample, check_jpeg, sample_of
from gc_ray.imaging.padding import PADDING_KEYWORDS
from gc_ray.imaging.pixel_bits import BIT_TAGS, PixelBits, read_bits
from gc_ray.imaging.pixel_values import pixel_values
from gc_ray.imaging.rescale import RESCALE_KEYWORDS, fits_int16, rescale, to_hu

# Transfer syntaxes that may lose information: JPEG baseline and extended, JPEG-LS near-lossless,
# JPEG 2000 and HTJ2K in their not strictly reversible forms (DICOM PS3.5, A.4).
LOSSY_SYNTAXES = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 81, 91, 203))

JPEG = tuple(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 57, 70))
JPEG_LS = tuple(f"1.2.840.10008.1.2.4.{n}" for n in (80, 81))

PIXEL_KEYWORDS = [
    *("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames"),
    "LossyImageCompression",
    *PADDING_KEYWORDS,
    *BIT_TAGS,
    *RESCALE_KEYWORDS,
]
MAX_SIDE = 4096  # pixels; the largest CT matrix in use is 2048, and a compressed slice may promise anything


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


def decode(file: DicomFile, shape: tuple[int, int], bits: PixelBits) -> tuple[np.ndarray, list[str]]:
    """Decode one slice.

    Parameters
    ----------
    file : DicomFile
        The slice.
    shape : tuple of int
        (rows, columns) that its header promises.
    bits : PixelBits
        The bits of its pixels.

    Returns
    -------
    values : ndarray of int, shape (rows, columns)
        The stored values.
    notes : list of str
        What was unusual in these pixels and was read all the same.

    Raises
    ------
    ScanError
        When the slice cannot be decoded or its bits can be read in two ways.
    """
    uid = printable_uid(file.transfer_syntax)
    with blaming(file.name, f"its pixel data cannot be decoded (transfer syntax {pydicom.uid.UID(uid).name}, {uid})"):
        with dicom_stream(file.path, file.name) as stream:
            data = pydicom.dcmread(stream)
            sample = _sample(file, data, shape)
            # Decoders shift, mask and extend by these, each in another way: all get whole unsigned cells.
            data.BitsStored = bits.allocated if sample is None else sample.precision
            data.HighBit, data.PixelRepresentation = data.BitsStored - 1, 0
            # on a damaged stream GDCM ends the process
            if file.transfer_syntax in JPEG_LS:
                data.pixel_array_options(decoding_plugin="pyjpegls")
            cells = data.pixel_array
        if cells.shape != shape or cells.dtype.kind != "u":
            raise ValueError
        cells = cells.astype(f"u{cells.itemsize}", copy=False)  # in this machine's byte order
    return pixel_values(cells, bits, sample, file.name)


def _sample(file: DicomFile, data: Dataset, shape: tuple[int, int]) -> Sample | None:
    """What the compressed stream says of its samples; ValueError when it does not go with the header."""
    if file.transfer_syntax not in SAMPLED:
        return None
    stream = get_frame(data.PixelData, 0, number_of_frames=1)
    if file.transfer_syntax in JPEG:
        check_jpeg(stream, shape, data.BitsAllocated // 8)
    sample = sample_of(stream, file.transfer_syntax)
    if not 0 < sample.precision <= data.BitsAllocated:
        raise ValueError
    return sample


def read_slice_hu(path: Path) -> np.ndarray:
    """The Hounsfield units (rows, columns) of one DICOM slice: int16 where they fit, else int32 or float64.

    Raises ScanError, naming the file, when it is no complete grey-scale CT image with a rescale to HU.
    """
    with quiet_libraries():
        file = open_dicom(path, path.name, PIXEL_KEYWORDS)
        shape, scale, bits = matrix(file), rescale(file), read_bits(file)
        if scale is None:
            raise ScanError(f"{file.name}: RescaleSlope or RescaleIntercept is missing, so HU are unknown")
        check_pixel_bytes(file, shape[0] * shape[1])
        hu = to_hu(decode(file, shape, bits)[0], *scale)
    return hu.astype(np.int16) if fits_int16(hu) else hu
