"""A tumour outline as DICOM SEG or RTSTRUCT that refers to the slices of its CT."""

from __future__ import annotations

from collections.abc import Sequence

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage

from gc_ray.cohort.synthetic.contours import contours_of
from gc_ray.cohort.synthetic.ct_dicom import STUDY_DATE, STUDY_TIME, identify, uid_of
from gc_ray.cohort.synthetic.spec import CohortSpec
from gc_ray.imaging.volume import Mask

ROI_NAME = "tumour"
SOFTWARE = "gc-ray synth"
ROI_COLOUR = [255, 0, 0]


def seg_of(spec: CohortSpec, index: int, images: Sequence[Dataset], mask: Mask, repeat: int) -> Dataset:
    """A binary DICOM SEG with one segment; empty slices are left out, as segmentation software does."""
    segment = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label=ROI_NAME,
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Neoplasm,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
    )
    seg = hd.seg.Segmentation(
        source_images=list(images),
        pixel_array=mask.array,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[segment],
        series_instance_uid=uid_of(spec, index, "seg series", repeat),
        series_number=100 + repeat,
        sop_instance_uid=uid_of(spec, index, "seg", repeat),
        instance_number=1,
        manufacturer="SIMULATED",
        manufacturer_model_name=SOFTWARE,
        software_versions="1",
        device_serial_number="0",
    )
    _fix_dates(seg)
    organization = uid_of(spec, index, "seg dimensions", repeat)
    for item in (*seg.DimensionOrganizationSequence, *seg.DimensionIndexSequence):
        item.DimensionOrganizationUID = organization
    return seg


def _fix_dates(seg: Dataset) -> None:
    """Replace the dates and times that highdicom takes from the clock."""
    seg.ContentDate = seg.InstanceCreationDate = STUDY_DATE
    seg.ContentTime = seg.InstanceCreationTime = STUDY_TIME
    for equipment in seg.ContributingEquipmentSequence:
        if "ContributionDateTime" in equipment:
            equipment.ContributionDateTime = STUDY_DATE + STUDY_TIME


def rtstruct_of(spec: CohortSpec, index: int, images: Sequence[Dataset], mask: Mask) -> Dataset:
    """An RTSTRUCT with one ROI, closed planar contours on the slices of the CT."""
    data = Dataset()
    identify(data, spec, index)
    data.SOPClassUID = RTStructureSetStorage
    data.SOPInstanceUID = uid_of(spec, index, "rtstruct")
    data.Modality = "RTSTRUCT"
    data.SeriesInstanceUID = uid_of(spec, index, "rtstruct series")
    data.SeriesNumber = 200
    data.Manufacturer = "SIMULATED"
    data.ManufacturerModelName = SOFTWARE
    data.OperatorsName = ""
    data.StructureSetLabel = "SIMULATED"
    data.StructureSetDate, data.StructureSetTime = STUDY_DATE, STUDY_TIME
    data.FrameOfReferenceUID = images[0].FrameOfReferenceUID
    data.ReferencedFrameOfReferenceSequence = [_frame_of_reference(images)]
    data.StructureSetROISequence = [
        _item(
            ROINumber=1,
            ReferencedFrameOfReferenceUID=images[0].FrameOfReferenceUID,
            ROIName=ROI_NAME,
            ROIGenerationAlgorithm="MANUAL",
        )
    ]
    contours = [_contour(images[k], mask, k, polygon) for k, polygon in _polygons(mask)]
    data.ROIContourSequence = [_item(ReferencedROINumber=1, ROIDisplayColor=ROI_COLOUR, ContourSequence=contours)]
    data.RTROIObservationsSequence = [
        _item(ObservationNumber=1, ReferencedROINumber=1, RTROIInterpretedType="GTV", ROIInterpreter="")
    ]
    data.ApprovalStatus = "UNAPPROVED"
    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return data


def _item(**elements: object) -> Dataset:
    item = Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return item


def _image_reference(image: Dataset) -> Dataset:
    return _item(ReferencedSOPClassUID=image.SOPClassUID, ReferencedSOPInstanceUID=image.SOPInstanceUID)


def _frame_of_reference(images: Sequence[Dataset]) -> Dataset:
    series = _item(
        SeriesInstanceUID=images[0].SeriesInstanceUID,
        ContourImageSequence=[_image_reference(image) for image in images],
    )
    study = _item(
        ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1",  # detached study management, as the standard asks
        ReferencedSOPInstanceUID=images[0].StudyInstanceUID,
        RTReferencedSeriesSequence=[series],
    )
    return _item(FrameOfReferenceUID=images[0].FrameOfReferenceUID, RTReferencedStudySequence=[study])


def _polygons(mask: Mask) -> list[tuple[int, np.ndarray]]:
    slices = np.flatnonzero(mask.array.any(axis=(1, 2)))
    return [(int(k), polygon) for k in slices for polygon in contours_of(mask.array[k] == 1)]


def _contour(image: Dataset, mask: Mask, k: int, polygon: np.ndarray) -> Dataset:
    points = mask.grid.index_to_mm(np.column_stack([polygon, np.full(len(polygon), k)]))
    return _item(
        ContourImageSequence=[_image_reference(image)],
        ContourGeometricType="CLOSED_PLANAR",
        NumberOfContourPoints=len(points),
        ContourData=[f"{value:.3f}" for value in points.ravel()],
    )
