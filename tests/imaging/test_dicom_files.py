"""DICOM that promises or hides more than it holds is refused within bounded memory and time."""

import resource
import struct
import time
import zlib

import pydicom
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGLSLossless

from gc_ray.errors import MaskError, ScanError
from gc_ray.imaging.read import list_rois, read_ct, survey_ct

MB = 1 << 20
LITTLE_KB = 600_000  # below a gigabyte, and above the 128 MiB that may be inflated, copied three times
SOON_S = 10  # of this process, whatever else runs


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
