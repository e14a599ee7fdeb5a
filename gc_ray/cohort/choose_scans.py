"""The one outline of each patient that a study uses, by its phase, primary reader and rule for several scans."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

from gc_ray.cohort.findings import some
from gc_ray.errors import TableError
from gc_ray.study_cohort import ScansSettings

MOST_SHOWN = 10  # readers, phases and the like that a message names
USABLE = pa.array(["ok", "repaired"])


def choose_scans(rows: pa.Table, settings: ScansSettings) -> pa.Table:
    """One row for each patient that has a usable outline, sorted by patient_id.

    rows: manifest rows, or ledger rows of one feature set; with scan_id, patient_id, reader, repeat, roi, and where
    they have them phase, status and geometry, which the rules then use. TableError that names patient and candidates
    when several are left, or when a rule needs a column that is not there.
    """
    kept = rows.filter(_wanted(rows, settings))
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


def why_absent(rows: pa.Table, settings: ScansSettings, patients: Collection[str]) -> dict[str, str]:
    """Why some patients have no outline that ``choose_scans`` could choose, in words, by patient.

    Parameters
    ----------
    rows : pyarrow.Table
        As for ``choose_scans``, of every status.
    settings : ScansSettings
        Of the study.
    patients : collection of str
        Those who were not chosen.
    """
    rows = rows.filter(pc.is_in(rows["patient_id"], pa.array(sorted(patients), pa.string())))
    why = dict.fromkeys(patients, "not in the store")
    passed = rows
    for name, wanted in asked_of(settings):
        if name not in rows.column_names:
            continue
        why |= dict.fromkeys(passed["patient_id"].to_pylist(), f"no outline of {name} {wanted}")
        passed = passed.filter(pc.equal(passed[name], wanted))
    return why | dict.fromkeys(passed["patient_id"].to_pylist(), "its outlines were refused or failed")


def nobody_text(rows: pa.Table, settings: ScansSettings) -> str:
    """What was wanted of outlines none of which could be chosen, and what there is."""
    for name, wanted in asked_of(settings):
        if name not in rows.column_names:
            continue
        there = Counter(map(str, rows[name].to_pylist()))
        rows = rows.filter(pc.equal(rows[name], wanted))
        if not rows.num_rows:
            held = ", ".join(f"{value or 'none stated'} ({n})" for value, n in sorted(there.items())[:MOST_SHOWN])
            return f"wanted outlines of {name} {wanted} (scans.{name}), there are outlines of {name} {held}"
    return "every outline was refused or failed; gc-ray show says why"


def asked_of(settings: ScansSettings) -> list[tuple[str, str | int]]:
    """(column, wanted value) of what a study asks of an outline."""
    asked = [(name, getattr(settings, name)) for name in ("reader", "repeat", "roi", "phase")]
    return [(name, wanted) for name, wanted in asked if wanted != ""]


def _wanted(rows: pa.Table, settings: ScansSettings) -> pa.ChunkedArray:
    asked = [(name, value) for name, value in asked_of(settings) if name != "phase" or name in rows.column_names]
    wanted = reduce(pc.and_, (pc.equal(rows[name], value) for name, value in asked))
    if "status" in rows.column_names:
        wanted = pc.and_(wanted, pc.is_in(rows["status"], USABLE))
    return wanted


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
