"""The one outline of each patient that a study uses, by its phase, primary reader and rule for several scans."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.compute as pc

from gc_ray.cohort.findings import some
from gc_ray.errors import TableError
from gc_ray.study_cohort import ScansSettings

USABLE = pa.array(["ok", "repaired"])
ASKED = ("reader", "repeat", "roi", "phase")  # settings of the section scans that a row has to meet


def choose_scans(rows: pa.Table, settings: ScansSettings) -> pa.Table:
    """One row for each patient that has a usable outline, sorted by patient_id.

    rows: manifest rows, or ledger rows of one feature set; with scan_id, patient_id, reader, repeat, roi, and where
    they have them phase, status and geometry, which the rules then use. TableError that names patient and candidates
    when several are left, or when a rule needs a column that is not there; that names what the study asks for and
    what the outlines have when none of them is of the study's reader, repeat, region and phase.
    """
    kept = rows.filter(_wanted(rows, settings))
    if not kept.num_rows:
        check_asked(rows, settings)
    chosen = []
    candidates: dict[str, list[int]] = {}
    for i, patient in enumerate(kept.column("patient_id").to_pylist()):
        candidates.setdefault(patient, []).append(i)
    for patient in sorted(candidates):
        left = _by_rule(kept, candidates[patient], settings)
        if len(left) > 1:
            raise TableError(_ambiguous(patient, kept.take(left), settings))
        chosen += left
    return kept.take(pa.array(chosen, pa.int64()))


def _wanted(rows: pa.Table, settings: ScansSettings) -> pa.ChunkedArray:
    wanted = pc.and_(pc.equal(rows["reader"], settings.reader), pc.equal(rows["repeat"], settings.repeat))
    if settings.roi:
        wanted = pc.and_(wanted, pc.equal(rows["roi"], settings.roi))
    if settings.phase and "phase" in rows.column_names:
        wanted = pc.and_(wanted, pc.equal(rows["phase"], settings.phase))
    if "status" in rows.column_names:
        wanted = pc.and_(wanted, pc.is_in(rows["status"], USABLE))
    return wanted


def check_asked(rows: pa.Table, settings: ScansSettings) -> None:
    """Raises TableError when usable outlines are there and none is of the study's reader, repeat, region and phase.

    rows: as for ``choose_scans``.
    """
    there = rows.filter(pc.is_in(rows["status"], USABLE)) if "status" in rows.column_names else rows
    if not there.num_rows or there.filter(_wanted(there, settings)).num_rows:
        return
    asked = {name: getattr(settings, name) for name in ASKED if name in there.column_names}
    asked = {name: value for name, value in asked.items() if value != ""}
    alone = [name for name, value in asked.items() if value not in there[name].to_pylist()]
    names = alone or list(asked)  # where each value is there by itself, they never are together
    wanted = " and ".join(f"{name} {asked[name]}" for name in names)
    held = sorted({tuple(row.values()) for row in there.select(names).to_pylist()})
    found = some(" ".join(str(value) if value != "" else "(empty)" for value in values) for values in held)
    whose = f"feature set {there['feature_set'][0]}" if "feature_set" in there.column_names else "the table"
    raise TableError(
        f"scans: wanted outlines of {wanted}, {whose} has {' and '.join(names)} {found}; set "
        f"{' and '.join(f'scans.{name}' for name in names)} in the study file, or change the table"
    )


def _by_rule(rows: pa.Table, candidates: list[int], settings: ScansSettings) -> list[int]:
    scans = rows.column("scan_id").take(candidates).to_pylist()
    if settings.several == "error" or len(set(scans)) < 2:
        return candidates
    if settings.several == "first":
        best, values = min(scans), scans
    else:
        values = [_slice_mm(rows, i) for i in candidates]
        best = min(values)
    return [i for i, value in zip(candidates, values, strict=True) if value == best]


def _slice_mm(rows: pa.Table, i: int) -> float:
    geometry = json.loads(rows["geometry"][i].as_py()) if "geometry" in rows.column_names else {}
    if "spacing_mm" not in geometry:
        raise TableError(
            f"patient {rows['patient_id'][i]}: scans.several = thinnest wants the slice spacing of the ledger, scan "
            f"{rows['scan_id'][i]} has none; use another rule"
        )
    return geometry["spacing_mm"][2]


def _ambiguous(patient: str, left: pa.Table, settings: ScansSettings) -> str:
    names = [
        f"{row['scan_id']}{' roi ' + row['roi'] if row['roi'] else ''}"
        for row in left.select(["scan_id", "roi"]).to_pylist()
    ]
    return (
        f"patient {patient}: wanted one outline of reader {settings.reader}, {len(names)} are left "
        f"({some(sorted(names))}); set scans.phase, scans.roi or scans.several, or drop rows"
    )
