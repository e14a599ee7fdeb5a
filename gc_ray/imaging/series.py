"""A folder of DICOM files becomes one CT series: which files belong, whether they agree, where their slices lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gc_ray.errors import ScanError
from gc_ray.imaging.dicom_files import DicomFile, numbers, open_dicom, printable_uid, text
from gc_ray.imaging.folder import Contents, advice_on_files, counted, format_fault, look_through
from gc_ray.imaging.pixels import is_lossy
from gc_ray.imaging.scan import Notes, ScanGeometry
from gc_ray.imaging.slices import SLICE_KEYWORDS, Slice, check_agreement, read_slice
from gc_ray.imaging.sop_classes import ENHANCED_CT, advice_on_objects, class_name, is_ct, is_directory
from gc_ray.imaging.stacking import Place, Stack, stack

WANTED = "wanted a folder of DICOM slices or a NIfTI, NRRD or MetaImage file"
OVERLAP = 0.01  # share of the step by which a slice's thickness may differ from it, by rounding


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
    slices = sorted(map(read_slice, files), key=lambda s: s.position)  # so that names decide nothing
    check_agreement(slices)
    laid = stack(
        [Place(s.file.name, s.position) for s in slices], slices[0].orientation, slices[0].spacing, slices[0].shape
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
    if path.is_dir():
        root, contents = path, look_through(path)
    else:
        fault = format_fault(path, WANTED)
        if fault:
            raise ScanError(fault)
        root, contents = path.parent, Contents((path,), Counter(), Counter())
    opened = [open_dicom(p, p.relative_to(root).as_posix(), SLICE_KEYWORDS) for p in contents.dicom]
    for file in opened:
        _check_identity(file)
    ct, others = [f for f in opened if is_ct(f)], [f for f in opened if not is_ct(f)]
    names = Counter(map(class_name, others))
    if not ct:
        found = counted(names + contents.others) or "no file at all"
        fix = advice_on_objects(others) or advice_on_files(contents.kinds) or "the image column must name a CT series"
        raise ScanError(f"no CT images here, found: {found}; {fix}")
    remarks = []
    if names:
        remarks.append(f"skipped DICOM objects that are no CT images: {counted(names)}")
    if contents.others:
        remarks.append(f"ignored files that are no DICOM: {counted(contents.others)}")
    return ct, Notes(remarks=tuple(remarks))


def _check_identity(file: DicomFile) -> None:
    """Raises ScanError for an object that cannot be sorted: left out, it could be a slice lost in silence."""
    if is_directory(file):
        return
    missing = "SOPClassUID and Modality" if not file.sop_class and not text(file, "Modality") else ""
    if is_ct(file) and not text(file, "SeriesInstanceUID"):
        missing = "SeriesInstanceUID"
    if missing:
        raise ScanError(f"{file.name}: {missing} missing (header cut short?); copy or export it again")


def _is_localizer(file: DicomFile) -> bool:
    return "LOCALIZER" in text(file, "ImageType").upper()


def _choose_series(files: list[DicomFile], series_uid: str | None) -> tuple[list[DicomFile], Notes]:
    """The files of the one series that is meant, without localizers and pictures that other series hold."""
    if series_uid is not None:
        present = Counter(text(file, "SeriesInstanceUID") for file in files)
        files = [file for file in files if text(file, "SeriesInstanceUID") == series_uid]
        if not files:
            raise ScanError(f"no series {series_uid} here; series present: {_series_list(present)}")
    images = [file for file in files if not _is_localizer(file)]
    if not images:
        raise ScanError(f"only localizer (scout) images here ({len(files)}), wanted axial CT slices")
    slices, notes = _without_pictures(images)
    series = Counter(text(file, "SeriesInstanceUID") for file in slices)
    if len(series) > 1:
        raise ScanError(f"{len(series)} CT series here and none was asked for: {_series_list(series)}; state one UID")
    _check_frames(slices)
    dropped = len(files) - len(images)
    note = f"left out {dropped} localizer image(s) that lay with the CT slices"
    return slices, Notes(repairs=(note,) if dropped else ()) + notes


def _without_pictures(images: list[DicomFile]) -> tuple[list[DicomFile], Notes]:
    """Leaves out series of which no image can be a slice, beside others: dose reports and screens saved as CT."""
    usable = {text(file, "SeriesInstanceUID") for file in images if _is_placed(file)}
    slices = [file for file in images if text(file, "SeriesInstanceUID") in usable]
    if not slices or len(slices) == len(images):
        return images, Notes()
    dropped = len(images) - len(slices)
    return slices, Notes(repairs=(f"left out {dropped} CT image(s) of other series without position or in colour",))


def _is_placed(file: DicomFile) -> bool:
    """Whether an image could be a slice: grey, with a position; enhanced CT has positions elsewhere."""
    grey = (numbers(file, "SamplesPerPixel", 1) or (1.0,)) == (1.0,)
    position = file.header.get_item("ImagePositionPatient") if "ImagePositionPatient" in file.header else None
    return grey and (file.sop_class in ENHANCED_CT or bool(position and position.value))


def _check_frames(slices: list[DicomFile]) -> None:
    """Raises ScanError for enhanced multi-frame CT, and for a single slice."""
    enhanced = [file.name for file in slices if file.sop_class in ENHANCED_CT]
    if enhanced:
        raise ScanError(
            f"{enhanced[0]}: enhanced multi-frame CT is not read; convert it to one file per slice, for example with "
            "emf2sf of dcm4che"
        )
    if len(slices) == 1:
        raise ScanError(f"{slices[0].name}: a single slice, wanted a CT volume of at least two")


def _series_list(series: Counter[str]) -> str:
    return ", ".join(f"{printable_uid(uid)} ({n} slices)" for uid, n in sorted(series.items()))


def _remarks(slices: Sequence[Slice], laid: Stack) -> Notes:
    """What headers tell about image quality."""
    repairs, remarks = [], []
    lossy = sum(is_lossy(s.file) for s in slices)
    if lossy:
        repairs.append(f"lossy compression in {lossy} of {len(slices)} slices: HU are not the scanner's own")
    bits = Counter(note for s in slices for note in s.bits.notes)
    repairs += [f"{note} ({n} of {len(slices)} slices)" for note, n in bits.items()]
    if len({s.rescale for s in slices}) > 1:
        remarks.append("rescale slope or intercept varies between slices: each slice uses its own")
    thickness = max((s.thickness or 0.0 for s in slices), default=0.0)
    step = laid.grid.spacing_mm[2]
    if thickness > step * (1 + OVERLAP):
        remarks.append(f"overlapping reconstruction: slices {thickness:.3g} mm thick every {step:.3g} mm")
    elif 0 < thickness < step * (1 - OVERLAP):
        remarks.append(f"tissue between slices was not imaged: slices {thickness:.3g} mm thick every {step:.3g} mm")
    return Notes(tuple(repairs), tuple(remarks))
