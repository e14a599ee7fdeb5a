"""What goes wrong with scans in the field, done on purpose to a share of the simulated ones."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from gc_ray.cohort.synthetic.ct_dicom import to_bytes, uid_of
from gc_ray.cohort.synthetic.spec import CohortSpec

Files = dict[str, bytes]  # a CT: file name -> DICOM file
TILT_DEGREES = 15.0
TRUNCATED_SHARE = 0.6  # of the file that is left
EMPTY_MASK, FOREIGN_MASK = "empty_mask", "mask_of_another_patient"

# What a careful reader does with each kind.
EXPECTED = {
    "missing_slice": "refused",
    EMPTY_MASK: "refused",
    "duplicate_slice": "repaired",
    "truncated_file": "refused",
    FOREIGN_MASK: "refused",
    "mixed_series": "refused",
    "gantry_tilt": "refused",
    "single_slice": "refused",
}


def defect_of(spec: CohortSpec, index: int) -> str | None:
    """The defect of patient ``index``'s scan, if any: the kinds in turn, on every 1 / spec.defects-th patient."""
    before = int(index * spec.defects)
    return tuple(EXPECTED)[before % len(EXPECTED)] if int((index + 1) * spec.defects) > before else None


def spoil_ct(files: Files, defect: str | None, spec: CohortSpec, index: int) -> Files:
    """The CT's files with the defect; as they were where the defect is None or concerns the mask."""
    spoil = _CT_DEFECTS.get(defect)
    return files if spoil is None else spoil(files, lambda *role: uid_of(spec, index, "defect", *role))


def emptied(seg: Dataset) -> Dataset:
    """A SEG of the same frames in which no pixel is set."""
    seg.PixelData = bytes(len(seg.PixelData))
    return seg


def _middle(files: Files) -> str:
    return sorted(files)[len(files) // 2]


def _changed(data: bytes, **elements: object) -> bytes:
    image = pydicom.dcmread(BytesIO(data))
    for keyword, value in elements.items():
        setattr(image, keyword, value)
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    return to_bytes(image)


def _missing_slice(files: Files, uid: Callable[..., str]) -> Files:
    return {name: data for name, data in files.items() if name != _middle(files)}


def _duplicate_slice(files: Files, uid: Callable[..., str]) -> Files:
    return {**files, "copy.dcm": _changed(files[_middle(files)], SOPInstanceUID=uid("copy"))}


def _truncated_file(files: Files, uid: Callable[..., str]) -> Files:
    data = files[_middle(files)]
    return {**files, _middle(files): data[: int(TRUNCATED_SHARE * len(data))]}


def _mixed_series(files: Files, uid: Callable[..., str]) -> Files:
    """Every other slice once more, as another series in the same folder."""
    other = {
        f"other_{name}": _changed(files[name], SeriesInstanceUID=uid("series"), SOPInstanceUID=uid("slice", name))
        for name in sorted(files)[::2]
    }
    return {**files, **other}


def _gantry_tilt(files: Files, uid: Callable[..., str]) -> Files:
    """Slices tilted about x that still step along z: a sheared volume."""
    tilt = np.deg2rad(TILT_DEGREES)
    orientation = ["1", "0", "0", "0", f"{np.cos(tilt):.6f}", f"{-np.sin(tilt):.6f}"]
    return {
        name: _changed(data, ImageOrientationPatient=orientation, GantryDetectorTilt=f"{TILT_DEGREES:g}")
        for name, data in files.items()
    }


def _single_slice(files: Files, uid: Callable[..., str]) -> Files:
    return {_middle(files): files[_middle(files)]}


_CT_DEFECTS = {
    "missing_slice": _missing_slice,
    "duplicate_slice": _duplicate_slice,
    "truncated_file": _truncated_file,
    "mixed_series": _mixed_series,
    "gantry_tilt": _gantry_tilt,
    "single_slice": _single_slice,
}
