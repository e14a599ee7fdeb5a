"""DICOM that promises or hides more than it holds is refused within bounded memory and time."""

import resource
import struct
import time
import zlib

import numpy as np
import pydicom
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGLSLossless

from gc_ray.errors import MaskError, ScanError
from gc_ray.imaging.read import list_rois, read_ct, read_mask, survey_ct

MB = 1 << 20
LITTLE_KB = 600_000  # below a gigabyte, and above the 128 MiB that may be inflated, copied three times
SOON_S = 10  # of this process, whatever else runs
UNDEFINED = 0xFFFFFFFF


@pytest.fixture
def bounded():
    """Ends the test when what it ran took a lot of memory or time."""
    began, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < LITTLE_KB
    assert time.process_time() - began < SOON_S


def deflated(data, zeros_mb: int) -> bytes:
    """A data set as a deflated file with megabytes of zeros at its end."""
    out = pydicom.filebase.DicomBytesIO()
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    pydicom.dcmwrite(out, data, enforce_file_format=True)
    whole = out.getvalue()
    body = 144 + struct.unpack("<L", whole[140:144])[0]
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(zlib.decompress(whole[body:], -zlib.MAX_WBITS))
    for _ in range(zeros_mb):
        packed += packer.compress(bytes(MB))
    return whole[:body] + packed + packer.flush()


def test_a_deflate_bomb_is_refused(slices, save, bounded):
    """Two megabytes that inflate to 500 are not inflated to their end."""
    folder = save(slices)
    (folder / "000.dcm").write_bytes(deflated(slices[0], 500))
    with pytest.raises(ScanError, match=r"^000\.dcm: inflates to more than 128 MiB"):
        survey_ct(folder)


def test_a_file_of_endless_empty_elements_is_refused(rtstruct, box, bounded):
    """Zeros are elements of no length: 100 MiB of them, deflated to kilobytes, would keep a parser for minutes."""
    path = rtstruct({"tumour": [("CLOSED_PLANAR", box(2, 3, 8, 3, 8))]})
    path.write_bytes(deflated(pydicom.dcmread(path), 100))
    with pytest.raises(MaskError, match=r"^RS\.dcm: not a valid DICOM file"):
        list_rois(path)


def test_a_value_that_claims_gigabytes_takes_no_memory(slices, save, bounded):
    """A declared length is believed up to the end of the file only."""
    for data in slices:
        data._dict[Tag("PatientComments")] = RawDataElement(Tag("PatientComments"), "UT", 4, b"abcd", 0, False, True)
    folder = save(slices)
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"UT\0\0\4\0\0\0", b"UT\0\0\xfe\xff\xff\xff"))
    with pytest.raises(ScanError):
        read_ct(folder)


def test_pixels_that_promise_60_gb_are_refused(slices, save, bounded):
    """By their size before they are decoded, compressed or not."""
    plain = save(slices, folder="plain")
    for k, data in enumerate(slices):
        data.compress(JPEGLSLossless, generate_instance_uid=False)
        data.Rows = data.Columns = 65535
        data.NumberOfFrames = 7
        data.save_as(plain / f"{k:03d}.dcm", enforce_file_format=True)
    with pytest.raises(ScanError, match="65535 x 65535 pixels, no CT has more than 4096 a side"):
        read_ct(plain)


def nested(depth: int, defined: bool) -> bytes:
    """The value of a sequence that holds a sequence that holds .., with lengths or delimiters."""
    head = b"\x08\x00\x40\x11SQ\0\0"
    if not defined:
        start = struct.pack("<HHL", 0xFFFE, 0xE000, UNDEFINED) + head + struct.pack("<L", UNDEFINED)
        return (start * depth) + struct.pack("<HHLHHL", 0xFFFE, 0xE0DD, 0, 0xFFFE, 0xE00D, 0) * depth
    lengths = [20 * below for below in reversed(range(depth))]
    return b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, n + 12) + head + struct.pack("<L", n) for n in lengths)


def put(path, keyword: str, value: bytes, defined: bool) -> None:
    """Puts a sequence into a file that is there: of such a one pydicom copies the bytes and walks no depths."""
    data, tag = pydicom.dcmread(path), Tag(keyword)
    data._dict[tag] = RawDataElement(tag, "SQ", len(value) if defined else UNDEFINED, value, 0, False, True)
    data.save_as(path)


@pytest.mark.parametrize("defined", [True, False])
def test_ten_thousand_nested_sequences_are_read_over_or_refused(slices, save, defined, bounded):
    """Depth costs neither the process nor the memory; a sequence that nobody asks for does no harm."""
    folder = save(slices)
    for path in folder.iterdir():
        put(path, "ReferencedImageSequence", nested(10_000, defined), defined)
    if defined:
        assert np.isfinite(read_ct(folder).volume.array).all()
    else:
        with pytest.raises(ScanError, match=r"^000\.dcm: not a valid DICOM file"):
            read_ct(folder)


@pytest.mark.parametrize("defined", [True, False])
@pytest.mark.parametrize("depth", [300, 10_000])
def test_nested_sequences_where_contours_should_be_are_refused(rtstruct, slices, save, box, defined, depth, bounded):
    """A sequence that is asked for is opened no deeper than a structure set goes."""
    path = rtstruct({"tumour": [("CLOSED_PLANAR", box(2, 3, 8, 3, 8))]})
    put(path, "ROIContourSequence", nested(depth, defined), defined)
    with pytest.raises(MaskError, match=r"^RS\.dcm: "):
        read_mask(path, "tumour", survey_ct(save(slices)))


@pytest.mark.parametrize("kind", [b"Zz", b"\x00\xff"])
def test_a_kind_of_value_that_does_not_exist_is_refused(rtstruct, slices, save, kind, box):
    """Whatever element bears it."""
    path = rtstruct({"tumour": [("CLOSED_PLANAR", box(2, 3, 8, 3, 8))]})
    path.write_bytes(path.read_bytes().replace(b"\x08\x00\x16\x00UI", b"\x08\x00\x16\x00" + kind))
    with pytest.raises(MaskError, match=r"^RS\.dcm: "):
        read_mask(path, "tumour", survey_ct(save(slices)))
