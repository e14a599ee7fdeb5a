"""Opens DICOM objects: headers without pixels, with every defect reported as a ``ScanError`` that names the file."""

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
from pydicom.filereader import read_dataset, read_preamble
from pydicom.tag import Tag

from gc_ray.errors import MaskError, ScanError
from gc_ray.imaging.pixel_span import UNDEFINED_LENGTH, PixelSpan, find_pixel_data

EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
META_GROUP = 0x0002  # DICOM PS3.10, 7.1: the elements before the data set, which name its transfer syntax
# Of a deflated file, which may grow a thousandfold: four times a SEG of 1,000 slices of 512 x 512 bits.
MAX_INFLATED_BYTES = 1 << 27
# Of one file: several for each element, and a structure set of 10,000 contours has 100,000 elements.
MAX_READS = 500_000

NOT_DICOM = "not a valid DICOM file (empty, cut short, or without preamble and file meta header); replace it"

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


class BoundedReader:
    """A stream that gives no more bytes than it has, whatever an element declares, and ends a file of endless ones.

    ValueError after MAX_READS reads: some tens of bytes of a deflated file can hold millions of empty elements.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._reads = stream, 0
        self._bytes = stream.seek(0, os.SEEK_END)
        self.seek, self.tell = stream.seek, stream.tell
        stream.seek(0)

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes, all that are left when it is negative."""
        self._reads += 1
        if self._reads > MAX_READS:
            raise ValueError
        return self._stream.read(min(size, self._bytes))


@contextmanager
def dicom_stream(path: Path, name: str) -> Iterator[BoundedReader]:
    """A DICOM file for pydicom to read within bounds of memory and time; a deflated one comes inflated.

    Raises ScanError when it inflates to more than MAX_INFLATED_BYTES, and PARSER_ERRORS.
    """
    with path.open("rb") as stream:
        yield bounded(stream, name)


def bounded(stream: BinaryIO, name: str) -> BoundedReader:
    """As ``dicom_stream``, from a file that is open, or bytes in memory."""
    reader = BoundedReader(stream)
    read_preamble(reader, force=False)
    start = reader.tell()
    try:
        meta = _meta(reader, False)
    except NotImplementedError:  # pydicom then takes it for implicit, too
        reader.seek(start)
        meta = _meta(reader, True)
    deflated, end = meta.get("TransferSyntaxUID") == DEFLATED, reader.tell()
    reader.seek(0)
    if not deflated:
        return reader
    head = reader.read(end).replace(DEFLATED.encode(), EXPLICIT.encode().ljust(len(DEFLATED), b"\0"))
    return BoundedReader(io.BytesIO(head + _inflated(reader.read(), name)))


def _meta(reader: BoundedReader, implicit: bool) -> Dataset:
    """The file meta group; NotImplementedError when its first element has no VR that exists."""
    meta = read_dataset(reader, implicit, True, stop_when=lambda tag, vr, length: tag.group != META_GROUP)
    for tag in list(meta.keys())[:1]:
        meta[tag]
    return meta


def _inflated(packed: bytes, name: str) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    plain = inflater.decompress(packed, MAX_INFLATED_BYTES)
    if inflater.eof:
        return plain
    if len(plain) < MAX_INFLATED_BYTES:
        raise EOFError
    raise ScanError(
        f"{name}: inflates to more than {MAX_INFLATED_BYTES >> 20} MiB, no slice or segmentation does; "
        "export it without deflate"
    )


def open_dicom(path: Path, name: str, keywords: list[str | int] | None = None) -> DicomFile:
    """One DICOM object's header (only ``keywords``, or tags, when given; SOPClassUID and Modality always).

    Raises ScanError when the file is no complete DICOM file with meta header and transfer syntax.
    """
    wanted = None if keywords is None else ["SOPClassUID", "Modality", *keywords]
    with (
        blaming(name, NOT_DICOM),
        dicom_stream(path, name) as stream,
    ):
        header = pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=wanted)
        syntax = str(header.file_meta.get("TransferSyntaxUID") or "")
        pixels = find_pixel_data(stream, syntax == BIG_ENDIAN)
        cut_short = any(map(_cut_short, map(header.get_item, header.keys())))
    if not syntax:
        raise ScanError(f"{name}: the file meta names no transfer syntax, so it cannot be decoded; export it again")
    if cut_short:
        raise ScanError(f"{name}: truncated inside its header; copy it again")
    return DicomFile(path, name, syntax, pixels, header)


def _cut_short(element: object) -> bool:
    """Whether an element not yet converted holds fewer bytes than it declares; pydicom itself does not look."""
    if not isinstance(element, RawDataElement) or element.length == UNDEFINED_LENGTH:
        return False
    return len(element.value or b"") < element.length


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
        _check_comma(file, keyword)
        value = file.header.get(keyword)
        if value is None or value == "":
            return None
        found = tuple(float(v) for v in np.atleast_1d(value))
        if len(found) != count or not np.isfinite(found).all():
            raise ValueError
        return found


def _check_comma(file: DicomFile, keyword: str) -> None:
    """ScanError for a number that is written with a decimal comma: 1,000 could be one or a thousand."""
    tag = Tag(keyword)
    held = file.header.get_item(tag) if tag in file.header else None
    value = (held.value or b"") if isinstance(held, RawDataElement) else b""
    if b"," in value and re.fullmatch(rb"[\s\d.,+\\eE-]+", value):
        raise ScanError(f"{file.name}: {keyword} has a decimal comma, DICOM wants a point; export it again")
