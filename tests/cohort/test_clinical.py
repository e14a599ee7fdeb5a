"""The clinical table against a study: one set of rules, every finding says what, how many, whose and what to do."""

import io

import pandas as pd
import pytest

from gc_ray.cohort.clinical import check_clinical, parse_clinical, source_patients
from gc_ray.errors import TableError
from gc_ray.study_cohort import Binary, ClinicalSettings, Number, Ordinal

SETTINGS = ClinicalSettings(
    outcome="recurrence",
    time_months="time_months",
    event="event",
    predictors=("age", "stage"),
    source_label="grade",
    columns={
        "age": Number(unit="years", low=18, high=110),
        "stage": Ordinal(kind="ordinal", levels=("I", "II", "None"), missing="impute"),
        "grade": Binary(),
    },
)
N = 60


def table(**changes) -> pd.DataFrame:
    """A sound table of 60 patients as read from a CSV, with columns changed."""
    sound = {
        "patient_id": [f"P{i:02d}" for i in range(N)],
        "site": ["A"] * N,
        "recurrence": [i % 2 for i in range(N)],
        "time_months": [10.5 + i for i in range(N)],
        "event": [int(i % 3 == 0) for i in range(N)],
        "age": [40 + i % 50 for i in range(N)],
        "stage": ["I", "II"] * (N // 2),
        "grade": [None] * N,
    }
    return parse_clinical(pd.DataFrame(sound | changes).to_csv(index=False).encode(), "c.csv")


def texts(text: pd.DataFrame, scanned: set[str] | None = None) -> list[str]:
    """The findings as text, level first."""
    return [f"{f.level}: {f.text}" for f in check_clinical(text, SETTINGS, scanned)[1]]


def test_a_sound_table_has_no_finding():
    """30 events for two predictors, right coding, every patient scanned: silence."""
    assert texts(table(), {f"P{i:02d}" for i in range(N)}) == []


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        (
            {"recurrence": ["yes", "no"] * 30},
            "error: recurrence: wanted 0 (no) and 1 (yes); 60 of 60 are not: yes, no (patients P00, P01, P02, ..)",
        ),
        (
            {"recurrence": [1, 2] * 30},
            "error: recurrence: wanted 0 (no) and 1 (yes); 30 of 60 are not: 2 (patients P01",
        ),
        ({"event": [1] * N}, "error: event: wanted both 0 and 1, every value is 1"),
        (
            {"recurrence": [None, 0, 1] * 20},
            "warning: recurrence: 20 of 60 values are empty (patients P00, P03, P06, ..); these patients",
        ),
        (
            {"stage": ["I", "NA"] * 30},
            "warning: stage: 30 of 60 values are empty (patients P01, P03, P05, ..); impute",
        ),
        ({"age": ["N/A"] + [50] * 59}, "warning: age: 1 of 60 values are empty (patients P00); complete_case"),
        (
            {"time_months": [-1.0] * N},
            "error: time_months: wanted 0 to 1200 months; 60 of 60 are not: -1.0 (patients",
        ),
        ({"time_months": ["2 years"] * N}, "error: time_months: wanted a number in months"),
        (
            {"age": ["<18"] + [50] * 59},
            "error: age: wanted a number in years, with a decimal point and without signs",
        ),
        ({"age": ["inf"] + [50] * 59}, "error: age: wanted a number in years"),
        (
            {"age": [500] + [50] * 59},
            "error: age: wanted 18 to 110 years; 1 of 60 are not: 500 (patients P00); correct",
        ),
        ({"stage": ["I", "IV"] * 30}, "error: stage: wanted one of I, II, None; 30 of 60 are not: IV (patients P01"),
        ({"recurrence": [1] * 8 + [0] * 52}, "warning: 8 events for 2 predictors, 4.0 each; under 10"),
        ({"event": [None, 0, 1] * 20}, "error: event is empty and time_months is given for 20 (patients P00"),
        ({"time_months": [None, 3, 4] * 20}, "error: event is given and time_months is empty for 20 (patients P00"),
        ({"site": [None] + ["A"] * 59}, "error: site: 1 values are empty (patients P00)"),
        (
            {"patient_id": ["p01", *(f"P{i:02d}" for i in range(1, N))]},
            "error: 2 patient ids differ only in upper and",
        ),
    ],
)
def test_each_fault_is_found_counted_and_somebodys(changes, finding):
    """Coding, limits, empty values, contradictions and too few events, with numbers, patients and advice."""
    found = texts(table(**changes))
    assert any(text.startswith(finding) for text in found), found


@pytest.mark.parametrize(
    "changes",
    [
        {"age": ["<18"] + [50] * 59},
        {"stage": ["IV"] + ["I"] * 59},
        {"recurrence": ["yes"] * 60},
        {"recurrence": ["yes"] * 50 + [0] * 10},
        {"event": ["dead"] + [0, 1] * 29 + [0]},
        {"time_months": ["2 years"] + [3.0] * 59},
    ],
)
def test_a_value_that_does_not_fit_is_found_once(changes):
    """Neither empty nor a contradiction, nor one of a class that is missing: its one error says what to do."""
    found = texts(table(**changes))
    assert len(found) == 1, found
    assert found[0].startswith(f"error: {next(iter(changes))}: wanted ")


def test_patients_on_one_side_only_are_counted():
    """A scan without a row is an error, a row without a scan a warning."""
    text = table()
    found = texts(text, set(text.index[1:]) | {"X1"})
    assert found[0].startswith("error: 1 scanned patients have no clinical row (X1)")
    assert found[1].startswith("warning: 1 clinical rows have no scan (P00)")


def test_a_missing_column_is_named_with_what_it_may_be_called():
    """What the study maps must be there; a slip of the pen is guessed."""
    found = texts(table().rename(columns={"stage": "stages"}))
    assert found == [
        "error: column(s) stage missing (is it stages for stage?); add them or change [clinical] in the study file"
    ]


def test_a_word_for_nothing_is_a_level_where_the_study_says_so():
    """None is a level of this stage and nothing elsewhere."""
    values, _ = check_clinical(table(stage=["None", "I"] * 30, age=["None"] + [50] * 59), SETTINGS)
    assert values["stage"].iloc[0] == "None"
    assert pd.isna(values["age"].iloc[0])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            b"patient_id,age\nP1,3\nP1,4\n",
            r"c\.csv: wanted one row per patient_id, 1 patients have more than one \(P1\); a patient",
        ),
        (b"patient_id,site\nP1,A\n P1 ,B\n", r"more than one \(P1\), 1 of them at two sites"),
        (b"patient_id,age\n,4\n", r"patient_id is empty in 1 row\(s\), the first is row 2; fill it in"),
        (b"id,age\nP1,3\n", r"column\(s\) patient_id missing, found id, age; did you mean 'id'"),
        (b"patient_id,age,age\nP1,3,4\n", r"column\(s\) age occur twice"),
        (b"patient_id,age\nP1,3,4\n", "row 2 has 3 cells, the header has 2"),
        (b"", "the table is empty"),
    ],
)
def test_a_table_that_cannot_be_one_is_refused(data, message):
    """One patient, one row, one site: otherwise the same patient could stand in two cohorts."""
    with pytest.raises(TableError, match=message):
        parse_clinical(data, "c.csv")


def test_csv_and_parquet_say_the_same():
    """Integers beside empty cells, booleans and text ids survive either format."""
    frame = pd.DataFrame(
        {
            "patient_id": ["007", "008", "009", "010"],
            "recurrence": pd.array([1, 0, None, 1], "Int64"),
            "time_months": [1.1, 2.2, None, 0.1 + 0.2],
            "event": pd.array([True, False, None, True], "boolean"),
            "age": [50, 51, 52, 53],
            "stage": ["I", None, "II", "I"],
            "grade": [None, None, 1.0, None],
        }
    )
    sink = io.BytesIO()
    frame.to_parquet(sink)
    text = frame.assign(event=frame["event"].astype("Int64")).to_csv(index=False)
    a, _ = check_clinical(parse_clinical(sink.getvalue(), "c.parquet"), SETTINGS)
    b, _ = check_clinical(parse_clinical(text.encode(), "c.csv"), SETTINGS)
    pd.testing.assert_frame_equal(a, b)
    assert list(a.index) == ["007", "008", "009", "010"]
    assert a["time_months"].iloc[3] == 0.1 + 0.2
    assert list(source_patients(a, SETTINGS)) == [False, False, True, False]


@pytest.mark.parametrize("other", ["a", "\uff21", " a"])
def test_two_ways_to_type_a_site_are_two_sites_to_a_program_and_refused(other):
    """In case, in blanks, in Unicode form: else one hospital would be in two cohorts."""
    (text,) = texts(table(site=["A"] * 50 + [other] * 10))
    assert "'A' (50 patients)" in text and "(10 patients)" in text
    assert text.startswith("error: site: '")
    assert text.endswith("differ only in case, blanks or Unicode form; write one label")
    assert texts(table(site=["A"] * 50 + ["A2"] * 10)) == []


def test_scanned_patients_whose_ids_do_not_meet_the_table_are_one_finding_with_the_cause():
    """Not sixty rows to be added and sixty that have no scan."""
    (text,) = texts(table(), {f"p{i:02d}" for i in range(N)})
    assert text.startswith(
        "error: no patient id is in both the scans table and the clinical table; 60 only in the scan"
    )
    assert "(p00, p01, p02, ..)" in text and "(P00, P01, P02, ..)" in text
    assert "60 of them differ only in upper and lower case (p00 and P00)" in text
    some_of_them = {f"P{i:02d}" for i in range(50)} | {f"P{i}-" for i in range(50, N)}
    error, warning = texts(table(), some_of_them)
    assert error.startswith("error: 10 scanned patients have no clinical row (P50-, P51-, P52-, ..); 10 of them diff")
    assert warning.startswith("warning: 10 clinical rows have no scan")
