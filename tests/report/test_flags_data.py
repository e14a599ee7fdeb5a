"""Doubts about direction, units and patients that are missing: each from the numbers that show it, and no other."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from gc_ray.report.compute import evaluate_all
from gc_ray.report.flags_data import reasons_text
from gc_ray.report.inputs import from_file
from gc_ray.report.units import Unit, same_patients
from gc_ray.report.words import summary
from gc_ray.study import load_study


def judged(tmp_path, frame: pd.DataFrame):
    """An evaluation of a table of scores, without bootstrap."""
    frame.to_csv(tmp_path / "scores.csv", index=False)
    return evaluate_all(from_file(str(tmp_path / "scores.csv"), None, load_study(None, ("evaluate.bootstrap=0",))))


def scores(reverse: bool = False) -> pd.DataFrame:
    """120 patients whose risk comes true, or its opposite."""
    rng = np.random.default_rng(0)
    risk = rng.uniform(0.05, 0.95, 120)
    outcome = (rng.random(120) < risk).astype(int)
    cohort = np.where(np.arange(120) < 70, "Training", "external")
    frame = pd.DataFrame({"patient_id": [f"P{i:03d}" for i in range(120)], "cohort": cohort, "outcome": outcome})
    return frame.assign(score=1 - risk if reverse else risk)


def flags(done, name: str) -> pd.DataFrame:
    """The doubts of one kind."""
    found = done.frame("flags")
    return found[found["flag"] == name]


def test_a_reversed_score_is_a_serious_doubt_and_neither_extreme_nor_too_good(tmp_path):
    """The whole interval lies below one half, in both cohorts; a score in the right direction has no such doubt."""
    done = judged(tmp_path, scores(reverse=True))
    found = flags(done, "direction_reversed")
    assert set(found["severity"]) == {"serious"}
    assert sorted(about.split(", ")[1] for about in found["about"]) == ["external final", "train apparent"]
    assert found["text"].str.contains("check that 1 is the event and that a higher score is a higher risk").all()
    said = [*done.frame("flags")["text"], summary(done)["text"], *summary(done)["sentences"]]
    assert not [text for text in said if "too extreme" in text or "too timid" in text or "too good" in text]
    assert any("direction reversed" in sentence for sentence in summary(done)["sentences"])
    right = judged(tmp_path, scores())
    assert not len(flags(right, "direction_reversed"))
    assert flags(right, "in_sample")["text"].str.contains("too good").all()  # Training is the training cohort


@pytest.mark.parametrize(("months", "doubted"), [(60, False), (240, False), (3650, True)])
def test_times_of_centuries_are_days(tmp_path, months, doubted):
    """No follow-up after a CT lasts longer than CT exists; the doubt says the median and what to do."""
    time = np.linspace(1, months, 120).round(1)
    done = judged(tmp_path, scores().assign(time_months=time, event=np.arange(120) % 2))
    found = flags(done, "times_in_days")
    assert len(found) == doubted
    if doubted:
        text = found["text"].iloc[0]
        assert text.startswith("times up to 3,650 months, which is 304 years, median 1,826: they look like days")
        assert found["severity"].tolist() == ["serious"]


def test_reasons_are_given_with_their_numbers_and_what_is_not_known_is_said():
    """One reason alone needs no number: it is that of all."""
    assert reasons_text({"no value of f0": 3}, 3) == "no value of f0"
    assert reasons_text({"no value of f0": 3, "not in the store": 2}, 6) == (
        "3: no value of f0, 2: not in the store, 1: tune did not record why"
    )


def unit(model: str, ids: list[str]) -> Unit:
    """Scores of a model on some patients."""
    patients = pd.DataFrame({"outcome": [i % 2 for i in range(len(ids))]}, pd.Index(ids, name="patient_id"))
    score = np.linspace(0.1, 0.9, len(ids))
    return Unit("s", model, "leak_free", "external", "final", score, score, patients)


def test_models_are_compared_in_the_patients_who_have_both_scores():
    """One patient without a score of one model does not take the comparison away without a word."""
    ((a, b),) = same_patients([unit("a", ["1", "2", "3", "4"]), unit("b", ["2", "3", "4", "5"])])
    assert a.patients.index.tolist() == b.patients.index.tolist() == ["2", "3", "4"]
    assert a.score.tolist() == pytest.approx([0.1 + 0.8 / 3, 0.1 + 1.6 / 3, 0.9])
    assert list(same_patients([unit("a", ["1"]), unit("b", ["2"])])) == []
