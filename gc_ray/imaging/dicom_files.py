"""Opens DICOM objects: headers without pixels, with every defect told as a ``ScanError`` that names the file."""

from __future__ import annotations

import io
import os
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import FileDataset, read_dataset, read_preamble

from gc_ray.errors import MaskError, ScanError
from gc_ray.imaging.pixel_span import UNDEFINED_LENGTH, PixelSpan, find_pixel_data

DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
META_GROUP = 0x0002  # DICOM PS3.10, 7.1: the elements before the data set, which name its transfer syntax
# Of a deflated file, which may grow a thousandfold: four times a SEG of 1,000 slices of 512 x 512 bits.
MAX_INFLATED_BYTES = 1 << 27
INFLATED_AT_A_TIME = 1 << 20  # bytes held while the inflated size is counted

# Whatever a foreign file makes a parser raise; the exceptions' own words may quote header values and are dropped.
PARSER_ERRORS = (
    ArithmeticError,
    AttributeError,
    BytesLengthException,
    EOFError,
    InvalidDicomError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)

# Modalities that a message may repeat; anything else in that field could be text about a patient.
MODALITIES = (
    *("CT", "MR", "PT", "NM", "US", "CR", "DX", "MG", "XA", "RF", "OT", "SC", "SR", "KO", "PR", "DOC", "SEG", "REG"),
    *("RTSTRUCT", "RTDOSE", "RTPLAN", "RTIMAGE", "RTRECORD"),
)


@dataclass(frozen=True)
class DicomFile:
    """One DICOM object without its pixels; ``name`` is its path relative to the scan's folder."""

    path: Path
    name: str
    transfer_syntax: str
    pixels: PixelSpan | None
    header: Dataset = field(repr=False)

    @property
    def sop_class(self) -> str:
        """SOP Class UID, empty when missing."""
        return text(self, "SOPClassUID")

    @property
    def modality(self) -> str:
        """The modality when it is a known one, else ``other``; safe to print."""
        modality = text(self, "Modality")
        return modality if modality in MODALITIES else "other"


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keeps pydicom and SimpleITK from printing header values and paths, in the whole process until exit."""
    settings, logger = pydicom.config.settings, pydicom.config.logger
    before = settings.reading_validation_mode, logger.disabled, sitk.ProcessObject.GetGlobalWarningDisplay()
    settings.reading_validation_mode, logger.disabled = pydicom.config.IGNORE, True
    sitk.ProcessObject.GlobalWarningDisplayOff()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        settings.reading_validation_mode, logger.disabled = before[:2]
        sitk.ProcessObject.SetGlobalWarningDisplay(before[2])


@contextmanager
def blaming(name: str, what: str) -> Iterator[None]:
    """Turns a parser's exception into a ``ScanError`` "name: what" without the parser's own words."""
    try:
        yield
    except (ScanError, MaskError):
        raise
    except PARSER_ERRORS:
        raise ScanError(f"{name}: {what}") from None


class BoundedFile(io.BufferedReader):
    """A file to read that never asks for more memory than it has bytes, whatever length an element declares."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._bytes = os.fstat(self.fileno()).st_size

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes, all that are left when it is negative."""
        return super().read(min(size, self._bytes))


def parse_dicom(stream: BinaryIO, name: str, **options) -> FileDataset:
    """The data set that ``pydicom.dcmread`` gives with these options, unless a deflated one would fill the memory.

    stream: a BoundedFile or bytes in memory, from the start. Raises ScanError for too much, PARSER_ERRORS otherwise.
    """
    _check_inflated(stream, name)
    stream.seek(0)
    return pydicom.dcmread(stream, **options)


def open_dicom(path: Path, name: str, keywords: list[str] | None = None) -> DicomFile:
    """One DICOM object's header (only ``keywords`` when given; SOPClassUID and Modality always).

    Raises ScanError when the file is no complete DICOM file with meta header and transfer syntax.
    """
    wanted = None if keywords is None else ["SOPClassUID", "Modality", *keywords]
    with (
        blaming(name, "not a valid DICOM file (empty, cut short, or without preamble and file meta header); replace it"),
        BoundedFile(path) as stream,
    ):
        header = parse_dicom(stream, name, stop_before_pixels=True, specific_tags=wanted)
        syntax = str(header.file_meta.get("TransferSyntaxUID") or "")
        if syntax == DEFLATED:
            stream.seek(0)
            pixels = _inflated_pixel_data(stream)
        else:
            pixels = find_pixel_data(stream, syntax == BIG_ENDIAN)
    if not syntax:
        raise ScanError(f"{name}: the file meta names no transfer syntax, so it cannot be decoded; export it again")
    if any(map(_cut_short, map(header.get_item, header.keys()))):
        raise ScanError(f"{name}: truncated inside its header; copy it again")
    return DicomFile(path, name, syntax, pixels, header)


def _cut_short(element: object) -> bool:
    """Whether an element not yet converted holds fewer bytes than it declares; pydicom itself does not look."""
    if not isinstance(element, RawDataElement) or element.length == UNDEFINED_LENGTH:
        return False
    return len(element.value or b"") < element.length


def _check_inflated(stream: BinaryIO, name: str) -> None:
    """Raises ScanError when a deflated file holds more than MAX_INFLATED_BYTES; pydicom would inflate it all."""
    read_preamble(stream, force=False)
    start = stream.tell()
    try:
        meta = _meta(stream, False)
    except NotImplementedError:  # pydicom then takes it for implicit, too
        stream.seek(start)
        meta = _meta(stream, True)
    if meta.get("TransferSyntaxUID") != DEFLATED:
        return
    inflater, size, packed = zlib.decompressobj(-zlib.MAX_WBITS), 0, stream.read()
    while packed and not inflater.eof and size <= MAX_INFLATED_BYTES:
        size += len(inflater.decompress(packed, INFLATED_AT_A_TIME))
        packed = inflater.unconsumed_tail
    if size > MAX_INFLATED_BYTES:
        raise ScanError(
            f"{name}: inflates to more than {MAX_INFLATED_BYTES >> 20} MiB, no slice or segmentation does; "
            "export it without deflate"
        )


def _meta(stream: BinaryIO, implicit: bool) -> Dataset:
    """The file meta group; NotImplementedError when its first element has no VR that exists."""
    meta = read_dataset(stream, implicit, True, stop_when=lambda tag, vr, length: tag.group != META_GROUP)
    for tag in list(meta.keys())[:1]:
        meta[tag]
    return meta


def _inflated_pixel_data(stream: BinaryIO) -> PixelSpan | None:
    pixels = pydicom.dcmread(stream, specific_tags=["PixelData"]).get_item("PixelData")
    return None if pixels is None else PixelSpan(len(pixels.value), False, len(pixels.value) >= pixels.length)


def text(file: DicomFile, keyword: str) -> str:
    """A header value as stripped text, empty when missing; for comparing, and printable only for UIDs."""
    with blaming(file.name, f"{keyword} is invalid"):
        value = file.header.get(keyword)
        return "" if value is None else str(value).strip()


def printable_uid(uid: str) -> str:
    """A UID for a message; anything that is not digits and dots could be text about a patient and is not repeated."""
    return uid if re.fullmatch(r"[0-9.]{1,64}", uid) else "(no valid UID)"


def numbers(file: DicomFile, keyword: str, count: int) -> tuple[float, ...] | None:
    """A header value as ``count`` finite floats, None when missing or empty; ScanError for anything else."""
    with blaming(file.name, f"{keyword} is invalid, wanted {count} number(s)"):
        value = file.header.get(keyword)
        if value is None or value == "":
            return None
        found = tuple(float(v) for v in np.atleast_1d(value))
        if len(found) != count or not np.isfinite(found).all():
            raise ValueError
        return found
