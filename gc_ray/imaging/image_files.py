"""CT volumes in NIfTI, NRRD and MetaImage files: header survey and voxels, through SimpleITK."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from gc_ray.errors import ScanError
from gc_ray.imaging.damage import check_header, check_voxel_file
from gc_ray.imaging.grid import MAX_VOXELS, Grid
from gc_ray.imaging.scan import CtScan, Notes, ScanGeometry
from gc_ray.imaging.volume import Volume

READERS = {
    **dict.fromkeys((".nii", ".nii.gz"), "NiftiImageIO"),
    **dict.fromkeys((".nrrd", ".nhdr"), "NrrdImageIO"),
    **dict.fromkeys((".mha", ".mhd"), "MetaImageIO"),
}
IMAGE_SUFFIXES = tuple(READERS)


def is_image_file(path: Path) -> bool:
    """Whether the name is that of a NIfTI, NRRD or MetaImage file."""
    return path.name.lower().endswith(IMAGE_SUFFIXES)


def open_image(path: Path) -> sitk.ImageFileReader:
    """A reader that has read the header; raises ScanError, naming the file, when it cannot."""
    check_header(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    # by its name alone: what a file of another format does to that format's library is not tried
    reader.SetImageIO(next(kind for suffix, kind in READERS.items() if path.name.lower().endswith(suffix)))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        if "orthonormal" in str(error):
            raise ScanError(f"{path.name}: axes are not orthogonal (sheared sform); resample it first") from None
        raise ScanError(f"{path.name}: header cannot be read (damaged or another format); replace it") from None
    if math.prod(size := reader.GetSize()) > MAX_VOXELS:
        raise ScanError(f"{path.name}: {' x '.join(map(str, size))} voxels, wanted at most {MAX_VOXELS}; not one CT")
    return reader


def grid_in(reader: sitk.ImageFileReader, name: str) -> Grid:
    """The 3D grid of an opened file, a fourth axis of length one left out; ScanError for other dimensions."""
    size, dimension = reader.GetSize(), reader.GetDimension()
    if dimension < 3 or any(n != 1 for n in size[3:]):
        raise ScanError(f"{name}: {dimension}D image of {' x '.join(map(str, size))}, wanted one 3D volume")
    direction = np.reshape(reader.GetDirection(), (dimension, dimension))[:3, :3]
    if not np.allclose(direction.T @ direction, np.eye(3), atol=1e-3):
        raise ScanError(f"{name}: axes are not orthogonal unit vectors; resample it first")
    return Grid(size[:3], reader.GetSpacing()[:3], reader.GetOrigin()[:3], tuple(direction.ravel().tolist()))


def read_array(reader: sitk.ImageFileReader, name: str) -> np.ndarray:
    """The voxels (z, y, x[, component]) of an opened file in their stored type; ScanError when damaged."""
    check_voxel_file(Path(reader.GetFileName()))
    reader.SetExtractSize([*reader.GetSize()[:3], *[0] * (reader.GetDimension() - 3)])
    try:
        array = sitk.GetArrayFromImage(reader.Execute())
    except (RuntimeError, MemoryError):
        raise ScanError(f"{name}: voxels cannot be read (truncated or damaged file); copy it again") from None
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ScanError(f"{name}: holds NaN or infinite values; export it again")
    return array


def survey_image(path: Path) -> ScanGeometry:
    """Geometry of a CT volume file from its header; raises ScanError for colour, 2D, 4D and single-slice images."""
    return _survey(open_image(path), path.name)


def _survey(reader: sitk.ImageFileReader, name: str) -> ScanGeometry:
    grid = grid_in(reader, name)
    if reader.GetNumberOfComponents() != 1 or "complex" in sitk.GetPixelIDValueAsString(reader.GetPixelID()):
        raise ScanError(f"{name}: several values per voxel (colour or vector image), wanted grey values")
    if min(grid.size) == 1:
        raise ScanError(f"{name}: a single slice, wanted a CT volume of at least two along each axis")
    squeezed = f"{name}: fourth axis of length one left out"
    return ScanGeometry(grid, Notes(remarks=(squeezed,) if reader.GetDimension() > 3 else ()))


def read_image(path: Path) -> CtScan:
    """A CT volume file in its stored pixel type; values are taken for HU, with a remark when none is negative."""
    reader = open_image(path)
    geometry = _survey(reader, path.name)
    array = read_array(reader, path.name)
    remark = f"{path.name}: no value below 0: perhaps stored values instead of HU, or a window was applied"
    notes = geometry.notes + Notes(remarks=(remark,) if array.min() >= 0 else ())
    return CtScan(Volume(array, geometry.grid), replace(geometry, notes=notes))
