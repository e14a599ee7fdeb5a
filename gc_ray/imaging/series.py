"""A folder of DICOM files becomes one CT series: which files belong, whether they agree, where their slices lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gc_ray.errors import ScanError
from gc_ray.imaging.dicom_files import DicomFile, counted, list_files, numbers, open_dicom, printable_uid, text
from gc_ray.imaging.pixels import PIXEL_KEYWORDS, check_pixel_bytes, is_lossy, matrix, rescale
from gc_ray.imaging.scan import Notes, ScanGeometry
from gc_ray.imaging.stacking import Plane, Stack, stack

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")  # Enhanced, Legacy Converted Enhanced

SERIES_KEYWORDS = [
    *("SOPInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "PatientID", "ImageType"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"),
    *PIXEL_KEYWORDS,
]

SPACING_TOLERANCE_MM = 1e-5  # over 1,000 voxels it moves the far edge by 0.01 mm
ORIENTATION_TOLERANCE = 1e-4  # cosines written with four decimals; 0.05 mm over a field of view of 500 mm


@dataclass(frozen=True)
class Slice:
    """What one CT slice's header says; lengths in millimetres, ``spacing`` as (between rows, between columns)."""

    file: DicomFile
    shape: tuple[int, int]
    spacing: tuple[float, float]
    orientation: tuple[float, ...]
    position: tuple[float, float, float]
    rescale: tuple[float, float] | None
    thickness: float | None


@dataclass(frozen=True)
class Series:
    """A checked CT series: its geometry as headers tell it, and the slices that lie on each plane of the grid."""

    geometry: ScanGeometry
    planes: tuple[tuple[Slice, ...], ...]

    @property
    def surveyed(self) -> ScanGeometry:
        """The geometry with a note on positions that hold two files, which only their pixels can settle."""
        shared = sum(len(plane) > 1 for plane in self.planes)
        note = f"{shared} slice position(s) hold several files: duplicate copies or not, seen when pixels are read"
        return replace(self.geometry, notes=self.geometry.notes + Notes((note,) if shared else ()))


def survey_series(path: Path, series_uid: str | None = None) -> Series:
    """The CT series in a folder (searched with its subfolders) or in one DICOM file, judged from headers alone.

    Raises ScanError when the folder holds no CT, more than one series and no ``series_uid``, or a series that is no
    complete, upright, evenly spaced stack of slices with known HU.
    """
    files, found = _open_all(path)
    files, chosen = _choose_series(files, series_uid)
    slices = [_slice(file) for file in files]
    _check_agreement(slices)
    laid = stack(
        [Plane(s.file.name, s.position) for s in slices], slices[0].orientation, slices[0].spacing, slices[0].shape
    )
    planes = tuple(tuple(slices[i] for i in plane) for plane in laid.planes)
    notes = found + chosen + laid.notes + _remarks(slices, laid)
    return Series(
        ScanGeometry(
            grid=laid.grid,
            notes=notes,
            sop_uids=tuple(text(plane[0].file, "SOPInstanceUID") for plane in planes),
            frame_of_reference_uid=text(slices[0].file, "FrameOfReferenceUID") or None,
            series_uid=text(slices[0].file, "SeriesInstanceUID") or None,
        ),
        planes,
    )


def _open_all(path: Path) -> tuple[list[DicomFile], Notes]:
    """Every CT object under ``path``, and remarks on what else lies there."""
    root = path if path.is_dir() else path.parent
    paths, ignored = list_files(path) if path.is_dir() else ([path], Counter())
    opened = [open_dicom(p, p.relative_to(root).as_posix(), SERIES_KEYWORDS) for p in paths]
    ct = [file for file in opened if _is_ct(file)]
    others = Counter(file.modality for file in opened if not _is_ct(file))
    if not ct:
        found = counted(others + ignored) or "no file at all"
        raise ScanError(f"no CT images here, found: {found}; the image column must name a CT series")
    remarks = []
    if others:
        remarks.append(f"skipped DICOM objects that are no CT images: {counted(others)}")
    if ignored:
        remarks.append(f"ignored files that are no DICOM: {counted(ignored)}")
    return ct, Notes(remarks=tuple(remarks))


def _is_ct(file: DicomFile) -> bool:
    return file.sop_class in (CT_IMAGE, *ENHANCED_CT) or (not file.sop_class and file.modality == "CT")


def _is_localizer(file: DicomFile) -> bool:
    return "LOCALIZER" in text(file, "ImageType").upper()


def _choose_series(files: list[DicomFile], series_uid: str | None) -> tuple[list[DicomFile], Notes]:
    """The files of the one series that is meant, without localizers."""
    if series_uid is not None:
        present = Counter(text(file, "SeriesInstanceUID") for file in files)
        files = [file for file in files if text(file, "SeriesInstanceUID") == series_uid]
        if not files:
            raise ScanError(f"no series {series_uid} here; series present: {_series_list(present)}")
    images = [file for file in files if not _is_localizer(file)]
    if not images:
        raise ScanError(f"only localizer (scout) images here ({len(files)}), wanted axial CT slices")
    series = Counter(text(file, "SeriesInstanceUID") for file in images)
    if len(series) > 1:
        raise ScanError(f"{len(series)} CT series here and none was asked for: {_series_list(series)}; state one UID")
    enhanced = [file.name for file in images if file.sop_class in ENHANCED_CT]
    if enhanced:
        raise ScanError(f"{enhanced[0]}: enhanced multi-frame CT is not read; convert it to one file per slice")
    if len(images) == 1:
        raise ScanError(f"{images[0].name}: a single slice, wanted a CT volume of at least two")
    dropped = len(files) - len(images)
    note = f"left out {dropped} localizer image(s) that lay with the CT slices"
    return images, Notes(repairs=(note,) if dropped else ())


def _series_list(series: Counter[str]) -> str:
    return ", ".join(f"{printable_uid(uid)} ({n} slices)" for uid, n in sorted(series.items()))


def _slice(file: DicomFile) -> Slice:
    """A slice's header as plain numbers; raises ScanError when position, orientation, spacing or pixels are amiss."""
    shape = matrix(file)
    position, orientation = numbers(file, "ImagePositionPatient", 3), numbers(file, "ImageOrientationPatient", 6)
    spacing, thickness = numbers(file, "PixelSpacing", 2), numbers(file, "SliceThickness", 1)
    for keyword, value in (
        ("ImagePositionPatient", position),
        ("ImageOrientationPatient", orientation),
        ("PixelSpacing", spacing),
    ):
        if value is None:
            raise ScanError(f"{file.name}: {keyword} is missing, so the slice has no place in space")
    if min(spacing) <= 0:
        raise ScanError(f"{file.name}: PixelSpacing must be positive")
    row, column = np.reshape(orientation, (2, 3))
    if max(abs(row @ row - 1), abs(column @ column - 1), abs(row @ column)) > 10 * ORIENTATION_TOLERANCE:
        raise ScanError(f"{file.name}: ImageOrientationPatient is not two orthogonal unit vectors")
    check_pixel_bytes(file, shape[0] * shape[1])
    return Slice(file, shape, spacing, orientation, position, rescale(file), thickness and thickness[0])


def _check_agreement(slices: Sequence[Slice]) -> None:
    """Raises ScanError unless all slices belong to one image of one patient with known HU."""
    unknown = [s.file.name for s in slices if s.rescale is None]
    if unknown:
        raise ScanError(
            f"{unknown[0]}: RescaleSlope or RescaleIntercept is missing in {len(unknown)} of {len(slices)} slices, "
            "so HU are unknown; export the series again"
        )
    _want_one(slices, "Rows x Columns", lambda s: s.shape, 0)
    _want_one(slices, "PixelSpacing", lambda s: s.spacing, SPACING_TOLERANCE_MM)
    _want_one(slices, "ImageOrientationPatient", lambda s: s.orientation, ORIENTATION_TOLERANCE)
    for keyword, meaning in (
        ("FrameOfReferenceUID", "several coordinate systems"),
        ("PatientID", "several patients"),
    ):
        if len({text(s.file, keyword) for s in slices} - {""}) > 1:
            raise ScanError(f"{keyword} differs between the slices of one series: {meaning}; separate the files")


def _want_one(
    slices: Sequence[Slice], what: str, value: Callable[[Slice], tuple[float, ...]], tolerance: float
) -> None:
    first = np.asarray(value(slices[0]), float)
    odd = [s.file.name for s in slices if np.abs(np.asarray(value(s)) - first).max() > tolerance]
    if odd:
        raise ScanError(
            f"{odd[0]}: {what} differs from {slices[0].file.name} ({len(odd)} of {len(slices)} slices differ); "
            "wanted one series of equal slices"
        )


def _remarks(slices: Sequence[Slice], laid: Stack) -> Notes:
    """What headers tell about image quality."""
    repairs, remarks = [], []
    lossy = sum(is_lossy(s.file) for s in slices)
    if lossy:
        repairs.append(f"lossy compression in {lossy} of {len(slices)} slices: HU are not the scanner's own")
    if len({s.rescale for s in slices}) > 1:
        remarks.append("rescale slope or intercept varies between slices: each slice uses its own")
    thickness = max((s.thickness or 0.0 for s in slices), default=0.0)
    if thickness > laid.grid.spacing_mm[2] * 1.01:
        remarks.append(
            f"overlapping reconstruction: slices {thickness:.3g} mm thick every {laid.grid.spacing_mm[2]:.3g} mm"
        )
    return Notes(tuple(repairs), tuple(remarks))
