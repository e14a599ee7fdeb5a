"""A simulated CT as DICOM CT Image Storage, one data set per slice; every UID and date follows from the seed."""

from __future__ import annotations

import hashlib
from io import BytesIO

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)

from gc_ray.cohort.synthetic.spec import CohortSpec, Site, patient_id
from gc_ray.imaging.volume import Volume

STUDY_DATE, STUDY_TIME = "20150101", "120000"  # one fixed moment: nothing may depend on the clock
INTERCEPT_HU = -1024
BITS_STORED = 12
# Transfer syntax and the library that encodes it; named, since byte-equal files need the same encoder everywhere.
ENCODERS = {"jpeg-ls": (JPEGLSLossless, "pyjpegls"), "rle": (RLELossless, "gdcm")}


def uid_of(spec: CohortSpec, index: int, *role: str | int) -> str:
    """A UID (2.25 and 128 bits of a hash) for one object of one patient."""
    name = "/".join(map(str, (spec.seed, index, *role)))
    return f"2.25.{int.from_bytes(hashlib.sha256(name.encode()).digest()[:16])}"


def ct_series(spec: CohortSpec, index: int, site: Site, volume: Volume) -> list[Dataset]:
    """The slices of a CT (int16 HU on an axial grid), from the first to the last of the grid."""
    common = _common(spec, index, site, volume)
    slices = []
    for k, hu in enumerate(volume.array):
        image = Dataset()
        image.update(common)
        image.SOPInstanceUID = uid_of(spec, index, "ct", k)
        image.InstanceNumber = k + 1
        x, y, z = volume.grid.index_to_mm(np.array([0, 0, k]))
        image.ImagePositionPatient = [_decimal(v) for v in (x, y, z)]
        image.SliceLocation = _decimal(z)
        image.PixelData = (hu.astype(np.int32) - INTERCEPT_HU).astype("<u2").tobytes()
        image.file_meta = _file_meta(image, site)
        if site.transfer_syntax in ENCODERS:
            syntax, encoder = ENCODERS[site.transfer_syntax]
            image.compress(syntax, encoding_plugin=encoder, generate_instance_uid=False)
        slices.append(image)
    return slices


def to_bytes(data: Dataset) -> bytes:
    """The DICOM file: preamble, file meta and data set."""
    out = BytesIO()
    pydicom.dcmwrite(out, data, enforce_file_format=True)
    return out.getvalue()


def identify(data: Dataset, spec: CohortSpec, index: int) -> None:
    """Set the patient and study of a data set."""
    number = patient_id(index)
    data.PatientName = f"SYNTHETIC^{number}"
    data.PatientID = number
    data.PatientBirthDate = ""
    data.PatientSex = "O"
    data.StudyInstanceUID = uid_of(spec, index, "study")
    data.StudyDate, data.StudyTime = STUDY_DATE, STUDY_TIME
    data.StudyID = "1"
    data.AccessionNumber = ""
    data.ReferringPhysicianName = ""
    data.StudyDescription = "SIMULATED ABDOMEN"


def _decimal(value: float) -> str:
    """A decimal string of at most 16 characters that holds 0.1 micrometre."""
    return f"{value + 0.0:.4f}".rstrip("0").rstrip(".")


def _common(spec: CohortSpec, index: int, site: Site, volume: Volume) -> Dataset:
    """All attributes that the slices of a series share."""
    data = Dataset()
    identify(data, spec, index)
    data.SOPClassUID = CTImageStorage
    data.Modality = "CT"
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.SeriesInstanceUID = uid_of(spec, index, "series")
    data.SeriesNumber = 3
    data.SeriesDescription = "SIMULATED PORTAL VENOUS"
    data.SeriesDate = data.AcquisitionDate = data.ContentDate = STUDY_DATE
    data.SeriesTime = data.AcquisitionTime = data.ContentTime = STUDY_TIME
    data.AcquisitionNumber = 1
    data.FrameOfReferenceUID = uid_of(spec, index, "frame of reference")
    data.PositionReferenceIndicator = ""
    data.PatientPosition = "HFS"
    data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    _add_scanner(data, site, volume)
    _add_pixel_format(data, volume)
    return data


def _add_scanner(data: Dataset, site: Site, volume: Volume) -> None:
    data.Manufacturer = site.manufacturer
    data.ManufacturerModelName = "PHANTOM"
    data.InstitutionName = f"SIMULATED SITE {site.name}"
    data.KVP = f"{site.kvp:g}"
    data.ConvolutionKernel = site.kernel
    data.ContrastBolusAgent = "SIMULATED IODINE"
    data.ContrastBolusRoute = "IV"
    data.BodyPartExamined = "ABDOMEN"
    data.GantryDetectorTilt = "0"
    data.SliceThickness = f"{volume.grid.spacing_mm[2]:g}"
    data.SpacingBetweenSlices = data.SliceThickness
    data.PixelSpacing = [f"{volume.grid.spacing_mm[1]:.10g}", f"{volume.grid.spacing_mm[0]:.10g}"]


def _add_pixel_format(data: Dataset, volume: Volume) -> None:
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.Rows, data.Columns = volume.array.shape[1:]
    data.BitsAllocated = 16
    data.BitsStored = BITS_STORED
    data.HighBit = BITS_STORED - 1
    data.PixelRepresentation = 0
    data.RescaleIntercept = str(INTERCEPT_HU)
    data.RescaleSlope = "1"
    data.RescaleType = "HU"
    data.WindowCenter, data.WindowWidth = "50", "350"


def _file_meta(image: Dataset, site: Site) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = image.SOPClassUID
    meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    implicit = site.transfer_syntax == "implicit"
    meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    return meta
