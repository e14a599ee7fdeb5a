"""A JPEG stream is looked over before a C++ decoder gets it."""

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless

from gc_ray.errors import ScanError
from gc_ray.imaging.jpeg import SAMPLED, Sample, check_jpeg, sample_of
from gc_ray.imaging.pixels import read_slice_hu

SHAPE, WIDTH = (36, 40), 2
TABLE = bytes([0, 0, 1, 2, *[0] * 13, 0, 1, 2])  # of one code of two bits and two of three


def segment(marker: int, body: bytes) -> bytes:
    """A segment with its length."""
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def frame(rows=36, columns=40, bits=16, components=1) -> bytes:
    """The frame header of a lossless stream."""
    size = bytes([bits]) + rows.to_bytes(2, "big") + columns.to_bytes(2, "big")
    return segment(0xC3, size + bytes([components]) + bytes([1, 0x11, 0]) * components)


def stream(*segments: bytes) -> bytes:
    """The segments between the stream's start and its scan."""
    return b"\xff\xd8" + b"".join(segments) + segment(0xDA, bytes([1, 1, 0, 1, 0, 0])) + bytes(50)


def test_a_sound_head_passes():
    """With a comment and the maker's segment before the frame, and the tables in one segment or in two."""
    extras = segment(0xFE, b"hello"), segment(0xE0, bytes(14))
    assert check_jpeg(stream(*extras, frame(), segment(0xC4, TABLE + TABLE)), SHAPE, WIDTH) is None
    assert check_jpeg(stream(segment(0xC4, TABLE), frame(bits=12), segment(0xC4, TABLE)), SHAPE, WIDTH) is None
    assert check_jpeg(stream(frame(bits=8), segment(0xC4, TABLE)), SHAPE, 1) is None


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"\xff\xd8",
        b"\x00" * 100,
        stream(segment(0xC4, TABLE)),
        stream(frame()),
        stream(frame(), frame(), segment(0xC4, TABLE)),
        stream(frame(bits=8), segment(0xC4, TABLE)),
        stream(frame(bits=17), segment(0xC4, TABLE)),
        stream(frame(bits=0), segment(0xC4, TABLE)),
        stream(frame(rows=37), segment(0xC4, TABLE)),
        stream(frame(columns=0), segment(0xC4, TABLE)),
        stream(frame(components=3), segment(0xC4, TABLE)),
        stream(frame(), segment(0xC4, TABLE[:-1])),
        stream(frame(), segment(0xC4, bytes([0, 3, *[0] * 15, 0, 1, 2]))),
        stream(frame(), segment(0xC4, bytes([0x20]) + TABLE[1:])),
        stream(frame(), segment(0xC2, frame()[4:]), segment(0xC4, TABLE)),
        stream(frame(), segment(0xC4, TABLE)).replace(b"\xff\xc4", b"\x00\xc4"),
        stream(frame(), segment(0xC4, TABLE), segment(0xD8, b"")),
        stream(frame(), segment(0xC4, TABLE), b"\xff\xfe\xff\xff"),
        stream(frame(), segment(0xC4, TABLE), b"\xff\xfe\x00\x00"),
        stream(frame(), segment(0xC4, TABLE)).replace(b"\x01\x01\x00\x01\x00\x00", b"\x03\x01\x00\x01\x00\x00"),
    ],
)
def test_a_head_that_does_not_fit_is_refused(damaged):
    """Nothing that GDCM was seen to die of: another depth or size, segments out of place, codes that cannot be."""
    with pytest.raises((ValueError, IndexError)):
        check_jpeg(damaged, SHAPE, WIDTH)


@pytest.mark.parametrize("bits", [0, 8, 17, 255])
def test_a_slice_that_promises_another_depth_than_its_header_is_refused(data, tmp_path, bits):
    """JPEG Lossless of 8 bits a value where DICOM says 16: GDCM reads beyond its own memory."""
    path = data / "ugly/real_compressed_wg04/CT2_JPLL"
    one = pydicom.dcmread(path)
    whole = bytearray(get_frame(one.PixelData, 0, number_of_frames=1))
    check_jpeg(bytes(whole), (one.Rows, one.Columns), 2)
    whole[whole.index(b"\xff\xc3") + 4] = bits
    one.PixelData = encapsulate([bytes(whole)])
    one.save_as(tmp_path / "slice.dcm")
    with pytest.raises(ScanError, match=r"^slice\.dcm: its pixel data cannot be decoded"):
        read_slice_hu(tmp_path / "slice.dcm")


def test_damage_behind_the_head_is_the_decoders(data, tmp_path):
    """The values are spoilt or refused; the process lives."""
    one = pydicom.dcmread(data / "ugly/real_compressed_wg04/CT2_JPLL")
    whole = bytearray(get_frame(one.PixelData, 0, number_of_frames=1))
    rng = np.random.default_rng(0)
    for at in rng.integers(200, len(whole) - 2, 50):
        whole[at] = rng.integers(256)
    one.PixelData = encapsulate([bytes(whole)])
    one.save_as(tmp_path / "slice.dcm")
    try:
        assert read_slice_hu(tmp_path / "slice.dcm").shape == (one.Rows, one.Columns)
    except ScanError as refusal:
        assert "cannot be decoded" in str(refusal)


SIZ = b"\xff\x4f\xff\x51" + bytes(38)  # start of a JPEG 2000 codestream, up to the first component's depth


@pytest.mark.parametrize(
    ("head", "syntax", "sample"),
    [
        (stream(frame(bits=12), segment(0xC4, TABLE)), JPEGLosslessSV1, Sample(12, None)),
        (
            stream(segment(0xFE, b"x"), frame(bits=16)).replace(b"\xff\xc3", b"\xff\xf7"),
            JPEGLSLossless,
            Sample(16, None),
        ),
        (SIZ + b"\x0b", JPEG2000Lossless, Sample(12, False)),
        (SIZ + b"\x8f", JPEG2000Lossless, Sample(16, True)),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\0jp2c" + SIZ + b"\x0d", JPEG2000Lossless, Sample(14, False)),
    ],
)
def test_a_stream_tells_bits_and_sign_of_its_samples(head, syntax, sample):
    """JPEG and JPEG-LS know no sign; RLE and plain pixels are whole cells."""
    assert sample_of(head, syntax) == sample
    assert syntax in SAMPLED
    assert not SAMPLED & {RLELossless, ExplicitVRLittleEndian}


@pytest.mark.parametrize(
    ("head", "syntax"),
    [
        (b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\0jp2h" + SIZ, JPEG2000Lossless),
        (b"", JPEG2000Lossless),
        (SIZ, JPEG2000Lossless),
        (b"\xff\xd8", JPEGLSLossless),
        (stream(segment(0xFE, b"x")), JPEGLSLossless),
        (bytes(50), JPEGLosslessSV1),
    ],
)
def test_a_stream_that_tells_nothing_is_refused(head, syntax):
    """Soon: boxes without a length would keep pydicom walking for ever."""
    with pytest.raises((ValueError, IndexError)):
        sample_of(head, syntax)
