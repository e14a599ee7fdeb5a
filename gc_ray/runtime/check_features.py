"""A features table looked at before it is ingested: what it holds, and whether a study can use it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from gc_ray.cohort.coding import number_columns
from gc_ray.cohort.findings import Finding
from gc_ray.patients import meet, meeting_text
from gc_ray.runtime.asked_of_features import asked_of, set_asked_for
from gc_ray.runtime.check_clinical_table import check_clinical_table
from gc_ray.runtime.check_sites import site_findings, unchecked
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
    findings, cohorts, meeting, listed = [Finding("note", note) for note in table.notes], None, "", None
    if clinical is not None:
        listed = fetch_clinical(clinical, number_columns(study.clinical), encoding)
        found, cohorts = check_clinical_table(listed, study)
        meeting, more = _meeting(table.keys["patient_id"], listed.cells.index, name, listed.name)
        findings += [*found, *more]
    findings += _sites(study, table.keys, listed.cells if listed else None)
    designs, asked = asked_of(table.keys, table.values, cohorts, study)
    facts = features_facts(table.keys, table.values)
    set_name = set_asked_for(study)
    return FeaturesCheck(name, facts, table.set_aside, designs, meeting, set_name, (*findings, *asked))


def _meeting(own: Iterable[str], listed: Iterable[str], name: str, clinical: str) -> tuple[str, list[Finding]]:
    """How the patients of two tables meet, and what is wrong with it."""
    found = meet(own, listed)
    said = f"{found.both} of {found.both + len(found.first)} patients of {name} are in {clinical}"
    if not (found.first or found.second):
        return said, []
    text = meeting_text(found, name, clinical)
    if not found.both:
        return said, [Finding("error", text)]
    return said, [Finding("warning", f"{text}; those in one table alone are not analysed")]


def _sites(study: Study, keys: pd.DataFrame, text: pd.DataFrame | None) -> list[Finding]:
    """Patients at two sites, in the features or between these and the clinical table."""
    pairs = list(keys[["patient_id", "site"]].drop_duplicates().itertuples(index=False, name=None))
    if text is None or "site" in text:
        listed = {} if text is None else text["site"].dropna().to_dict()
        return site_findings(study, pairs, listed, "the features table")
    return [*site_findings(study, pairs, {}, "the features table"), *unchecked(keys["site"], "features")]
