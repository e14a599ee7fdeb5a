"""Which format a table's bytes are in, whatever the file is called; what cannot be read is named with the fix."""

from __future__ import annotations

import gzip
import io
import re
import zipfile
import zlib
from typing import Literal

from gc_ray.cohort.table_files import limits
from gc_ray.errors import TableError
from gc_ray.imaging.file_kinds import HEAD_BYTES, FileKind, file_kind

Kind = Literal["text", "parquet", "workbook"]
GZIP = b"\x1f\x8b"
PARQUET = re.compile(rb"PAR1[\x00-\x08\x0e-\x1f]")
CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1f]")  # bytes that no text holds
ZIP = (b"PK\3\4", b"PK\5\6", b"PK\7\x08")
AS_CSV = "save it as CSV UTF-8"
UNPACK = "unpack it first, or compress a CSV with gzip"

# formats of tables and statistics that are not read: pattern at the beginning, what it is, how to get a table out
_OTHERS = (
    (
        rb"\xd0\xcf\x11\xe0",
        "a workbook of Excel before 2007 (.xls), or one with a password",
        "save it as .xlsx without a password, or as CSV UTF-8",
    ),
    (rb"\x09[\x00\x02\x04\x08][\x04-\x10]\x00", "a workbook of an old Excel (.xls)", "save it as .xlsx or CSV UTF-8"),
    (rb"\$FL[23]", "an SPSS file (.sav)", "in SPSS, or with R's package haven, save it as CSV UTF-8"),
    (rb"<stata_dta>|[\x69-\x73][\x01\x02]\x01\x00", "a Stata file (.dta)", "in Stata: export delimited"),
    (rb"\x00{12}\xc2\xea\x81\x60|HEADER RECORD\*{7}", "a SAS file", "in SAS: proc export with dbms=csv"),
    (
        rb"RD[AX][23]\n|X\n\x00{3}[\x02\x03]|A\n[23]\n\d{6}\n",
        "an R file (.rds or .RData)",
        "in R: write.csv(x, file, row.names = FALSE)",
    ),
    (
        rb"\x80[\x02-\x05][\x95}\]cKX(\x8c]",
        "a Python pickle, which may run code when it is opened",
        "in pandas: to_parquet or to_csv(index=False)",
    ),
    (rb"ARROW1\x00|FEA1\x00", "an Arrow or Feather file", "in pandas: to_parquet"),
    (rb"PARE[\x00-\x08\x0e-\x1f]", "an encrypted Parquet file", "write it without encryption"),
    (rb"ORC.{0,2000}?[\x00-\x08\x0e-\x1f]", "an ORC file", "write it as Parquet or CSV UTF-8"),
    (
        rb"\x89HDF|MATLAB 5\.0|\x93NUMPY|SQLite format 3",
        "a data file without one plain table",
        "write the table as CSV UTF-8 or Parquet",
    ),
    (
        rb"\s*<",
        "an HTML or XML file (some programs call it .xls)",
        "open it in Excel and save it as .xlsx or CSV UTF-8",
    ),
    (rb'\s*(\{\s*["}]|\[\s*[\[{"])', "a JSON file", "write the table as CSV UTF-8 or Parquet"),
)
_COMPILED = tuple((re.compile(pattern, re.DOTALL), what, fix) for pattern, what, fix in _OTHERS)


def opened(data: bytes, name: str, wanted: str) -> tuple[Kind, bytes]:
    """(format, bytes of the table itself, unpacked when they were gzipped).

    wanted: the kind of table, for messages. TableError for every format that is not read, and for gzip that is
    damaged or unpacks to too much.
    """
    if data.startswith(GZIP):
        data = _gunzipped(data, name)
    if PARQUET.match(data) or (data.startswith(b"PAR1") and data.endswith(b"PAR1")):
        return "parquet", data
    if name.lower().endswith((".parquet", ".pq")):
        raise TableError(f"{name}: wanted a Parquet {wanted} table, it is no Parquet file; {_parquet_fix(data)}")
    if data.startswith(ZIP):
        return _inside_zip(data, name, wanted), data
    for pattern, what, fix in _COMPILED:
        if pattern.match(data.removeprefix(b"\xef\xbb\xbf")):
            raise _not_read(name, wanted, what, fix)
    kind = file_kind(data[:HEAD_BYTES])
    if kind is not None and (kind.key == "lfs_pointer" or kind.group == "office" or _is_binary(data, kind)):
        fix = {"packed": UNPACK, "text": kind.fix}.get(kind.group, "name the table itself")
        raise _not_read(name, wanted, kind.name, fix)
    return "text", data


def _is_binary(data: bytes, kind: FileKind) -> bool:
    """Whether it is of a format that holds no text; a column may be called RIFF."""
    return kind.group != "text" and CONTROLS.search(data[:HEAD_BYTES]) is not None


def _parquet_fix(data: bytes) -> str:
    return "copy it again, it is empty" if not data else "give it the name of what it is, or write it again"


def _gunzipped(data: bytes, name: str) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            unpacked = file.read(limits.MAX_TEXT + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise TableError(f"{name}: the gzip file is damaged or cut short; copy it again") from error
    limits.check_text(name, len(unpacked))
    if unpacked.startswith(GZIP):
        raise TableError(f"{name}: a gzip file in a gzip file; {UNPACK}")
    return unpacked


def _inside_zip(data: bytes, name: str, wanted: str) -> Kind:
    """What a zip archive is: an .xlsx workbook, or a refusal that names it."""
    try:
        members = zipfile.ZipFile(io.BytesIO(data)).namelist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        what = "an Excel workbook or zip archive that is damaged or cut short"
        raise _not_read(name, wanted, what, f"copy it again, or {AS_CSV}") from error
    if "xl/workbook.bin" in members:
        raise _not_read(name, wanted, "a binary Excel workbook (.xlsb)", "save it as .xlsx or CSV UTF-8")
    if any(member.startswith("xl/") for member in members):
        return "workbook"
    if "content.xml" in members:
        raise _not_read(name, wanted, "an OpenDocument file (.ods)", "save it as .xlsx or CSV UTF-8")
    if any(member.endswith(".iwa") for member in members):
        raise _not_read(name, wanted, "a Numbers document of Apple", "export it as .xlsx or CSV UTF-8")
    if "[Content_Types].xml" in members:
        raise _not_read(name, wanted, "an Office file without a sheet (Excel, Word, ..)", f"{AS_CSV} or .xlsx")
    raise _not_read(name, wanted, f"a zip archive of {len(members)} file(s)", UNPACK)


def _not_read(name: str, wanted: str, what: str, fix: str) -> TableError:
    return TableError(f"{name}: wanted a CSV, Excel (.xlsx) or Parquet {wanted} table, it is {what}; {fix}")
