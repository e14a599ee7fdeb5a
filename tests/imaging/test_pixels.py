"""Pixel data of one slice: whole, decoded, in HU."""

import hashlib

import numpy as np
import pydicom
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)

from gc_ray.errors import ScanError
from gc_ray.imaging.pixels import read_slice_hu
from gc_ray.imaging.read import read_ct, survey_ct

WANTED = 1000 + 10 * np.arange(16)[:, None] + np.arange(20) - 1024


def encoded(data, syntax):
    """The slice in another transfer syntax."""
    if syntax in (RLELossless, JPEGLSLossless):
        data.compress(syntax)
    data.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        data.PixelData = np.frombuffer(data.PixelData, "<i2").astype(">i2").tobytes()
    return data


@pytest.fixture
def write(tmp_path):
    def save(data, syntax):
        path = tmp_path / "slice.dcm"
        pydicom.dcmwrite(path, encoded(data, syntax), enforce_file_format=True)
        return path

    return save


SYNTAXES = [
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
    JPEGLSLossless,
]


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda s: s.name)
def test_every_lossless_syntax_gives_the_same_hu(slices, write, syntax):
    """How a slice is stored never changes its numbers."""
    hu = read_slice_hu(write(slices[0], syntax))
    assert hu.dtype == np.int16
    assert np.array_equal(hu, WANTED)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda s: s.name)
@pytest.mark.parametrize("share", [0.2, 0.7, 0.99])
def test_every_syntax_cut_short_is_refused_and_named(slices, write, syntax, share):
    """The file's structure tells that bytes are missing, before any decoder sees it."""
    path = write(slices[0], syntax)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ScanError, match=r"^slice\.dcm: ") as refusal:
        read_slice_hu(path)
    assert "PLANTED" not in str(refusal.value)


def test_missing_bytes_are_counted(slices, write):
    """The message says how much is there and how much is wanted."""
    path = write(slices[0], ImplicitVRLittleEndian)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ScanError, match="truncated: it holds 600 of 640 bytes of pixel data"):
        read_slice_hu(path)


def test_a_short_element_in_a_deflated_file_is_refused(slices, write):
    """After inflating, the pixel data are held against rows x columns as everywhere."""
    slices[0].PixelData = slices[0].PixelData[:600]
    path = write(slices[0], DeflatedExplicitVRLittleEndian)
    with pytest.raises(ScanError, match="holds 600 of 640 bytes"):
        read_slice_hu(path)


def test_a_decoder_that_fails_names_file_and_transfer_syntax(slices, write):
    """What a codec says is replaced by whose file it is and how it was compressed."""
    path = write(slices[0], JPEGLSLossless)
    whole = bytearray(path.read_bytes())
    start = whole.rindex(b"\xff\xd8\xff")
    whole[start : start + 20] = bytes(20)
    path.write_bytes(whole)
    with pytest.raises(
        ScanError, match=r"slice\.dcm: .*cannot be decoded \(transfer syntax JPEG-LS Lossless.*4\.80\)"
    ):
        read_slice_hu(path)


def test_a_transfer_syntax_that_is_no_uid_is_not_repeated(slices, write):
    """Text in that place could be anything."""
    path = write(slices[0], ExplicitVRLittleEndian)
    path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"PLANTED^PATIENT    \0"))
    with pytest.raises(ScanError, match=r"^slice\.dcm: .*\(no valid UID\)") as refusal:
        read_slice_hu(path)
    assert "PLANTED" not in str(refusal.value)


def test_one_wide_slice_turns_the_whole_volume_to_int32(slices, save):
    """int16 only while every value fits: no value wraps around."""
    slices[4].RescaleSlope = 30
    volume = read_ct(save(slices)).volume
    assert volume.array.dtype == np.int32
    assert volume.array[4, 15, 19] == 30 * (1400 + 150 + 19) - 1024
    assert volume.array[0, 0, 0] == 1000 - 1024


@pytest.mark.parametrize("name", ["CT2_J2KR", "CT2_JLSL", "CT2_JPLL", "CT2_RLE"])
def test_wg04_lossless_encodings_equal_the_uncompressed_slice(data, name):
    """NEMA WG04's CT2 in four lossless encodings (DICOM sample images of the compression working group)."""
    folder = data / "ugly/real_compressed_wg04"
    assert np.array_equal(read_slice_hu(folder / name), read_slice_hu(folder / "CT2_UNC"))


def test_lossy_slices_carry_a_repair_note(slices, save):
    """Loss is told whether the attribute or the transfer syntax says so, from headers already."""
    slices[1].LossyImageCompression = "01"
    note = "lossy compression in 1 of 6 slices: HU are not the scanner's own"
    folder = save(slices)
    assert survey_ct(folder).notes.repairs == read_ct(folder).notes.repairs == (note,)


def test_unused_high_bits_do_not_reach_the_hu(slices, save):
    """With 12 of 16 bits stored, what old scanners left in the upper four bits (overlays) is no intensity."""
    for data in slices:
        data.BitsStored, data.HighBit, data.PixelRepresentation = 12, 11, 0
        values = np.frombuffer(data.PixelData, "<u2") | 0x8000
        data.PixelData = values.tobytes()
    assert np.array_equal(read_ct(save(slices)).volume.array[0], WANTED)


def test_sts_025_hu_equal_the_published_nifti(data):
    """One patient's DICOM and NIfTI agree in every voxel; the sum of bytes is that of the reference."""
    folder = data / "sts_ct_rtstruct/STS_025"
    array = read_ct(folder / "dicom").volume.array
    assert np.array_equal(array, read_ct(folder / "CT_image.nii.gz").volume.array)
    assert hashlib.sha256(array.tobytes()).hexdigest().startswith("3d95bb4c")
