"""NIfTI files: headers that contradict themselves, and voxels against SimpleITK and nibabel."""

import bz2
import gzip
import math
import struct

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from gc_ray.errors import MaskError, ScanError
from gc_ray.imaging.nifti import open_nifti
from gc_ray.imaging.read import list_rois, read_ct, read_mask, survey_ct, survey_mask

SIZE = (5, 4, 3)  # x, y, z
SPACING = (0.8, 0.8, 3.0)
VOXELS = np.arange(-20, 40, dtype="<i2").reshape(SIZE[::-1])
SFORM = np.array([[-0.8, 0, 0, 25], [0, -0.8, 0, 180], [0, 0, 3.0, 100]])
QFORM = (0.0, 0.0, 1.0, 25.0, 180.0, 100.0)  # the same place: half a turn around z


def header(pixdim=(1, *SPACING), sform=None, qform=None, codes=None, units=2, scale=(1, 0), code=4, order="<"):
    """A NIfTI-1 header with the forms that are given; codes: those of qform and sform, 1 for a form that is given."""
    head = bytearray(352)
    struct.pack_into(f"{order}i", head, 0, 348)
    struct.pack_into(f"{order}8h", head, 40, 3, *SIZE, 1, 1, 1, 1)
    struct.pack_into(f"{order}2h", head, 70, code, 16)
    struct.pack_into(f"{order}8f", head, 76, *pixdim, 0, 0, 0, 0)
    struct.pack_into(f"{order}3f", head, 108, 352, *scale)
    head[123] = units
    codes = codes or (int(qform is not None), int(sform is not None))
    struct.pack_into(f"{order}2h", head, 252, *codes)
    struct.pack_into(f"{order}6f", head, 256, *(qform or [0] * 6))
    struct.pack_into(f"{order}12f", head, 280, *np.ravel(sform if sform is not None else np.zeros(12)))
    head[344:348] = b"n+1\0"
    return bytes(head)


@pytest.fixture
def write(tmp_path):
    def save(name="a.nii", voxels=VOXELS, **fields):
        (tmp_path / name).write_bytes(header(**fields) + voxels.tobytes())
        return tmp_path / name

    return save


def as_itk(path):
    image = sitk.ReadImage(str(path), imageIO="NiftiImageIO")
    return image.GetSpacing(), image.GetOrigin(), image.GetDirection(), sitk.GetArrayFromImage(image)


def affine_of(grid):
    """The matrix (4 x 4) of a grid in nibabel's RAS space."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(grid.direction, (3, 3)) * grid.spacing_mm
    matrix[:3, 3] = grid.origin_mm
    return np.diag([-1, -1, 1, 1]) @ matrix


SOUND = {
    "sform": {"sform": SFORM},
    "sform code 2": {"sform": SFORM, "codes": (0, 2)},
    "sform code 4 beside a qform": {"sform": SFORM, "qform": QFORM, "codes": (1, 4)},
    "both": {"sform": SFORM, "qform": QFORM},
    "qform": {"qform": (0.1, 0.2, 0.3, 1, 2, 3)},
    "qform with a qfac of -1": {"qform": (0.1, 0.2, 0.3, 1, 2, 3), "pixdim": (-1, *SPACING)},
    "qform with a qfac of 0": {"qform": (0.1, 0.2, 0.3, 1, 2, 3), "pixdim": (0, *SPACING)},
    "left-handed sform": {"sform": SFORM * [1, 1, -1, 1]},
    "oblique sform": {"sform": np.column_stack([np.diag([0.8, 0.8, 3]) @ np.eye(3), [1, 2, 3]])},
    "forms 0.05 degrees apart": {
        "sform": SFORM,
        "qform": (0, math.sin(math.radians(0.025)), math.cos(math.radians(0.025)), 25, 180, 100),
    },
    "forms 0.0005 mm apart": {"sform": SFORM, "qform": (0, 0, 1, 25, 180, 100.0005), "codes": (1, 2)},
    "big endian": {"sform": SFORM, "order": ">"},
}


@pytest.mark.parametrize("name", SOUND)
def test_the_geometry_of_a_sound_header_is_that_of_itk_to_the_last_bit(write, name):
    """PyRadiomics reads through ITK; nibabel gives the same matrix within the header's precision."""
    order = SOUND[name].get("order", "<")
    path = write(voxels=VOXELS.astype(f"{order}i2"), **SOUND[name])
    opened = open_nifti(path)
    spacing, origin, direction, array = as_itk(path)
    assert (opened.grid.spacing_mm, opened.grid.origin_mm, opened.grid.direction) == (spacing, origin, direction)
    assert np.array_equal(opened.read(), array)
    assert opened.notes.repairs == ()
    image = nibabel.load(path)
    assert affine_of(opened.grid) == pytest.approx(image.affine, abs=3e-3)
    assert np.array_equal(opened.read().T, np.asanyarray(image.dataobj))


def test_every_header_of_the_shared_data_agrees_with_itself(data):
    """34 files of five origins: as ITK reads them, nothing repaired."""
    paths = sorted(data.rglob("*.nii.gz"))
    assert len(paths) >= 34
    for path in paths:
        opened = open_nifti(path)
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        assert opened.grid.spacing_mm == reader.GetSpacing()
        assert (opened.grid.origin_mm, opened.grid.direction) == (reader.GetOrigin(), reader.GetDirection())
        assert opened.notes.repairs == ()


TWO = {
    "sform of unit vectors": (
        {"sform": SFORM / [0.8, 0.8, 3, 1]},
        "two spacings: sform 1 x 1 x 1, pixdim 0.8 x 0.8 x 3",
    ),
    "pixdim of ones": ({"sform": SFORM, "pixdim": (1, 1, 1, 1)}, "sform 0.8 x 0.8 x 3, pixdim 1 x 1 x 1 mm"),
    "pixdim of zeros": ({"sform": SFORM, "pixdim": (1, 0, 0, 0)}, "sform 0.8 x 0.8 x 3, pixdim 1 x 1 x 1 mm"),
    "slices of 5 mm in one form": (
        {"sform": SFORM * [1, 1, 5 / 3, 1], "qform": QFORM},
        "two spacings: sform .* x 5, pixdim and qform 0.8",
    ),
    "spacing 0.002 mm apart": ({"sform": SFORM * [1.0025, 1, 1, 1]}, "two spacings: sform 0.802 x 0.8 x 3"),
    "origin 0.002 mm apart": (
        {"sform": SFORM, "qform": (0, 0, 1, 25, 180, 100.002)},
        r"two origins: sform \(25, 180, 100\), qform \(25, 180, 100.002\) mm",
    ),
    "axes 0.2 degrees apart": (
        {"sform": SFORM, "qform": (0, math.sin(math.radians(0.1)), math.cos(math.radians(0.1)), 25, 180, 100)},
        "two axes that differ by 0.20 degrees",
    ),
    "left and right exchanged": ({"sform": SFORM * [-1, 1, 1, 1], "qform": QFORM}, "two axes that differ by 180.00"),
    "mirrored by qfac": (
        {"sform": SFORM, "qform": QFORM, "pixdim": (-1, *SPACING)},
        "two axes that differ by 180.00",
    ),
    "forms in metres, pixdim in mm": ({"sform": SFORM / 1000, "units": 1}, "voxels of 800 x 800 x 3000 mm"),
}


@pytest.mark.parametrize("name", TWO)
def test_a_header_that_states_two_geometries_is_refused_as_image_and_as_mask(write, name):
    """ITK takes one and nibabel the other, without a word; both are shown."""
    fields, words = TWO[name]
    path = write(**fields)
    ct = survey_ct(write("sound.nii", sform=SFORM))
    for call in (survey_ct, read_ct):
        with pytest.raises(ScanError, match=f"^a.nii: .*{words}"):
            call(path)
    for call in (survey_mask, read_mask):
        with pytest.raises(MaskError, match=f"^a.nii: .*{words}"):
            call(path, None, ct)
    with pytest.raises(MaskError, match=words):
        list_rois(path)


@pytest.mark.parametrize("degrees", [0.01, 0.03, 0.09])
def test_axes_sheared_by_less_than_a_tenth_of_a_degree_are_read_with_a_note(write, degrees):
    """ITK refuses them; the nearest orthogonal axes differ from those that nibabel reads by half of that."""
    sheared = SFORM + np.tan(np.radians(degrees)) * np.array([[0, 0.8, 0, 0], [0] * 4, [0] * 4])
    path = write(sform=sheared)
    with pytest.raises(RuntimeError, match="orthonormal"):
        as_itk(path)
    scan = read_ct(path)
    assert f"sform sheared by {degrees:.3f} degrees; the nearest orthogonal axes are taken" in scan.notes.repairs[0]
    direction = np.reshape(scan.volume.grid.direction, (3, 3))
    assert direction.T @ direction == pytest.approx(np.eye(3), abs=1e-6)
    matrix = nibabel.load(path).affine
    turned = np.diag([-1, -1, 1]) @ matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)
    assert np.degrees(np.linalg.norm(direction - turned, axis=0)).max() == pytest.approx(degrees / 2, rel=0.02)
    assert affine_of(scan.volume.grid)[:3, 3] == pytest.approx(matrix[:3, 3])
    assert np.array_equal(scan.volume.array, VOXELS)


def test_a_larger_shear_is_refused_with_its_angle_and_a_tool(write):
    """What to do stands in the message."""
    path = write(sform=SFORM + np.array([[0, 0.8 * math.tan(math.radians(0.2)), 0, 0], [0] * 4, [0] * 4]))
    with pytest.raises(ScanError, match=r"\(sheared sform\): 0\.20 degrees from right angles.*resample_to_output"):
        survey_ct(path)


def test_beside_a_qform_a_slight_shear_of_the_sform_changes_nothing(write):
    """ITK takes the qform then; the note says so."""
    path = write(
        sform=SFORM + np.array([[0, 0.8 * math.tan(math.radians(0.05)), 0, 0], [0] * 4, [0] * 4]), qform=QFORM
    )
    opened = open_nifti(path)
    assert opened.grid.direction == as_itk(path)[2]
    assert "the axes of the qform are taken" in opened.notes.repairs[0]


@pytest.mark.parametrize(("units", "factor", "word"), [(1, 1e-3, "metres"), (3, 1e3, "micrometres")])
def test_lengths_in_other_units_are_converted_with_a_remark(write, units, factor, word):
    """The standard and ITK convert; nibabel does not."""
    path = write(sform=SFORM * factor, pixdim=(1, *np.multiply(SPACING, factor)), units=units)
    opened = open_nifti(path)
    assert opened.grid.spacing_mm == pytest.approx(SPACING)
    assert opened.grid.origin_mm == pytest.approx((-25, -180, 100))
    assert (opened.grid.spacing_mm, opened.grid.origin_mm) == as_itk(path)[:2]
    assert opened.notes.remarks == (f"a.nii: the header counts in {word}, converted to mm",)


@pytest.mark.parametrize(("units", "size"), [(1, "800 x 800 x 3000"), (3, "0.0008 x 0.0008 x 0.003")])
def test_a_unit_that_makes_voxels_no_ct_has_is_refused(write, units, size):
    """Some writers count in mm and state another unit."""
    with pytest.raises(ScanError, match=f"voxels of {size} mm; its unit is the .*metre; correct xyzt_units"):
        survey_ct(write(sform=SFORM, units=units))


@pytest.mark.parametrize("fields", [{"sform": SFORM}, {"qform": QFORM}])
def test_voxel_sizes_below_zero_lose_their_sign_with_a_note(write, fields):
    """ITK mirrors the image then, though sform and quaternion hold its axes; nibabel takes the size without sign."""
    path = write(pixdim=(1, -0.8, 0.8, 3.0), **fields)
    opened = open_nifti(path)
    assert affine_of(opened.grid) == pytest.approx(nibabel.load(path).affine, abs=1e-5)
    assert opened.notes.repairs == ("a.nii: voxel sizes below 0 in pixdim, taken without their sign",)
    assert not np.allclose(as_itk(path)[2], opened.grid.direction)


def test_a_voxel_size_of_zero_is_refused(write):
    """ITK takes it for 1 mm."""
    with pytest.raises(ScanError, match=r"a voxel size \(pixdim\) is 0"):
        survey_ct(write(pixdim=(1, 0.8, 0, 3), qform=QFORM))


def test_without_orientation_the_reader_is_told(write):
    """Both codes 0: axes and origin are unknown; spacing is not. On a CT that has an orientation it is no mask."""
    path = write()
    scan = read_ct(path)
    assert scan.volume.grid.spacing_mm == pytest.approx(SPACING)
    assert "states no orientation" in scan.notes.remarks[0]
    with pytest.raises(MaskError, match=r"geometry mismatch .*states no orientation"):
        survey_mask(path, "1", survey_ct(write("ct.nii", sform=SFORM)))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("code", "kind"),
    [(256, "i1"), (2, "u1"), (4, "i2"), (512, "u2"), (8, "i4"), (768, "u4"), (1024, "i8"), (16, "f4"), (64, "f8")],
)
@pytest.mark.parametrize("scale", [(1, 0), (0, 0), (float("nan"), 0), (1, -1024), (0.1, 0.3), (-2.5, 7)])
def test_voxels_and_their_scaling_are_those_of_itk(write, order, code, kind, scale):
    """Every type in either byte order, to the bit; nibabel's double precision agrees within single precision."""
    values = np.random.default_rng(code).integers(0 if kind[0] == "u" else -100, 127, SIZE[::-1])
    path = write(voxels=values.astype(f"{order}{kind}"), sform=SFORM, scale=scale, code=code, order=order)
    found, expected = open_nifti(path).read(), as_itk(path)[3]
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)
    assert np.allclose(found.T, np.asanyarray(nibabel.load(path).dataobj), rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("scale", [(0, 5), (float("nan"), 5), (2, float("nan")), (float("inf"), 0)])
def test_a_scaling_that_programs_understand_differently_is_refused(write, scale):
    """A slope of 0 means no scaling; ITK adds the intercept all the same."""
    with pytest.raises(ScanError, match=r"^a\.nii: scl_slope .* with scl_inter .* says no scaling to some programs"):
        survey_ct(write(sform=SFORM, scale=scale))


def test_values_beyond_single_precision_are_refused(write):
    """A scaling that overflows makes no HU."""
    path = write(voxels=VOXELS.astype("<f4"), sform=SFORM, scale=(3e38, 0), code=16)
    with pytest.raises(ScanError, match="make values that are not finite"):
        read_ct(path)


@pytest.mark.parametrize(
    ("code", "word"), [(1, "1-bit"), (32, "complex"), (1792, "complex"), (128, "RGB colour"), (1536, "128-bit float")]
)
def test_voxels_that_are_no_single_number_are_refused_by_name(write, code, word):
    """The type is named with its code."""
    with pytest.raises(ScanError, match=rf"^a\.nii: {word} voxels \(NIfTI datatype {code}\)"):
        survey_ct(write(sform=SFORM, code=code))


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "A.NII.GZ"])
@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, lambda data: gzip.compress(data[:99]) + gzip.compress(data[99:])]
)
def test_whether_a_file_is_compressed_is_seen_from_its_bytes(tmp_path, name, pack):
    """ITK reads plain bytes named .nii.gz four bytes off, and compressed ones named .nii not at all."""
    (tmp_path / name).write_bytes(pack(header(sform=SFORM) + VOXELS.tobytes()))
    opened = open_nifti(tmp_path / name)
    assert np.array_equal(opened.read(), VOXELS)
    assert affine_of(opened.grid)[:3] == pytest.approx(SFORM, abs=1e-6)


@pytest.mark.parametrize("named", ["m.hdr", "m.img", "M.IMG"])
def test_a_pair_of_hdr_and_img_is_read_by_either_name(tmp_path, named):
    """NIfTI in two files, as nibabel writes it; the remark says which files were read."""
    image = nibabel.Nifti1Pair(VOXELS.T, np.vstack([SFORM, [0, 0, 0, 1]]))
    nibabel.save(image, tmp_path / "m.hdr")
    if named.isupper():
        (tmp_path / "m.hdr").rename(tmp_path / "M.HDR")
        (tmp_path / "m.img").rename(tmp_path / "M.IMG")
    scan = read_ct(tmp_path / named)
    assert np.array_equal(scan.volume.array, VOXELS)
    assert affine_of(scan.volume.grid) == pytest.approx(image.affine, abs=1e-6)
    assert f"{named}: a NIfTI pair" in scan.notes.remarks[0]


def test_half_of_a_pair_is_refused(tmp_path):
    """The missing file is named."""
    nibabel.save(nibabel.Nifti1Pair(VOXELS.T, np.eye(4)), tmp_path / "m.hdr")
    (tmp_path / "m.img").rename(tmp_path / "x.img")
    with pytest.raises(ScanError, match=r"^m\.hdr: of a pair of \.hdr and \.img, m\.img is not beside it"):
        survey_ct(tmp_path / "m.hdr")


@pytest.mark.parametrize("name", ["m.hdr", "m.img", "m.nii"])
def test_analyze_is_refused_and_nifti_named(tmp_path, name):
    """Analyze 7.5 states no orientation; programs guess it."""
    nibabel.save(nibabel.AnalyzeImage(VOXELS.T, np.eye(4)), tmp_path / "m.hdr")
    if name == "m.nii":
        head = bytearray(header(sform=SFORM))
        head[344:348] = bytes(4)
        (tmp_path / name).write_bytes(bytes(head) + VOXELS.tobytes())
    with pytest.raises(ScanError, match=rf"^{name}: Analyze 7.5 format, .* export it again as NIfTI \(\.nii\.gz\)"):
        survey_ct(tmp_path / name)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_nifti_2_is_read_as_nibabel_reads_it(tmp_path, name):
    """ITK does not know it."""
    affine = np.vstack([SFORM, [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti2Image(VOXELS.T, affine), tmp_path / name)
    opened = open_nifti(tmp_path / name)
    assert np.array_equal(opened.read(), VOXELS)
    assert affine_of(opened.grid) == pytest.approx(affine, abs=1e-5)


@pytest.mark.parametrize("axes", [(4, 1), (5, 1), (7, 1)])
def test_further_axes_of_length_one_are_left_out(tmp_path, axes):
    """One volume in four dimensions is that volume."""
    count, length = axes
    array = VOXELS.T.reshape(*SIZE, *[length] * (count - 3))
    nibabel.save(nibabel.Nifti1Image(array, np.vstack([SFORM, [0, 0, 0, 1]])), tmp_path / "a.nii.gz")
    assert np.array_equal(read_ct(tmp_path / "a.nii.gz").volume.array, VOXELS)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.nii", b"PK\3\4" + bytes(400), "this is a zip archive"),
        ("a.nii", bz2.compress(bytes(400)), "this is a bzip2 file"),
        ("a.nii.gz", gzip.compress(b"NRRD0004\n" + bytes(400), mtime=0), "this is an NRRD file"),
        (
            "a.nii.gz",
            gzip.compress(gzip.compress(bytes(400), mtime=0), mtime=0),
            "packed twice by gzip; unpack it once",
        ),
        ("a.nii.gz", gzip.compress(b"# vtk DataFile Version 3.0\n" + bytes(400), mtime=0), "this is a VTK file"),
        ("a.nii.gz", b"", "the file is empty"),
        ("a.nii.gz", b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    ],
)
def test_another_format_under_the_name_is_told_by_what_it_is(tmp_path, name, content, words):
    """The true cause and its fix, not damage."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ScanError, match=f"^{name}: header cannot be read: .*{words}"):
        survey_ct(tmp_path / name)


def test_a_file_that_cannot_hold_what_it_promises_is_refused_before_memory_is_asked_for(tmp_path):
    """gzip makes nothing smaller than a thousandth."""
    head = bytearray(header(sform=SFORM))
    struct.pack_into("<3h", head, 42, 1000, 1000, 1000)
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(bytes(head) + bytes(1000)))
    with pytest.raises(ScanError, match=r"truncated, at least .* bytes of voxels are missing"):
        read_ct(tmp_path / "a.nii.gz")
