"""The bytes of a file decide what it is; what is no table that is read is named, with the fix."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import sqlite3
import tarfile
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pytest

from gc_ray.cohort.table_files.kinds import opened
from gc_ray.cohort.table_files.read import read_table
from gc_ray.errors import TableError

CSV = b"patient_id,age\nP1,61\n"
FRAME = pd.DataFrame({"patient_id": ["P1"], "age": [61]})


def zipped(**members: bytes) -> bytes:
    """A zip archive of these members, '__' in a name being a slash."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), data)
    return out.getvalue()


def tarred() -> bytes:
    """A tar archive with the CSV."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("a.csv")
        info.size = len(CSV)
        archive.addfile(info, io.BytesIO(CSV))
    return out.getvalue()


def written(write) -> bytes:
    """What a function writes into a file."""
    out = io.BytesIO()
    write(out)
    return out.getvalue()


def stata() -> bytes:
    """A Stata file as pandas writes it."""
    return written(lambda out: FRAME.to_stata(out, write_index=False, version=118))


def old_stata() -> bytes:
    """A Stata file of the format before XML."""
    return written(lambda out: FRAME.to_stata(out, write_index=False, version=114))


def numpy_file() -> bytes:
    """A NumPy array."""
    return written(lambda out: np.save(out, np.zeros(3)))


def database(path) -> bytes:
    """An SQLite database."""
    with sqlite3.connect(path) as connection:
        connection.execute("create table t (a)")
    connection.close()
    return path.read_bytes()


TABLE = pa.table({"patient_id": ["P1"], "age": [61]})
OTHERS = {
    "zip": (zipped(a_dot_csv=CSV), r"a zip archive of 1 file\(s\); unpack it first"),
    "bzip2": (bz2.compress(CSV), "bzip2.*unpack it first"),
    "xz": (lzma.compress(CSV), "xz.*unpack it first"),
    "zstd": (b"\x28\xb5\x2f\xfd\x04\x00", "Zstandard.*unpack it first"),
    "7z": (b"7z\xbc\xaf\x27\x1c\x00\x04", "7z.*unpack"),
    "rar": (b"Rar!\x1a\x07\x01\x00", "rar.*unpack"),
    "tar": (tarred(), "tar archive.*unpack"),
    "tar.gz": (gzip.compress(tarred()), "tar archive.*unpack"),
    "gz twice": (gzip.compress(gzip.compress(CSV)), "a gzip file in a gzip file"),
    "xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512), r"Excel before 2007 \(\.xls\), or one with a password"),
    "biff5": (b"\x09\x08\x08\x00\x00\x05\x05\x00", r"old Excel \(\.xls\); save it as \.xlsx"),
    "xlsb": (zipped(xl__workbook_dot_bin=b""), r"binary Excel workbook \(\.xlsb\); save it as \.xlsx"),
    "ods": (zipped(mimetype=b"application/vnd.oasis", content_dot_xml=b""), r"OpenDocument file \(\.ods\)"),
    "numbers": (zipped(Index__Document_dot_iwa=b""), "Numbers document of Apple; export it"),
    "docx": (
        zipped(**{"[Content_Types].xml": b"<x/>", "word__document_dot_xml": b""}),
        "Office file without a sheet",
    ),
    "cut zip": (zipped(xl__workbook_dot_xml=b"x" * 99)[:90], "Excel workbook or zip archive that is damaged"),
    "sav": (b"$FL2@(#) SPSS DATA FILE", r"an SPSS file \(\.sav\); in SPSS"),
    "dta": (stata(), r"a Stata file \(\.dta\); in Stata: export delimited"),
    "old dta": (old_stata(), r"a Stata file \(\.dta\)"),
    "sas": (bytes(12) + b"\xc2\xea\x81\x60\xb3\x14\x11\xcf\xbd\x92", "a SAS file; in SAS: proc export"),
    "xpt": (b"HEADER RECORD*******LIBRARY HEADER RECORD!!!!!!!", "a SAS file"),
    "rds": (gzip.compress(b"X\n\0\0\0\3\0\4\1\0\0\3\5\0"), r"an R file \(\.rds or \.RData\); in R: write.csv"),
    "rdata": (gzip.compress(b"RDX3\nX\n\0\0\0\3"), "an R file"),
    "pickle": (pickle.dumps(FRAME), "a Python pickle, which may run code when it is opened; in pandas: to_parquet"),
    "pickle of dict": (pickle.dumps({"a": 1}), "a Python pickle"),
    "feather": (written(lambda out: pyarrow.feather.write_feather(TABLE, out)), "Arrow or Feather file"),
    "orc": (written(lambda out: pyarrow.orc.write_table(TABLE, out)), "ORC file"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(8), "data file without one plain table"),
    "mat": (b"MATLAB 5.0 MAT-file, Platform: PCWIN64", "data file without one plain table"),
    "npy": (numpy_file(), "data file without one plain table"),
    "html": (FRAME.to_html().encode(), r"HTML or XML file .*open it in Excel and save it as \.xlsx"),
    "xml": (b'<?xml version="1.0"?><Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet"/>', "HTML or XML"),
    "json": (FRAME.to_json(orient="records").encode(), "a JSON file"),
    "json object": (json.dumps({"patient_id": ["P1"]}).encode(), "a JSON file"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", "a PDF document; name the table itself"),
    "dicom": (bytes(128) + b"DICM" + bytes(20), "a DICOM file"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer .*git lfs pull"),
    "cut gzip": (gzip.compress(CSV)[:-12], "gzip file is damaged or cut short; copy it again"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_file_that_is_no_table_is_named_with_the_fix(kind):
    """In one line, and never opened: a pickle may run code."""
    data, said = OTHERS[kind]
    with pytest.raises(TableError, match=rf"^t\.csv: .*{said}"):
        read_table(data, "t.csv", "clinical")


def test_a_database_is_named(tmp_path):
    """It holds many tables."""
    with pytest.raises(TableError, match="data file without one plain table"):
        opened(database(tmp_path / "a.db"), "a.db", "clinical")


@pytest.mark.parametrize("name", ["t.csv.gz", "t.csv", "t.gz", "t.xlsx"])
def test_a_gzipped_table_is_read_under_whatever_name(name):
    """CSV, and what else is read."""
    plain = read_table(CSV, "t.csv", "clinical").cells
    assert read_table(gzip.compress(CSV), name, "clinical").cells.equals(plain)
    assert read_table(gzip.compress(CSV[:9]) + gzip.compress(CSV[9:]), name, "clinical").cells.equals(plain)
    parquet = written(lambda out: FRAME.to_parquet(out, index=False))
    assert read_table(gzip.compress(parquet), name, "clinical").cells.equals(plain)


@pytest.mark.parametrize(
    "head",
    [
        "ORC",
        "ORC1",
        "PAR1",
        "PARENT",
        "FEA1",
        "ARROW1",
        "A",
        "RIFF",
        "MZ",
        "GIF",
        "ix",
        "BM",
        "PK",
        "X",
        "{x}",
        "[x]",
    ],
)
def test_a_column_name_is_not_taken_for_a_format(head):
    """The first letters of a table may be those of another format."""
    table = read_table(f"{head},patient_id\n3,P1\n".encode(), "t.csv", "clinical")
    assert list(table.cells) == [head, "patient_id"]
    alone = read_table(f"{head}\n2\n3\n".encode(), "t.csv", "clinical")
    assert list(alone.cells) == [head]
