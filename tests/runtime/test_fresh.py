"""Scores are judged and frozen only while the tables that they were made of are what they were."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gc_ray import sealed
from gc_ray.errors import TableError
from gc_ray.report.flags_data import data_flags
from gc_ray.report.inputs import from_store
from gc_ray.report.people import account_rows
from gc_ray.runtime.bundle import bundle
from gc_ray.runtime.fresh import tuning_to_judge, why_stale
from gc_ray.runtime.ingest import ingest
from gc_ray.runtime.split import split
from gc_ray.runtime.train import unwatched
from gc_ray.runtime.tune import read_card, tune
from gc_ray.store import Store, open_store
from gc_ray.study import Study, load_study

STUDY = """
name = "s"
[extract]
feature_sets = []
[clinical]
outcome = "died"
predictors = ["stage"]
[clinical.columns]
stage = { kind = "categorical", levels = ["I", "II", "III"] }
[split]
folds = 2
external_sites = ["B"]
train_share = 1.0
[[signature]]
name = "texture"
families = ["radiomics"]
steps = [{ step = "strongest", number = 2 }]
[[signature]]
name = "factors"
families = ["clinical"]
[tune]
samples = 0
inner_folds = 2
feature_set = "theirs"
"""
N, B = 48, 16


def features(**changes) -> pd.DataFrame:
    """Four features of 48 patients, of which the first tells of the outcome; 16 are of site B."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(N, 4)).round(4), columns=["f0", "f1", "f2", "f3"])
    frame["f0"] += np.arange(N) % 2
    return frame.assign(patient_id=[f"P{i:02d}" for i in range(N)], **changes)


def put(folder: Path, frame: pd.DataFrame, store: Store, name: str = "theirs") -> None:
    """A features table in the store."""
    frame.to_csv(folder / "features.csv", index=False)
    ingest(str(folder / "features.csv"), name, store, "ingest-1")


@pytest.fixture(scope="module")
def tuned(tmp_path_factory) -> tuple[Path, Study]:
    """A study tuned in this process: of site B a quarter has no f0, and one patient a stage that no other has."""
    folder = tmp_path_factory.mktemp("fresh")
    (folder / "study.toml").write_text(STUDY)
    study, store = load_study(str(folder / "study.toml")), open_store(str(folder / "store"))
    stage = np.where(np.arange(N) % 3 == 0, "I", "II").astype(object)
    stage[N - 1] = "III"
    site = np.where(np.arange(N) < N - B, "A", "B")
    people = pd.DataFrame({"patient_id": features()["patient_id"], "site": site, "died": np.arange(N) % 2})
    people.assign(stage=stage).to_csv(folder / "clinical.csv", index=False)
    split(str(folder / "clinical.csv"), study, store, "split-1")
    frame = features()
    frame.loc[N - B : N - B + 3, "f0"] = np.nan
    put(folder, frame, store)
    tune(store, study, 0, unwatched, "tune-1")
    return folder, study


@pytest.fixture
def copied(tuned, tmp_path) -> tuple[Store, Study]:
    """The store of that study, to be changed."""
    shutil.copytree(tuned[0] / "store", tmp_path / "store")
    return open_store(str(tmp_path / "store")), tuned[1]


def test_scores_of_the_tables_that_are_there_are_judged(copied):
    """Nothing speaks against them; the same table brought in again changes nothing."""
    store, study = copied
    tune_id, doubts = tuning_to_judge(store, study, None)
    assert doubts == () and why_stale(store, study, tune_id) == ""


def test_scores_older_than_their_features_are_refused_unless_they_are_asked_for_by_name(copied, tmp_path):
    """One changed value is enough; whoever wants the old scores gets them with a serious doubt; a bundle never."""
    store, study = copied
    tune_id, _ = tuning_to_judge(store, study, None)
    put(tmp_path, features(f3=0.5 * features()["f3"]), store)
    with pytest.raises(TableError, match=f"study s: scores {tune_id} are older than .*: radiomics features changed"):
        tuning_to_judge(store, study, None)
    named, ((severity, flag, _, text),) = tuning_to_judge(store, study, tune_id)
    assert (named, severity, flag) == (tune_id, "serious", "older_than_tables")
    assert "radiomics features changed since" in text
    with pytest.raises(TableError, match=r"wanted signatures .*, there are none .*radiomics features changed since"):
        bundle(store, study, "texture", open_store(str(tmp_path / "b")), None)


def test_settings_of_today_do_not_make_scores_old(copied, tmp_path):
    """Tables are read as the tuning read them: a study file that names another set judges the scores there are."""
    store, study = copied
    put(tmp_path, features(), store, "others")
    other = study.model_copy(update={"tune": study.tune.model_copy(update={"feature_set": "others"})})
    assert tuning_to_judge(store, other, None)[1] == ()


def test_scores_that_do_not_say_what_they_are_made_of_are_judged_with_a_note(copied):
    """As an earlier version left them."""
    store, study = copied
    tune_id, _ = tuning_to_judge(store, study, None)
    card = read_card(store, f"signatures/s/{tune_id}")
    del card["inputs"]
    sealed.put(store, f"signatures/s/{tune_id}/card.json", card)
    _, ((severity, flag, _, _),) = tuning_to_judge(store, study, None)
    assert (severity, flag) == ("note", "unknown_tables")


def test_a_store_without_scores_has_nothing_to_judge(tmp_path):
    """The command then says that tune comes first."""
    assert tuning_to_judge(open_store(str(tmp_path)), load_study(None), None) == (None, ())


def test_the_card_says_who_has_no_score_of_which_model_and_why(tuned):
    """Per cohort and reason; and who has no score at all, which nobody has here."""
    folder, study = tuned
    store = open_store(str(folder / "store"))
    card = read_card(store, f"signatures/s/{tuning_to_judge(store, study, None)[0]}")
    assert card["unscored"] == [
        {"model_id": "texture", "cohort": "external", "reason": "no value of f0", "patients": 4, "of": B},
        {
            "model_id": "factors", "cohort": "external", "patients": 1, "of": B,
            "reason": "level III of stage is in none of the patients that the model was fitted on",
        },
    ]  # fmt: skip
    assert card["without_score"] == card["left_out"] == []


def test_the_report_doubts_a_cohort_of_which_many_have_no_score(tuned):
    """A quarter of the external patients is a selection; one of sixteen is a note; each with the true reason."""
    folder, study = tuned
    inputs = from_store(open_store(str(folder / "store")), study, None)
    note, serious = [flag for flag in data_flags(inputs) if flag[1] == "without_score"]
    assert serious == (
        "serious", "without_score", "texture",
        "4 of 16 external patients have no score: no value of f0; those with a score may differ from them",
    )  # fmt: skip
    assert note[0] == "note" and note[2] == "factors"
    assert note[3].startswith(
        "1 of 16 external patients have no score: level III of stage is in none of the patients"
    )


def test_the_account_gives_the_true_reason_for_patients_without_any_score(tuned):
    """Not 'no usable scan' where a number of the scan is missing; the parts add up."""
    folder, study = tuned
    inputs = from_store(open_store(str(folder / "store")), study, None)
    only = inputs.scores[inputs.scores["model_id"] == "texture"]
    lost = {"reason": "no value of f0", "patients": 4, "cohorts": {"external": [4, B]}}
    card = inputs.card | {"without_score": [lost]}
    rows = {row["step"]: row for row in account_rows(replace(inputs, scores=only, card=card))}
    reasons = [rows[name]["reason"] for name in ("with a score", "train", "external")]
    assert reasons == ["no value of f0", "", "no value of f0"]
    assert rows["external"]["n_left"] == B - 4
    unknown = {row["step"]: row for row in account_rows(replace(inputs, scores=only, card={}))}
    assert unknown["external"]["reason"] == "tune did not record why"
