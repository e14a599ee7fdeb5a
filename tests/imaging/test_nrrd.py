"""NRRD files: encodings, bzip2, units, and what a header leaves unsaid."""

import bz2
import gzip

import numpy as np
import pytest
import SimpleITK as sitk

from gc_ray.errors import MaskError, ScanError
from gc_ray.imaging.read import list_rois, read_ct, survey_ct

VOXELS = np.arange(-60, 60, dtype="<i2").reshape(4, 5, 6)
PLACE = "space: left-posterior-superior\nspace directions: (0.8,0,0) (0,0.8,0) (0,0,3)\nspace origin: (1,2,3)\n"
GRID = f"dimension: 3\nsizes: 6 5 4\n{PLACE}"


@pytest.fixture
def write(tmp_path):
    def save(data=VOXELS.tobytes(), encoding="raw", grid=GRID, kind="short", more="", name="a.nrrd"):
        head = f"NRRD0004\n# a comment\ntype: {kind}\nendian: little\nencoding: {encoding}\n{grid}{more}"
        if name.endswith(".nhdr"):
            (tmp_path / "a b.raw").write_bytes(data)
            (tmp_path / name).write_bytes(f"{head}data file: ./a b.raw\n".encode())
        else:
            (tmp_path / name).write_bytes(f"{head}\n".encode() + data)
        return tmp_path / name

    return save


NUMBERS = " ".join(map(str, VOXELS.ravel())).encode()
ENCODINGS = {
    "raw": VOXELS.tobytes(),
    "gzip": gzip.compress(VOXELS.tobytes()),
    "gz": gzip.compress(VOXELS.tobytes()),
    "hex": VOXELS.tobytes().hex().encode(),
    "ascii": NUMBERS,
    "text": NUMBERS,
    "txt": NUMBERS,
    "bzip2": bz2.compress(VOXELS.tobytes()),
    "bz2": bz2.compress(VOXELS.tobytes()),
}


@pytest.mark.parametrize("name", ["a.nrrd", "a.nhdr"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_gives_the_same_voxels_and_place(write, encoding, name):
    """bzip2, which ITK does not inflate, is inflated here and remarked."""
    path = write(ENCODINGS[encoding], encoding, name=name)
    scan = read_ct(path)
    assert np.array_equal(scan.volume.array, VOXELS)
    assert scan.volume.grid.spacing_mm == (0.8, 0.8, 3.0)
    assert scan.volume.grid.origin_mm == (1.0, 2.0, 3.0)
    assert survey_ct(path).grid == scan.volume.grid
    assert [f"{name}: voxels in bzip2" in remark for remark in scan.notes.remarks] == [True] * ("bz" in encoding)


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("uchar", "u1"),
        ("signed char", "i1"),
        ("unsigned short", "<u2"),
        ("int32_t", "<i4"),
        ("float", "<f4"),
        ("double", "<f8"),
    ],
)
def test_bzip2_is_inflated_in_every_type(write, kind, dtype):
    """The voxels that SimpleITK reads from the same file uncompressed, also as layers of a segmentation."""
    data = (VOXELS % 100).astype(dtype).tobytes()
    plain = sitk.GetArrayFromImage(sitk.ReadImage(str(write(data, kind=kind, name="plain.nrrd"))))
    found = read_ct(write(bz2.compress(data), "bzip2", kind=kind)).volume.array
    assert found.dtype == plain.dtype
    assert np.array_equal(found, plain)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (bz2.compress(VOXELS.tobytes())[:-20], "voxels cannot be inflated .bzip2; truncated or damaged file"),
        (bz2.compress(VOXELS.tobytes()[:-2]), "voxels cannot be inflated"),
        (b"BZh9" + bytes(40), "voxels cannot be inflated"),
        (VOXELS.tobytes(), "voxels cannot be inflated"),
    ],
)
def test_damaged_bzip2_is_refused_and_named(write, data, words):
    """Only what is damaged is called so."""
    path = write(data, "bzip2")
    survey_ct(path)
    with pytest.raises(ScanError, match=rf"^a\.nrrd: {words}"):
        read_ct(path)


def test_a_flipped_bit_in_bzip2_is_refused(write):
    """Its checksum is compared."""
    noise = np.random.default_rng(0).integers(-1000, 1000, VOXELS.shape).astype("<i2")
    packed = bytearray(bz2.compress(noise.tobytes()))
    packed[len(packed) // 2] ^= 4
    with pytest.raises(ScanError, match="bzip2"):
        read_ct(write(bytes(packed), "bzip2"))


def test_bzip2_behind_skipped_bytes_and_zrl_are_refused_by_name(write):
    """No program of the field writes them."""
    with pytest.raises(ScanError, match="bzip2 behind skipped bytes is not read; save it with encoding gzip"):
        read_ct(write(bz2.compress(VOXELS.tobytes()), "bzip2", more="byte skip: 4\n"))
    with pytest.raises(ScanError, match="NRRD encoding zrl is not read; save it again with encoding gzip or raw"):
        survey_ct(write(encoding="zrl"))


@pytest.mark.parametrize(
    ("more", "before"), [("byte skip: 5\n", b"12345"), ("line skip: 2\n", b"a\nb\n"), ("byte skip: -1\n", b"junk")]
)
def test_skipped_bytes_and_lines_are_skipped(write, more, before):
    """As the header says, in a detached file too."""
    for name in ("a.nrrd", "a.nhdr"):
        assert np.array_equal(read_ct(write(before + VOXELS.tobytes(), more=more, name=name)).volume.array, VOXELS)


@pytest.mark.parametrize("unit", ["um", "cm", "m", "in"])
def test_lengths_in_other_units_are_refused(write, unit):
    """ITK takes every number for millimetres."""
    with pytest.raises(ScanError, match=r"another unit than mm \(space units\); save it in mm"):
        survey_ct(write(more=f'space units: "{unit}" "{unit}" "{unit}"\n'))
    survey_ct(write(more='space units: "mm" "mm" "mm"\n'))


@pytest.mark.parametrize(
    "place", ["", "spacings: 0.8 0.8 nan\n", "space: left-posterior-superior\nspace origin: (1,2,3)\n"]
)
def test_a_voxel_size_that_is_not_stated_is_noted_as_a_repair(write, place):
    """ITK takes 1 mm without a word."""
    scan = read_ct(write(grid=f"dimension: 3\nsizes: 6 5 4\n{place}"))
    assert "does not state every voxel size; 1 mm is taken" in scan.notes.repairs[0]


@pytest.mark.parametrize("space", ["", "space: scanner-xyz\nspace origin: (1,2,3)\n", "space dimension: 3\n"])
def test_axes_without_an_anatomical_space_are_remarked(write, space):
    """Such a header does not tell left from right."""
    place = "spacings: 0.8 0.8 3\n" if not space else f"{space}space directions: (0.8,0,0) (0,0.8,0) (0,0,3)\n"
    remarks = survey_ct(write(grid=f"dimension: 3\nsizes: 6 5 4\n{place}")).notes.remarks
    assert "states no anatomical space" in remarks[0]


@pytest.mark.parametrize("space", ["right-anterior-superior", "RAS", "left-anterior-superior", "LPS"])
def test_an_anatomical_space_is_no_remark(write, space):
    """Each is turned into left, posterior, superior."""
    place = f"space: {space}\nspace directions: (0.8,0,0) (0,0.8,0) (0,0,3)\nspace origin: (1,2,3)\n"
    geometry = survey_ct(write(grid=f"dimension: 3\nsizes: 6 5 4\n{place}"))
    assert geometry.notes.remarks == ()
    signs = [-1 if letter in ("r", "R") else 1 for letter in (space[0],)] + [1 if "p" in space.lower()[1:6] else -1]
    assert geometry.grid.origin_mm == (signs[0] * 1.0, signs[1] * 2.0, 3.0)


@pytest.mark.parametrize(("degrees", "repaired"), [(0.003, False), (0.03, True), (0.09, True)])
def test_slightly_sheared_axes_are_read(write, degrees, repaired):
    """Up to a tenth of a degree; above the rounding of a header with a note and the nearest orthogonal axes."""
    tilt = 0.8 * np.tan(np.radians(degrees))
    place = f"space: LPS\nspace directions: (0.8,0,0) ({tilt:.9f},0.8,0) (0,0,3)\n"
    geometry = survey_ct(write(grid=f"dimension: 3\nsizes: 6 5 4\n{place}"))
    direction = np.reshape(geometry.grid.direction, (3, 3))
    assert direction.T @ direction == pytest.approx(np.eye(3), abs=1e-9 if repaired else 1e-4)
    assert [f"axes sheared by {degrees:.3f} degrees" in note for note in geometry.notes.repairs] == [True] * repaired


def test_a_larger_shear_is_refused_with_its_angle_and_a_tool(write):
    """As for NIfTI."""
    place = "space: LPS\nspace directions: (0.8,0,0) (0.08,0.8,0) (0,0,3)\n"
    with pytest.raises(ScanError, match=r"axes are not orthogonal \(sheared\): 5\.71 degrees .* 3D Slicer"):
        survey_ct(write(grid=f"dimension: 3\nsizes: 6 5 4\n{place}"))


def test_an_axis_without_a_place_and_a_kind_is_named(write):
    """What ITK cannot sort is told with the line that is missing."""
    grid = f"dimension: 4\nsizes: 2 6 5 2\n{PLACE.replace('directions: ', 'directions: none ')}"
    with pytest.raises(MaskError, match="wanted for example 'kinds: list domain domain domain'"):
        list_rois(write(grid=grid))


def test_another_format_under_the_name_is_told(tmp_path):
    """A MetaImage named .nrrd, and a compressed one named .mha."""
    image = sitk.GetImageFromArray(VOXELS)
    sitk.WriteImage(image, tmp_path / "a.mha")
    (tmp_path / "a.nrrd").write_bytes((tmp_path / "a.mha").read_bytes())
    (tmp_path / "b.mha").write_bytes(gzip.compress((tmp_path / "a.mha").read_bytes()))
    for name, words in (("a.nrrd", "this is a MetaImage file; give it the suffix"), ("b.mha", "this is a gzip file")):
        with pytest.raises(ScanError, match=f"^{name}: header cannot be read: {words}"):
            survey_ct(tmp_path / name)
