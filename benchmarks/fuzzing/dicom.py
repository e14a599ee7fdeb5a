"""Mutations that know DICOM: values, sequences, sizes, transfer syntaxes, fragments and compressed streams."""

from __future__ import annotations

import re
import struct
import zlib
from functools import cache
from io import BytesIO

import pydicom
from fuzzing.mutate import EDGES, LONG, SECRET, Files, Rng, deflated_zeros, pick, spoil, spoil_one
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

UNDEFINED = 0xFFFFFFFF
DEFLATED = "1.2.840.10008.1.2.1.99"
SYNTAXES = (
    *("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", DEFLATED, "1.2.840.10008.1.2.5"),
    *(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 57, 70, 80, 81, 90, 91, 100, 102, 201, 203)),
    *("1.2.840.10008.1.2.8.1", "1.2.3.4", "", SECRET),
)
VRS = ("AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "OB", "OW", "OF", "PN", "SH", "SL")
VRS += ("SQ", "SS", "ST", "TM", "UC", "UI", "UL", "UN", "UR", "US", "UT", "ZZ")
TEXTS = (
    *(b"", b"  ", b"\0", b"NaN ", b"inf ", b"-1", b"0 ", b"1e308 ", b"-1e308", b"1e-320", b"99999999999999999999"),
    *(b"1\\2", b"0\\0", b"nan\\nan", b"1\\2\\3\\4\\5\\6\\7", b"0\\0\\0\\0\\0\\0", b"1e200\\1e200", b"1\\2\\nan"),
    *(SECRET.encode(), f"{SECRET}\\{SECRET}".encode(), b"\xff\xfe\x80\x81", b"\x1b$B!!", b"A\nB", b"9" * 5000),
    *(b"1" * LONG, b"1\\" * (LONG // 2)),
)
SIZES = ("Rows", "Columns", "NumberOfFrames", "BitsAllocated", "BitsStored", "HighBit", "SamplesPerPixel")
REPEATED = (Tag("ROIName"), Tag("SegmentLabel"))  # a message names the region: nothing is planted there
WANTED = (
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept"),
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality", "ImageType"),
    *("PixelRepresentation", "PhotometricInterpretation", "SliceThickness", "SpecificCharacterSet", "PatientID"),
    *("SegmentSequence", "SegmentationType", "MaximumFractionalValue", "PerFrameFunctionalGroupsSequence"),
    *("SharedFunctionalGroupsSequence", "ReferencedSeriesSequence", "StructureSetROISequence", "ROIContourSequence"),
    *("ReferencedFrameOfReferenceSequence", "PixelData"),
)


def spoil_dicom(files: Files, rng: Rng) -> Files:
    """The folder with its DICOM files damaged: bytes of one, elements of one or all, or the files themselves."""
    kind = rng.random()
    if kind < 0.3:
        return spoil_one(files, rng)
    if kind < 0.35:
        return _shuffled(files, rng)
    names = sorted(files)
    chosen = names if rng.random() < 0.4 else [pick(rng, names)]
    way = pick(rng, WAYS)
    seed = int(rng.integers(2**32))
    # the same way and the same random numbers in every file, so that the slices still agree with each other
    return {**files, **{name: _edited(files[name], way, seed) for name in chosen}}


def _shuffled(files: Files, rng: Rng) -> Files:
    """Files doubled, lost, emptied, or joined by other names."""
    name, other = pick(rng, sorted(files)), pick(rng, sorted(files))
    lost = {k: v for k, v in files.items() if k != name}
    options = (
        {**files, "copy.dcm": files[name]},
        {**files, "sub/other.dcm": files[name]},
        {**files, "a": b"", "b.txt": b"x"},
        {**files, name: files[other]},
        {**files, "loop": ".", "away.dcm": "/dev/null"},
        lost or files,
    )
    return pick(rng, options)


def _edited(data: bytes, way, seed: int) -> bytes:
    """The file after one edit of its elements; with its bytes damaged where it cannot be read or written."""
    import numpy as np

    rng = np.random.default_rng(seed)
    try:
        header = pydicom.dcmread(BytesIO(data))
        done = way(header, rng)
        if isinstance(done, bytes):
            return done
        out = BytesIO()
        pydicom.dcmwrite(out, header, enforce_file_format=False)
        return out.getvalue()
    except Exception:  # noqa: BLE001 - the seed is ugly itself, or the edit cannot be written
        return spoil(data, rng)


def _raw(tag: BaseTag, vr: str, value: bytes, length: int | None = None) -> RawDataElement:
    return RawDataElement(tag, vr, len(value) if length is None else length, value, 0, False, True)


def _put(item: Dataset, tag: BaseTag, vr: str, value: bytes, length: int | None = None) -> None:
    item._dict[Tag(tag)] = _raw(Tag(tag), vr, value + b" " * (len(value) % 2), length)


def _place(header: Dataset, rng: Rng) -> Dataset:
    """The data set itself or an item of its sequences, at any depth."""
    item = header
    while rng.random() < 0.6:
        below = [e for e in item if e.VR == "SQ" and len(e.value)]
        if not below:
            break
        sequence = pick(rng, below).value
        item = sequence[int(rng.integers(len(sequence)))]
    return item


def _some_tag(item: Dataset, rng: Rng) -> BaseTag:
    wanted = [Tag(k) for k in WANTED if k in item]
    return pick(rng, wanted) if wanted and rng.random() < 0.6 else pick(rng, list(item.keys()))


def retext(header: Dataset, rng: Rng) -> None:
    """A value replaced by text that is too long, no number, extreme, or a planted identifier."""
    item = _place(header, rng)
    tag = _some_tag(item, rng)
    vr = item[tag].VR if rng.random() < 0.8 else pick(rng, VRS)
    value = pick(rng, TEXTS)
    _put(item, tag, vr, value.replace(SECRET.encode(), b"tumour") if tag in REPEATED else value)


def rebinary(header: Dataset, rng: Rng) -> None:
    """A value replaced by an integer at the edge of its range, or by a float that is none."""
    item = _place(header, rng)
    tag = _some_tag(item, rng)
    floats = [struct.pack("<d", v) for v in (float("nan"), float("inf"), 1e300)]
    width = pick(rng, (2, 4, 8))
    value = pick(rng, [*floats, (pick(rng, EDGES) % 256**width).to_bytes(width, "little")])
    _put(item, tag, item[tag].VR, value)


def resize(header: Dataset, rng: Rng) -> None:
    """Rows, columns, frames or bits that promise another amount of pixels, gigabytes at times."""
    for keyword in SIZES:
        if rng.random() < 0.4:
            if keyword == "NumberOfFrames":
                _put(header, Tag(keyword), "IS", str(pick(rng, (0, 2, 65535, 2**31 - 1, -1))).encode())
            else:
                _put(
                    header,
                    Tag(keyword),
                    "US",
                    struct.pack("<H", pick(rng, (0, 1, 8, 12, 16, 32, 1024, 30000, 65535))),
                )


def drop(header: Dataset, rng: Rng) -> None:
    """An element left out."""
    item = _place(header, rng)
    del item[_some_tag(item, rng)]


def relength(header: Dataset, rng: Rng) -> None:
    """A declared length that is not that of the value."""
    item = _place(header, rng)
    tag = _some_tag(item, rng)
    raw = bytes(pick(rng, TEXTS))
    out = BytesIO()
    _put(item, tag, item[tag].VR, raw)
    pydicom.dcmwrite(out, header, enforce_file_format=False)
    data, at = out.getvalue(), out.getvalue().find(raw)
    return data[: at - 4] + struct.pack("<L", pick(rng, EDGES) % 2**32) + data[at:] if raw and at > 4 else None


@cache
def nested(depth: int, defined: bool) -> bytes:
    """The value of a sequence that holds a sequence that holds .., ``depth`` times (explicit, little endian)."""
    head = b"\x08\x00\x40\x11SQ\0\0"
    if not defined:
        start = struct.pack("<HHL", 0xFFFE, 0xE000, UNDEFINED) + head + struct.pack("<L", UNDEFINED)
        end = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0) + struct.pack("<HHL", 0xFFFE, 0xE00D, 0)
        return start * depth + end * depth
    value, heads = 0, []
    for _ in range(depth):
        heads.append(struct.pack("<HHL", 0xFFFE, 0xE000, value + 12) + head + struct.pack("<L", value))
        value += 20
    return b"".join(reversed(heads))


def nest(header: Dataset, rng: Rng) -> None:
    """Sequences within sequences, up to 10,000 deep, where the file's own sequences or none had been."""
    present = [k for k in WANTED if k.endswith("Sequence") and k in header]
    tag = Tag(pick(rng, [*present, "ReferencedImageSequence", 0x00091001]))
    defined = bool(rng.random() < 0.5)
    value = nested(int(pick(rng, (3, 100, 900, 10_000))), defined)
    _put(header, tag, pick(rng, ("SQ", "SQ", "UN")), value, None if defined else UNDEFINED)


def repeat(header: Dataset, rng: Rng) -> None:
    """A sequence with its items many times over."""
    below = [e for e in _place(header, rng) if e.VR == "SQ" and len(e.value)]
    if below:
        element = pick(rng, below)
        element.value = list(element.value) * int(2 ** rng.uniform(1, 7))


def resyntax(header: Dataset, rng: Rng) -> None:
    """Another transfer syntax than that of the bytes."""
    header.file_meta["TransferSyntaxUID"] = pydicom.DataElement(
        "TransferSyntaxUID", "UI", pick(rng, SYNTAXES), validation_mode=pydicom.config.IGNORE
    )
    out = BytesIO()
    syntax = header.file_meta.TransferSyntaxUID
    plain = BytesIO()
    header.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    pydicom.dcmwrite(plain, header, enforce_file_format=False)
    header.file_meta.TransferSyntaxUID = syntax
    pydicom.filewriter.write_file_meta_info(out, header.file_meta, enforce_standard=False)
    return b"\0" * 128 + b"DICM" + out.getvalue() + plain.getvalue()[_body(plain.getvalue()) :]


def _body(data: bytes) -> int:
    """Where the data set begins, after the file meta group."""
    return 144 + struct.unpack("<L", data[140:144])[0]


def deflated(data: bytes, zeros_mb: int) -> bytes:
    """An explicit little endian file as a deflated one, with many megabytes of zeros at its end."""
    meta = pydicom.dcmread(BytesIO(data), stop_before_pixels=True).file_meta
    meta.TransferSyntaxUID = DEFLATED
    out = BytesIO()
    pydicom.filewriter.write_file_meta_info(out, meta, enforce_standard=False)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = packer.compress(data[_body(data) :]) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\0" * 128 + b"DICM" + out.getvalue() + body + deflated_zeros() * zeros_mb + b"\x03\0"


def deflate(header: Dataset, rng: Rng) -> bytes:
    """The same as a deflated file: sound, damaged, or a bomb of gigabytes."""
    out = BytesIO()
    header.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    pydicom.dcmwrite(out, header, enforce_file_format=False)
    data = out.getvalue()
    if rng.random() < 0.3:
        at = data.rfind(b"\xe0\x7f\x10\x00")  # pixel data that claim all that follows
        data = data[: at + 8] + struct.pack("<L", 2**32 - 2) + data[at + 12 :] if at > 0 else data
    packed = deflated(data, pick(rng, (0, 0, 8, 512, 4096)))
    return packed if rng.random() < 0.6 else spoil(packed, rng)


def fragment(header: Dataset, rng: Rng) -> bytes:
    """Encapsulated fragments of odd lengths and contents under a compressed transfer syntax."""
    header.file_meta.TransferSyntaxUID = pick(rng, [s for s in SYNTAXES if ".4." in s] + ["1.2.840.10008.1.2.5"])
    held = header.PixelData if "PixelData" in header else b""
    pieces = [
        pick(rng, (b"", b"\0" * 64, rng.bytes(100), held[:5000], held))[:200_000] for _ in range(int(rng.integers(5)))
    ]
    value = struct.pack("<HHL", 0xFFFE, 0xE000, 0)
    for piece in pieces:
        piece = piece + b"\0" * (len(piece) % 2)
        length = len(piece) if rng.random() < 0.9 else pick(rng, EDGES) % 2**32
        value += struct.pack("<HHL", 0xFFFE, 0xE000, length) + piece
    if rng.random() < 0.9:
        value += struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    del header.PixelData
    out = BytesIO()
    pydicom.dcmwrite(out, header, enforce_file_format=False)
    return out.getvalue() + struct.pack("<HH2sHL", 0x7FE0, 0x10, b"OB", 0, UNDEFINED) + value


def recode(header: Dataset, rng: Rng) -> None:
    """Bytes of a compressed stream damaged, mostly in its own header, which repeats sizes and depths."""
    if not header.file_meta.TransferSyntaxUID.is_compressed:
        return resize(header, rng)
    held = bytearray(header.PixelData)
    marks = [m.start() for m in re.finditer(rb"\xff[\x51\xc0-\xcf\xf7\xda\x52\x5c]", bytes(held[:2000]))]
    for _ in range(int(rng.integers(1, 6))):
        near = (
            pick(rng, marks) + 2 + int(rng.integers(24))
            if marks and rng.random() < 0.7
            else int(rng.integers(len(held)))
        )
        held[min(near, len(held) - 1)] = pick(rng, (0, 1, 2, 127, 128, 255, int(rng.integers(256))))
    header["PixelData"]._value = bytes(held)
    return None


WAYS = (retext, retext, rebinary, resize, drop, relength, nest, repeat, resyntax, deflate, fragment, recode, recode)
