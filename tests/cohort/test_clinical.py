"""The clinical table against a study: every finding says what, how many and whose."""

import pandas as pd
import pytest

from gc_ray.cohort.clinical import check_clinical, parse_clinical
from gc_ray.errors import TableError
from gc_ray.study import ClinicalSettings

SETTINGS = ClinicalSettings(outcome="recurrence", time_months="time_months", event="event", predictors=("age", "cea"))


def table(**changes) -> pd.DataFrame:
    """A sound table of 60 patients, with columns changed."""
    n = 60
    sound = {
        "patient_id": [f"P{i}" for i in range(n)],
        "recurrence": [i % 2 for i in range(n)],
        "time_months": [10.0 + i for i in range(n)],
        "event": [i % 3 == 0 for i in range(n)],
        "age": range(n),
        "cea": range(n),
    }
    frame = pd.DataFrame(sound | changes)
    frame["event"] = frame["event"].astype(int) if "event" not in changes else frame["event"]
    return frame


def texts(frame: pd.DataFrame, scanned=None) -> list[str]:
    """The findings as text, level first."""
    patients = set(frame["patient_id"]) if scanned is None else scanned
    return [f"{f.level}: {f.text}" for f in check_clinical(frame, SETTINGS, patients)]


def test_a_sound_table_has_no_finding():
    """30 events for two predictors, right coding, every patient scanned: silence."""
    assert texts(table()) == []


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"recurrence": ["yes", "no"] * 30}, "error: recurrence: wanted 0 (no) and 1 (yes), found no, yes"),
        ({"recurrence": [1, 2] * 30}, "error: recurrence: wanted 0 (no) and 1 (yes), found 2"),
        ({"event": [1] * 60}, "error: event: wanted both 0 and 1"),
        ({"recurrence": [None, 0, 1] * 20}, "warning: recurrence: 20 of 60 values are empty"),
        ({"time_months": [-1.0] * 60}, "error: time_months: 60 negative times"),
        ({"time_months": ["2 years"] * 60}, "error: time_months: wanted months as numbers, 60 values are not"),
        ({"recurrence": [1] * 8 + [0] * 52}, "warning: 8 events for 2 predictors, 4.0 each; under 10"),
    ],
)
def test_each_fault_is_found_and_counted(changes, finding):
    """Coding, empty values, impossible times and too few events are named with their numbers."""
    assert any(text.startswith(finding) for text in texts(table(**changes)))


def test_patients_on_one_side_only_are_counted():
    """A scan without a row is an error, a row without a scan a warning."""
    frame = table()
    found = texts(frame, set(frame["patient_id"][1:]) | {"X1"})
    assert found[0].startswith("error: 1 scanned patients have no clinical row (X1)")
    assert found[1].startswith("warning: 1 clinical rows have no scan (P0)")


def test_a_missing_column_is_named():
    """What the study maps must be there."""
    assert "error: column(s) cea missing" in texts(table().drop(columns="cea"))[0]


def test_patients_stand_once():
    """Two rows of one patient cannot both be right."""
    with pytest.raises(TableError, match=r"c\.csv: wanted one row per patient_id, 1 stand twice \(P1\)"):
        parse_clinical(b"patient_id,age\nP1,3\nP1,4\n", "c.csv")
    with pytest.raises(TableError, match="column patient_id is missing, found id, age"):
        parse_clinical(b"id,age\nP1,3\n", "c.csv")
