"""Write a simulated cohort to a folder: DICOM, manifests, clinical table, truth."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from gc_ray.cohort.synthetic.defects import EXPECTED, defect_of
from gc_ray.cohort.synthetic.draw import draw
from gc_ray.cohort.synthetic.patient import patient_files, scan_id, scan_rows
from gc_ray.cohort.synthetic.spec import SITES, CohortSpec, patient_indices, site_of
from gc_ray.cohort.synthetic.truth import README, truth_of_cohort
from gc_ray.errors import StoreError
from gc_ray.escaping import csv_bytes


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


def write_tables(out: Path, spec: CohortSpec) -> None:
    """Write everything but the images: manifests, clinical table, truth, defects, README."""
    out.mkdir(parents=True, exist_ok=True)
    files, indices = files_of(out, spec), patient_indices(spec)
    drawn = draw(spec)
    (out / "README.txt").write_bytes(README.encode())
    files.truth.write_bytes(json.dumps(truth_of_cohort(spec, drawn), indent=2).encode() + b"\n")
    study, source = indices[: spec.patients], indices[spec.patients :]
    _write_scans(files.scans, spec, indices)
    for site, path in zip(SITES, files.site_scans, strict=False):
        _write_scans(path, spec, [i for i in study if site_of(spec, i) == site])
    if files.source_scans is not None:
        _write_scans(files.source_scans, spec, source)
    _write_csv(files.clinical, drawn.clinical)
    _write_csv(files.truth_table, drawn.truth)
    _write_csv(files.defects, _defects(spec, indices))


def write_cohort(out: Path, spec: CohortSpec, progress: Callable[[int, int], None] | None = None) -> CohortFiles:
    """Write a whole cohort to ``out`` and return where its parts are.

    A cohort of these settings that is there already is left as it is; one that was cut off is begun anew.
    progress: called with (patients written, patients in all) after each patient. StoreError when the folder holds
    anything else: its files would mix with the cohort's.
    """
    if _held(out) == asdict(spec):
        return files_of(out, spec)
    if out.exists() and any(out.iterdir()):
        raise StoreError(f"wanted a new or empty folder, {out.name} holds files: name another or empty it")
    partial = out.with_name(f"{out.name}.partial")  # renamed when whole
    shutil.rmtree(partial, ignore_errors=True)
    write_tables(partial, spec)
    indices = patient_indices(spec)
    for done, index in enumerate(indices, start=1):
        write_patient(partial, spec, index)
        if progress is not None:
            progress(done, len(indices))
    partial.rename(out)
    return files_of(out, spec)


def files_of(out: Path, spec: CohortSpec) -> CohortFiles:
    """Where the parts of a cohort in ``out`` are, written or not."""
    return CohortFiles(
        scans=out / "scans.csv",
        site_scans=tuple(out / f"scans_site_{site.name}.csv" for site in SITES[: spec.sites]),
        source_scans=out / "scans_source.csv" if spec.source_patients else None,
        clinical=out / "clinical.csv",
        truth=out / "truth.json",
        truth_table=out / "truth.csv",
        defects=out / "defects.csv",
    )


def _held(out: Path) -> dict | None:
    """The settings of the cohort in a folder; None where there is none."""
    try:
        return json.loads((out / "truth.json").read_bytes())["specification"]
    except (OSError, ValueError, KeyError):
        return None


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    path.write_bytes(csv_bytes(table))


def _write_scans(path: Path, spec: CohortSpec, indices: Sequence[int]) -> None:
    _write_csv(path, pd.DataFrame([row for i in indices for row in scan_rows(spec, i)]))


def _defects(spec: CohortSpec, indices: Sequence[int]) -> pd.DataFrame:
    damaged = [(scan_id(i), defect) for i in indices if (defect := defect_of(spec, i))]
    rows = [(scan, defect, EXPECTED[defect]) for scan, defect in damaged]
    return pd.DataFrame(rows, columns=["scan_id", "defect", "expected"])
