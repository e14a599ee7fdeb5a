"""Which files of a scan's folder are DICOM, which may be passed over, and which could be a slice that is lost."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from gc_ray.errors import ScanError
from gc_ray.imaging.dicom_files import NOT_DICOM
from gc_ray.imaging.file_kinds import KINDS, FileKind, kind_of_file

# Files without a suffix that lie on CDs beside the images; a DICOMDIR is not even opened.
COMPANIONS = (
    *("dicomdir", "version", "lockfile", "readme", "license", "licence", "copying", "install", "manifest", "index"),
    *("autorun", "contents", "checksum", "checksums", "md5sum", "md5sums", "sha1sums", "sha256sums"),
)
SLICE_SUFFIXES = (".dcm", ".dicom", ".dic", ".ima")
NUMBER = re.compile(r"\.\d+")  # the suffix of a name that ends in a number or a UID
COMPRESSED = ("gzip", "bzip2", "xz", "zstd", "lz4", "compress")  # of one file each, which may be a slice
COMPRESSED_SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".lz4", ".z")
NIFTI_PACKED = ".nii.gz"  # read as it is, whatever its bytes are called
SAY_MORE = ("bare_dicom", "html", "xml", "lfs_pointer")  # kinds whose own advice fits a slice
SHOWN = 8  # sorts of other files that a note lists


@dataclass(frozen=True)
class Contents:
    """The files of a folder: those with DICOM content, sorted, and how many of which others were passed over."""

    dicom: tuple[Path, ...]
    others: Counter[str]
    kinds: Counter[str]


def look_through(root: Path) -> Contents:
    """Sort the files of a folder and its subfolders.

    Parameters
    ----------
    root : Path
        The folder.

    Returns
    -------
    Contents
        DICOM files are known by their content under any name; hidden files are passed over unseen.

    Raises
    ------
    ScanError
        For a file that is no DICOM and could be a slice: by its name, by its suffix, which DICOM files here have, or
        because nothing tells what it is.
    """
    dicom, left, others, kinds = [], [], Counter(), Counter()
    for path in sorted(p for p in root.rglob("*") if p.is_file() or (p.is_symlink() and not p.exists())):
        kind, name = kind_of_file(path), path.name.lower()
        if any(part.startswith((".", "__MACOSX")) for part in path.relative_to(root).parts):
            others["hidden"] += 1
        elif kind is not None and kind.key == "dicom" and name != "dicomdir":
            dicom.append(path)
        elif name in COMPANIONS:
            others[path.name.upper()] += 1
        else:
            left.append((path, kind))
    suffixes = {path.suffix.lower() for path in dicom} - {""}
    for path, kind in left:
        if _may_be_slice(path, kind, suffixes):
            like = sum(other == kind for _, other in left)
            raise ScanError(_refusal(path.relative_to(root).as_posix(), path, kind, like))
        others[_sort_of(path, kind)] += 1
        kinds["nifti" if path.name.lower().endswith(NIFTI_PACKED) else kind.key if kind else ""] += 1
    return Contents(tuple(dicom), others, kinds)


def format_fault(path: Path, wanted: str) -> str | None:
    """Say why a file that a manifest names is no DICOM.

    Parameters
    ----------
    path : Path
        The file, whose name is not that of a volume file.
    wanted : str
        What it should have been, as ``wanted a mask``.

    Returns
    -------
    str or None
        The message; None when it is DICOM by its content, or could be one that is damaged.
    """
    kind = kind_of_file(path)
    if kind is None:
        damaged = path.suffix.lower() in ("", *SLICE_SUFFIXES) or NUMBER.fullmatch(path.suffix)
        return None if damaged else f"{path.name}: of no known format, or empty; {wanted}"
    return None if kind.key == "dicom" else f"{path.name}: {kind.name}, {wanted}; {kind.fix}"


def advice_on_files(kinds: Counter[str]) -> str:
    """What to do about a folder that holds no CT but files of these kinds; empty when nothing is known."""
    useful = Counter(
        {key: n for key, n in kinds.items() if key and KINDS[key].group in ("packed", "picture", "volume")}
    )
    if not useful:
        return ""
    kind = KINDS[useful.most_common(1)[0][0]]
    return "name the file itself" if kind.group == "volume" else kind.fix


def counted(counts: Counter[str]) -> str:
    """Counts in words: ``SEG 2, RTSTRUCT 1``."""
    kept = dict(sorted(counts.items()) if len(counts) <= SHOWN else counts.most_common(SHOWN - 1))
    rest = counts.total() - sum(kept.values())
    return ", ".join(f"{what} {n}" for what, n in (sorted(kept.items()) + [("others", rest)] * (rest > 0)))


def _may_be_slice(path: Path, kind: FileKind | None, suffixes: set[str]) -> bool:
    """Whether a file without DICOM content could be a slice that was damaged, packed or replaced."""
    packed = kind is not None and kind.key in COMPRESSED and path.suffix.lower() in COMPRESSED_SUFFIXES
    inner = Path(path.stem) if packed else path
    suffix, numbered = inner.suffix.lower(), inner.name[-1].isdigit()
    if kind is not None and kind.key == "bare_dicom":
        return True
    if suffix in suffixes or set(SLICE_SUFFIXES) & {part.lower() for part in path.suffixes}:
        return True
    if suffix and not NUMBER.fullmatch(suffix):
        return False
    return kind is None or (kind.key in COMPRESSED and not packed) or (numbered and (packed or kind.group == "text"))


def _refusal(name: str, path: Path, kind: FileKind | None, like: int) -> str:
    if path.is_symlink() and not path.exists():
        return f"{name}: a link to a file that is not there; fetch the file (git-annex, DataLad) or remove the link"
    if not os.access(path, os.R_OK):
        return f"{name}: cannot be opened; give this user the right to read it"
    if kind is None:
        return f"{name}: {NOT_DICOM}"
    fix = kind.fix if kind.group == "packed" or kind.key in SAY_MORE else "replace it, or remove it if it is no slice"
    several = f" ({like} such files here)" if like > 1 else ""
    return f"{name}: not a valid DICOM file but {kind.name}{several}; {fix}"


def _sort_of(path: Path, kind: FileKind | None) -> str:
    """What a note counts a file as: its suffix, else its kind."""
    if path.name.lower().endswith(NIFTI_PACKED):
        return NIFTI_PACKED
    return path.suffix.lower() or (kind.name if kind else "unknown")
