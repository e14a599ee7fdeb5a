"""Voxels in other files than their header: beside it they are read, elsewhere or absent they are named."""

import gzip

import numpy as np
import pytest
import SimpleITK as sitk

from gc_ray.errors import ScanError
from gc_ray.imaging.detached import beside, voxel_files
from gc_ray.imaging.read import read_ct, survey_ct

VOXELS = np.arange(-60, 60, dtype="<i2").reshape(4, 5, 6)
NRRD = (
    "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 6 5 4\n"
    "space directions: (0.8,0,0) (0,0.8,0) (0,0,3)\nendian: little\nencoding: {}\nspace origin: (1,2,3)\n"
)
META = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nDimSize = 6 5 4\nElementSpacing = 0.8 0.8 3\n"
    "ElementType = MET_SHORT\n"
)


@pytest.fixture
def nhdr(tmp_path):
    def save(target, encoding="raw"):
        (tmp_path / "a.nhdr").write_text(f"{NRRD.format(encoding)}data file: {target}\n", encoding="utf-8")
        return tmp_path / "a.nhdr"

    return save


@pytest.fixture
def mhd(tmp_path):
    def save(target):
        (tmp_path / "a.mhd").write_text(f"{META}ElementDataFile = {target}\n", encoding="utf-8")
        return tmp_path / "a.mhd"

    return save


NAMES = [
    "a.raw",
    "./a.raw",
    "././a.raw",
    "CT 01.raw",
    "./CT 01.raw",
    "图像.raw",
    "Münch é.raw",
    "a(1)[2]&.raw",
    "LIS.raw",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["nhdr", "mhd"])
def test_a_voxel_file_beside_its_header_is_read_whatever_its_name(kind, name, tmp_path, request):
    """A leading ./, blanks and letters of any script are part of a name."""
    (tmp_path / name).write_bytes(VOXELS.tobytes())
    path = request.getfixturevalue(kind)(name)
    scan = read_ct(path)
    assert np.array_equal(scan.volume.array, VOXELS)
    assert scan.volume.grid == survey_ct(path).grid
    assert scan.notes.repairs == ()


@pytest.mark.parametrize("name", ["CT 01.raw.gz", "图像.raw.gz"])
def test_compressed_voxels_beside_a_nrrd_header_are_read(nhdr, tmp_path, name):
    """As 3D Slicer and teem write them."""
    (tmp_path / name).write_bytes(gzip.compress(VOXELS.tobytes()))
    assert np.array_equal(read_ct(nhdr(name, "gzip")).volume.array, VOXELS)


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        ("nhdr", "LIST 2\ns 0.raw\ns 1.raw\ns 2.raw\ns 3.raw"),
        ("nhdr", "s%03d.raw 0 3 1 2"),
        ("nhdr", "./s%03d.raw 0 3 1 2"),
        ("mhd", "LIST\ns 0.raw\ns 1.raw\ns 2.raw\ns 3.raw"),
        ("mhd", "s%03d.raw 0 3 1"),
    ],
)
def test_a_file_a_slice_is_read_when_all_lie_beside_the_header(kind, target, tmp_path, request):
    """Lists and numbered names of both formats."""
    for k, plane in enumerate(VOXELS):
        for name in (f"s {k}.raw", f"s{k:03d}.raw"):
            (tmp_path / name).write_bytes(plane.tobytes())
    path = request.getfixturevalue(kind)(target)
    assert np.array_equal(read_ct(path).volume.array, VOXELS)
    for name in ("s 2.raw", "s002.raw"):
        (tmp_path / name).unlink()
    with pytest.raises(
        ScanError, match="header names 4 files with its voxels, 1 not beside it under exactly this name"
    ):
        survey_ct(path)


@pytest.mark.parametrize("target", ["A.RAW", "b.raw"])
@pytest.mark.parametrize("kind", ["nhdr", "mhd"])
def test_an_absent_voxel_file_is_the_cause_that_is_named(kind, target, tmp_path, request):
    """Not damage: the file is not there, perhaps under other letters."""
    (tmp_path / "a.raw").write_bytes(VOXELS.tobytes())
    with pytest.raises(
        ScanError, match="header names 1 file with its voxels, 1 not beside it under exactly this name"
    ):
        survey_ct(request.getfixturevalue(kind)(target))


@pytest.mark.parametrize(("target", "why"), [("a.raw ", "a blank at its end"), ("a%20b.raw", "%"), ("%.raw", "%")])
def test_a_name_that_itk_does_not_read_is_the_cause(target, why, nhdr):
    """ITK looks for the blank, or takes the name for a pattern; the file is sound."""
    with pytest.raises(
        ScanError, match=f"names the file of its voxels with {why}, which is not read; rename the file"
    ):
        survey_ct(nhdr(target))


def test_a_header_in_one_file_says_how_its_voxels_are_fetched(nhdr, tmp_path):
    """Of an address in S3 only .nhdr and .mhd are looked into before files are fetched."""
    nhdr("b.raw").rename(tmp_path / "a.nrrd")
    with pytest.raises(ScanError, match=r"1 not beside it .* in S3, name the header a\.nhdr"):
        survey_ct(tmp_path / "a.nrrd")


@pytest.mark.parametrize("target", ["sub/a.raw", "/a.raw", "../a.raw", r"C:\scans\a.raw", r".\a.raw", "C:a.raw"])
@pytest.mark.parametrize("kind", ["nhdr", "mhd"])
def test_a_voxel_file_in_another_folder_is_refused(kind, target, request):
    """With the fix; a header must not show any file's bytes as an image."""
    with pytest.raises(ScanError, match="in another folder; wanted beside the header: put the file there"):
        survey_ct(request.getfixturevalue(kind)(target))


def test_the_names_are_those_of_the_header():
    """Attached voxels name no file; a local MetaImage neither, nor a free key or comment that looks like one."""
    head = NRRD.format("raw").encode()
    assert voxel_files(head + b"\n") == ()
    assert voxel_files(head + b"x:=data file: a.raw\n# data file: b.raw\n\ndata file: c.raw\n") == ()
    assert voxel_files(head + b"datafile: a b.raw \r\n") == ("a b.raw",)
    assert voxel_files(META.encode() + b"ElementDataFile = LOCAL\nElementDataFile = a.raw\n") == ()
    assert voxel_files(META.encode() + b"ElementDataFile=x%02d.raw 8 10 1\n") == ("x08.raw", "x09.raw", "x10.raw")
    assert voxel_files(head + b"data file: x%d.raw 3 1 -1\n") == ("x3.raw", "x2.raw", "x1.raw")


@pytest.mark.parametrize("target", ["LIST", "x%03d.raw", "x%d.raw 0 99999999 1", "x%d.raw 1 2 0", "x%d%d.raw 1 2 1"])
def test_a_list_that_is_none_is_refused(target):
    """Empty, endless or without its numbers."""
    with pytest.raises(ValueError, match=r"^$"):
        voxel_files(f"{META}ElementDataFile = {target}\n".encode())


@pytest.mark.parametrize(
    ("name", "bare"), [("./a", "a"), (".//./a b", "a b"), ("..", None), ("./", None), ("a/b", None)]
)
def test_beside_is_a_bare_name(name, bare):
    """Nothing that climbs or descends."""
    assert beside(name) == bare


def test_simpleitk_reads_the_same_voxels(nhdr, mhd, tmp_path):
    """An independent reading of the files that these tests write."""
    (tmp_path / "CT 01.raw").write_bytes(VOXELS.tobytes())
    for path in (nhdr("./CT 01.raw"), mhd("CT 01.raw")):
        image = sitk.ReadImage(str(path))
        assert np.array_equal(sitk.GetArrayFromImage(image), read_ct(path).volume.array)
        assert image.GetSpacing() == read_ct(path).volume.grid.spacing_mm
