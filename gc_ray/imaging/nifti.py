"""NIfTI files: geometry by ITK from a header that was checked first, voxels in one pass over the file.

ITK alone fills a short file up, turns NaN into 0, and reads a plain file named ``.nii.gz`` four bytes off.
"""

from __future__ import annotations

import gzip
import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import SimpleITK as sitk

from gc_ray.errors import ScanError
from gc_ray.imaging.detached import PAIR, files_of
from gc_ray.imaging.dicom_files import blaming
from gc_ray.imaging.grid import Grid
from gc_ray.imaging.itk import grid_of
from gc_ray.imaging.nifti_forms import settle
from gc_ray.imaging.nifti_header import HEADER_BYTES, NIFTI_1_BYTES, NiftiHeader, parse_header, scaling
from gc_ray.imaging.opened import OpenedVolume
from gc_ray.imaging.scan import Notes

SUFFIXES = (".nii", ".nii.gz")
GZIP_MAGIC = b"\x1f\x8b"
CHUNK_BYTES = 1 << 22  # 4 MiB at a time; a multiple of every voxel size
DEFLATE_AT_MOST = 1032  # times that gzip makes anything smaller
MAX_BEHIND_BYTES = 1 << 26  # behind the voxels, read for the checksum of gzip: 64 MiB
BAD_HEADER = "header cannot be read (damaged or another format); replace it"
BAD_VOXELS = "voxels cannot be read (truncated or damaged file); copy it again"


def open_nifti(path: Path) -> OpenedVolume:
    """Open a NIfTI file or a pair of .hdr and .img, whichever of the two is named.

    Parameters
    ----------
    path : Path
        The file; compressed or not is seen from its bytes, whatever its name says.

    Raises
    ------
    ScanError
        When the header is corrupted, contradicts itself or is of an image that is no single 3D volume.
    """
    head, voxels = files_of(path)
    with blaming(path.name, BAD_HEADER):
        packed, start = _head(head)
        stored = parse_header(start, path.name)
        scale = scaling(stored, path.name)
        header, notes = settle(stored, path.name)
        _check_parts(stored, path, voxels)
    plain = header is stored and len(header.raw) == NIFTI_1_BYTES and packed == path.name.lower().endswith(".gz")
    with _for_itk(None if plain and head == voxels else header, path) as readable, blaming(path.name, BAD_HEADER):
        grid = _grid(readable)
    if head != voxels:
        notes += Notes(remarks=(f"{path.name}: a NIfTI pair, {head.name} with the voxels in {voxels.name}",))
    return OpenedVolume(path.name, grid, 1, True, partial(_read, voxels, path.name, header, scale), notes)


def _head(path: Path) -> tuple[bool, bytes]:
    """Whether a file is compressed, and its first bytes, inflated."""
    with nifti_stream(path) as stream:
        return isinstance(stream, gzip.GzipFile), stream.read(HEADER_BYTES)


def nifti_stream(path: Path) -> BinaryIO:
    """The file's bytes, inflated when it is compressed."""
    with path.open("rb") as plain:
        packed = plain.read(2) == GZIP_MAGIC
    return gzip.open(path) if packed else path.open("rb")


def _check_parts(header: NiftiHeader, path: Path, voxels: Path) -> None:
    pair = path.suffix.lower() in PAIR
    if header.in_two_files and not pair and header.offset < len(header.raw):
        raise ScanError(
            f"{path.name}: the header is that of a pair of files (.hdr and .img); name the .hdr file, or save "
            "it as one .nii.gz"
        )
    if pair and not voxels.is_file():
        raise ScanError(f"{path.name}: of a pair of .hdr and .img, {voxels.name} is not beside it; copy it there")


@contextmanager
def _for_itk(header: NiftiHeader | None, path: Path) -> Iterator[Path]:
    """A file whose header ITK can read: the file itself, or the header alone where it was changed or hidden."""
    if header is None:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="gc_ray_nifti_") as folder:
        alone = Path(folder, "header.nii")
        alone.write_bytes(header.alone())
        yield alone


def _grid(path: Path) -> Grid:
    """The grid as ITK gives it, to the last bit, since PyRadiomics reads through ITK."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO("NiftiImageIO")
    reader.ReadImageInformation()
    return grid_of(reader)


def _read(path: Path, name: str, header: NiftiHeader, scale: tuple[float, float] | None) -> np.ndarray:
    """The voxels (z, y, x) with their scaling applied as ITK does: float32, or float64 where they are stored so."""
    size, stored = header.size[:3], header.stored_type
    kind = stored.newbyteorder("=") if scale is None or stored.kind == "f" else np.dtype(np.float32)
    array = np.empty(math.prod(size), kind)
    done, step = 0, CHUNK_BYTES // stored.itemsize
    _check_length(path, name, header.offset + array.size * stored.itemsize)
    with blaming(name, BAD_VOXELS), nifti_stream(path) as stream:
        stream.seek(header.offset)
        while done < array.size:
            wanted = min(step, array.size - done)
            chunk = stream.read(wanted * stored.itemsize)
            values = np.frombuffer(chunk, stored, len(chunk) // stored.itemsize)
            if values.size < wanted:
                missing = (array.size - done) * stored.itemsize - len(chunk)
                raise ScanError(f"{name}: truncated, {missing} bytes of voxels are missing; copy it again")
            array[done : done + wanted] = values if scale is None else _scaled(values, kind, scale, name)
            done += wanted
        _read_on(stream, name)
    return array.reshape(size[::-1])


def _check_length(path: Path, name: str, wanted: int) -> None:
    """ScanError when a file cannot hold what its header promises, before memory is asked for."""
    with path.open("rb") as stream:
        packed = stream.read(2) == GZIP_MAGIC
    missing = wanted - path.stat().st_size * (DEFLATE_AT_MOST if packed else 1)
    if missing > 0:
        least = "at least " if packed else ""
        raise ScanError(f"{name}: truncated, {least}{missing} bytes of voxels are missing; copy it again")


def _scaled(values: np.ndarray, kind: np.dtype, scale: tuple[float, float], name: str) -> np.ndarray:
    """As ITK: rounded to ``kind`` first, then multiplied and added in double precision."""
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = (values.astype(kind).astype(np.float64) * scale[0] + scale[1]).astype(kind)
    if (np.isfinite(values) & ~np.isfinite(scaled)).any():
        raise ScanError(f"{name}: scl_slope and scl_inter make values that are not finite; correct them")
    return scaled


def _read_on(stream: BinaryIO, name: str) -> None:
    """Read to the end, where gzip compares its checksum; ScanError when that is far behind the voxels."""
    behind = 0
    while chunk := stream.read(CHUNK_BYTES):
        behind += len(chunk)
        if behind > MAX_BEHIND_BYTES:
            raise ScanError(f"{name}: more than {MAX_BEHIND_BYTES >> 20} MiB follow its voxels; export it again")
