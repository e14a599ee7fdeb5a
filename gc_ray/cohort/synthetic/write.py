"""Write a simulated cohort to a folder: DICOM, manifests, clinical table, truth."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from gc_ray.cohort.synthetic.defects import EXPECTED, defect_of
from gc_ray.cohort.synthetic.draw import draw
from gc_ray.cohort.synthetic.patient import patient_files, scan_id, scan_rows
from gc_ray.cohort.synthetic.spec import SITES, CohortSpec, patient_indices, site_of
from gc_ray.cohort.synthetic.truth import README, truth_of_cohort
from gc_ray.errors import StoreError


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


def write_patient(out: Path, spec: CohortSpec, index: int) -> None:
    """Write the DICOM files of one patient under ``out``; patients may be written in any order and in parallel."""
    for name, data in patient_files(spec, index).items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def write_tables(out: Path, spec: CohortSpec) -> CohortFiles:
    """Write everything but the images: manifests, clinical table, truth, defects, README.

    Raises StoreError when the folder holds anything: its files would mix with the cohort's.
    """
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise StoreError(f"wanted a new or empty folder, {out.name} holds files: name another or empty it")
    indices = patient_indices(spec)
    study, source = indices[: spec.patients], indices[spec.patients :]
    sites = {site.name: [i for i in study if site_of(spec, i) == site] for site in SITES[: spec.sites]}
    drawn = draw(spec)
    (out / "README.txt").write_bytes(README.encode())
    (out / "truth.json").write_bytes(json.dumps(truth_of_cohort(spec, drawn), indent=2).encode() + b"\n")
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
    spoilt = [(scan_id(i), defect) for i in indices if (defect := defect_of(spec, i))]
    rows = [(scan, defect, EXPECTED[defect]) for scan, defect in spoilt]
    return pd.DataFrame(rows, columns=["scan_id", "defect", "expected"])
