"""Text to values: dates, orders and contradictions; and what each column becomes in a model."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gc_ray.cohort.coding import code_table, coding_of
from gc_ray.study import load_study
from gc_ray.study_cohort import ClinicalSettings, Number

DAYS = {"kind": "date", "low": "2011-01-01", "high": "2023-05-31"}


def settings(**given) -> ClinicalSettings:
    """Clinical settings as a TOML file gives them."""
    return ClinicalSettings.model_validate_json(json.dumps(given))


def frame(**columns) -> pd.DataFrame:
    """Text cells of patients P0, P1, .."""
    n = len(next(iter(columns.values())))
    return pd.DataFrame(columns, index=pd.Index([f"P{i}" for i in range(n)], name="patient_id"), dtype=object)


def errors(text: pd.DataFrame, **given) -> list[str]:
    """What is wrong with the table."""
    return [finding.text for finding in code_table(text, settings(**given))[1]]


@pytest.mark.parametrize(
    ("day", "message"),
    [
        (
            "2015-02-30",
            "surgery: wanted a date of the calendar as 2017-01-31; 1 of 2 are not: 2015-02-30 (patients P0)",
        ),
        ("30/02/2015", "surgery: wanted a date of the calendar"),
        ("2105-02-03", "surgery: wanted 2011-01-01 to 2023-05-31; 1 of 2 are not: 2105-02-03 (patients P0)"),
        ("2020-02-03", "surgery: wanted no value after seen, 1 are (patients P0); correct one of the two"),
    ],
)
def test_an_impossible_date_is_an_error(day, message):
    """Not in the calendar, out of the study's years, or after what must follow it."""
    text = frame(surgery=[day, "2015-01-01"], seen=["2019-01-01", "2019-01-01"])
    columns = {"surgery": DAYS | {"not_after": "seen"}, "seen": DAYS}
    found = errors(text, subgroups=["surgery"], columns=columns)
    assert len(found) == 1
    assert found[0].startswith(message)


@pytest.mark.parametrize(
    ("outcome", "months", "message"),
    [
        ("1", None, "recurrence is 1 and months is empty for 1 (patients P0); correct one of the two"),
        ("0", "3", "recurrence is 0 and months is given for 1 (patients P0)"),
        ("1", "30", "months: wanted no value after time, 1 are (patients P0)"),
    ],
)
def test_an_outcome_that_contradicts_its_time_is_an_error(outcome, months, message):
    """Who had it had it at some time, within the follow-up; who did not has no such time."""
    text = frame(recurrence=[outcome, "1", "0"], months=[months, "2", None], time=["20", "20", "20"])
    columns = {"months": {"kind": "number", "unit": "months", "low": 0, "high": 99, "not_after": "time"}}
    found = errors(text, outcome="recurrence", outcome_months="months", time_months="time", columns=columns)
    assert len(found) == 1
    assert found[0].startswith(message)


def test_levels_written_as_decimals_are_levels():
    """A column of 2 beside empty cells leaves many programs as 2.0."""
    grade = {"kind": "ordinal", "levels": ["0", "1", "2"]}
    values, findings = code_table(frame(trg=["2.0", None, "1"]), settings(source_label="trg", columns={"trg": grade}))
    assert findings == []
    assert list(values["trg"]) == ["2", None, "1"]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_keeps_every_bit(number):
    """What Python writes is what is read."""
    wide = ClinicalSettings(subgroups=("x",), columns={"x": Number(unit="", low=-np.inf, high=np.inf)})
    assert code_table(frame(x=[repr(number)]), wide)[0]["x"].iloc[0] == number


def test_a_declared_column_that_nothing_uses_need_not_be_there():
    """A group without a source task empties source_label and needs no such column."""
    study = load_study("recurrence", ("clinical.source_label=",)).clinical
    assert "trg" in study.columns
    assert "trg" not in study.declared


def test_the_coding_of_each_kind_is_stated():
    """Numbers and 0/1 as they are, ranks in the order of levels, indicators of each level but the first."""
    coding = coding_of(load_study("liver_metastasis").clinical)
    assert coding["age_years"]["terms"] == ["age_years"]
    assert coding["ct_stage"]["codes"] == {"T1": 0, "T2": 1, "T3": 2, "T4": 3}
    assert coding["lauren"]["terms"] == ["lauren=mixed", "lauren=diffuse"]
    assert coding["lauren"]["missing"] == "complete_case"
    with_category = settings(
        predictors=["sex"], columns={"sex": {"kind": "categorical", "levels": ["m", "f"], "missing": "category"}}
    )
    assert coding_of(with_category)["sex"]["terms"] == ["sex=f", "sex=not recorded"]
