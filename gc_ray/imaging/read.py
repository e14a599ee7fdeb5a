"""The door for outside bytes: CT scans and masks of every format, from local paths to ``CtScan`` and ``RoiMask``.

``survey_*`` reads headers only and tells the same story as ``read_*``, as far as headers can tell it; ``open_ct``
reads headers first and, once the region is known, the pixels of the slices that it needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gc_ray.errors import MaskError, ScanError
from gc_ray.imaging.dicom_files import DicomFile, open_dicom, quiet_libraries
from gc_ray.imaging.folder import format_fault
from gc_ray.imaging.image_files import is_image_file, read_image, survey_image
from gc_ray.imaging.labelmap import list_labels, read_labelmap, survey_labelmap
from gc_ray.imaging.other_formats import READ_IMAGES, READ_MASKS, unread_format
from gc_ray.imaging.rtstruct import RT_STRUCTURE_SET, plan_contours, read_contours, roi_names
from gc_ray.imaging.scan import CtScan, Notes, RoiMask, ScanGeometry
from gc_ray.imaging.segmentation import SEGMENTATION, plan_segment, read_segment, segment_names
from gc_ray.imaging.series import Series, survey_series
from gc_ray.imaging.voxels import header_type, read_series

WANTED = "wanted a label map (NIfTI, NRRD, MetaImage), a DICOM SEG or an RTSTRUCT"  # as a mask


@dataclass(frozen=True, eq=False)
class OpenCt:
    """A CT whose headers are judged and whose pixels are not read yet.

    geometry: as ``survey_ct`` gives it. series: None for a volume file, which is only read whole.
    """

    path: Path
    geometry: ScanGeometry
    series: Series | None

    @property
    def kind(self) -> np.dtype | None:
        """The pixel type as far as headers tell, float64 or an integer type; None for a volume file."""
        return None if self.series is None else header_type(self.series)

    def read(self, planes: range | None = None) -> CtScan:
        """The CT in HU, of a DICOM series only the slices ``planes`` (z indices; None: all), as ``read_series``."""
        with quiet_libraries():
            return read_image(self.path) if self.series is None else read_series(self.series, planes)


def open_ct(path: Path, series_uid: str | None = None) -> OpenCt:
    """A CT with its headers read and the structure and length of all its DICOM files checked, no pixel decoded.

    path: a DICOM folder (searched with its subfolders), one DICOM file, or a NIfTI, NRRD or MetaImage file;
    series_uid: which DICOM series, needed when there are several. Raises ScanError when the scan cannot be used.
    """
    with _ct_door(path, series_uid):
        if is_image_file(path):
            return OpenCt(path, survey_image(path), None)
        series = survey_series(path, series_uid)
        return OpenCt(path, series.surveyed, series)


def survey_ct(path: Path, series_uid: str | None = None) -> ScanGeometry:
    """Geometry of a CT from its headers, no pixel decoded; arguments and refusals as ``open_ct``."""
    return open_ct(path, series_uid).geometry


def read_ct(path: Path, series_uid: str | None = None) -> CtScan:
    """A CT in Hounsfield units, whole; as ``open_ct``, and ScanError when pixels are at fault."""
    return open_ct(path, series_uid).read()


def list_rois(path: Path) -> tuple[str, ...]:
    """Names of the regions in a mask file (labels as text for a plain label map); raises MaskError."""
    with _mask_door(path):
        if is_image_file(path):
            return list_labels(path)
        file = _open_mask(path)
        return segment_names(file) if file.sop_class in SEGMENTATION else roi_names(file)


def survey_mask(path: Path, roi: str | None, ct: ScanGeometry) -> Notes:
    """What the headers say of a mask: that it has the region and fits the CT's grid.

    Arguments and refusals as ``read_mask``; whether the region holds voxels is looked at in an RT structure set only.
    """
    with _mask_door(path):
        if is_image_file(path):
            return survey_labelmap(path, roi, ct)
        file = _open_mask(path)
        plan = plan_segment if file.sop_class in SEGMENTATION else plan_contours
        return plan(file, roi, ct).notes


def read_mask(path: Path, roi: str | None, ct: ScanGeometry) -> RoiMask:
    """One region of interest on exactly the CT's grid.

    path: a label map (NIfTI, NRRD, MetaImage), a DICOM SEG or an RT structure set; roi: label number as text, or the
    region's name, None only when the file holds one region. Raises MaskError when it is absent, ambiguous, empty,
    too small, off the grid, or made for another scan.
    """
    with _mask_door(path):
        if is_image_file(path):
            return read_labelmap(path, roi, ct)
        file = _open_mask(path)
        read = read_segment if file.sop_class in SEGMENTATION else read_contours
        return read(file, roi, ct)


def _open_mask(path: Path) -> DicomFile:
    fault = format_fault(path, WANTED)
    if fault:
        raise MaskError(fault)
    file = open_dicom(path, path.name)
    if file.sop_class not in (*SEGMENTATION, RT_STRUCTURE_SET):
        raise MaskError(f"{file.name}: no mask (modality {file.modality}); wanted a DICOM SEG or RTSTRUCT")
    return file


@contextmanager
def _ct_door(path: Path, series_uid: str | None) -> Iterator[None]:
    if not path.exists():
        raise ScanError(f"{path.name}: no such file or folder")
    if not is_image_file(path) and (other := unread_format(path)):
        raise ScanError(f"{path.name}: {other[0]}, wanted {READ_IMAGES}; {other[1]}")
    if series_uid is not None and is_image_file(path):
        raise ScanError(f"{path.name}: a series UID was stated but the file is no DICOM; leave it out")
    with quiet_libraries():
        yield


@contextmanager
def _mask_door(path: Path) -> Iterator[None]:
    if not path.is_file():
        raise MaskError(f"{path.name}: {'a folder, wanted one mask file' if path.is_dir() else 'no such file'}")
    if not is_image_file(path) and (other := unread_format(path)):
        raise MaskError(f"{path.name}: {other[0]}, wanted {READ_MASKS}; {other[1]}")
    try:
        with quiet_libraries():
            yield
    except ScanError as error:
        raise MaskError(str(error)) from None
