"""Write a simulated cohort to a folder: DICOM, manifests, clinical table, truth."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from gc_ray.cohort.synthetic.case import READER_DICE, case_of
from gc_ray.cohort.synthetic.ct_dicom import ct_series, to_bytes
from gc_ray.cohort.synthetic.defects import (
    EMPTY_MASK,
    EXPECTED,
    FOREIGN_MASK,
    Files,
    defect_of,
    emptied,
    spoil_ct,
)
from gc_ray.cohort.synthetic.draw import OUTCOMES, Drawn, draw, model_as_dict
from gc_ray.cohort.synthetic.mask_dicom import ROI_NAME, rtstruct_of, seg_of
from gc_ray.cohort.synthetic.outcomes import SURVIVAL_5_YEARS, WEIBULL_SHAPE
from gc_ray.cohort.synthetic.spec import (
    SITES,
    SOURCE_FIRST,
    CohortSpec,
    is_reread,
    patient_id,
    patient_indices,
    site_of,
)

PHASE = "portal_venous"
STATEMENT = (
    "This cohort is simulated. Images, outlines, clinical values and outcomes come from a random number generator; "
    "they describe no patient and say nothing about real patients."
)
LATENTS = {
    "size": "standardised log(length x length x thickness) of the tumour as drawn; N(0, 1)",
    "texture": "standardised log of the SD of HU within the tumour before blur and noise; N(0, 1)",
    "grain": "standardised log of the correlation length of the texture; N(0, 1); no outcome depends on it",
}
README = f"""{STATEMENT}

scans.csv            every scan and outline; scans_site_<X>.csv and scans_source.csv hold parts of it
clinical.csv         one row per patient; patients S... have a tumour regression grade (trg) and no outcome
truth.json           the models that outcomes were drawn from, and the best AUC that anybody could reach
truth.csv            latent variables, true linear predictors and probabilities per patient
defects.csv          scans that were spoilt on purpose, and what a careful reader does with them
site_<X>/<patient>/  ct/ (DICOM CT), R1_0.dcm (DICOM SEG), and for some R2_0.dcm (RTSTRUCT), R1_1.dcm (DICOM SEG)

Clinical columns follow Table 1 of Cao et al. (Int J Surg 2024) and Guo et al. (Front Oncol 2025) in their margins;
how columns depend on each other and all effect sizes are assumptions. Recurrence and liver metastasis belong to two
studies and are drawn independently of each other, given the patient's features.
"""


@dataclass(frozen=True)
class CohortFiles:
    """Where the parts of a written cohort are."""

    scans: Path
    site_scans: tuple[Path, ...]
    source_scans: Path | None
    clinical: Path
    truth: Path
    truth_table: Path
    defects: Path


def readings_of(spec: CohortSpec, index: int) -> list[tuple[str, int]]:
    """(reader, repeat) of each outline of a patient; a scan with a defect is outlined once."""
    again = is_reread(spec, index) and defect_of(spec, index) is None
    return [("R1", 0), *(READER_DICE if again else ())]


def scan_rows(spec: CohortSpec, index: int) -> list[dict[str, object]]:
    """The manifest rows of a patient, paths relative to the cohort's folder."""
    patient, site = patient_id(index), site_of(spec, index).name
    folder = f"site_{site}/{patient}"
    return [
        {
            "scan_id": f"{patient}_PV",
            "patient_id": patient,
            "site": site,
            "phase": PHASE,
            "image": f"{folder}/ct",
            "mask": f"{folder}/{reader}_{repeat}.dcm",
            "roi": ROI_NAME,
            "reader": reader,
            "repeat": repeat,
            "series_uid": "",
        }
        for reader, repeat in readings_of(spec, index)
    ]


def patient_files(spec: CohortSpec, index: int) -> Files:
    """Every DICOM file of a patient, by its path relative to the cohort's folder; a function of its arguments alone."""
    case, defect = case_of(spec, index), defect_of(spec, index)
    images = ct_series(spec, index, case.site, case.volume)
    ct = {f"IM{k + 1:04d}.dcm": to_bytes(image) for k, image in enumerate(images)}
    folder = f"site_{case.site.name}/{patient_id(index)}"
    files = {f"{folder}/ct/{name}": data for name, data in spoil_ct(ct, defect, spec, index).items()}
    for reader, repeat in readings_of(spec, index):
        mask = case.masks[reader, repeat]
        if reader == "R2":
            outline = rtstruct_of(spec, index, images, mask)
        elif defect == FOREIGN_MASK:
            outline = _first_outline(spec, index + 1)
        else:
            outline = seg_of(spec, index, images, mask, repeat)
        files[f"{folder}/{reader}_{repeat}.dcm"] = to_bytes(emptied(outline) if defect == EMPTY_MASK else outline)
    return files


def _first_outline(spec: CohortSpec, index: int):
    case = case_of(spec, index)
    return seg_of(spec, index, ct_series(spec, index, case.site, case.volume), case.masks["R1", 0], 0)


def write_patient(out: Path, spec: CohortSpec, index: int) -> None:
    """Write the DICOM files of one patient under ``out``; patients may be written in any order and in parallel."""
    for name, data in patient_files(spec, index).items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def write_tables(out: Path, spec: CohortSpec) -> CohortFiles:
    """Write everything but the images: manifests, clinical table, truth, defects, README."""
    out.mkdir(parents=True, exist_ok=True)
    indices = patient_indices(spec)
    study, source = indices[: spec.patients], indices[spec.patients :]
    sites = {site.name: [i for i in study if site_of(spec, i) == site] for site in SITES[: spec.sites]}
    drawn = draw(spec)
    (out / "README.txt").write_text(README, encoding="utf-8", newline="\n")
    (out / "truth.json").write_text(_truth_text(spec, drawn), encoding="utf-8", newline="\n")
    return CohortFiles(
        scans=_write_scans(out / "scans.csv", spec, indices),
        site_scans=tuple(_write_scans(out / f"scans_site_{s}.csv", spec, of) for s, of in sites.items()),
        source_scans=_write_scans(out / "scans_source.csv", spec, source) if source else None,
        clinical=_write_csv(out / "clinical.csv", drawn.clinical),
        truth=out / "truth.json",
        truth_table=_write_csv(out / "truth.csv", drawn.truth),
        defects=_write_csv(out / "defects.csv", _defects(spec, indices)),
    )


def write_cohort(out: Path, spec: CohortSpec, progress: Callable[[int, int], None] | None = None) -> CohortFiles:
    """Write a whole cohort under ``out`` and return where its parts are.

    progress: called with (patients written, patients in all) after each patient.
    """
    files = write_tables(out, spec)
    indices = patient_indices(spec)
    for done, index in enumerate(indices, start=1):
        write_patient(out, spec, index)
        if progress is not None:
            progress(done, len(indices))
    return files


def _write_csv(path: Path, table: pd.DataFrame) -> Path:
    table.to_csv(path, index=False, lineterminator="\n")
    return path


def _write_scans(path: Path, spec: CohortSpec, indices: Sequence[int]) -> Path:
    return _write_csv(path, pd.DataFrame([row for i in indices for row in scan_rows(spec, i)]))


def _defects(spec: CohortSpec, indices: Sequence[int]) -> pd.DataFrame:
    spoilt = [(f"{patient_id(i)}_PV", defect_of(spec, i)) for i in indices if defect_of(spec, i)]
    rows = [(scan, defect, EXPECTED[defect]) for scan, defect in spoilt]
    return pd.DataFrame(rows, columns=["scan_id", "defect", "expected"])


def _truth_text(spec: CohortSpec, drawn: Drawn) -> str:
    study = drawn.clinical[: spec.patients]
    outcomes = {
        name: {
            **model_as_dict(getattr(drawn.models, name)),
            "patients": len(study),
            "events": int(study[name].sum()),
            "oracle_auc_this_cohort": drawn.oracle_auc[name],
            "oracle_auc_large_sample": drawn.models.large_sample_auc[name],
        }
        for name in OUTCOMES
    }
    truth = {
        "statement": STATEMENT,
        "specification": asdict(spec),
        "latent_variables": LATENTS,
        "terms": "normal scores (z) of continuous columns and latent variables; 0/1 for a clinical level",
        **outcomes,
        "synchronous_given_liver_metastasis": model_as_dict(drawn.models.synchronous),
        "overall_survival": {
            "model": "Weibull, proportional hazards; log hazard ratio = recurrence's linear predictor minus its mean",
            "shape": WEIBULL_SHAPE,
            "survival_5_years_at_mean": SURVIVAL_5_YEARS,
        },
        "versions": {name: version(name) for name in ("gc-ray", "numpy", "scipy", "pandas", "pydicom", "highdicom")},
    }
    return json.dumps(truth, indent=2) + "\n"
