"""Small synthetic DICOM for the readers' tests: a CT series, structure sets and segmentations on it."""

from collections.abc import Callable, Sequence
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom import Dataset
from pydicom.config import disable_value_validation
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTStructureSetStorage

from gc_ray.errors import MaskError
from gc_ray.imaging.read import read_mask, survey_ct, survey_mask
from gc_ray.imaging.scan import ScanGeometry

SERIES, STUDY, FRAME = "1.2.3.1", "1.2.3.2", "1.2.3.3"
SIZE = (20, 16, 6)  # x, y, z
SPACING = (0.5, 0.75, 2.0)
ORIGIN = (-10.0, 5.0, 100.0)
NAME = "PLANTED^PATIENT"


def _object(sop_class: str, uid: str, modality: str) -> Dataset:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = sop_class
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = uid
    data.Modality, data.StudyInstanceUID, data.FrameOfReferenceUID = modality, STUDY, FRAME
    data.PatientName, data.PatientID, data.PatientBirthDate, data.PatientSex = NAME, "PLANTED-ID", "19010203", "O"
    data.StudyID, data.StudyDate, data.StudyTime, data.AccessionNumber = "1", "20010203", "010203", ""
    data.ReferringPhysicianName = "PLANTED^DOCTOR"
    return data


def ct_slice(k: int) -> Dataset:
    """Slice ``k`` of the synthetic series: stored value = 1000 + 100 k + 10 y + x, intercept -1024."""
    data = _object(CTImageStorage, f"1.2.3.4.{k + 1}", "CT")
    data.SeriesInstanceUID, data.SeriesNumber, data.InstanceNumber = SERIES, 1, k + 1
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.Rows, data.Columns, data.SamplesPerPixel = SIZE[1], SIZE[0], 1
    data.PhotometricInterpretation, data.PixelRepresentation = "MONOCHROME2", 1
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
    data.PixelSpacing, data.SliceThickness = [SPACING[1], SPACING[0]], SPACING[2]
    data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    data.ImagePositionPatient = [ORIGIN[0], ORIGIN[1], ORIGIN[2] + k * SPACING[2]]
    data.RescaleSlope, data.RescaleIntercept, data.RescaleType = 1, -1024, "HU"
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    data.PixelData = (1000 + 100 * k + 10 * y + x).astype("<i2").tobytes()
    return data


@pytest.fixture
def slices() -> list[Dataset]:
    """Six CT slices of 20 x 16 voxels, in order of z, free to be spoilt."""
    return [ct_slice(k) for k in range(SIZE[2])]


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Writes datasets as 000.dcm, 001.dcm, .. (or under given names) and returns their folder."""

    def write(datasets: Sequence[Dataset], names: Sequence[str] | None = None, folder: str = "ct") -> Path:
        root = tmp_path / folder
        for i, data in enumerate(datasets):
            path = root / (names[i] if names else f"{i:03d}.dcm")
            path.parent.mkdir(parents=True, exist_ok=True)
            data.save_as(path, enforce_file_format=True)
        return root

    return write


@pytest.fixture
def rtstruct(tmp_path: Path) -> Callable[..., Path]:
    """Writes a structure set from {ROI name: [(geometric type, points (n, 3) in mm)]}."""

    def write(rois: dict[str, list[tuple[str, np.ndarray]]], frame: str = FRAME, images: Sequence[str] = ()) -> Path:
        data = _object(RTStructureSetStorage, "1.2.3.5", "RTSTRUCT")
        del data.FrameOfReferenceUID
        data.SeriesInstanceUID = "1.2.3.6"
        data.StructureSetROISequence, data.ROIContourSequence = DicomSequence(), DicomSequence()
        for number, (name, contours) in enumerate(rois.items(), 1):
            roi, drawn = Dataset(), Dataset()
            roi.ROINumber, roi.ROIName = number, name
            if frame:
                roi.ReferencedFrameOfReferenceUID = frame
            drawn.ReferencedROINumber, drawn.ContourSequence = number, DicomSequence()
            for kind, points in contours:
                item = Dataset()
                with disable_value_validation():  # spellings that occur in files and are no defined terms
                    item.ContourGeometricType = kind
                item.NumberOfContourPoints = len(points)
                item.ContourData = [f"{v:.6f}" for v in np.ravel(points)]
                item.ContourImageSequence = DicomSequence([_reference(uid) for uid in images])
                drawn.ContourSequence.append(item)
            data.StructureSetROISequence.append(roi)
            data.ROIContourSequence.append(drawn)
        path = tmp_path / "RS.dcm"
        with disable_value_validation():
            data.save_as(path, enforce_file_format=True)
        return path

    return write


def _reference(uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CTImageStorage, uid
    return item


@pytest.fixture
def box() -> Callable[..., np.ndarray]:
    """The contour (4, 3) in mm around voxels x0..x1, y0..y1 (inclusive) of slice k."""

    def corners(k: int, x0: int, x1: int, y0: int, y1: int) -> np.ndarray:
        at = [(x0 - 0.5, y0 - 0.5), (x1 + 0.5, y0 - 0.5), (x1 + 0.5, y1 + 0.5), (x0 - 0.5, y1 + 0.5)]
        return np.array(
            [(ORIGIN[0] + SPACING[0] * x, ORIGIN[1] + SPACING[1] * y, ORIGIN[2] + 2.0 * k) for x, y in at]
        )

    return corners


@pytest.fixture
def line() -> Callable[..., np.ndarray]:
    """The contour (n, 3) in mm through continuous x, y voxel indices on slice k."""

    def points(k: int, *at: tuple[float, float]) -> np.ndarray:
        return np.array(ORIGIN) + np.array(SPACING) * [(x, y, k) for x, y in at]

    return points


@pytest.fixture
def seg(tmp_path: Path) -> Callable[..., Path]:
    """Writes a DICOM SEG of an array (z, y, x) of labels or (z, y, x, segment) over the given slices."""

    def write(array: np.ndarray, sources: Sequence[Dataset], kind: str, labels: Sequence[str]) -> Path:
        described = [
            hd.seg.SegmentDescription(
                segment_number=i,
                segment_label=label,
                segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
                segmented_property_type=codes.SCT.Neoplasm,
                algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
            )
            for i, label in enumerate(labels, 1)
        ]
        written = hd.seg.Segmentation(
            source_images=list(sources),
            pixel_array=array,
            segmentation_type=kind,
            segment_descriptions=described,
            series_instance_uid="1.2.3.7",
            series_number=2,
            sop_instance_uid="1.2.3.8",
            instance_number=1,
            manufacturer="none",
            manufacturer_model_name="none",
            software_versions="0",
            device_serial_number="0",
        )
        path = tmp_path / "seg.dcm"
        written.save_as(path, enforce_file_format=True)
        return path

    return write


@pytest.fixture
def ct(slices, save) -> ScanGeometry:
    """The geometry of the little CT."""
    return survey_ct(save(slices))


@pytest.fixture
def assert_refused() -> Callable:
    """Looking at a mask's header and reading it say the same, and nothing that could be a patient's."""

    def check(path: Path, roi: str | None, ct: ScanGeometry, pattern: str) -> None:
        for call in (survey_mask, read_mask):
            with pytest.raises(MaskError, match=pattern) as refusal:
                call(path, roi, ct)
            assert "PLANTED" not in str(refusal.value)
            assert str(path.parent) not in str(refusal.value)

    return check
