"""A table of scores made elsewhere: its cohorts and patients are what this package takes them for, or refused."""

from __future__ import annotations

import pandas as pd
import pytest

from gc_ray.errors import TableError
from gc_ray.report.inputs import from_file
from gc_ray.report.labels import check_patients, cohort_names, named_cohorts
from gc_ray.study import load_study


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("Training", "train"), ("TRAIN", "train"), ("training set", "train"), ("train_cohort", "train"),
        ("TrainingSet", "train"), ("Development", "train"), ("derivation cohort", "train"), ("dev", "train"),
        ("Training (Hospital A)", "train"), ("\u8bad\u7ec3\u96c6", "train"), ("internal validation", "internal"),
        ("Internal test set", "internal"), ("InternalValidation", "internal"), ("External", "external"),
        ("external validation cohort", "external"), ("EXTERNAL-TEST", "external"),
        ("\u5916\u90e8\u9a8c\u8bc1\u96c6", "external"), ("train", "train"), ("internal", "internal"),
    ],
)  # fmt: skip
def test_what_papers_call_a_cohort_is_that_cohort(label, name):
    """In any case, with a set or cohort behind it, in Chinese as well."""
    assert cohort_names([label]) == {label: name}


@pytest.mark.parametrize(
    "label",
    ["scored", "Hospital C", "temporal validation", "External 1", "Validation 2", "1", "untrained"],
)
def test_a_name_of_its_own_stays(label):
    """Two external cohorts stay two."""
    assert cohort_names([label]) == {label: label}


@pytest.mark.parametrize(
    "label", ["Validation", "Testing set", "val", "hold-out", "train/test", "\u9a8c\u8bc1\u96c6"]
)
def test_a_label_that_may_mean_two_cohorts_is_refused_with_the_labels_wanted(label):
    """Validation on the same hospital's patients says less than on another's."""
    with pytest.raises(TableError, match=r"scores: cohort .* may be .* wanted train, internal, external"):
        cohort_names(["train", label])


def test_what_was_renamed_is_said_and_kinds_are_known():
    """A kind in capitals is that kind; another is refused: it would pass for a clean score."""
    frame, notes = named_cohorts(pd.DataFrame({"cohort": ["Training", "external"], "kind": ["OOF", "final "]}))
    assert (frame["cohort"].tolist(), frame["kind"].tolist()) == (["train", "external"], ["oof", "final"])
    assert notes == ["cohort Training is taken as train"]
    with pytest.raises(TableError, match="scores: kind in-sample: wanted oof, final, apparent"):
        named_cohorts(pd.DataFrame({"kind": ["in-sample"]}))


def test_rows_of_one_patient_agree_and_a_model_has_a_patient_in_one_cohort():
    """The first row's value would count, and the patient would validate the model that was fitted on it."""
    two = pd.DataFrame({"patient_id": ["1", "1"], "model_id": ["a", "b"], "time_months": [3.0, 30.0]})
    with pytest.raises(TableError, match="patient 1 has several values of time_months in different rows"):
        check_patients(two, ("site", "time_months"))
    cohorts = pd.DataFrame({"patient_id": ["1", "1"], "model_id": ["a", "a"], "cohort": ["train", "external"]})
    with pytest.raises(TableError, match="1 patients are in several cohorts of one model, such as 1 in external and"):
        check_patients(cohorts, ())
    check_patients(cohorts.assign(model_id=["a", "b"]), ())


class TestWithAClinicalTable:
    """Scores and the clinical table that is given beside them."""

    @pytest.fixture
    def read(self, tmp_path):
        """A function that reads both, from frames."""

        def both(scores: pd.DataFrame, clinical: pd.DataFrame, *settings: str):
            scores.to_csv(tmp_path / "scores.csv", index=False)
            clinical.to_csv(tmp_path / "clinical.csv", index=False)
            study = load_study(None, ("clinical.outcome=died", *settings))
            return from_file(str(tmp_path / "scores.csv"), str(tmp_path / "clinical.csv"), study)

        return both

    SCORES = pd.DataFrame({"patient_id": ["11", "12", "13"], "score": [0.1, 0.5, 0.9], "site": ["A", "A", "B"]})
    CLINICAL = pd.DataFrame({"patient_id": ["11", "12", "13"], "died": [0, 1, 1], "site": ["A", "A", "B"]})

    def test_tables_that_agree_are_read_without_a_word(self, read):
        """The site may be in either; a site typed in another way is that site."""
        assert read(self.SCORES, self.CLINICAL).doubts == ()
        found = read(self.SCORES, self.CLINICAL.drop(columns="site"))
        assert found.patients["site"].tolist() == ["A", "A", "B"]
        assert read(self.SCORES.assign(site=["a", "A", "B"]), self.CLINICAL).doubts == ()

    def test_ids_that_do_not_meet_are_refused_with_both_sides_and_the_cause(self, read):
        """Not 'no known outcome' of patients whose outcome is there under another spelling."""
        clinical = self.CLINICAL.assign(patient_id=["011", "012", "013"])
        with pytest.raises(TableError) as error:
            read(self.SCORES, clinical)
        assert "3 only in the scores (11, 12, 13); 3 only in the clinical table (011, 012, 013)" in str(error.value)
        assert "differ only in leading zeros" in str(error.value)

    def test_patients_without_a_score_are_a_note_and_a_patient_at_two_sites_is_refused(self, read):
        """Who was left out by whoever made the scores is worth knowing."""
        more = pd.concat([self.CLINICAL, pd.DataFrame({"patient_id": ["14"], "died": [0], "site": ["B"]})])
        ((severity, _, _, text),) = read(self.SCORES, more).doubts
        assert severity == "note" and "1 only in the clinical table (14)" in text
        other = self.SCORES.assign(site=["A", "B", "B"])
        with pytest.raises(TableError, match=r"1 are at several: 12 \(B in the scores, A in the clinical table\)"):
            read(other, self.CLINICAL)
        assert read(other, self.CLINICAL, "clinical.patient_ids=shared").patients["site"].tolist() == ["A", "A", "B"]
