"""Eligibility: rules in order, each patient's first reason, every step counted."""

import json

import numpy as np
import pandas as pd
import pytest

from gc_ray.cohort.clinical import check_clinical, parse_clinical
from gc_ray.cohort.eligibility import Step, apply_rules
from gc_ray.cohort.synthetic.draw import draw
from gc_ray.cohort.synthetic.spec import CohortSpec
from gc_ray.study import load_study
from gc_ray.study_cohort import ClinicalSettings

NUMBER = {"kind": "number", "unit": "months", "low": 0, "high": 240}
GUO = {
    "outcome": "lm",
    "rules": [
        {"exclude": {"column": "treated", "value": 1}, "reason": "treated before"},
        {
            "include": {"column": "months", "is": ">=", "value": 24},
            "when": {"column": "lm", "value": 0},
            "reason": "followed for less than 24 months",
        },
    ],
    "predictors": ["cea", "sex", "her2"],
    "columns": {
        "treated": {"kind": "binary"},
        "months": NUMBER,
        "cea": NUMBER,
        "sex": {"kind": "categorical", "levels": ["m", "f"], "missing": "impute"},
        "her2": {"kind": "binary", "missing": "category"},
    },
}


def values(rows: list[tuple]) -> pd.DataFrame:
    """Checked values: lm, treated, months, cea, sex, her2 of patients P0, P1, .."""
    names = ["lm", "treated", "months", "cea", "sex", "her2"]
    return pd.DataFrame(rows, columns=names, index=[f"P{i}" for i in range(len(rows))])


def settings() -> ClinicalSettings:
    """Rules as a study file gives them."""
    return ClinicalSettings.model_validate_json(json.dumps(GUO))


def test_rules_apply_in_order_and_each_step_is_counted():
    """A patient leaves at the first rule it fails; what is not recorded cannot be judged and is counted apart."""
    nan = np.nan
    found = apply_rules(
        values(
            [
                (1, 0, 3, 1, "m", 1),  # a positive counts however short its follow-up
                (0, 0, 24, 1, "m", 1),
                (0, 0, 23.9, 1, "m", 1),
                (0, 1, 3, 1, "m", 1),  # fails both rules: the first one takes it
                (nan, 1, 3, 1, "m", 1),
                (0, nan, 30, 1, "m", 1),
                (1, 0, 30, nan, None, 1),
                (1, 0, 30, 1, None, nan),
            ]
        ),
        settings(),
    )
    assert list(found.reason) == [
        "",
        "",
        "followed for less than 24 months",
        "treated before",
        "outcome not recorded",
        "not recorded whether: treated before",
        "not recorded: cea",
        "",
    ]
    assert found.flow == (
        Step("patients in the clinical table", 8, 0),
        Step("outcome not recorded", 7, 1, "lm"),
        Step("not recorded whether: treated before", 6, 1, "treated"),
        Step("treated before", 5, 1),
        Step("followed for less than 24 months", 4, 1),
        Step("a predictor not recorded", 3, 1, "cea 1"),
        Step("a predictor not recorded, imputed within each fold", 3, 0, "sex 1"),
        Step("a predictor not recorded, a level of its own", 3, 0, "her2 1"),
    )


@pytest.fixture(scope="module")
def drawn() -> pd.DataFrame:
    """A simulated clinical table of 1,500 patients and 50 of the source task, as text."""
    clinical = draw(CohortSpec(1500, 2, seed=1, source_patients=50)).clinical
    return parse_clinical(clinical.to_csv(index=False).encode(), "clinical.csv")


@pytest.mark.parametrize("study", ["recurrence", "liver_metastasis"])
def test_the_flow_of_a_packaged_study_adds_up(drawn, study):
    """Every patient of the table is eligible or left at one step; nobody is counted twice."""
    clinical = load_study(study).clinical
    checked, findings = check_clinical(drawn, clinical)
    assert [f for f in findings if f.level == "error"] == []
    found = apply_rules(checked, clinical)
    left = [step.n_left for step in found.flow]
    removed = [step.n_removed for step in found.flow]
    assert left[0] == len(drawn)
    assert all(before - after == n for before, after, n in zip(left, left[1:], removed[1:], strict=False))
    assert left[-1] == (found.reason == "").sum()


def test_the_rules_of_cao_leave_whom_the_paper_describes(drawn):
    """R0, D2, CT within a week, complete follow-up, and nobody with a recurrence or death within two months."""
    clinical = load_study("recurrence").clinical
    found = apply_rules(check_clinical(drawn, clinical)[0], clinical)
    truth = drawn.drop(columns="site")[["r0_resection", "d2_dissection", "complete_follow_up"]].eq("1").all(axis=1)
    truth &= drawn["early_recurrence_or_death"].eq("0") & pd.to_numeric(drawn["days_ct_to_surgery"]).le(7)
    assert (found.reason == "").equals(truth)
    assert (found.source == drawn.index.str.startswith("S")).all()


def test_the_rules_of_guo_leave_whom_the_paper_describes(drawn):
    """No other tumour, no earlier treatment, and without metastasis only after two years of follow-up."""
    clinical = load_study("liver_metastasis").clinical
    found = apply_rules(check_clinical(drawn, clinical)[0], clinical)
    truth = drawn["other_tumour"].eq("0") & drawn["prior_treatment"].eq("0")
    long_enough = pd.to_numeric(drawn["time_months"].replace("", None)).ge(24)
    truth &= drawn["liver_metastasis"].eq("1") | (drawn["liver_metastasis"].eq("0") & long_enough)
    assert (found.reason == "").equals(truth)
