"""Only the bits that the header counts to a pixel become its value, however the pixel is stored."""

from functools import partial
from pathlib import Path

import jpeg_ls
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from openjpeg.utils import encode_array
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from gc_ray.errors import ScanError
from gc_ray.imaging.dicom_files import open_dicom, quiet_libraries
from gc_ray.imaging.pixel_bits import PixelBits, read_bits
from gc_ray.imaging.pixel_values import pixel_values
from gc_ray.imaging.pixels import PIXEL_KEYWORDS, decode

SIDE = 64  # the smallest square that OpenJPEG's usual settings encode
RAMP = np.add.outer(np.arange(SIDE), np.arange(SIDE))  # smooth, as CT is
UNSIGNED, SIGNED = 20 + 30 * RAMP, 15 * RAMP - 1000  # 0 to 4095, and on both sides of 0
TEXT = np.zeros((SIDE, SIDE), int)
TEXT[20:40, 10:50:3] = 1  # what an overlay draws
SYNTAXES = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEG2000Lossless,
    HTJ2KLossless,
]


def jpeg_lossless(cells: np.ndarray, tmp_path: Path) -> bytes:
    """A JPEG Lossless stream of 16 bits by GDCM, through SimpleITK."""
    writer = sitk.ImageFileWriter()
    writer.SetFileName(str(tmp_path / "jpeg.dcm"))
    writer.UseCompressionOn()
    writer.SetCompressor("JPEG")
    writer.Execute(sitk.GetImageFromArray(cells[None]))
    data = pydicom.dcmread(tmp_path / "jpeg.dcm")
    assert data.file_meta.TransferSyntaxUID == JPEGLosslessSV1
    return get_frame(data.PixelData, 0, number_of_frames=1)


def jpeg2000(cells: np.ndarray, precision: int) -> bytes:
    """A JPEG 2000 stream; OpenJPEG decodes it under a syntax of HTJ2K, too."""
    return bytes(encode_array(cells, bits_stored=precision, photometric_interpretation=2))


@pytest.fixture
def write(slices, tmp_path):
    """Writes cells as a slice under a header, and returns its path; ``stream`` replaces the cells when compressed."""

    def save(cells, stored, high, signed, syntax=ExplicitVRLittleEndian, stream=None, **elements):
        data = slices[0]
        data.Rows, data.Columns = cells.shape
        data.BitsAllocated, data.BitsStored, data.HighBit = 8 * cells.itemsize, stored, high
        data.PixelRepresentation, data.RescaleIntercept = int(signed), 0
        for keyword, value in elements.items():
            setattr(data, keyword, value)
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.PixelData = cells.tobytes()
        if stream is not None:
            data.PixelData = encapsulate([stream])
            data["PixelData"].is_undefined_length = True
        elif syntax == RLELossless:
            data.compress(syntax)
        elif syntax == ExplicitVRBigEndian:
            data.PixelData = cells.byteswap().tobytes()
        data.file_meta.TransferSyntaxUID = syntax
        path = tmp_path / "slice.dcm"
        pydicom.dcmwrite(path, data, enforce_file_format=True)
        return path

    return save


@pytest.fixture
def whole_cells(tmp_path):
    """``_whole_cells`` with a folder to write into."""
    return partial(_whole_cells, tmp_path=tmp_path)


def _whole_cells(cells, syntax, tmp_path):
    """The compressed stream of whole 16-bit cells, None where cells are stored as they are."""
    if syntax == JPEGLosslessSV1:
        return jpeg_lossless(cells, tmp_path)
    if syntax == JPEGLSLossless:
        return bytes(jpeg_ls.encode_array(cells))
    return jpeg2000(cells, 16) if syntax in (JPEG2000Lossless, HTJ2KLossless) else None


def read(path):
    """The stored values of a slice and the notes on its pixels."""
    with quiet_libraries():
        file = open_dicom(path, path.name, PIXEL_KEYWORDS)
        rows, columns = int(file.header.Rows), int(file.header.Columns)
        return decode(file, (rows, columns), read_bits(file))


def assert_refused(path, pattern):
    with pytest.raises(ScanError, match=r"^slice\.dcm: " + pattern) as refusal:
        read(path)
    assert "PLANTED" not in str(refusal.value)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda s: s.name)
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("stored", [12, 13, 14])
def test_bits_above_bits_stored_are_masked_in_every_transfer_syntax(write, whole_cells, syntax, signed, stored):
    """An overlay in the top bit, other bits in between: masked, with a note; the sign comes from BitsStored."""
    wanted = SIGNED if signed else UNSIGNED
    cells = (wanted & (1 << stored) - 1 | TEXT << 15 | TEXT << stored).astype(np.uint16)
    values, notes = read(write(cells, stored, stored - 1, signed, syntax, whole_cells(cells, syntax)))
    assert np.array_equal(values, wanted)
    assert notes[0] == f"bits above BitsStored {stored} are set and were masked, they are no part of the pixel value"


@pytest.mark.parametrize("signed", [False, True])
def test_masked_values_equal_simpleitks(write, signed):
    """GDCM masks uncompressed cells, too: the independent reading of the same file."""
    wanted = SIGNED if signed else UNSIGNED
    path = write((wanted & 0xFFF | TEXT << 14).astype(np.uint16), 12, 11, signed)
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(path))[0], wanted)
    assert np.array_equal(read(path)[0], wanted)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda s: s.name)
@pytest.mark.parametrize("signed", [False, True])
def test_high_bit_says_where_the_value_lies(write, whole_cells, syntax, signed):
    """12 bits up to bit 15 or 13: the value is shifted down, with its sign."""
    wanted = SIGNED if signed else UNSIGNED
    for high in (15, 13):
        cells = ((wanted & 0xFFF) << high - 11).astype(np.uint16)
        path = write(cells, 12, high, signed, syntax, whole_cells(cells, syntax))
        assert np.array_equal(read(path)[0], wanted)
        with quiet_libraries():
            (note,) = read_bits(open_dicom(path, path.name, PIXEL_KEYWORDS)).notes
        assert note == f"HighBit is {high} with BitsStored 12: values were taken from the bits up to it"


def test_high_bit_is_refused_where_the_pixels_contradict_it(write):
    """Values that lie in the lower bits all the same could be either."""
    assert_refused(
        write(UNSIGNED.astype(np.uint16), 12, 15, False), "HighBit is 15 with BitsStored 12, but the bits below"
    )


def test_overlays_below_a_shifted_value_are_masked(write):
    """Declared there, they make nothing uncertain."""
    cells = (UNSIGNED << 4 | TEXT).astype(np.uint16)
    bits = PixelBits(16, 12, 15, False, overlays=(0,))
    assert np.array_equal(pixel_values(cells, bits, None, "slice.dcm")[0], UNSIGNED)
    with pytest.raises(ScanError, match="bits below"):
        pixel_values(cells, PixelBits(16, 12, 15, False), None, "slice.dcm")


def test_a_declared_overlay_is_reported_from_the_header_alone(write):
    """Its bit is masked without a second note, wherever it lies above the value."""
    path = write((UNSIGNED | TEXT << 12).astype(np.uint16), 12, 11, False)
    data = pydicom.dcmread(path)
    data.add_new((0x6002, 0x0100), "US", 16)
    data.add_new((0x6002, 0x0102), "US", 12)
    data.save_as(path)
    values, notes = read(path)
    assert np.array_equal(values, UNSIGNED)
    assert notes == []
    bits = read_bits(open_dicom(path, path.name, PIXEL_KEYWORDS))
    assert bits.overlays == (12,)
    assert bits.notes == ("overlay planes lie in unused bits of the pixels (high bits) and were masked",)


def test_an_overlay_inside_the_value_is_refused_unless_it_is_empty():
    """BitsStored 16 over an overlay in bit 15: its text would be 32,768 HU; a stale declaration does no harm."""
    bits = PixelBits(16, 16, 15, False, overlays=(15,))
    with pytest.raises(ScanError, match="an overlay plane lies in bit 15, which HighBit 15 counts to the"):
        pixel_values((UNSIGNED | TEXT << 15).astype(np.uint16), bits, None, "slice.dcm")
    assert np.array_equal(pixel_values(UNSIGNED.astype(np.uint16), bits, None, "slice.dcm")[0], UNSIGNED)


@pytest.mark.parametrize("filled", [0xFFFF, 0x0FFF])
def test_signed_values_may_be_extended_or_zero_filled(write, filled):
    """Writers do both; neither is worth a note, and both equal SimpleITK's values."""
    path = write((SIGNED & filled).astype(np.uint16), 12, 11, True)
    values, notes = read(path)
    assert np.array_equal(values, SIGNED)
    assert np.array_equal(values, sitk.GetArrayFromImage(sitk.ReadImage(path))[0])
    assert notes == []


@pytest.mark.parametrize("signed", [False, True])
def test_values_that_need_more_bits_than_stored_are_refused(write, signed):
    """Metal of 5,000 under 12 bits would wrap around to 904; as signed, 3,000 to -1,096."""
    values = 60 * RAMP if not signed else UNSIGNED
    assert_refused(
        write(values.astype(np.uint16), 12, 11, signed), "values seem to need more|PixelRepresentation says signed"
    )


def test_signed_values_under_an_unsigned_header_of_fewer_bits_are_refused(write):
    """Cells of -1,000 under 12 unsigned bits would be 3,096; their upper bits show the sign."""
    assert_refused(write(SIGNED.astype(np.uint16), 12, 11, False), "values seem to need more .*, or a sign")


@pytest.mark.parametrize("kind", [np.uint8, np.uint32])
def test_cells_of_8_and_32_bits_are_read(write, kind):
    """With unused bits in them."""
    stored = 7 if kind is np.uint8 else 20
    wanted = RAMP * (1 << stored - 7) & (1 << stored) - 1
    values, _ = read(write((wanted | TEXT.astype(np.int64) << stored).astype(kind), stored, stored - 1, False))
    assert np.array_equal(values, wanted)


def test_high_bit_below_bits_stored_is_read_when_both_agree(write):
    """BitsStored 16 with HighBit 11: as long as values need 12 bits only; before it was read, and equal."""
    path = write(UNSIGNED.astype(np.uint16), 16, 11, False)
    assert np.array_equal(read(path)[0], pydicom.dcmread(path).pixel_array)
    assert_refused(
        write((3 * UNSIGNED).astype(np.uint16), 16, 11, False), "values use more bits than HighBit 11 allows"
    )


def test_a_stream_of_unsigned_samples_under_a_signed_header_is_read_as_signed(write):
    """A usual fault of JPEG 2000 encoders, as pydicom reads it; with a note."""
    cells = (SIGNED & 0xFFF).astype(np.uint16)
    path = write(cells, 12, 11, True, JPEG2000Lossless, jpeg2000(cells, 12))
    values, notes = read(path)
    assert np.array_equal(values, SIGNED)
    assert np.array_equal(values, pydicom.dcmread(path).pixel_array)
    assert notes == ["the compressed stream is unsigned, values were read as PixelRepresentation says: signed"]


def test_a_real_stream_whose_sign_differs_equals_pydicoms_values():
    """pydicom's own test file, whose padding is -2,000."""
    path = Path(get_testdata_file("J2K_pixelrep_mismatch.dcm"))
    values, notes = read(path)
    assert np.array_equal(values, pydicom.dcmread(path).pixel_array)
    assert values.min() == -2000
    assert len(notes) == 1


def test_a_stream_whose_sign_matters_is_refused_where_the_header_is_the_rougher_reading(write):
    """Unsigned samples above half the range, signed header; negative samples, unsigned header: HU are unknown."""
    cells = UNSIGNED.astype(np.uint16)
    path = write(cells, 12, 11, True, JPEG2000Lossless, jpeg2000(cells, 12))
    assert_refused(path, "PixelRepresentation says signed, but its values seem unsigned")
    cells = SIGNED.astype(np.int16)
    path = write(cells, 16, 15, False, JPEG2000Lossless, jpeg2000(cells, 16))
    assert_refused(path, "PixelRepresentation says unsigned, but its compressed stream holds negative values")


def test_a_signed_stream_under_an_unsigned_header_is_read_as_unsigned_when_that_is_smooth(write):
    """The bits of 0 to 4,095 put into signed samples: as pydicom reads it, with a note."""
    cells = (UNSIGNED.astype(np.int16) << 4 >> 4).astype(np.int16)
    path = write(cells, 12, 11, False, JPEG2000Lossless, jpeg2000(cells, 12))
    values, notes = read(path)
    assert np.array_equal(values, UNSIGNED)
    assert np.array_equal(values, pydicom.dcmread(path).pixel_array)
    assert notes == ["the compressed stream is signed, values were read as PixelRepresentation says: unsigned"]


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize("wanted", [SIGNED, UNSIGNED], ids=["negative", "positive"])
def test_a_stream_narrower_than_bits_stored_is_read_the_smooth_way(write, syntax, wanted):
    """12-bit samples under a signed header of 16 bits: their top bit is a sign or is not."""
    cells = (wanted & 0xFFF).astype(np.uint16)
    stream = bytes(jpeg_ls.encode_array(cells)) if syntax == JPEGLSLossless else jpeg2000(cells, 12)
    assert np.array_equal(read(write(cells, 16, 15, True, syntax, stream))[0], wanted)


def test_a_narrow_stream_that_nothing_tells_of_is_refused(write):
    """Noise over the whole range has no smooth reading."""
    cells = np.random.default_rng(0).integers(0, 4096, (SIDE, SIDE)).astype(np.uint16)
    path = write(cells, 16, 15, True, JPEG2000Lossless, jpeg2000(cells, 12))
    assert_refused(path, "PixelRepresentation says signed, but its values seem unsigned")


def test_the_sample_alone_is_the_value_where_the_stream_has_bits_stored(write):
    """HighBit 15 tells of cells that the stream of 12 bits no longer has."""
    cells = UNSIGNED.astype(np.uint16)
    path = write(cells, 12, 15, False, JPEG2000Lossless, jpeg2000(cells, 12))
    assert np.array_equal(read(path)[0], UNSIGNED)
    assert_refused(
        write(cells, 13, 15, False, JPEG2000Lossless, jpeg2000(cells, 12)), "HighBit is 15 .* have 12 bits, so it"
    )


def test_a_stream_with_more_bits_than_allocated_is_refused(write):
    """16-bit samples for 8-bit cells would be cut off by the decoder."""
    stream = jpeg2000(UNSIGNED.astype(np.uint16), 16)
    path = write(np.zeros((SIDE, SIDE), np.uint8), 8, 7, False, JPEG2000Lossless, stream)
    assert_refused(path, "its pixel data cannot be decoded")


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ({"BitsAllocated": None}, "BitsAllocated is missing"),
        ({"BitsStored": None}, "BitsStored is missing, so the pixel data cannot be decoded"),
        ({"PixelRepresentation": None}, "PixelRepresentation is missing"),
        ({"BitsAllocated": 12}, "BitsAllocated is 12, wanted 8, 16 or 32"),
        ({"BitsStored": 17}, "BitsAllocated 16, BitsStored 17, HighBit 11 and .* contradict each other"),
        ({"BitsStored": 0}, ".* BitsStored 0, .* contradict"),
        ({"HighBit": 16}, ".* HighBit 16 and .* contradict"),
        ({"PixelRepresentation": 2}, ".* PixelRepresentation 2 contradict"),
    ],
)
def test_a_header_that_does_not_describe_its_bits_is_refused_by_element(write, elements, message):
    """The cause is the header, not the decoder."""
    path = write(UNSIGNED.astype(np.uint16), 12, 11, False)
    data = pydicom.dcmread(path)
    for keyword, value in elements.items():
        if value is None:
            delattr(data, keyword)
        else:
            setattr(data, keyword, value)
    data.save_as(path)
    assert_refused(path, message)


def test_a_missing_high_bit_is_bits_stored_less_one(write):
    """As every reader takes it; with a note."""
    path = write(UNSIGNED.astype(np.uint16), 12, 11, False)
    data = pydicom.dcmread(path)
    del data.HighBit
    data.save_as(path)
    assert np.array_equal(read(path)[0], UNSIGNED)
    with quiet_libraries():
        bits = read_bits(open_dicom(path, path.name, PIXEL_KEYWORDS))
    assert bits.notes == ("HighBit is missing, 11 was taken as BitsStored is 12",)


def test_limits_are_those_of_bits_stored():
    """What values can be, whatever the cells hold: which slices are read goes by it."""
    assert PixelBits(16, 12, 11, False).limits == (0, 4095)
    assert PixelBits(16, 12, 11, True).limits == (-2048, 2047)
    assert PixelBits(16, 16, 15, True).limits == (-32768, 32767)
