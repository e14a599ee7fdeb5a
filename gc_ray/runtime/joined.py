"""What is checked where a study's tables meet: ids, sites, who is left out and why, one person under two ids."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from gc_ray import ledger
from gc_ray.cohort.choose_scans import nobody_text, why_absent
from gc_ray.cohort.duplicates import same_people, same_people_text
from gc_ray.cohort.findings import Finding, some
from gc_ray.errors import TableError
from gc_ray.models.cohort_data import COHORTS, Features
from gc_ray.patients import change_text, meet, meeting_text, same_label, several_sites, several_sites_text
from gc_ray.store import Store
from gc_ray.study import Study

SPLIT = "the clinical table"
LEAST = 1e-100  # in size; statistics square the values and multiply the squares by numbers of patients
NAMED_SO = ("outcome", "time_months", "event")  # what such columns are called where the study names none


@dataclass(frozen=True)
class LeftOut:
    """Patients of the cohorts who are not analysed. cohorts: by cohort, how many of them and of how many."""

    reason: str
    patients: int
    cohorts: dict[str, tuple[int, int]]


@dataclass(frozen=True, eq=False)
class Side:
    """A table that is joined to the split.

    name: what it is called. rows: its ledger rows, of every status. chosen: patient to scan, of those it can give.
    """

    name: str
    rows: pa.Table
    chosen: Mapping[str, str]


def join_notes(sides: Collection[Side], splits: pd.DataFrame, study: Study) -> tuple[str, ...]:
    """What is worth knowing of how the tables meet.

    Parameters
    ----------
    sides : collection of Side
    splits : DataFrame
        Every patient of the split, indexed by patient_id, with site and cohort.
    study : Study

    Raises
    ------
    TableError
        When no id of a table is in the split, or nothing of the table can be used.
    """
    notes = []
    for side in sides:
        found = meet(side.rows["patient_id"].to_pylist(), splits.index)
        if not found.both:
            raise TableError(f"{side.name}: {meeting_text(found, side.name, SPLIT)}")
        if not side.chosen:
            raise TableError(f"{side.name}: {_nothing(side, splits, study)}; correct the setting or the table")
        if found.first:
            notes.append(meeting_text(found, side.name, SPLIT))
        notes += _spelling(side, splits)
    return (*notes, *_several_scans(sides, splits.index))


def check_sites(tables: Mapping[str, pa.Table], splits: pd.DataFrame, study: Study) -> None:
    """Raises TableError when a patient of the split is at two sites, in one table or between two.

    tables: ledger rows by what they are called.
    """
    if study.clinical.patient_ids == "shared":
        return
    own = set(splits.index)
    sites = {SPLIT: zip(splits.index, splits["site"], strict=True)}
    sites |= {name: [pair for pair in site_pairs(rows) if pair[0] in own] for name, rows in tables.items()}
    if text := several_sites_text(several_sites(sites)):
        raise TableError(text)


def store_findings(store: Store, study: Study, site: pd.Series) -> list[Finding]:
    """What is worth knowing of how a clinical table meets what the store has of the study's own scans.

    site: of the table's patients, indexed by patient_id. TableError when a patient is at two sites, and when no id
    meets and something simple is the cause. A store without such scans says nothing: they may come later.
    """
    rows = ledger.read_ledger(store, ("patient_id", "site"))
    rows = rows.filter(pc.is_in(rows["feature_set"], pa.array(sorted(study.own_sets), pa.string())))
    if not rows.num_rows:
        return []
    check_sites({"the store": rows}, site.to_frame("site"), study)
    found = meet(rows["patient_id"].to_pylist(), site.index)
    text = meeting_text(found, "the store's scans", SPLIT)
    if not found.both and change_text(found):
        raise TableError(text)
    return [Finding("warning", text)] if found.first or found.second else []


def site_pairs(rows: pa.Table) -> list[tuple[str, str]]:
    """Each (patient_id, site) of some rows once."""
    pairs = rows.group_by(["patient_id", "site"], use_threads=False).aggregate([])
    return list(zip(pairs["patient_id"].to_pylist(), pairs["site"].to_pylist(), strict=True))


def left_out(splits: pd.DataFrame, reasons: pd.Series) -> tuple[LeftOut, ...]:
    """Who is left out, by reason. splits: patients of the cohorts. reasons: empty where nothing is missing."""
    sizes = splits["cohort"].value_counts()
    found = []
    for reason in dict.fromkeys(reasons[reasons != ""]):
        lost = splits["cohort"][reasons == reason].value_counts()
        cohorts = {name: (int(lost[name]), int(sizes[name])) for name in COHORTS if name in lost}
        found.append(LeftOut(reason, int(lost.sum()), cohorts))
    return tuple(found)


def absences(side: Side, splits: pd.DataFrame, study: Study) -> dict[str, str]:
    """Why patients of the cohorts have no row of a table, by patient."""
    lost = [patient for patient in splits.index if patient not in side.chosen]
    return {p: f"{side.name}: {why}" for p, why in why_absent(side.rows, study.scans, lost).items()}


def check_people(families: Mapping[str, Features], patients: Collection[str], study: Study) -> None:
    """Raises TableError when features say that two patients are one person.

    families: by what they are called, in the order of ``patients``.
    """
    for name, features in families.items():
        if text := same_people_text(same_people(patients, features.values, study.clinical), name):
            raise TableError(text)


def check_magnitudes(families: Mapping[str, Features]) -> None:
    """Raises TableError for a feature whose squares a float64 cannot hold: no variance could be computed of it.

    families: by what they are called.
    """
    for name, features in families.items():
        if not features.values.size:
            continue
        largest = np.nan_to_num(np.abs(features.values)).max(axis=0)
        held = np.flatnonzero((largest > 1 / LEAST) | ((largest > 0) & (largest < LEAST)))
        if len(held):
            shown = some(f"{features.names[i]} {largest[i]:.3g}" for i in held)
            raise TableError(
                f"{name}: the largest value of {len(held)} feature(s) is not between {LEAST:g} and {1 / LEAST:g} in "
                f"size ({shown}); leave a cell empty where its number means no value, or change the unit"
            )


def check_sources(rows: Collection[dict], study: Study) -> None:
    """Raises TableError when the scans of two patients hold the same bytes; rows: of the ledger, one a patient."""
    allowed = study.clinical.different_patients
    of: dict[str, list[str]] = {}
    for row in rows:
        if row["source_sha256"]:
            of.setdefault(row["source_sha256"], []).append(row["patient_id"])
    groups = [set(patients) for patients in of.values() if len(patients) > 1]
    declared = () if allowed == "all" else [set(group) for group in allowed]
    groups = [g for g in groups if allowed != "all" and not any(g <= different for different in declared)]
    if groups:
        named = some(" and ".join(sorted(group)) for group in groups)
        raise TableError(
            f"{len(groups)} scans belong to several patients ({named}): image and mask are the same to the byte, as "
            "those of one person under two ids; leave one out, or name those who are different people in "
            "clinical.different_patients"
        )


def check_names(families: Mapping[str, Features], study: Study) -> None:
    """Raises TableError when a feature is named as the study's outcome, time or event, however that is typed."""
    said = study.clinical
    given = (said.outcome, said.outcome_months, said.time_months, said.event)
    roles = {_typed(name) for name in (*given, *NAMED_SO) if name}
    for name, features in families.items():
        held = [feature for feature in features.names if _typed(feature) in roles]
        if held:
            raise TableError(
                f"{name}: column {some(held)} is named as the study's outcome, time or event; remove it from the "
                "features table, and ingest the table under another feature set name"
            )


def _typed(name: str) -> str:
    """The name without case, signs, a remark in brackets, and what pandas or R add to a column that occurs again."""
    bare = re.sub(r"(?<=.)\s*[(\[\N{FULLWIDTH LEFT PARENTHESIS}].*$", "", name.strip())
    bare = same_label(re.sub(r"(?<=.)(\.+\d+|[._][xy])$", "", bare))
    return bare.replace("_", "").replace("-", "").replace(".", "")


def _nothing(side: Side, splits: pd.DataFrame, study: Study) -> str:
    """Why no patient of the cohorts has a row of a table."""
    own = splits.index[splits["cohort"].isin(COHORTS)]
    rows = side.rows.filter(pc.is_in(side.rows["patient_id"], pa.array(own, pa.string())))
    if not rows.num_rows:
        return f"wanted rows of the {len(own)} patients of the cohorts, all are of patients who are not eligible"
    return nobody_text(rows, study.scans)


def _spelling(side: Side, splits: pd.DataFrame) -> list[str]:
    """That sites are typed in another way than in the clinical table, which counts."""
    theirs = {site for patient, site in site_pairs(side.rows) if patient in side.chosen and site}
    own = {same_label(site): site for site in splits["site"]}
    typed = [(site, own[same_label(site)]) for site in sorted(theirs) if own.get(same_label(site), site) != site]
    return [f"{side.name}: site '{site}' is taken as '{meant}' of the clinical table" for site, meant in typed]


def _several_scans(sides: Collection[Side], own: pd.Index) -> list[str]:
    """That the tables of a patient come from different scans."""
    notes, sides = [], list(sides)
    for i, a in enumerate(sides):
        for b in sides[i + 1 :]:
            both = a.chosen.keys() & b.chosen.keys() & set(own)
            apart = sorted(patient for patient in both if a.chosen[patient] != b.chosen[patient])
            if apart:
                notes.append(
                    f"{a.name} and {b.name} are of different scans in {len(apart)} patients ({some(apart)}): a scan "
                    "lacks one of the two; extract or embed it, or set scans.phase"
                )
    return notes
