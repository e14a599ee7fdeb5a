"""Scores that cannot be judged: one line that says why, or a defined answer."""

import numpy as np
import pandas as pd
import pytest

from gc_ray.errors import TableError
from gc_ray.report.compute import evaluate_all
from gc_ray.report.files import PAGE, report_of
from gc_ray.report.inputs import from_file
from gc_ray.study import load_study

STUDY = load_study(None, ("name=elsewhere", "evaluate.bootstrap=20"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.assign(score=f["score"] + 1), "wanted risks from 0 to 1"),
        (lambda f: f.assign(score="high"), "wanted numbers, got text such as 'high'"),
        (lambda f: f.drop(columns="score"), r"column\(s\) score missing"),
        (lambda f: f.drop(columns="outcome"), "no known outcome"),
        (lambda f: f.assign(outcome=2), "wanted 0 or 1"),
        (lambda f: f.assign(event=1 + f["outcome"], time_months=5), "event: wanted 0 or 1.* other values, such as"),
        (lambda f: f.assign(event=f["outcome"], time_months=-5), r"time: wanted 0 or more months.*\(-5\)"),
        (lambda f: f.assign(patient_id="same"), "have more, such as|different rows"),
        (lambda f: f.head(0), "at least one row"),
    ],
)
def test_scores_that_are_none_are_refused_in_one_line(scores_file, change, said):
    """The message says what was wanted and what came."""
    with pytest.raises(TableError, match=said) as caught:
        from_file(scores_file(change=change), None, STUDY)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", ["semicolons", "utf-16", "xlsx", "parquet"])
def test_scores_in_another_form_are_the_same_scores(scores_file, tmp_path, form):
    """A table of semicolons and decimal commas, of Excel or Parquet gives the same report."""
    plain = scores_file(60)
    frame, path = pd.read_csv(plain, dtype={"patient_id": str}, float_precision="round_trip"), tmp_path / "other"
    if form == "semicolons":
        frame.to_csv(path, index=False, sep=";", decimal=",")
    elif form == "utf-16":
        frame.to_csv(path, index=False, encoding="utf-16")
    elif form == "parquet":
        frame.to_parquet(path, index=False)
    else:
        frame.to_excel(path, index=False, engine="openpyxl")
    one, other = from_file(plain, None, STUDY), from_file(str(path), None, STUDY)
    assert one.scores.equals(other.scores)
    assert one.identity == other.identity


def test_a_score_that_is_missing_is_refused_with_its_patient(scores_file):
    """In words of the table, not of a schema."""
    with pytest.raises(
        TableError, match=r"^scores\.csv: score is empty for 1 row\(s\), the first is patient \w+ \(row 2"
    ):
        from_file(scores_file(60, lambda f: f.assign(score=f["score"].where(f.index > 0))), None, STUDY)


def test_a_missing_file_is_said_by_name(tmp_path):
    """Not a traceback, and not the whole path."""
    with pytest.raises(TableError, match=r"^nothing\.csv: wanted a table of scores"):
        from_file(str(tmp_path / "nothing.csv"), None, STUDY)


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.assign(outcome=0),
        lambda f: f.assign(outcome=1),
        lambda f: f.assign(score=0.3),
        lambda f: f.assign(score=f["outcome"].astype(float)),
        lambda f: f.assign(score=f["score"].round(1)),
        lambda f: f.head(3).assign(outcome=[0, 1, 0]),
        lambda f: f.head(1),
        lambda f: f.assign(event=0),
        lambda f: f.assign(cohort=np.where(f.index < 3, "train", "internal")),
    ],
    ids=[
        "no-event",
        "all-events",
        "all-tied",
        "separated",
        "many-ties",
        "three",
        "one",
        "no-deaths",
        "tiny-training",
    ],
)
def test_a_cohort_that_allows_little_still_gives_a_page(scores_file, change):
    """Numbers that do not exist are missing with a note, never invented; the page says so."""
    done = evaluate_all(from_file(scores_file(60, change), None, STUDY))
    metrics = done.frame("metrics")
    empty = metrics["estimate"].isna()
    assert (metrics.loc[empty, "note"] != "").all(), metrics.loc[empty & (metrics["note"] == "")]
    assert PAGE in report_of(done).files


def test_perfect_separation_is_a_serious_doubt(scores_file):
    """An AUC of 1 with an interval that is a point is not a triumph."""
    done = evaluate_all(from_file(scores_file(60, lambda f: f.assign(score=f["outcome"] * 0.8 + 0.1)), None, STUDY))
    flags = done.frame("flags")
    assert "separation" in set(flags.loc[flags["severity"] == "serious", "flag"])
