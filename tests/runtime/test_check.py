"""The check of a cohort's tables: patients, sites and people of scans and clinical table compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gc_ray.runtime.check import check
from gc_ray.study import load_study

N = 24


def manifest(folder: Path, name: str, patients: list[str], site: str) -> str:
    """A scans table of one scan for each patient; no file is read."""
    frame = pd.DataFrame({"patient_id": patients})
    frame["scan_id"] = site + frame["patient_id"]
    frame.assign(site=site, phase="pv", image="i", mask="m").to_csv(folder / name, index=False)
    return str(folder / name)


def found(
    folder: Path, scans: list[tuple[list[str], str]], clinical: pd.DataFrame | None, *settings: str
) -> list[str]:
    """The findings, level first, on scans tables (patients and site each) and a clinical table."""
    tables = tuple(manifest(folder, f"{i}.csv", patients, site) for i, (patients, site) in enumerate(scans))
    where = None
    if clinical is not None:
        where = str(folder / "clinical.csv")
        clinical.to_csv(where, index=False)
    study = load_study(None, settings)
    return [f"{one.level}: {one.text}" for one in check(tables, where, study, True, None).findings]


PEOPLE = [str(i) for i in range(N)]


def people(**columns) -> pd.DataFrame:
    """A clinical table of 24 patients of site A."""
    return pd.DataFrame({"patient_id": PEOPLE, "site": "A"} | columns)


def test_scans_and_clinical_table_that_agree_are_no_finding(tmp_path):
    """Site by site, patient by patient."""
    assert found(tmp_path, [(PEOPLE, "A")], people()) == []


def test_one_number_at_two_sites_is_an_error_whether_or_not_a_clinical_table_is_there(tmp_path):
    """The hole through which ten patients of B got the clinical rows of A; shared ids are the study's own word."""
    scans = [(PEOPLE, "A"), (["1", "2"], "B")]
    for clinical in (None, people(), people().drop(columns="site")):
        texts = found(tmp_path, scans, clinical)
        assert texts[0].startswith("error: site: wanted each patient id at one site, 2 are at several: 1 (A in the ")
        assert "put the site before the id" in texts[0]
    assert found(tmp_path, scans, people(), "clinical.patient_ids=shared") == []


def test_scans_of_one_site_and_a_clinical_table_of_another_contradict_each_other(tmp_path):
    """All patients have a row, and it is another hospital's."""
    (text,) = found(tmp_path, [(PEOPLE, "B")], people())
    assert text.startswith("error: site: wanted each patient id at one site, 24 are at several: 0 (A in the")


def test_scans_of_several_sites_beside_a_clinical_table_without_sites_cannot_be_checked(tmp_path):
    """It is said; one centre without that column is no finding."""
    scans = [(PEOPLE[:12], "A"), (PEOPLE[12:], "B")]
    (text,) = found(tmp_path, scans, people().drop(columns="site"))
    assert text.startswith("warning: the clinical table has no column site, and the scans are of 2 sites (A, B)")
    assert found(tmp_path, [(PEOPLE, "A")], people().drop(columns="site")) == []


@pytest.mark.parametrize(
    ("scans", "level"), [([(PEOPLE, "a")], "warning"), ([(PEOPLE[:12], "A"), (PEOPLE[12:], "a")], "error")]
)
def test_a_site_typed_in_two_ways_is_told(tmp_path, scans, level):
    """Between two tables the clinical table's counts; within the scans it is for the user to say."""
    (text,) = found(tmp_path, scans, people())
    assert text.startswith(f"{level}: site: 'A' and 'a' differ only in case, blanks or Unicode form")


def test_one_person_under_two_ids_is_an_error_of_the_check(tmp_path):
    """Before anybody splits."""
    values = np.random.default_rng(0).normal(size=(N, 10))
    values[7] = values[3]
    labs = {f"lab{i}": values[:, i] for i in range(10)}
    (text,) = found(tmp_path, [(PEOPLE, "A")], people(**labs))
    assert text.startswith("error: clinical table: 1 pair of patients has the same values")
    assert found(tmp_path, [(PEOPLE, "A")], people(**labs), 'clinical.different_patients=[["3", "7"]]') == []
