"""NRRD and MetaImage files through SimpleITK, after their headers were checked."""

from __future__ import annotations

import math
import re
from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from gc_ray.errors import ScanError
from gc_ray.imaging import metaimage, nrrd
from gc_ray.imaging.axes import ORTHOGONAL, nearest_orthogonal, shear_degrees
from gc_ray.imaging.detached import check_voxel_files
from gc_ray.imaging.dicom_files import blaming
from gc_ray.imaging.grid import MAX_VOXELS, Grid
from gc_ray.imaging.nifti import BAD_HEADER, BAD_VOXELS
from gc_ray.imaging.opened import OpenedVolume
from gc_ray.imaging.scan import Notes

READERS = {**dict.fromkeys(nrrd.SUFFIXES, "NrrdImageIO"), **dict.fromkeys(metaimage.SUFFIXES, "MetaImageIO")}
FREE_KEYS = r"Segment(ation|\d+)_\w+"  # those that are looked at; others may be of bytes that are no text
TOOL = "3D Slicer (Resample Scalar/Vector/DWI Volume)"


def open_itk(path: Path) -> OpenedVolume:
    """Open a NRRD or MetaImage file.

    Raises
    ------
    ScanError
        When the header is corrupted, its voxels lie elsewhere, or it is of an image that is no single 3D volume.
    """
    kind = next(kind for suffix, kind in READERS.items() if path.name.lower().endswith(suffix))
    with blaming(path.name, BAD_HEADER):
        check_voxel_files(path)
        notes = nrrd.check_nrrd(path) if kind == "NrrdImageIO" else metaimage.check_metaimage(path)
    with nrrd.header_for_itk(path) as readable:
        reader = _reader(readable, kind, path.name)
    grid, more = _grid(reader, path.name)
    return OpenedVolume(
        path.name,
        grid,
        reader.GetNumberOfComponents(),
        "complex" not in sitk.GetPixelIDValueAsString(reader.GetPixelID()),
        partial(_read, path, kind, reader.GetDimension()),
        notes + more,
        {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys() if re.fullmatch(FREE_KEYS, key)},
    )


def _reader(path: Path, kind: str, name: str) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    # by its name alone: what a file of another format does to that format's library is not tried
    reader.SetImageIO(kind)
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        if "number of domain axes" in str(error):
            raise ScanError(
                f"{name}: the header does not say which axis holds no place in space; wanted for example "
                "'kinds: list domain domain domain'"
            ) from None
        raise ScanError(f"{name}: {BAD_HEADER}") from None
    if math.prod(size := reader.GetSize()) > MAX_VOXELS:
        raise ScanError(f"{name}: {' x '.join(map(str, size))} voxels, wanted at most {MAX_VOXELS}; not one CT")
    return reader


def _grid(reader: sitk.ImageFileReader, name: str) -> tuple[Grid, Notes]:
    """The 3D grid, a fourth axis of length one left out; ScanError for other dimensions and axes that are no axes."""
    size, dimension = reader.GetSize(), reader.GetDimension()
    if dimension < 3 or any(n != 1 for n in size[3:]):
        raise ScanError(f"{name}: {dimension}D image of {' x '.join(map(str, size))}, wanted one 3D volume")
    spacing, origin = reader.GetSpacing()[:3], reader.GetOrigin()[:3]
    if not (np.isfinite(spacing).all() and np.isfinite(origin).all() and min(spacing) > 0):
        raise ScanError(f"{name}: voxel sizes or origin in the header are no sound numbers; export it again")
    axes, notes = _orthogonal(np.reshape(reader.GetDirection(), (dimension, dimension))[:3, :3], name)
    remarks = (f"{name}: fourth axis of length one left out",) if dimension > 3 else ()
    return Grid(size[:3], spacing, origin, tuple(axes.ravel().tolist())), notes + Notes(remarks=remarks)


def _orthogonal(axes: np.ndarray, name: str) -> tuple[np.ndarray, Notes]:
    """Axes at right angles, moved by at most 0.1 degree and then with a note; ScanError beyond."""
    lengths = np.linalg.norm(axes, axis=0)
    angle = shear_degrees(axes / lengths, name, "sheared", TOOL) if lengths.min() > 0 else 0.0
    if not np.allclose(lengths, 1, rtol=0, atol=1e-3):
        raise ScanError(f"{name}: axes are not unit vectors; export it again")
    if np.abs(axes.T @ axes - np.diag(lengths**2)).max() <= ORTHOGONAL:
        return axes, Notes()
    note = f"{name}: axes sheared by {angle:.3f} degrees; the nearest orthogonal axes are taken"
    return nearest_orthogonal(axes / lengths), Notes(repairs=(note,))


def _read(path: Path, kind: str, dimension: int) -> np.ndarray:
    """The voxels (z, y, x[, component]) in their stored type; ScanError when the file is corrupted."""
    with blaming(path.name, BAD_VOXELS):
        if kind == "MetaImageIO":
            metaimage.check_metaimage_voxels(path)
    with nrrd.voxels_for_itk(path) as readable:
        reader = _reader(readable, kind, path.name)
        reader.SetExtractSize([*reader.GetSize()[:3], *[0] * (dimension - 3)])
        try:
            return sitk.GetArrayFromImage(reader.Execute())
        except (RuntimeError, MemoryError):
            raise ScanError(f"{path.name}: {BAD_VOXELS}") from None
