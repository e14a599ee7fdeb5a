"""Recognises well-known file formats by their first bytes, so that a message can name what came and how to fix it."""

from __future__ import annotations

import codecs
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

HEAD_BYTES = 8192  # holds tar's mark at 257, GIPL's at 252 and the first names inside an Office file

Group = Literal["dicom", "volume", "packed", "office", "picture", "program", "text", "data", "system"]


@dataclass(frozen=True)
class FileKind:
    """One file format.

    Attributes
    ----------
    key : str
        Short name to compare with, such as ``zip``.
    group : Group
        What it is used for; ``packed`` holds other files, ``volume`` is an image format of the field.
    name : str
        Name for a message, with its article: ``a zip archive``.
    fix : str
        What the user can do about it, as the end of a sentence.
    """

    key: str
    group: Group
    name: str
    fix: str


_UNPACK = "unpack it first"
_EXPORT = "pictures hold no HU and no labels: export DICOM, NIfTI, NRRD or MetaImage"
_CONVERT = "convert it to NIfTI, NRRD or MetaImage"
_SHEET = "save the sheet as CSV (UTF-8)"
_RENAME = "give it the suffix {}"
_NO_INPUT = "name another file"

KINDS: dict[str, FileKind] = {
    key: FileKind(key, group, name, fix)
    for group, rows in {
        "dicom": [
            ("dicom", "a DICOM file", _RENAME.format(".dcm")),
            (
                "bare_dicom",
                "DICOM data without preamble and file meta header",
                "add both, for example with dcmconv of DCMTK",
            ),
        ],
        "volume": [
            ("nifti", "a NIfTI file", _RENAME.format(".nii (.nii.gz when compressed)")),
            ("analyze", "an Analyze 7.5 or NIfTI .hdr header", _CONVERT),
            ("nrrd", "an NRRD file", _RENAME.format(".nrrd")),
            ("metaimage", "a MetaImage file", _RENAME.format(".mha or .mhd")),
            ("vtk", "a VTK file", _CONVERT),
            ("gipl", "a GIPL file", _CONVERT),
            ("mgh", "a FreeSurfer MGH file", _CONVERT),
        ],
        "packed": [
            ("zip", "a zip archive", _UNPACK),
            ("gzip", "a gzip file", f"{_UNPACK} (gunzip)"),
            ("bzip2", "a bzip2 file", f"{_UNPACK} (bunzip2)"),
            ("xz", "an xz file", f"{_UNPACK} (unxz)"),
            ("zstd", "a Zstandard file", f"{_UNPACK} (unzstd)"),
            ("lz4", "an LZ4 file", f"{_UNPACK} (unlz4)"),
            ("compress", "a file of Unix compress (.Z)", f"{_UNPACK} (uncompress)"),
            ("7z", "a 7z archive", f"{_UNPACK} (7-Zip)"),
            ("rar", "a rar archive", _UNPACK),
            ("tar", "a tar archive", f"{_UNPACK} (tar -xf)"),
            ("cab", "a Windows cabinet archive", _UNPACK),
        ],
        "office": [
            ("excel", "an Excel workbook", _SHEET),
            ("ods", "an OpenDocument spreadsheet", _SHEET),
            ("office", "an Office document", _NO_INPUT),
            ("ole", "a file of Microsoft Office before 2007 (.xls or .doc)", "save a table as CSV (UTF-8) or .xlsx"),
            ("pdf", "a PDF document", _NO_INPUT),
            ("rtf", "an RTF document", _NO_INPUT),
        ],
        "picture": [
            ("png", "a PNG picture", _EXPORT),
            ("jpeg", "a JPEG picture", _EXPORT),
            ("jpeg2000", "a JPEG 2000 picture", _EXPORT),
            ("gif", "a GIF picture", _EXPORT),
            ("bmp", "a BMP picture", _EXPORT),
            ("tiff", "a TIFF picture", _EXPORT),
            ("webp", "a WebP picture", _EXPORT),
            ("icon", "a Windows icon", _NO_INPUT),
            ("video", "a video or sound file", _EXPORT),
        ],
        "program": [
            ("windows_program", "a Windows program", _NO_INPUT),
            ("linux_program", "a Linux program", _NO_INPUT),
            ("mac_program", "a macOS program", _NO_INPUT),
            ("java_class", "a Java class", _NO_INPUT),
            ("jar", "a Java program (.jar)", _NO_INPUT),
            ("script", "a script", _NO_INPUT),
        ],
        "data": [
            ("hdf5", "an HDF5 file", _CONVERT),
            ("matlab", "a MATLAB file", _CONVERT),
            ("numpy", "a NumPy array without geometry", _CONVERT),
            ("parquet", "a Parquet table", _NO_INPUT),
            ("arrow", "an Arrow table", _NO_INPUT),
            ("sqlite", "an SQLite database", _NO_INPUT),
        ],
        "text": [
            ("lfs_pointer", "a Git LFS pointer instead of the file", "fetch the file itself with git lfs pull"),
            ("html", "an HTML page", "if it should be data, download the file again: an error page was saved"),
            ("xml", "an XML file", "if it should be data, download the file again: an error message was saved"),
            ("json", "a JSON file", _NO_INPUT),
            ("utf16_text", "a text file in UTF-16", "save it as UTF-8"),
            ("text", "a text file", _NO_INPUT),
        ],
        "system": [
            ("mac_folder", "a macOS folder file", _NO_INPUT),
            ("shortcut", "a Windows shortcut", "name the file that it points to"),
            ("help", "a Windows help file", _NO_INPUT),
            ("font", "a font", _NO_INPUT),
        ],
    }.items()
    for key, name, fix in rows
}

# (where the mark lies, the mark, key of KINDS); the first that fits is taken.
_MARKS: tuple[tuple[int, bytes, str], ...] = (
    (128, b"DICM", "dicom"),  # first: the 128 bytes before it may be a TIFF header (DICOM PS3.10, 7.1)
    (344, b"n+1\0", "nifti"),
    (344, b"ni1\0", "analyze"),
    (4, b"n+2\0\r\n\x1a\n", "nifti"),
    (4, b"ni2\0\r\n\x1a\n", "analyze"),
    (0, b"NRRD0", "nrrd"),
    (0, b"# vtk DataFile", "vtk"),
    (252, b"\xef\xff\xe9\xb0", "gipl"),
    (252, b"\x2a\xe3\x89\xb8", "gipl"),
    (0, b"PK\3\4", "zip"),
    (0, b"PK\5\6", "zip"),
    (0, b"PK\7\x08", "zip"),
    (0, b"\x1f\x8b\x08", "gzip"),
    (4, b"1AY&SY", "bzip2"),
    (0, b"\xfd7zXZ\0", "xz"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"\x04\x22\x4d\x18", "lz4"),
    (0, b"\x1f\x9d", "compress"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z"),
    (0, b"Rar!\x1a\x07", "rar"),
    (257, b"ustar", "tar"),
    (0, b"MSCF\0\0\0\0", "cab"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "ole"),
    (0, b"%PDF-", "pdf"),
    (0, b"{\\rtf", "rtf"),
    (0, b"\x89PNG\r\n\x1a\n", "png"),
    (0, b"\xff\xd8\xff", "jpeg"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "jpeg2000"),
    (0, b"\xff\x4f\xff\x51", "jpeg2000"),
    (0, b"GIF87a", "gif"),
    (0, b"GIF89a", "gif"),
    (0, b"II*\0", "tiff"),
    (0, b"MM\0*", "tiff"),
    (0, b"II+\0", "tiff"),
    (8, b"WEBP", "webp"),
    (0, b"RIFF", "video"),
    (4, b"ftyp", "video"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video"),
    (0, b"\0\0\1\xba", "video"),
    (0, b"\x1a\x45\xdf\xa3", "video"),
    (0, b"OggS", "video"),
    (0, b"\x7fELF", "linux_program"),
    (0, b"\xcf\xfa\xed\xfe", "mac_program"),
    (0, b"\xce\xfa\xed\xfe", "mac_program"),
    (0, b"#!", "script"),
    (0, b"\x89HDF\r\n\x1a\n", "hdf5"),
    (0, b"MATLAB 5.0 MAT-file", "matlab"),
    (0, b"\x93NUMPY", "numpy"),
    (0, b"PAR1", "parquet"),
    (0, b"ARROW1", "arrow"),
    (0, b"SQLite format 3\0", "sqlite"),
    (0, b"version https://git-lfs", "lfs_pointer"),
    (0, b"\0\0\0\1Bud1", "mac_folder"),
    (0, b"\0\5\x16\7", "mac_folder"),
    (0, b"L\0\0\0\1\x14\2\0", "shortcut"),
    (0, b"ITSF", "help"),
    (0, b"wOFF", "font"),
    (0, b"wOF2", "font"),
    (0, b"OTTO", "font"),
    (0, b"\0\1\0\0\0", "font"),
)

_PATTERNS: tuple[tuple[re.Pattern[bytes], str], ...] = (
    # an element of group 0002 or 0008 with its VR or a short length, where the preamble should be
    (re.compile(rb"[\x02\x08]\0.\0(AE|CS|DA|DT|LO|OB|PN|SH|ST|TM|UI|UL|US)", re.DOTALL), "bare_dicom"),
    (re.compile(rb"\x08\0[\0\x01\x05\x08\x12-\x16\x18]\0[\x02-\x7f]\0\0\0", re.DOTALL), "bare_dicom"),
    (re.compile(rb"\0[\x02\x08]\0.(AE|CS|DA|DT|LO|OB|PN|SH|ST|TM|UI|UL|US)", re.DOTALL), "bare_dicom"),
    (re.compile(rb"\s*(ObjectType|NDims|Comment)\s*=.*\bNDims\s*=|\s*NDims\s*=", re.DOTALL), "metaimage"),
    (re.compile(rb"\x5c\x01\0\0|\0\0\x01\x5c"), "analyze"),  # 348, the length of its header
    (re.compile(rb"\0\0\0\x01.{12}\0\0\0[\x01-\x0f]\0\0\0[\0-\7]", re.DOTALL), "mgh"),
    (re.compile(rb"\0\0\x01\0[\x01-\x40]\0.{3}\0", re.DOTALL), "icon"),
    (re.compile(rb"BM.{4}\0\0\0\0", re.DOTALL), "bmp"),
    (re.compile(rb"\xca\xfe\xba\xbe\0\0\0[\x01-\x1f]", re.DOTALL), "mac_program"),  # how many processors it is for
    (re.compile(rb"\xca\xfe\xba\xbe", re.DOTALL), "java_class"),
)

_TEXT_STARTS: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"\s*<(!doctype\s+html|html|head|body)\b", re.IGNORECASE), "html"),
    (re.compile(rb"\s*<(\?xml|!--|!doctype|[a-z][\w:.-]*[\s>])", re.IGNORECASE), "xml"),
    (re.compile(rb"\s*(\{\s*[\"}]|\[\s*[\[{\"\]\d])"), "json"),
)
_CONTROLS = re.compile(rb"[\0-\x08\x0e-\x1a\x1c-\x1f\x7f]")  # bytes that no text in a one-byte encoding holds


def file_kind(head: bytes) -> FileKind | None:
    """Recognise a file format.

    Parameters
    ----------
    head : bytes
        The first ``HEAD_BYTES`` bytes of a file; all of it when it is shorter.

    Returns
    -------
    FileKind or None
        None for an empty head and for bytes that fit no known format.

    References
    ----------
    DICOM PS3.10 section 7.1 for the DICOM prefix; the marks of the other formats are those of their specifications.
    """
    for at, mark, key in _MARKS:
        if head[at : at + len(mark)] == mark:
            return KINDS[_inside_zip(head) if key == "zip" else key]
    for pattern, key in _PATTERNS:
        if pattern.match(head):
            return KINDS[key]
    text = _text_kind(head)
    if text is None and head[:2] == b"MZ":  # two letters that a text may begin with
        return KINDS["windows_program"]
    return None if text is None else KINDS[text]


def kind_of_file(path: Path) -> FileKind | None:
    """Recognise the format of a file on disk.

    Parameters
    ----------
    path : Path
        A file.

    Returns
    -------
    FileKind or None
        As ``file_kind``; None, too, when the file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return file_kind(stream.read(HEAD_BYTES))
    except OSError:
        return None


def _inside_zip(head: bytes) -> str:
    """The key of what a zip archive is used for, by the names of its first members."""
    first = head[30 : 30 + int.from_bytes(head[26:28], "little")]
    if first == b"mimetype":
        return "ods" if b"opendocument.spreadsheet" in head[38:120] else "office"
    if first.startswith((b"[Content_Types].xml", b"_rels/", b"docProps/", b"xl/", b"word/", b"ppt/")):
        return "office" if b"word/" in head or b"ppt/" in head else "excel"
    return "jar" if first.startswith(b"META-INF/") else "zip"


def _text_kind(head: bytes) -> str | None:
    """The key of a kind of text; None for bytes that are no text."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            letters = codecs.getincrementaldecoder("utf-16")().decode(head)
        except UnicodeDecodeError:
            return None
        return (
            None
            if any(unicodedata.category(c) in ("Cc", "Cn", "Co") and not c.isspace() for c in letters)
            else "utf16_text"
        )
    if not head.strip() or _CONTROLS.search(head):
        return None
    body = head.removeprefix(codecs.BOM_UTF8)
    return next((key for pattern, key in _TEXT_STARTS if pattern.match(body)), "text")
