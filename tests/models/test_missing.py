"""Missing values are filled from the rows of the fit only, or cost the row, and every one is counted."""

import numpy as np
import pandas as pd
import pytest

from gc_ray.errors import TableError
from gc_ray.models.missing import fit_completion

TRAIN = pd.DataFrame(
    {"cea": [1.0, 3.0, np.nan, 100.0], "stage": ["II", "III", "III", None], "age": [50.0, np.nan, 60.0, 70.0]}
)
POLICIES = {"cea": "median", "stage": "mode", "age": "complete_case"}


def test_fills_come_from_the_rows_of_the_fit():
    """New rows get the training median and mode, whatever the new rows hold."""
    completion = fit_completion(TRAIN, POLICIES)
    new = pd.DataFrame({"cea": [np.nan, 1e6], "stage": [None, "I"], "age": [40.0, np.nan]}, index=["p1", "p2"])
    done = completion.apply(new)
    assert done.table.to_dict("index") == {"p1": {"cea": 3.0, "stage": "III", "age": 40.0}}
    assert done.kept.to_dict() == {"p1": True, "p2": False}
    assert new["cea"].isna().sum() == 1


def test_everything_missing_is_counted():
    """One row per column: its policy, how many were missing, what was filled in."""
    counts = fit_completion(TRAIN, POLICIES).apply(TRAIN).counts.set_index("column")
    assert counts["missing"].to_dict() == {"cea": 1, "stage": 1, "age": 1}
    assert counts.loc["cea", "fill"] == 3.0
    assert counts.loc["age", "fill"] is None


def test_every_kind_of_column_can_be_filled():
    """Truth values, whole numbers and categories, with the missing value of each kind."""
    table = pd.DataFrame(
        {
            "chemo": pd.Series([True, None, True], dtype=object),
            "nodes": pd.array([1, None, 2], dtype="Int64"),
            "stage": pd.Categorical(["II", None, "II"]),
        }
    )
    done = fit_completion(table, {"chemo": "mode", "nodes": "median", "stage": "mode"}).apply(table)
    assert done.table.loc[1].to_dict() == {"chemo": True, "nodes": 1.5, "stage": "II"}
    assert done.table["chemo"].dtype == bool


def test_of_ties_the_least_is_the_mode():
    """The same fill whatever the order of rows."""
    table = pd.DataFrame({"stage": ["III", "II"]})
    assert fit_completion(table, {"stage": "mode"}).fills == {"stage": "II"}
    assert fit_completion(table[::-1], {"stage": "mode"}).fills == {"stage": "II"}


@pytest.mark.parametrize(
    ("policies", "message"),
    [
        ({"cea": "mean"}, "column cea: wanted complete_case, median, mode, got mean"),
        ({"stage": "median"}, "column stage: wanted numbers"),
        ({"height": "mode"}, "wanted columns height"),
        ({"empty": "median"}, "column empty: wanted values to impute from"),
    ],
)
def test_a_policy_that_cannot_be_is_refused(policies, message):
    """One line that names the column."""
    with pytest.raises(TableError, match=message):
        fit_completion(TRAIN.assign(empty=np.nan), policies)
