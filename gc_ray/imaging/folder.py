"""Which files of a scan's folder ought to be DICOM, by their names."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

IGNORED_NAMES = ("dicomdir", "version", "lockfile", "thumbs.db", "desktop.ini", "readme", "license", "licence")
IGNORED_SUFFIXES = (
    *(".txt", ".json", ".xml", ".csv", ".tsv", ".xls", ".xlsx", ".md", ".html", ".htm", ".pdf", ".log", ".ini"),
    *(".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".mp4", ".zip", ".exe", ".dll", ".inf"),
    *(".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd"),
)


def list_files(root: Path) -> tuple[list[Path], Counter[str]]:
    """Files below ``root`` that ought to be DICOM, sorted, and how many others were ignored by suffix or name."""
    kept, ignored = [], Counter()
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        parts, name = path.relative_to(root).parts, path.name.lower()
        if any(part.startswith((".", "__MACOSX")) for part in parts):
            ignored["hidden"] += 1
        elif name in IGNORED_NAMES or name.endswith(IGNORED_SUFFIXES):
            ignored[path.suffix.lower() or path.name.upper()] += 1
        else:
            kept.append(path)
    return kept, ignored


def counted(counts: Counter[str]) -> str:
    """Counts in words: ``SEG 2, RTSTRUCT 1``."""
    return ", ".join(f"{what} {n}" for what, n in sorted(counts.items()))
