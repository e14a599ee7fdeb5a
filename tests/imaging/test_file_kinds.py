"""A file's format is recognised by its bytes, whatever its name says."""

import bz2
import gzip
import io
import lzma
import sqlite3
import struct
import tarfile
import zipfile

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
import scipy.io
import SimpleITK as sitk

from gc_ray.imaging.file_kinds import HEAD_BYTES, KINDS, file_kind, kind_of_file


def zipped(*names: str) -> bytes:
    """A zip archive of small members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    return out.getvalue()


def tarred(mode: str) -> bytes:
    """A tar archive of one member."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        archive.addfile(tarfile.TarInfo("ct/000.dcm"))
    return out.getvalue()


def workbook() -> bytes:
    """An Excel workbook by openpyxl."""
    out = io.BytesIO()
    openpyxl.Workbook().save(out)
    return out.getvalue()


def matlab() -> bytes:
    """A MATLAB file by SciPy."""
    out = io.BytesIO()
    scipy.io.savemat(out, {"ct": np.zeros(3)})
    return out.getvalue()


def numpy_array() -> bytes:
    """An array by NumPy."""
    out = io.BytesIO()
    np.save(out, np.zeros(3))
    return out.getvalue()


def table(write) -> bytes:
    """A table by pyarrow."""
    out = io.BytesIO()
    write(pa.table({"x": [1]}), out)
    return out.getvalue()


WRITTEN = {
    "zip": [zipped("ct/000.dcm"), zipped()],
    "jar": [zipped("META-INF/MANIFEST.MF")],
    "office": [zipped("[Content_Types].xml", "word/document.xml"), zipped("_rels/.rels", "ppt/presentation.xml")],
    "excel": [workbook(), zipped("[Content_Types].xml", "xl/workbook.xml")],
    "gzip": [gzip.compress(b"x"), tarred("w:gz")],
    "bzip2": [bz2.compress(b"x")],
    "xz": [lzma.compress(b"x")],
    "tar": [tarred("w")],
    "7z": [b"7z\xbc\xaf\x27\x1c\0\4" + bytes(30)],
    "rar": [b"Rar!\x1a\x07\0" + bytes(30), b"Rar!\x1a\x07\1\0" + bytes(30)],
    "ole": [b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)],
    "pdf": [b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"],
    "gif": [b"GIF89a" + bytes(20)],
    "icon": [b"\0\0\1\0\2\0\x20\x20\0\0\1\0"],
    "windows_program": [b"MZ\x90\0\3\0\0\0" + bytes(120)],
    "linux_program": [b"\x7fELF\2\1\1" + bytes(60)],
    "mac_program": [b"\xcf\xfa\xed\xfe" + bytes(60), b"\xca\xfe\xba\xbe\0\0\0\2" + bytes(60)],
    "java_class": [b"\xca\xfe\xba\xbe\0\0\0\x34" + bytes(60)],
    "numpy": [numpy_array()],
    "matlab": [matlab()],
    "parquet": [table(pyarrow.parquet.write_table)],
    "arrow": [table(pyarrow.feather.write_feather)],
    "html": [b"<!DOCTYPE html>\n<html>", b"\n<HTML><body>", b"\xef\xbb\xbf<html>"],
    "xml": [b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', b"<Error>no</Error>"],
    "json": [b'{"error": "not found"}', b"[1, 2]"],
    "text": [
        b"no DICOM at all",
        "scan_id,patient_id\n1,王".encode("gb18030"),
        "Größe".encode("latin-1"),
        b"MZ is a text",
        b"[autorun]\r\n",
    ],
    "utf16_text": ["scan_id\tsite\n".encode("utf-16"), "病人编号".encode("utf-16"), "\ufeffab".encode("utf-16-be")],
    "script": [b"#!/bin/sh\n"],
    "lfs_pointer": [b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"],
    "mac_folder": [b"\0\0\0\1Bud1" + bytes(30), b"\0\5\x16\7\0\2\0\0" + bytes(30)],
    "dicom": [bytes(128) + b"DICM", b"II*\0" + bytes(124) + b"DICM"],
    "bare_dicom": [
        b"\x08\0\5\0CS\n\0ISO_IR 100",
        b"\x08\0\x08\0\x16\0\0\0ORIGINAL",
        b"\2\0\0\0UL\4\0",
        b"\0\x08\0\5CS\0\n",
    ],
}


@pytest.mark.parametrize(("key", "head"), [(key, head) for key, heads in WRITTEN.items() for head in heads])
def test_each_format_is_recognised(key, head):
    """As its own library writes it, from its head alone."""
    assert file_kind(head[:HEAD_BYTES]) == KINDS[key]


@pytest.mark.parametrize(
    ("suffix", "key"),
    [
        (".nii", "nifti"),
        (".hdr", "analyze"),
        (".nrrd", "nrrd"),
        (".mha", "metaimage"),
        (".vtk", "vtk"),
        (".gipl", "gipl"),
        (".nii.gz", "gzip"),
    ],
)
def test_volume_formats_are_recognised_under_another_name(tmp_path, suffix, key):
    """ITK writes them; the name says nothing."""
    image = sitk.Image(4, 3, 2, sitk.sitkInt16)
    sitk.WriteImage(image, tmp_path / f"image{suffix}")
    assert kind_of_file((tmp_path / f"image{suffix}").rename(tmp_path / "image")) == KINDS[key]


@pytest.mark.parametrize("key", ["png", "jpeg", "tiff", "bmp"])
def test_pictures_are_recognised(tmp_path, key):
    """ITK writes them."""
    path = tmp_path / f"picture.{key}"
    sitk.WriteImage(sitk.Image(8, 8, sitk.sitkUInt8), path)
    assert kind_of_file(path) == KINDS[key]


def test_a_database_is_recognised(tmp_path):
    """SQLite writes it."""
    with sqlite3.connect(tmp_path / "index.db") as database:
        database.execute("create table t (x)")
    database.close()
    assert kind_of_file(tmp_path / "index.db") == KINDS["sqlite"]


@pytest.mark.parametrize("head", [b"", bytes(200), b"\n \n", struct.pack("<8h", *range(-4, 4)), b"\xff\xfe\0\xd8ab"])
def test_unknown_bytes_are_no_known_format(head):
    """Nothing is guessed: an empty file, zeros and pixel values stay unknown."""
    assert file_kind(head) is None


def test_random_bytes_are_rarely_taken_for_a_format():
    """Of 2,000 heads of random bytes at most a few fit a mark of two bytes."""
    rng = np.random.default_rng(0)
    assert sum(file_kind(rng.bytes(512)) is not None for _ in range(2000)) <= 3


def test_a_file_that_cannot_be_read_has_no_kind(tmp_path):
    """A folder or a missing file is not the recogniser's matter."""
    assert kind_of_file(tmp_path) is None
    assert kind_of_file(tmp_path / "none") is None


def test_every_kind_says_what_it_is_and_what_to_do():
    """Names begin with an article or a plural, fixes are no sentence of their own."""
    for key, kind in KINDS.items():
        assert kind.key == key
        assert kind.name.startswith(("a ", "an ", "DICOM data "))
        assert not kind.fix.endswith(".")
