"""The files and manifest rows of one simulated patient."""

from __future__ import annotations

from pydicom.dataset import Dataset

from gc_ray.cohort.synthetic.case import READER_DICE, Case, case_of
from gc_ray.cohort.synthetic.ct_dicom import ct_series, to_bytes
from gc_ray.cohort.synthetic.defects import EMPTY_MASK, FOREIGN_MASK, Files, defect_of, emptied, spoil_ct
from gc_ray.cohort.synthetic.mask_dicom import ROI_NAME, rtstruct_of, seg_of
from gc_ray.cohort.synthetic.spec import CohortSpec, is_reread, patient_id, site_of

PHASE = "portal_venous"


def scan_rows(spec: CohortSpec, index: int) -> list[dict[str, object]]:
    """The manifest rows of a patient, paths relative to the cohort's folder."""
    patient, folder = patient_id(index), _folder(spec, index)
    return [
        {
            "scan_id": scan_id(index),
            "patient_id": patient,
            "site": site_of(spec, index).name,
            "phase": PHASE,
            "image": f"{folder}/ct",
            "mask": f"{folder}/{reader}_{repeat}.dcm",
            "roi": ROI_NAME,
            "reader": reader,
            "repeat": repeat,
            "series_uid": "",
        }
        for reader, repeat in _readings(spec, index)
    ]


def scan_id(index: int) -> str:
    """The name of a patient's one scan."""
    return f"{patient_id(index)}_PV"


def patient_files(spec: CohortSpec, index: int) -> Files:
    """Every DICOM file of a patient by its path relative to the cohort's folder; it depends on nothing else."""
    case, defect, folder = case_of(spec, index), defect_of(spec, index), _folder(spec, index)
    images = ct_series(spec, index, case.site, case.volume)
    ct = {f"IM{k + 1:04d}.dcm": to_bytes(image) for k, image in enumerate(images)}
    files = {f"{folder}/ct/{name}": data for name, data in spoil_ct(ct, defect, spec, index).items()}
    for reader, repeat in _readings(spec, index):
        outline = _outline(spec, index, case, images, (reader, repeat))
        files[f"{folder}/{reader}_{repeat}.dcm"] = to_bytes(outline)
    return files


def _folder(spec: CohortSpec, index: int) -> str:
    return f"site_{site_of(spec, index).name}/{patient_id(index)}"


def _readings(spec: CohortSpec, index: int) -> list[tuple[str, int]]:
    """(reader, repeat) of each outline of a patient; a scan with a defect is outlined once."""
    again = is_reread(spec, index) and defect_of(spec, index) is None
    return [("R1", 0), *(READER_DICE if again else ())]


def _outline(spec: CohortSpec, index: int, case: Case, images: list[Dataset], reading: tuple[str, int]) -> Dataset:
    """The second reader's software writes RTSTRUCT, the first one's SEG."""
    defect = defect_of(spec, index)
    if defect == FOREIGN_MASK:
        other = case_of(spec, index + 1)
        slices = ct_series(spec, index + 1, other.site, other.volume)
        return seg_of(spec, index + 1, slices, other.masks[reading], reading[1])
    if reading[0] == "R2":
        return rtstruct_of(spec, index, images, case.masks[reading])
    seg = seg_of(spec, index, images, case.masks[reading], reading[1])
    return emptied(seg) if defect == EMPTY_MASK else seg
