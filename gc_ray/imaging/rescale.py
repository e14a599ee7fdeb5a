"""The way from stored pixel values to Hounsfield units: whether the header gives one, and its arithmetic."""

from __future__ import annotations

import re

import numpy as np

from gc_ray.errors import ScanError
from gc_ray.imaging.dicom_files import PARSER_ERRORS, DicomFile, numbers, text
from gc_ray.imaging.pixel_bits import PixelBits

RESCALE_KEYWORDS = ["RescaleSlope", "RescaleIntercept", "RescaleType", "RealWorldValueMappingSequence"]
MAX_RESCALE = 1e6  # no scanner comes near it, and integer HU stay exact below it

# RescaleType in small letters and without blanks, dots, dashes and brackets; US is "unspecified", which scanners and
# converters write for HU.
HU_NAMES = re.compile(r"(hu|hounsfield(units?)?){1,2}")
UNSPECIFIED = ("", "us", "unspecified")
HU_UNITS = ("hnsf'u", "hu")  # [hnsf'U] is the Hounsfield unit in UCUM, DICOM PS3.16 CID 7181
NO_UNIT = "1"  # of UCUM, which says nothing of the scale
# Defined terms of RescaleType, DICOM PS3.3 C.11.1.1.2, which are not HU.
OTHER_SCALES = {
    "OD": "optical density",
    "MGML": "mg/ml",
    "Z_EFF": "effective atomic number",
    "ED": "electron density",
    "EDW": "electron density relative to water",
    "HU_MOD": "HU that were modified for some materials",
    "PCT": "per cent",
}
SHORT_CODE = re.compile(r"[A-Za-z0-9_%/*().+-]{1,16}")  # what a message may repeat: a code in one word, no text


def rescale(file: DicomFile) -> tuple[float, float] | None:
    """Read the rescale to HU.

    Parameters
    ----------
    file : DicomFile
        A slice, opened with ``RESCALE_KEYWORDS``.

    Returns
    -------
    tuple of float, or None
        (slope, intercept), HU = slope x stored + intercept; None when either is missing.

    Raises
    ------
    ScanError
        When the result is not HU.

    References
    ----------
    DICOM PS3.3, C.11.1.1.2 (RescaleType) and C.7.6.16.2.11 (Real World Value Mapping).
    """
    slope, intercept = numbers(file, "RescaleSlope", 1), numbers(file, "RescaleIntercept", 1)
    if slope is None or intercept is None:
        return None
    if not 0 < abs(slope[0]) < MAX_RESCALE or abs(intercept[0]) > MAX_RESCALE:
        raise ScanError(f"{file.name}: RescaleSlope is 0 or the rescale lies beyond any HU scale; export it again")
    scale = text(file, "RescaleType").strip("\0 ")
    name = _bare(scale)
    if name not in UNSPECIFIED and not HU_NAMES.fullmatch(name):
        raise ScanError(f"{file.name}: RescaleType is {_shown(scale)}, so values are not HU; use the HU series")
    units = _other_units(file) if name in UNSPECIFIED else ""
    if units:
        raise ScanError(
            f"{file.name}: RescaleType is not given and the Real World Value Mapping says {units}, so values are not "
            "HU; use the HU series"
        )
    return slope[0], intercept[0]


def _bare(text: str) -> str:
    """In small letters, without blanks, dots, dashes and brackets."""
    return re.sub(r"[\s._()\[\]-]", "", text).lower()


def _shown(scale: str) -> str:
    """A RescaleType for a message; text that is no short code could be anything, and is not repeated."""
    if scale.upper() in OTHER_SCALES:
        return f"{scale} ({OTHER_SCALES[scale.upper()]})"
    return f"'{scale}'" if SHORT_CODE.fullmatch(scale) else "no known code"


def _other_units(file: DicomFile) -> str:
    """The units of the Real World Value Mappings when none of them is HU, else the empty text."""
    try:
        items = file.header.get("RealWorldValueMappingSequence") or []
        codes = [
            str(i.MeasurementUnitsCodeSequence[0].CodeValue) for i in items if "MeasurementUnitsCodeSequence" in i
        ]
    except PARSER_ERRORS:  # it is not needed for the rescale
        return ""
    codes = [code for code in codes if code != NO_UNIT]
    if any(_bare(code) in HU_UNITS for code in codes):
        return ""
    return " and ".join(code if SHORT_CODE.fullmatch(code) else "no known unit" for code in codes[:2])


def hu_bounds(bits: PixelBits, slope: float, intercept: float) -> tuple[float, float]:
    """The lowest and the highest HU that a slice can hold, by the bits of its values."""
    ends = [slope * stored + intercept for stored in bits.limits]
    return min(ends), max(ends)


def to_hu(stored: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    """Hounsfield units ``slope * stored + intercept``: int32 when both are whole numbers, else float64."""
    if slope.is_integer() and intercept.is_integer():
        hu = stored.astype(np.int64) * int(slope) + int(intercept)
        if np.abs(hu).max() <= np.iinfo(np.int32).max:
            return hu.astype(np.int32)
    return slope * stored.astype(np.float64) + intercept


def fits_int16(hu: np.ndarray) -> bool:
    """Whether whole-numbered values survive as int16."""
    bounds = np.iinfo(np.int16)
    return hu.dtype.kind == "i" and hu.min() >= bounds.min and hu.max() <= bounds.max
