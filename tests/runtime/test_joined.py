"""Features, clinical table and scans of a study joined: ids, sites and people are compared before any fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from gc_ray.cohort_tables import read_splits
from gc_ray.errors import TableError
from gc_ray.runtime.gather import Gathered, gather
from gc_ray.runtime.ingest import ingest
from gc_ray.runtime.inputs import volume_rows
from gc_ray.runtime.joined import Side, join_notes
from gc_ray.runtime.split import split
from gc_ray.store import Store, open_store
from gc_ray.study import load_study

STUDY = """
name = "s"
[extract]
feature_sets = []
[clinical]
outcome = "died"
[split]
folds = 2
train_share = 0.7
[[signature]]
name = "texture"
families = ["radiomics"]
[tune]
feature_set = "theirs"
"""
N, P = 24, 12


@dataclass(frozen=True)
class Tables:
    """A study of 24 patients at two sites and 12 features, written and joined: ``Tables(folder).joined(...)``."""

    folder: Path

    @property
    def clinical(self) -> pd.DataFrame:
        """Ids 1001, ..; A and B by turns; the outcome."""
        ids = [str(1001 + i) for i in range(N)]
        sites = ["A", "A", "B", "B"] * (N // 4)
        return pd.DataFrame({"patient_id": ids, "site": sites, "died": [0, 1] * (N // 2)})

    @property
    def features(self) -> pd.DataFrame:
        """The same patients, as another group measured them."""
        values = np.random.default_rng(0).normal(size=(N, P)).round(6)
        frame = pd.DataFrame(values, columns=[f"f{i}" for i in range(P)])
        return frame.assign(patient_id=self.clinical["patient_id"])

    @property
    def store(self) -> Store:
        """Where they meet."""
        return open_store(str(self.folder / "store"))

    def split(self, clinical: pd.DataFrame, *settings: str):
        """The clinical table split."""
        (self.folder / "study.toml").write_text(STUDY)
        clinical.to_csv(self.folder / "clinical.csv", index=False)
        study = load_study(str(self.folder / "study.toml"), settings)
        return split(str(self.folder / "clinical.csv"), study, self.store, "split-1")

    def ingest(self, features: pd.DataFrame, name: str = "theirs") -> None:
        """The features in the store."""
        features.to_csv(self.folder / "features.csv", index=False)
        ingest(str(self.folder / "features.csv"), name, self.store, "ingest-1")

    def joined(self, features: pd.DataFrame, clinical: pd.DataFrame | None = None, *settings: str) -> Gathered:
        """Both tables gathered for signatures."""
        self.split(self.clinical if clinical is None else clinical, *settings)
        self.ingest(features)
        return gather(self.store, load_study(str(self.folder / "study.toml"), settings))


@pytest.fixture
def made(tmp_path) -> Tables:
    """The tables in a folder of this test."""
    return Tables(tmp_path)


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        ("{}.0", "differ only in decimals (1001.0 and 1001)"),
        ("00{}", "differ only in leading zeros (001001 and 1001)"),
        ("CT-{}", "differ only in the prefix 'CT-' (CT-1001 and 1001)"),
    ],
)
def test_ids_that_do_not_meet_are_counted_and_shown_before_anything_is_fitted(made, ids, said):
    """How many on each side, examples of both, and the cause where it is simple."""
    features = made.features
    features["patient_id"] = [ids.format(p) for p in features["patient_id"]]
    with pytest.raises(TableError) as error:
        made.joined(features)
    message = str(error.value)
    assert "no patient id is in both radiomics features theirs and the clinical table" in message
    assert f"24 only in radiomics features theirs ({ids.format(1001)}, " in message
    assert "24 only in the clinical table (1001, " in message
    assert said in message


def test_split_says_the_same_where_the_features_are_there_already(made):
    """A split is never replaced: what is wrong with its ids is worth knowing before."""
    features = made.features
    features["patient_id"] += ".0"
    made.ingest(features)
    with pytest.raises(TableError, match=r"24 of them differ only in decimals \(1001.0 and 1001\)"):
        made.split(made.clinical)
    assert not [entry for entry in made.store.list("splits")]


def test_split_warns_of_a_part_that_does_not_meet_and_is_silent_without_scans(made):
    """Scans may come later; a patient who has none yet is a warning."""
    assert made.split(made.clinical).findings == ()
    made.ingest(made.features[:-3].assign(patient_id=made.features["patient_id"].replace("1002", "other")[:-3]))
    (found,) = made.split(made.clinical).findings
    assert found.level == "warning"
    assert "20 patient ids are in both the store's scans and the clinical table; 1 only in the store" in found.text


def test_those_who_do_not_meet_are_left_out_with_their_number_and_the_reason(made):
    """By cohort, and of how many; and what the table has beside the study is a note."""
    features = made.features
    features.loc[:4, "patient_id"] = ["x1", "x2", "x3", "x4", "x5"]
    found = made.joined(features)
    (lost,) = found.left_out
    assert (lost.reason, lost.patients) == ("radiomics features theirs: not in the store", 5)
    sizes = read_splits(made.store, "s").to_pandas()["cohort"].value_counts()
    assert {name: of for name, (_, of) in lost.cohorts.items()} == {name: sizes[name] for name in lost.cohorts}
    assert sum(n for n, _ in lost.cohorts.values()) == 5
    (note,) = found.notes
    assert "19 patient ids are in both" in note and "5 only in radiomics features theirs (x1, x2, x3, ..)" in note


def test_blanks_around_ids_lose_nobody(made):
    """They are stripped in every table alike."""
    features = made.features
    features.loc[:9, "patient_id"] += " "
    found = made.joined(features)
    assert (len(found.data.y), found.left_out, found.notes) == (N, (), ())


def test_a_site_that_contradicts_the_clinical_table_is_refused_with_ids_and_both_sites(made):
    """Patient 1001 of B is not patient 1001 of A."""
    features = made.features.assign(site=made.clinical["site"].replace({"A": "B", "B": "A"}))
    with pytest.raises(TableError) as error:
        made.joined(features)
    message = str(error.value)
    assert "24 are at several: 1001 (A in the clinical table, B in radiomics features theirs)" in message
    assert "put the site before the id in every table (A-1001)" in message


@pytest.mark.parametrize("several", ["error", "first"])
def test_two_hospitals_that_number_alike_never_share_a_row(made, several):
    """The clinical table is of A alone, the scans are of A and B: none of B's is joined to a patient of A."""
    clinical = made.clinical.assign(site="A")
    theirs = made.features.assign(site="B", scan_id="b-" + made.features["patient_id"])[:10]
    ours = made.features.assign(site="A", scan_id="a-" + made.features["patient_id"])
    with pytest.raises(TableError, match=r"10 are at several: 1001 \(A in the clinical table, B in radiomics"):
        made.joined(pd.concat([ours, theirs]), clinical, f"scans.several={several}")


def test_referred_patients_share_an_id_where_the_study_says_so_and_keep_the_clinical_site(made):
    """patient_ids = shared: the site is the clinical table's."""
    features = made.features.assign(site="B")
    found = made.joined(features, None, "clinical.patient_ids=shared")
    assert found.data.site.tolist() == made.clinical["site"].tolist()
    assert len(found.data.y) == N


def test_a_features_table_without_sites_and_a_study_of_one_centre_are_joined(made):
    """What says nothing of sites contradicts nothing."""
    assert len(made.joined(made.features, made.clinical.drop(columns="site")).data.y) == N


def test_a_site_that_is_only_typed_in_another_way_is_the_clinical_tables_with_a_note(made):
    """Case and blanks make no new hospital."""
    features = made.features.assign(site=made.clinical["site"].str.lower())
    found = made.joined(features)
    assert set(found.data.site) == {"A", "B"}
    assert found.notes == (
        "radiomics features theirs: site 'a' is taken as 'A' of the clinical table",
        "radiomics features theirs: site 'b' is taken as 'B' of the clinical table",
    )


def test_a_reader_whom_the_study_does_not_name_is_named_with_the_one_it_wants(made):
    """Not '0 of 0 patients have the outcome'."""
    features = pd.concat([made.features.assign(reader="reader1"), made.features[:9].assign(reader="reader2")])
    with pytest.raises(TableError, match=r"wanted outlines of reader R1 .* reader1 \(24\), reader2 \(9\)"):
        made.joined(features)


@pytest.mark.parametrize(
    ("changes", "settings", "reason"),
    [
        ({"reader": "second"}, (), "no outline of reader R1"),
        ({"repeat": 1}, (), "no outline of repeat 0"),
        ({"roi": "node"}, ("scans.roi=tumour",), "no outline of roi tumour"),
        ({"phase": "arterial"}, ("scans.phase=venous",), "no outline of phase venous"),
    ],
)
def test_why_a_patient_has_no_features_is_the_true_reason(made, changes, settings, reason):
    """The scan may be there, and be another reader's, another region, another phase."""
    features = made.features.assign(reader="R1", repeat=0, roi="tumour", phase="venous")
    for name, value in changes.items():
        features.loc[:2, name] = value
    (lost,) = made.joined(features, None, *settings).left_out
    assert (lost.reason, lost.patients) == (f"radiomics features theirs: {reason}", 3)


def test_one_person_under_two_ids_is_refused_unless_the_study_says_they_are_two(made):
    """In training and validation at once, that patient would be predicted from the own features."""
    features = made.features
    features.loc[20, "f0":"f11"] = features.loc[3, "f0":"f11"]
    with pytest.raises(TableError, match=r"features theirs: 1 pair .* 1004 and 1021 \(equal in 12 of 12 columns\)"):
        made.joined(features)
    declared = 'clinical.different_patients=[["1004", "1021"]]'
    study = load_study(str(made.folder / "study.toml"), (declared,))
    assert len(gather(made.store, study).data.y) == N


def test_one_person_under_two_ids_in_the_clinical_table_is_refused_before_the_split(made):
    """By columns that the study does not even use."""
    values = np.random.default_rng(1).normal(size=(N, 10)).round(3)
    values[20] = values[2]
    clinical = made.clinical.join(pd.DataFrame(values, columns=[f"lab{i}" for i in range(10)]))
    with pytest.raises(TableError, match=r"clinical table: 1 pair of patients .* 1003 and 1021"):
        made.split(clinical)
    assert made.split(clinical, 'clinical.different_patients=[["1003", "1021"]]').new


@pytest.mark.parametrize(
    "name", ["died", "Died", " DIED", "d_ied", "Event", "time months", "outcome", "died.1", "died_x", "outcome...2"]
)
def test_a_feature_named_as_the_outcome_time_or_event_is_refused(made, name):
    """However it is typed; the study of this test names no time and no event, and means what they are called."""
    with pytest.raises(TableError, match="is named as the study's outcome, time or event; remove it"):
        made.joined(made.features.assign(**{name: range(5, 5 + N)}))


@pytest.mark.parametrize("factor", [1e-160, 1e160, 1e300])
def test_a_feature_too_large_or_too_small_to_square_is_refused(made, factor):
    """Its variance would be infinite or 0, and it would be left out or end the fit; 1e90 is computed with."""
    values = np.random.default_rng(0).normal(size=N)
    with pytest.raises(TableError, match=r"the largest value of 1 feature\(s\) is not between .* in size \(odd "):
        made.joined(made.features.assign(odd=values * factor))


def test_the_set_that_is_asked_for_is_the_set_that_is_read(made):
    """Names are compared whole and in their case: not up to a dot, not as a beginning; a file names its set."""
    names = ["feat", "feat.v2", "feat2", "feat.yaml"]
    made.split(made.clinical)
    for i, name in enumerate(names):
        made.ingest(made.features.assign(f0=range(i + 5, i + 5 + N)), name)

    def read(wanted: str) -> tuple[str, float]:
        found = gather(made.store, load_study(str(made.folder / "study.toml"), (f"tune.feature_set={wanted}",)))
        return found.sources["radiomics"], found.data.families["radiomics"].values[0, 0]

    assert [read(name) for name in names] == [(name, i + 5.0) for i, name in enumerate(names)]
    assert read("settings/feat2.yaml") == ("feat2", 7.0)
    for wanted in ("Feat", "fea", "feat.v3"):
        with pytest.raises(
            TableError, match=f"no usable scan of feature set {wanted}; it has feat, feat.v2, feat.yaml"
        ):
            read(wanted)


def test_networks_compare_the_site_and_refuse_one_scan_of_two_patients(network_store, tmp_path):
    """As features do: another hospital's scan is not that of the patient of the same number."""
    store, study = network_store()(open_store(str(tmp_path / "s"))), load_study("recurrence")
    patients = [f"P{i:02d}" for i in range(12)]
    assert len(volume_rows(store, study, "guo2025", patients)) == 12
    splits = read_splits(store, "recurrence").to_pandas()
    assert splits["site"].nunique() == 2
    put_row(store, "P03", "C")
    with pytest.raises(TableError, match=r"1 are at several: P03 \(A in the clinical table, C in network inputs"):
        volume_rows(store, study, "guo2025", patients)


def put_row(store: Store, patient: str, site: str) -> None:
    """A further network input of a patient, of another site."""
    from gc_ray import ledger

    row = next(r for r in ledger.read_ledger(store).to_pylist() if r["patient_id"] == patient)
    ledger.commit(store, row | {"scan_id": "other", "site": site})


def test_families_of_a_patient_from_different_scans_are_a_note(made):
    """A scan whose network input was refused gives way to another one in one family alone."""
    splits = made.clinical.set_index("patient_id").assign(cohort="train")
    rows = pa.table({"patient_id": splits.index.to_list(), "site": splits["site"].to_list()})
    scans = {patient: f"{patient}-pv" for patient in splits.index}
    sides = [Side("radiomics", rows, scans), Side("deep", rows, scans | {"1003": "1003-late"})]
    (note,) = join_notes(sides, splits, load_study(None))
    assert note.startswith("radiomics and deep are of different scans in 1 patients (1003): a scan")
    assert join_notes(sides[:1], splits, load_study(None)) == ()
