"""A features table looked at before it is ingested: what it holds, and whether a study can use it."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from gc_ray.cohort.coding import number_columns
from gc_ray.cohort.findings import Finding, some
from gc_ray.runtime.asked_of_features import asked_of, set_asked_for
from gc_ray.runtime.check_clinical_table import check_clinical_table
from gc_ray.runtime.clinical_table import fetch_clinical
from gc_ray.runtime.features_facts import FeaturesFacts, features_facts
from gc_ray.runtime.ingest import read_features_table
from gc_ray.source import parent_of
from gc_ray.study import Study


@dataclass(frozen=True)
class FeaturesCheck:
    """What a features table holds, and what is wrong with it for a study.

    Attributes
    ----------
    table : str
        Name of its file.
    facts : FeaturesFacts
        What the table holds, counted.
    set_aside : tuple of str
        Columns that are no features.
    designs : dict of str to str
        What each design of an ICC would compare, or why it cannot be; empty where no outline is the study's.
    meeting : str
        How its patients and those of the clinical table meet; empty without one.
    feature_set : str
        The name by which the study reads features; empty where it reads none.
    findings : tuple of Finding
        Errors, warnings of what a study would lose, and notes of what the readers of the tables decided.
    """

    table: str
    facts: FeaturesFacts
    set_aside: tuple[str, ...]
    designs: dict[str, str]
    meeting: str
    feature_set: str
    findings: tuple[Finding, ...]


def check_features(features: str, clinical: str | None, study: Study, encoding: str | None = None) -> FeaturesCheck:
    """Look at a features table and, when given, at the clinical table, for a study.

    Parameters
    ----------
    features, clinical : str
        Addresses of the tables.
    study : Study
        One without signatures asks nothing of the features.
    encoding : str, optional
        Of tables that are neither UTF-8 nor UTF-16.

    Raises
    ------
    TableError
        When a table cannot be read at all.
    """
    name, table = parent_of(features)[1], read_features_table(features, encoding)
    findings, cohorts, meeting = [Finding("note", note) for note in table.notes], None, ""
    if clinical is not None:
        listed = fetch_clinical(clinical, number_columns(study.clinical), encoding)
        found, cohorts = check_clinical_table(listed, study)
        meeting, more = _meeting(set(table.keys["patient_id"]), set(listed.cells.index), name, listed.name)
        findings += [*found, *more, *_sites(table.keys, listed.cells)]
    designs, asked = asked_of(table.keys, table.values, cohorts, study)
    facts = features_facts(table.keys, table.values)
    set_name = set_asked_for(study)
    return FeaturesCheck(name, facts, table.set_aside, designs, meeting, set_name, (*findings, *asked))


def _meeting(own: set[str], listed: set[str], name: str, clinical: str) -> tuple[str, list[Finding]]:
    """How the patients of two tables meet, and what is wrong with it."""
    both = own & listed
    said = f"{len(both)} of {len(own)} patients of {name} are in {clinical}, which has {len(listed)}"
    alone = ((sorted(own - both), name), (sorted(listed - both), clinical))
    parts = [f"{len(ids)} only in {table} ({some(ids)})" for ids, table in alone if ids]
    if both:
        return said, [Finding("warning", f"patient_id: {part}; they will not be analysed") for part in parts]
    text = f"no patient_id is in both tables: {', '.join(parts)}; write each id the same way in both"
    return said, [Finding("error", text)]


def _sites(keys: pd.DataFrame, text: pd.DataFrame) -> list[Finding]:
    """Patients whose site is another in the clinical table."""
    if "site" not in text:
        return []
    said = keys["patient_id"].map(text["site"]).fillna("")
    clash = keys["patient_id"][(keys["site"] != "") & (said != "") & (keys["site"] != said)].unique()
    if not len(clash):
        return []
    about = f"site: {len(clash)} patients have another site in the clinical table (patients {some(clash)})"
    return [Finding("error", f"{about}; one patient has one site, correct one of the tables")]
