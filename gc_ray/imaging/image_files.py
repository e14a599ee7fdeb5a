"""Volume files by their names: NIfTI, NRRD and MetaImage, as CT volumes and as what masks are read from."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from gc_ray.errors import ScanError
from gc_ray.imaging import metaimage, nifti, nrrd
from gc_ray.imaging.detached import PAIR, files_of
from gc_ray.imaging.file_kinds import HEAD_BYTES, FileKind, file_kind, kind_of_file
from gc_ray.imaging.itk_file import open_itk
from gc_ray.imaging.nifti import BAD_HEADER, nifti_stream, open_nifti
from gc_ray.imaging.opened import OpenedVolume
from gc_ray.imaging.scan import CtScan, Notes, ScanGeometry
from gc_ray.imaging.volume import Volume

IMAGE_SUFFIXES = (*nifti.SUFFIXES, *nrrd.SUFFIXES, *metaimage.SUFFIXES)
# What a file's bytes may be for its suffix; a text may be a header that begins with a comment.
_FITTING = {
    **dict.fromkeys(nifti.SUFFIXES + tuple(PAIR), ("nifti", "analyze", "gzip")),
    **dict.fromkeys(nrrd.SUFFIXES, ("nrrd",)),
    **dict.fromkeys(metaimage.SUFFIXES, ("metaimage", "text")),
}


def is_image_file(path: Path) -> bool:
    """Whether this is a NIfTI, NRRD or MetaImage file: by its name, for .hdr and .img by its content as well."""
    if path.name.lower().endswith(IMAGE_SUFFIXES):
        return True
    return path.suffix.lower() in PAIR and path.is_file() and _header_of_pair(path)


def _header_of_pair(path: Path) -> bool:
    head, _ = files_of(path)
    kind = kind_of_file(head)
    return kind is not None and kind.key in ("nifti", "analyze")


def open_volume(path: Path) -> OpenedVolume:
    """Open a volume file: its header read and judged, its voxels left.

    Raises
    ------
    ScanError
        Naming the file, when it cannot be read or its bytes are of another format than its name says.
    """
    check_suffix(path)
    return open_itk(path) if path.name.lower().endswith(nrrd.SUFFIXES + metaimage.SUFFIXES) else open_nifti(path)


def check_suffix(path: Path) -> None:
    """Raises ScanError when a file is empty, or its first bytes are those of another format than its suffix says."""
    if path.stat().st_size == 0:
        raise ScanError(f"{path.name}: {BAD_HEADER.partition(' (')[0]}: the file is empty; copy it again")
    fitting = next(kinds for suffix, kinds in _FITTING.items() if path.name.lower().endswith(suffix))
    kind = kind_of_file(path)
    if kind is not None and kind.key == "gzip" and "gzip" in fitting:
        kind = _inside_gzip(path)
        if kind is not None and kind.key == "gzip":
            raise ScanError(f"{path.name}: header cannot be read: packed twice by gzip; unpack it once (gunzip)")
    if kind is not None and kind.key not in fitting and kind.key != "text":
        raise ScanError(f"{path.name}: header cannot be read: this is {kind.name}; {kind.fix}")


def _inside_gzip(path: Path) -> FileKind | None:
    try:
        with nifti_stream(path) as stream:
            return file_kind(stream.read(HEAD_BYTES))
    except (OSError, EOFError, zlib.error):
        return None


def survey_image(path: Path) -> ScanGeometry:
    """Geometry of a CT volume file from its header; raises ScanError for colour, 2D, 4D and single-slice images."""
    return _geometry(open_volume(path))


def _geometry(opened: OpenedVolume) -> ScanGeometry:
    if opened.channels != 1 or not opened.real:
        raise ScanError(f"{opened.name}: several values per voxel (colour or vector image), wanted grey values")
    if min(opened.grid.size) == 1:
        raise ScanError(f"{opened.name}: a single slice, wanted a CT volume of at least two along each axis")
    return ScanGeometry(opened.grid, opened.notes)


def read_image(path: Path) -> CtScan:
    """A CT volume file in its stored pixel type; values are taken for HU, with a remark when none is negative."""
    opened = open_volume(path)
    geometry = _geometry(opened)
    array = opened.read()
    if odd := np.count_nonzero(~np.isfinite(array)) if array.dtype.kind == "f" else 0:
        raise ScanError(
            f"{path.name}: {odd} of {array.size} voxels hold NaN or infinite values, which spread when the image is "
            "resampled; wanted HU in every voxel: replace them, outside the body by -1024"
        )
    remark = f"{path.name}: no value below 0: perhaps stored values instead of HU, or a window was applied"
    notes = geometry.notes + Notes(remarks=(remark,) if array.min() >= 0 else ())
    return CtScan(Volume(array, geometry.grid), replace(geometry, notes=notes))
