"""New scans against the bundle's reader, the clinical table, their sites and earlier scores, before any is scored."""

from __future__ import annotations

import pandas as pd
import pytest

from gc_ray.cohort.manifest import ScanRow, Scans
from gc_ray.errors import TableError
from gc_ray.models.bundle import Bundle
from gc_ray.runtime import audit
from gc_ray.runtime.incoming import SITE, pseudonym
from gc_ray.runtime.incoming_joins import clinical_notes, outcome_notes, wanted_outlines, with_sites
from gc_ray.store import Store, open_store
from gc_ray.study_cohort import ScansSettings
from gc_ray.tables import RESCORES

KEY = b"a key of this site alone"


def bundle(coding: bool = True, known: tuple[str, ...] = (), shared: bool = False) -> Bundle:
    """What of a bundle is asked for: its coding, the sites that it harmonises, whether ids are shared."""
    scoring = {"coding": {"age": {}} if coding else {}} | ({"patient_ids": "shared"} if shared else {})
    families = {"radiomics": {"sites": {site: {} for site in known}}}
    return Bundle({"outcome": "died"}, {}, scoring, {}, {"families": families}, {}, {}, {}, bundle_id="b")


def scans(*patients: str, site: str = "A", **changes) -> Scans:
    """One outline for each patient."""
    rows = []
    for patient in patients:
        row = {"scan_id": f"s-{patient}", "reader": "R1", "repeat": 0, "roi": "", "patient_id": patient, "site": site}
        row |= {"phase": "pv", "image": "i", "mask": "m", "series_uid": "", "image_uri": "i", "mask_uri": "m"}
        rows.append(ScanRow(**row | changes))
    return Scans.of(rows)


def text(**columns: list) -> pd.DataFrame:
    """A clinical table as it is read: patients 1, 2, .. with the columns given."""
    size = len(next(iter(columns.values())))
    return pd.DataFrame(columns, [str(i + 1) for i in range(size)], dtype=object)


@pytest.fixture
def store(tmp_path) -> Store:
    """An empty store."""
    return open_store(str(tmp_path))


def test_outlines_of_the_bundles_reader_are_scored_and_scans_without_one_wait():
    """Other readers' outlines are passed over; a scan that has no other is named with what it lacks."""
    rows = Scans.of([*scans("1", "2"), *scans("1", reader="R2"), *scans("3", reader="R2")])
    kept, waiting = wanted_outlines(rows, ScansSettings())
    assert [(row.scan_id, row.reader) for row in kept] == [("s-1", "R1"), ("s-2", "R1")]
    assert [(w.scan_id, w.reason) for w in waiting] == [
        ("s-3", "it has no outline of reader R1, repeat 0, which the bundle wants")
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"reader": "reader1"}, r"wanted outlines of reader R1 .*, there are outlines of reader reader1 \(2\)"),
        ({"repeat": 1}, "wanted outlines of repeat 0"),
        ({"roi": "node"}, "wanted outlines of roi tumour"),
    ],
)
def test_a_manifest_without_any_such_outline_is_refused_not_scored_as_nothing(changes, said):
    """Zero scans scored and exit 0 look like a quiet day."""
    with pytest.raises(TableError, match=said):
        wanted_outlines(scans("1", "2", **changes), ScansSettings(roi="tumour" if "roi" in changes else ""))
    assert (
        len(wanted_outlines(scans("1", phase="arterial"), ScansSettings(phase="pv"))[0]) == 1
    )  # judged by the domain


def test_a_patient_id_at_two_sites_is_refused_in_scans_clinical_table_and_earlier_scores(store):
    """Patient 1 of B never gets the age, the outcome or the history of patient 1 of A."""
    both = Scans.of([*scans("1"), *scans("1", site="B", scan_id="t")])
    with pytest.raises(TableError, match=r"1 are at several: 1 \(A in the scans table, B in the scans table"):
        with_sites(bundle(), store, both, None, None)
    with pytest.raises(TableError, match=r"1 \(A in the scans table, B in the clinical table"):
        with_sites(bundle(), store, scans("1", "2"), text(age=["60", "61"], site=["B", "a"]), None)
    before = scored("1", "B")
    audit.commit(store, audit.name_of(before), before)
    with pytest.raises(TableError, match=r"1 \(A in the scans table, B in earlier scores"):
        with_sites(bundle(), store, scans("1"), None, None)
    assert with_sites(bundle(), store, scans("2"), None, None) == scans("2")
    with pytest.raises(TableError, match=r"1 \(B in earlier scores, A in the clinical table"):
        with_sites(bundle(), store, scans("2"), text(died=["1", "0"], site=["A", "A"]), None)
    assert with_sites(bundle(), store, scans("2"), text(died=["1", "0"], site=["b", "A"]), None) == scans("2")


def test_a_pseudonym_is_compared_with_the_site_of_its_patient_and_an_unknown_site_with_none(store):
    """Series of a prefix bear the site that was given for them, or nobody's."""
    name = pseudonym(KEY, "patient 1")
    with pytest.raises(TableError, match="B in the clinical table"):
        with_sites(bundle(), store, scans(name), text(site=["B"]), KEY)
    assert len(with_sites(bundle(), store, scans(name, site=SITE), text(site=["B"]), KEY)) == 1


def test_referred_patients_are_scored_as_of_the_clinical_tables_site(store):
    """Where the study's ids are shared; whom the table does not know keeps the site of the scan."""
    found = with_sites(bundle(shared=True), store, scans("1", "7", site="B"), text(site=["A"]), None)
    assert [(row.patient_id, row.site) for row in found] == [("1", "A"), ("7", "B")]


def test_a_site_typed_in_another_way_than_in_the_bundle_is_refused(store):
    """It would be taken for a new hospital, and its features keep what the known one adds."""
    with pytest.raises(TableError, match="site 'a ' differs from the bundle's 'A' only in case, blanks"):
        with_sites(bundle(known=("A", "B")), store, scans("1", site="a "), None, None)
    assert len(with_sites(bundle(known=("A", "B")), store, scans("1", site="C"), None, None)) == 1


def test_new_scans_none_of_whose_patients_is_in_the_clinical_table_are_refused_with_the_cause():
    """The bundle wants clinical predictors; 1.0 is 1."""
    with pytest.raises(TableError, match=r"no patient id is in both .* differ only in decimals \(1.0 and 1\)"):
        clinical_notes(bundle(), scans("1.0", "2.0"), text(age=["60", "61"]))
    (note,) = clinical_notes(bundle(coding=False), scans("1.0", "2.0"), text(died=["0", "1"]))
    assert note.startswith(
        "no patient id is in both the scans table and the clinical table; 2 only in the scans table (1.0, 2.0); "
        "2 only in the clinical table (1, 2); 2 of them differ only in decimals"
    )


def test_a_part_that_does_not_meet_is_a_note_and_a_larger_clinical_table_is_none():
    """A hospital's table knows patients without new scans."""
    (note,) = clinical_notes(bundle(), scans("1", "9"), text(age=["60", "61"]))
    assert note == "the clinical table lacks 1 of 2 patients of the scans table (9)"
    assert clinical_notes(bundle(), scans("1"), text(age=["60", "61"])) == ()
    assert clinical_notes(bundle(), scans("1"), None) == ()


def test_outcomes_that_are_no_outcomes_are_counted():
    """'yes' is neither 0 nor 1: that calibration is not watched by it must be seen; gaps are no fault."""
    found = outcome_notes(text(died=["1", "0", "", None, "NA", "yes", "no", "1.0"]), "died")
    assert found == ("died: 2 values are neither 0 nor 1 and are not used: yes, no",)
    assert outcome_notes(text(died=["1", "0"]), "died") == outcome_notes(text(age=["1"]), "died") == ()


def scored(patient: str, site: str) -> dict:
    """A row of RESCORES."""
    kinds = {"string": "", "double": None, "int32": 0, "int64": 0, "list<item: string>": []}
    row = {column.name: kinds[str(column.type)] for column in RESCORES.columns}
    return row | {"patient_id": patient, "site": site, "bundle_id": "b", "scan_id": "s", "predictors": "{}"}
