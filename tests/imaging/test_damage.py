"""Damage that ITK does not tell of."""

import gzip
import re
import resource
import struct

import numpy as np
import pytest
import SimpleITK as sitk

from gc_ray.errors import MaskError, ScanError
from gc_ray.imaging.nifti import open_nifti
from gc_ray.imaging.read import list_rois, read_ct, survey_ct


@pytest.fixture
def image() -> sitk.Image:
    array = np.random.default_rng(0).integers(-1000, 1000, (20, 30, 40)).astype(np.int16)
    return sitk.GetImageFromArray(array)


FORMATS = [
    ("a.nii", False),
    ("a.nii.gz", True),
    ("a.nrrd", False),
    ("a.nrrd", True),
    ("a.mha", False),
    ("a.mha", True),
]


@pytest.mark.parametrize(("name", "packed"), [*FORMATS, ("a.mhd", False), ("a.mhd", True)])
def test_whole_files_pass(name, packed, image, tmp_path):
    """What ITK wrote is read back to the voxel."""
    sitk.WriteImage(image, tmp_path / name, useCompression=packed)
    assert np.array_equal(read_ct(tmp_path / name).volume.array, sitk.GetArrayFromImage(image))


@pytest.mark.parametrize(("name", "packed"), FORMATS)
@pytest.mark.parametrize("share", [0.1, 0.6, 0.999])
def test_files_cut_short_are_refused_and_named(name, packed, share, image, tmp_path, capfd):
    """ITK fills a truncated NIfTI up without a word; nothing of it may pass."""
    sitk.WriteImage(image, tmp_path / name, useCompression=packed)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ScanError, match=f"^{name}: ") as refusal:
        read_ct(tmp_path / name)
    assert str(tmp_path) not in str(refusal.value)
    assert str(tmp_path) not in capfd.readouterr().err


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.mha", "a.mhd"])
def test_a_flipped_byte_in_a_compressed_file_is_refused(name, image, tmp_path):
    """Checksums of the compressed stream are compared in every format."""
    sitk.WriteImage(image, tmp_path / name, useCompression=True)
    target = tmp_path / "a.zraw" if name == "a.mhd" else tmp_path / name
    spoilt = bytearray(target.read_bytes())
    spoilt[len(spoilt) // 2] ^= 255
    target.write_bytes(spoilt)
    with pytest.raises(ScanError, match=name):
        read_ct(tmp_path / name)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mha"])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(name, kind, bad, image, tmp_path):
    """ITK turns NaN in a NIfTI into 0, which would be water."""
    array = sitk.GetArrayFromImage(image).astype(kind)
    array[3, 4, 5] = bad
    sitk.WriteImage(sitk.GetImageFromArray(array), tmp_path / name)
    with pytest.raises(ScanError, match=f"{name}: 1 of .* voxels hold NaN or infinite values"):
        read_ct(tmp_path / name)


def test_big_endian_and_nifti_2_headers_are_understood(image, tmp_path):
    """The voxel count is read from either byte order; a byte too few is found in both."""
    nifti = np.zeros(352, np.uint8)
    nifti[:4] = np.frombuffer(np.array(348, ">i4").tobytes(), np.uint8)
    nifti[40:56] = np.frombuffer(np.array([3, 4, 3, 2, 1, 1, 1, 1], ">i2").tobytes(), np.uint8)
    nifti[70:74] = np.frombuffer(np.array([4, 16], ">i2").tobytes(), np.uint8)
    nifti[76:108] = np.frombuffer(np.ones(8, ">f4").tobytes(), np.uint8)
    nifti[108:112] = np.frombuffer(np.array(352, ">f4").tobytes(), np.uint8)
    nifti[344:347] = np.frombuffer(b"n+1", np.uint8)
    second = np.zeros(544, np.uint8)
    second[:4] = np.frombuffer(np.array(540, "<i4").tobytes(), np.uint8)
    second[12:16] = np.frombuffer(np.array([4, 16], "<i2").tobytes(), np.uint8)
    second[16:80] = np.frombuffer(np.array([3, 4, 3, 2, 1, 1, 1, 1], "<i8").tobytes(), np.uint8)
    second[4:12] = np.frombuffer(b"n+2\0\r\n\x1a\n", np.uint8)
    second[104:168] = np.frombuffer(np.ones(8, "<f8").tobytes(), np.uint8)
    second[168:176] = np.frombuffer(np.array(544, "<i8").tobytes(), np.uint8)
    for header in (nifti.tobytes(), second.tobytes()):
        for name, pack in (("a.nii", bytes), ("a.nii.gz", gzip.compress)):
            (tmp_path / name).write_bytes(pack(header + bytes(48)))
            open_nifti(tmp_path / name).read()
            (tmp_path / name).write_bytes(pack(header + bytes(47)))
            with pytest.raises(ScanError, match="1 bytes of voxels are missing"):
                open_nifti(tmp_path / name).read()


def test_survey_needs_no_voxels(image, tmp_path):
    """The header alone gives the geometry, the same that reading gives."""
    sitk.WriteImage(image, tmp_path / "a.nii.gz")
    assert survey_ct(tmp_path / "a.nii.gz").grid == read_ct(tmp_path / "a.nii.gz").volume.grid


def nifti(size, tail: bytes, bits: int = 16, code: int = 4) -> bytes:
    """A NIfTI-1 header of the size and what follows it."""
    head = bytearray(352)
    struct.pack_into("<i8h", head, 0, 348, *[0] * 8)
    struct.pack_into("<8h", head, 40, 3, *size, 1, 1, 1, 1)
    struct.pack_into("<hh", head, 70, code, bits)
    struct.pack_into("<8f", head, 76, 1, 1, 1, 1, 0, 0, 0, 0)
    struct.pack_into("<f", head, 108, 352)
    head[344:348] = b"n+1\0"
    return bytes(head) + tail


@pytest.mark.parametrize(
    ("size", "zeros_mb", "reason"),
    [
        ((30000, 30000, 30000), 200, "voxels, wanted at most"),  # 54 TB
        ((1000, 1000, 1000), 200, "truncated, .* bytes of voxels are missing"),
        ((10, 10, 10), 200, "more than 64 MiB follow its voxels"),
    ],
)
def test_a_gzip_bomb_is_refused_in_bounded_memory(size, zeros_mb, reason, tmp_path):
    """What is inflated is thrown away at once, and never more of it is inflated than the header accounts for."""
    path = tmp_path / "a.nii.gz"
    with gzip.open(path, "wb", 1) as file:
        file.write(nifti(size, b""))
        for _ in range(zeros_mb):
            file.write(bytes(1 << 20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ScanError, match=f"^a.nii.gz: .*{reason}"):
        read_ct(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


def test_a_volume_that_promises_more_than_any_ct_is_refused(tmp_path):
    """Before memory is asked for: in an NRRD of a few lines, too, read as CT or as mask."""
    head = "NRRD0004\ntype: short\ndimension: 3\nsizes: 65536 65536 65536\nencoding: gzip\nendian: little\n\n"
    (tmp_path / "a.nrrd").write_bytes(head.encode() + gzip.compress(b""))
    with pytest.raises(ScanError, match=r"^a.nrrd: 65536 x 65536 x 65536 voxels"):
        read_ct(tmp_path / "a.nrrd")
    with pytest.raises(MaskError, match=r"^a.nrrd: 65536 x 65536 x 65536 voxels"):
        list_rois(tmp_path / "a.nrrd")


@pytest.mark.parametrize("target", ["../secret.raw", "/secret.raw", "sub/secret.raw", "LIST", "%03d.raw 0 9 1"])
@pytest.mark.parametrize("name", ["a.mhd", "a.nhdr"])
def test_detached_voxels_lie_beside_their_header(name, target, image, tmp_path):
    """A header that names a file elsewhere would show that file's bytes as an image."""
    folder = tmp_path / "scan"
    folder.mkdir()
    sitk.WriteImage(image, folder / name)
    (tmp_path / "secret.raw").write_bytes((folder / "a.raw").read_bytes())
    text = (folder / name).read_text().replace("a.raw", target)
    (folder / name).write_text(text)
    with pytest.raises(
        ScanError, match=f"^{name}: the header names the file of its voxels by a path|^{name}: header"
    ):
        read_ct(folder / name)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e30])
@pytest.mark.parametrize("place", [84, 256, 300])  # pixdim[2], quatern_b, srow_y[1]
def test_axes_that_are_no_numbers_are_refused(place, value, tmp_path):
    """ITK would seek the rotation in them for ever."""
    head = bytearray(nifti((4, 4, 4), bytes(128)))
    struct.pack_into("<hh", head, 252, 1, 1)
    struct.pack_into("<12f", head, 280, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0)
    (tmp_path / "sound.nii").write_bytes(head)
    survey_ct(tmp_path / "sound.nii")
    struct.pack_into("<f", head, place, value)
    (tmp_path / "a.nii").write_bytes(head)
    with pytest.raises(ScanError, match=r"^a\.nii: header cannot be read"):
        survey_ct(tmp_path / "a.nii")


def test_axes_that_a_nifti_says_not_to_use_may_hold_anything(tmp_path):
    """Writers leave the fields of a code of 0 as they found them."""
    head = bytearray(nifti((4, 4, 4), bytes(128)))
    struct.pack_into("<18f", head, 256, *[float("nan")] * 18)
    (tmp_path / "a.nii").write_bytes(head)
    assert survey_ct(tmp_path / "a.nii").grid.size == (4, 4, 4)


NRRD = "NRRD0004\ntype: short\ndimension: 3\nsizes: 4 4 4\nencoding: raw\nendian: little\n"


@pytest.mark.parametrize("line", ["x" * 2000, "spacings: " + "9" * 2000, "x: " + "a" * 2000 + ":=b"])
def test_a_long_line_in_an_nrrd_header_is_refused(line, tmp_path):
    """ITK would write it into a buffer of 900 characters, and the process would be gone."""
    (tmp_path / "a.nrrd").write_bytes(f"{NRRD}{line}\n\n".encode() + bytes(128))
    for read in (survey_ct, list_rois):
        with pytest.raises((ScanError, MaskError), match=r"^a\.nrrd: header cannot be read"):
            read(tmp_path / "a.nrrd")


@pytest.mark.parametrize("line", ["# " + "x" * 2000, "Segment0_Tags:=" + "a: b|" * 2000])
def test_long_comments_and_values_of_an_nrrd_are_read(line, tmp_path):
    """3D Slicer writes thousands of characters into one of its own keys."""
    (tmp_path / "a.nrrd").write_bytes(f"{NRRD}{line}\n\n".encode() + bytes(128))
    assert survey_ct(tmp_path / "a.nrrd").grid.size == (4, 4, 4)


def test_a_file_is_read_as_what_its_name_says(image, tmp_path):
    """The library of another format never sees it."""
    sitk.WriteImage(image, tmp_path / "a.mha")
    (tmp_path / "a.mha").rename(tmp_path / "a.nrrd")
    with pytest.raises(ScanError, match=r"^a\.nrrd: header cannot be read"):
        survey_ct(tmp_path / "a.nrrd")


@pytest.mark.parametrize("axes", ["99999999999999999999", "1e308", "-1", "nan", "30"])
def test_a_number_of_axes_that_is_none_is_refused(axes, image, tmp_path):
    """ITK would fill as many axes as a MetaImage says."""
    sitk.WriteImage(image, tmp_path / "a.mha")
    data = (tmp_path / "a.mha").read_bytes()
    (tmp_path / "a.mha").write_bytes(data.replace(b"NDims = 3", f"NDims = {axes}".encode()))
    with pytest.raises(ScanError, match=r"^a\.mha: header cannot be read"):
        survey_ct(tmp_path / "a.mha")


def test_a_compressed_metaimage_that_holds_less_than_it_says_is_refused(image, tmp_path):
    """ITK would hand over whatever lay in memory for the rest."""
    sitk.WriteImage(image, tmp_path / "a.mha", True)
    data = (tmp_path / "a.mha").read_bytes()
    sides = re.search(rb"DimSize = (\d+)", data)
    (tmp_path / "a.mha").write_bytes(data.replace(sides[0], b"DimSize = %d" % (int(sides[1]) + 1)))
    with pytest.raises(ScanError, match=r"^a\.mha: voxels cannot be read"):
        read_ct(tmp_path / "a.mha")
