"""The same person under two ids: found by values that hardly any two people share, and by no others."""

import numpy as np
import pandas as pd
import pytest

from gc_ray.cohort.duplicates import Alike, clinical_duplicates, same_people
from gc_ray.study_cohort import ClinicalSettings

SETTINGS = ClinicalSettings()
N = 120


def people(n: int = N) -> list[str]:
    """Ids P000, .."""
    return [f"P{i:03d}" for i in range(n)]


def continuous(columns: int, n: int = N) -> np.ndarray:
    """Values that no two people share."""
    return np.random.default_rng(columns).normal(size=(n, columns))


@pytest.mark.parametrize("columns", [10, 12, 300])
def test_a_row_under_two_ids_is_found(columns):
    """Ten columns are enough."""
    x = continuous(columns)
    x[70] = x[7]
    (found,) = same_people(people(), x, SETTINGS)
    assert (found.first, found.second) == ("P007", "P070")
    assert found.equal == found.compared >= 10


def test_the_same_person_with_later_follow_up_is_found_and_three_ids_are_three_pairs():
    """Some columns differ, a value may be missing; ten that are equal among twelve are enough."""
    x = continuous(12)
    x[70], x[71] = x[7], x[7]
    x[70, :2] += 1
    x[71, 5] = np.nan
    assert [(one.first, one.second, one.equal) for one in same_people(people(), x, SETTINGS)] == [
        ("P007", "P070", 10), ("P007", "P071", 11),
    ]  # fmt: skip
    x[71, 5], x[70, :2] = x[7, 5], x[7, :2]
    assert len(same_people(people(), x, SETTINGS)) == 3


def test_the_last_digits_of_a_value_say_nothing():
    """A scan that was computed twice, on two machines; a date as a number keeps its day."""
    x = continuous(12)
    x[70] = x[7] * (1 + 1e-12)
    assert [(one.first, one.second) for one in same_people(people(), x, SETTINGS)] == [("P007", "P070")]
    days = np.random.default_rng(1).permuted(np.tile(20200101.0 + np.arange(N), (12, 1)), axis=1).T
    assert same_people(people(), days, SETTINGS) == []


def test_whole_numbers_that_many_share_are_found_by_the_whole_row():
    """Ages and laboratory values in whole units: one of them says little, eleven say who it is."""
    x = np.round(15 * continuous(11, 600))
    x[400] = x[3]
    assert same_people(people(600), x, SETTINGS) == [Alike("P003", "P400", 11, 11)]


def test_nine_columns_and_columns_of_few_values_never_trigger():
    """A table of a few factors holds twins by chance."""
    x = continuous(9)
    x[70] = x[7]
    assert same_people(people(), x, SETTINGS) == []
    stages = np.random.default_rng(0).integers(0, 4, (N, 40)).astype(float)
    stages[70] = stages[7]
    assert same_people(people(), stages, SETTINGS) == []


def test_values_that_many_have_do_not_make_two_people_one():
    """Half of a network's outputs are 0 in everybody; small tumours share a constant in some columns, no more."""
    clipped = np.maximum(continuous(500), 0)
    assert same_people(people(), clipped, SETTINGS) == []
    clipped[70] = clipped[7]
    assert len(same_people(people(), clipped, SETTINGS)) == 1
    small = continuous(40)
    small[:4, :15] = 1.0
    assert same_people(people(), small, SETTINGS) == []


def test_people_who_are_declared_to_be_different_are_no_finding():
    """Phantoms, and twins; whoever is not named stays a finding."""
    x = continuous(12)
    x[70], x[71] = x[7], x[7]
    one = SETTINGS.model_copy(update={"different_patients": (("P070", "P007"),)})
    assert [(a.first, a.second) for a in same_people(people(), x, one)] == [("P007", "P071"), ("P070", "P071")]
    group = SETTINGS.model_copy(update={"different_patients": (("P007", "P070", "P071"),)})
    assert same_people(people(), x, group) == []
    assert same_people(people(), x, SETTINGS.model_copy(update={"different_patients": "all"})) == []


def test_the_order_of_rows_changes_nothing():
    """Pairs follow from who is there."""
    x = continuous(12)
    x[70] = x[7]
    order = np.random.default_rng(3).permutation(N)
    ids = np.array(people())[order]
    assert same_people(ids, x[order], SETTINGS) == same_people(people(), x, SETTINGS)


def test_a_clinical_table_is_searched_in_every_column_but_the_site_and_says_the_fix():
    """Numbers, dates and free text; columns that the study does not declare tell people apart as well."""
    x = np.round(continuous(9), 3)
    text = pd.DataFrame(x.astype(str), people(), [f"lab{i}" for i in range(9)], dtype=object)
    text["born"] = pd.date_range("1940-01-01", periods=N, freq="100D").strftime("%Y-%m-%d")
    text["site"] = "A"
    text.loc["P070"] = text.loc["P007"]
    text.loc["P070", "site"] = "B"
    text.loc["P070", "lab0"] = f"{float(text.loc['P007', 'lab0']):.5f}"
    (found,) = clinical_duplicates(text, SETTINGS)
    assert found.level == "error"
    assert found.text == (
        "clinical table: 1 pair of patients has the same values, as one person under two ids has: P007 and P070 "
        "(equal in 10 of 10 columns); leave one of each pair out, or name those who are different people in "
        "clinical.different_patients"
    )
    assert clinical_duplicates(text.drop("P070"), SETTINGS) == []
