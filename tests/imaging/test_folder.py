"""What lies in a folder beside the slices: passed over with a note, or refused when it could be a slice."""

import bz2
import gzip
import io
import zipfile
from collections import Counter

import numpy as np
import openpyxl
import pydicom
import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage

from gc_ray.errors import ScanError
from gc_ray.imaging.folder import counted
from gc_ray.imaging.read import read_ct, survey_ct

PROGRAM = b"MZ\x90\0\3\0\0\0" + bytes(120)
ELF = b"\x7fELF\2\1\1" + bytes(120)
CLASS = b"\xca\xfe\xba\xbe\0\0\0\x34" + bytes(60)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
HTML = b"<!DOCTYPE html><html><title>403 Forbidden</title></html>"
UNKNOWN = b"\1\2\0\0"


def zipped(name="000.dcm") -> bytes:
    """A zip archive of one file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, b"content")
    return out.getvalue()


def workbook() -> bytes:
    """An Excel workbook."""
    out = io.BytesIO()
    openpyxl.Workbook().save(out)
    return out.getvalue()


def directory() -> Dataset:
    """A DICOMDIR; its data set has neither SOP class nor modality."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    data.file_meta.MediaStorageSOPInstanceUID = "1.2.3.99"
    data.FileSetID, data.DirectoryRecordSequence = "CD", []
    return data


def put(folder, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def assert_refused(folder, pattern):
    with pytest.raises(ScanError, match=pattern) as refusal:
        survey_ct(folder)
    assert str(folder.parent) not in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.fixture
def cd(slices, save):
    """Slices as a CD names them, without suffixes."""
    return save(slices, [f"DICOM/PA0/ST0/SE1/IM{k:06d}" for k in range(6)], "cd")


VIEWER = {
    "AUTORUN.INF": b"[autorun]\r\n",
    "Run.bat": b"start",
    "viewer.exe": PROGRAM,
    "lib/codec.dll": PROGRAM,
    "lib/viewer.jar": zipped("META-INF/MANIFEST.MF"),
    "lib/Main.class": CLASS,
    "linux/viewer": ELF,
    "linux/viewer64": ELF,
    "linux/libdcm.so.3": ELF,
    "settings.dat": UNKNOWN,
    "data/index.db": b"SQLite format 3\0" + bytes(84),
    "data/patients.bin": bytes(300),
    "data/empty.cfg": b"",
    "autorun.ico": b"\0\0\1\0",
    "help.chm": b"ITSF\3",
    "web/app.js": b"var x;",
    "web/style.css": b"p {}",
    "web/preview": PNG,
    "IHE_PDI/INDEX.HTM": HTML,
    "IHE_PDI/REPORT.PDF": b"%PDF-1.4\n",
    "REPORT": b"%PDF-1.4\n",
    "MD5SUMS": b"0 DICOM/PA0/ST0/SE1/IM000000\n",
    "checksum.md5": b"0 IM000000\n",
    "LOCKFILE": b"",
    "INSTALL_NOTES": b"Insert the CD.",
    "Thumbs.db": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504),
    "__MACOSX/IM000000": UNKNOWN,
    ".DS_Store": b"\0\0\0\1Bud1",
    "mask.nii.gz": gzip.compress(b"x", mtime=0),
    "backup.zip": zipped(),
}


def test_a_cd_is_read_and_its_other_files_are_counted(cd, slices, save):
    """Viewer, index, report, checksums: the slices and their values are those of the bare folder."""
    put(cd, VIEWER)
    directory().save_as(cd / "DICOMDIR", enforce_file_format=True)
    scan = read_ct(cd)
    assert np.array_equal(scan.volume.array, read_ct(save(slices)).volume.array)
    assert scan.notes.repairs == ()
    (note,) = scan.notes.remarks
    assert note.startswith("ignored files that are no DICOM: ")
    assert sum(int(part.rpartition(" ")[2]) for part in note.partition(": ")[2].split(", ")) == len(VIEWER) + 1


@pytest.mark.parametrize("name", list(VIEWER))
def test_each_companion_alone_is_passed_over_with_a_note(cd, name):
    """None of them needs another one beside it."""
    put(cd, {name: VIEWER[name]})
    scan = survey_ct(cd)
    assert scan.grid.size[2] == 6
    assert len(scan.notes.remarks) == 1


@pytest.mark.parametrize("name", ["DIRFILE", "DICOMDIR", "index.dcm", "dicomdir.bak", "0001"])
def test_the_index_of_a_cd_is_no_slice_under_any_name(cd, name):
    """It is known by its SOP class in the file meta header."""
    directory().save_as(cd / name, enforce_file_format=True)
    scan = survey_ct(cd)
    assert scan.grid.size[2] == 6
    assert "DICOMDIR 1" in scan.notes.remarks[0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("006.dcm", b"", "not a valid DICOM file \\(empty, cut short"),
        ("006.dcm", bytes(200), "not a valid DICOM file \\(empty"),
        ("006.DCM", HTML, "not a valid DICOM file but an HTML page; .*download the file again"),
        ("006.ima", b"<Error><Code>AccessDenied</Code></Error>", "but an XML file; .*download the file again"),
        ("006.dcm", b"version https://git-lfs.github.com/spec/v1\n", "but a Git LFS pointer .*; fetch the file"),
        ("006.dcm", PNG, "but a PNG picture; replace it, or remove it if it is no slice"),
        ("006.dcm", b"no DICOM at all", "but a text file; replace it"),
        ("006.dcm.part", UNKNOWN, "not a valid DICOM file"),
        ("006.dcm.gz", gzip.compress(b"x", mtime=0), r"but a gzip file; unpack it first \(gunzip\)"),
        ("IM000006.gz", gzip.compress(b"x", mtime=0), "but a gzip file; unpack it first"),
        ("IM000006", gzip.compress(b"x", mtime=0), "but a gzip file; unpack it first"),
        ("IM000006", bz2.compress(b"x"), "but a bzip2 file; unpack it first"),
        ("IM000006", b"", "not a valid DICOM file"),
        ("IM000006", UNKNOWN, "not a valid DICOM file"),
        ("IM000006", HTML, "but an HTML page"),
        ("IMAGE", UNKNOWN, "not a valid DICOM file"),
        ("1.2.840.113619.2.55.3", UNKNOWN, "not a valid DICOM file"),
        ("1.2.840.113619.2.55.3", b'{"error": 404}', "but a JSON file"),
        (
            "IM000006",
            b"\x08\0\x05\0CS\n\0ISO_IR 100",
            "but DICOM data without preamble and file meta header; add both",
        ),
        ("slice.raw", b"\x08\0\x08\0\x16\0\0\0ORIGINAL", "DICOM data without preamble .*dcmconv of DCMTK"),
    ],
)
def test_a_file_that_could_be_a_slice_is_refused_by_what_it_is(cd, name, content, message):
    """By its name, or because nothing tells what it is: a slice is never lost in silence."""
    put(cd, {name: content})
    assert_refused(cd, rf"^{name.replace('.', '[.]')}: .*{message}")


def test_a_file_with_the_suffix_of_the_slices_is_refused(slices, save):
    """Of whatever suffix: where slices are called .dat, another .dat could be one of them."""
    folder = save(slices, [f"{k}.dat" for k in range(6)])
    assert survey_ct(folder).grid.size[2] == 6
    put(folder, {"6.dat": UNKNOWN})
    assert_refused(folder, r"^6\.dat: not a valid DICOM file")


def test_a_slice_is_known_by_its_content_under_any_name(slices, save):
    """A suffix of another format does not hide it."""
    names = ["0.jpg", "1.txt", "2.zip", "3.nii", "INDEX", "5.exe"]
    assert survey_ct(save(slices, names)).grid.size[2] == 6


def test_a_link_to_a_file_that_is_not_there_is_refused(cd):
    """As git-annex and DataLad leave them where files were not fetched."""
    (cd / "IM000006").symlink_to("nowhere")
    assert_refused(cd, r"^IM000006: a link to a file that is not there; fetch the file")


def test_a_slice_without_right_to_read_it_is_refused_for_that(cd, monkeypatch):
    """Not as damaged."""
    put(cd, {"IM000006": UNKNOWN})
    monkeypatch.setattr("gc_ray.imaging.folder.os.access", lambda path, mode: path.name != "IM000006")
    assert_refused(cd, "^IM000006: cannot be opened; give this user the right to read it")


def test_a_folder_of_packed_slices_says_how_many_and_what_to_do(slices, save):
    """All of one kind: the first is named, all are counted."""
    folder = save(slices)
    for path in list(folder.iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert_refused(folder, r"^000\.dcm\.gz: .*a gzip file \(6 such files here\); unpack it first \(gunzip\)")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.zip": zipped(), "b.zip": zipped()}, r"found: \.zip 2; unpack it first$"),
        ({"a.7z": b"7z\xbc\xaf\x27\x1c"}, r"found: \.7z 1; unpack it first \(7-Zip\)"),
        (
            {"a.png": PNG, "notes.txt": b"x"},
            r"found: \.png 1, \.txt 1; pictures hold no HU and no labels: export DICOM",
        ),
        ({"a.nii.gz": gzip.compress(b"x", mtime=0)}, r"found: \.nii\.gz 1; name the file itself"),
        ({"a.nrrd": b"NRRD0004\n"}, r"found: \.nrrd 1; name the file itself"),
        ({"notes.txt": b"x"}, r"found: \.txt 1; the image column must name a CT series"),
    ],
)
def test_a_folder_without_dicom_names_the_fix(tmp_path, files, message):
    """Archives are to be unpacked, pictures exported anew, a volume file named itself."""
    put(tmp_path / "ct", files)
    assert_refused(tmp_path / "ct", "^no CT images here, " + message)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("ct.zip", zipped(), "a zip archive, wanted a folder of DICOM slices or a NIfTI, .*; unpack it first"),
        ("ct.dcm.gz", gzip.compress(b"x", mtime=0), r"a gzip file, .*; unpack it first \(gunzip\)"),
        ("ct", bz2.compress(b"x"), "a bzip2 file"),
        ("ct.rar", b"Rar!\x1a\x07\0", "a rar archive"),
        ("ct.xlsx", workbook(), "an Excel workbook"),
        ("ct.pdf", b"%PDF-1.4\n", "a PDF document"),
        ("ct.png", PNG, "a PNG picture, .*; pictures hold no HU"),
        ("ct", b"NRRD0004\n", "an NRRD file, .*; give it the suffix .nrrd"),
        ("ct.dcm", b"\x08\0\5\0CS\n\0ISO_IR 100", "DICOM data without preamble and file meta header"),
        ("ct.txt", b"see the other folder", "a text file"),
        ("ct.dcm", b"", "not a valid DICOM file"),
        ("ct.img", bytes(300), "of no known format, or empty; wanted a folder of DICOM slices or a NIfTI"),
    ],
)
def test_a_file_of_another_format_given_as_the_image_is_named(tmp_path, name, content, message):
    """With what was wanted and what to do."""
    put(tmp_path, {name: content})
    assert_refused(tmp_path / name, f"^{name}: {message}")


def test_a_dicomdir_given_as_the_image_says_to_name_the_folder(tmp_path):
    """It holds no pixels itself."""
    pydicom.dcmwrite(tmp_path / "DICOMDIR", directory(), enforce_file_format=True)
    assert_refused(
        tmp_path / "DICOMDIR", "found: DICOMDIR 1; a DICOMDIR only lists the images of a CD; name the folder"
    )


def test_a_long_list_is_cut_off():
    """The most frequent are listed, the rest is counted."""
    counts = Counter({f".{letter}": n for n, letter in enumerate("abcdefghij", 1)})
    assert counted(counts) == ".d 4, .e 5, .f 6, .g 7, .h 8, .i 9, .j 10, others 6"
    assert counted(Counter({".b": 1, ".a": 2})) == ".a 2, .b 1"
