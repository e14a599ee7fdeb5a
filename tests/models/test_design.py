"""Clinical columns as terms: a level that the fit has not seen is no level of its own, and not the reference."""

import numpy as np
import pandas as pd
import pytest

from gc_ray.errors import TableError
from gc_ray.models.design import fit_design, unseen_text
from gc_ray.models.scoring import design_of

CODING = {
    "stage": {
        "kind": "categorical", "levels": ["I", "II", "III"], "missing": "category",
        "terms": ["stage=II", "stage=III", "stage=not recorded"],
    },
    "smokes": {"kind": "binary", "missing": "category", "terms": ["smokes", "smokes=not recorded"]},
    "grade": {
        "kind": "ordinal", "levels": ["1", "2"], "codes": {"1": 0, "2": 1}, "missing": "impute", "terms": ["grade"],
    },
    "age": {"kind": "number", "missing": "impute", "terms": ["age"]},
}  # fmt: skip


def patients(**columns: list) -> pd.DataFrame:
    """Four patients whom all columns know, with some columns changed."""
    known = {
        "stage": ["I", "II", "I", "II"], "smokes": [0.0, 1.0, 0.0, 1.0], "grade": ["1", "2", "1", "2"],
        "age": [50.0, 60.0, 70.0, 80.0],
    }  # fmt: skip
    return pd.DataFrame(known | columns)


@pytest.mark.parametrize(
    ("changes", "column", "level"),
    [
        ({"stage": ["III", "I", "II", "I"]}, "stage", "III"),
        ({"stage": [None, "I", "II", "I"]}, "stage", "(not recorded)"),
        ({"smokes": [np.nan, 1.0, 0.0, 1.0]}, "smokes", "(not recorded)"),
    ],
)
def test_a_level_that_the_fit_has_not_seen_is_not_the_reference_level(changes, column, level):
    """All terms of the column are NaN in that row, so that nothing is predicted from it; the others are as ever."""
    design, table = fit_design(CODING, patients()), patients(**changes)
    found = design.apply(table)
    assert found.loc[0, CODING[column]["terms"]].isna().all()
    assert found.drop(columns=CODING[column]["terms"]).notna().all(axis=None)
    assert found.loc[1:].notna().all(axis=None)
    assert {name: levels.tolist() for name, levels in design.unseen(table).items()} == {column: [level, "", "", ""]}


def test_a_level_is_seen_where_one_row_of_the_fit_has_it():
    """One patient without a value makes 'not recorded' a level that the model knows."""
    design = fit_design(CODING, patients(stage=["I", "II", "III", None], smokes=[0.0, 1.0, np.nan, 0.0]))
    table = patients(stage=[None, "III", "I", "II"], smokes=[np.nan, 0.0, 1.0, 1.0])
    assert design.apply(table).notna().all(axis=None)
    assert design.apply(table)["stage=not recorded"].tolist() == [1, 0, 0, 0]


def test_what_is_imputed_has_no_level_to_be_seen():
    """A number and an ordered level keep their fill, and a rank beyond those seen is a number as any other."""
    design = fit_design(CODING, patients(grade=["1", "1", "1", "1"]))
    found = design.apply(patients(age=[np.nan, 1.0, 1.0, 1.0], grade=[None, "2", "1", "1"]))
    assert found["age"].tolist() == [65.0, 1.0, 1.0, 1.0]
    assert found["grade"].tolist() == [0, 1, 0, 0]


def test_a_design_that_was_stored_knows_the_levels_and_an_older_one_takes_all_for_seen():
    """As a bundle keeps it: JSON lists by column."""
    made = fit_design(CODING, patients())
    seen = {column: list(levels) for column, levels in made.seen.items()}
    assert seen == {"stage": ["I", "II"], "smokes": []}
    table = patients(stage=["III", "I", "II", "I"])
    assert np.isnan(design_of(CODING, made.fills, seen).apply(table).loc[0, "stage=II"])
    assert design_of(CODING, made.fills).apply(table).loc[0, "stage=II"] == 0


def test_the_reason_is_in_words_and_an_unknown_level_stays_an_error():
    """A level that no coding names is a slip of the table; one that nobody in training had is a patient's fate."""
    assert unseen_text("stage", "III") == "level III of stage is in none of the patients that the model was fitted on"
    assert "smokes is not recorded, and it is in all patients" in unseen_text("smokes", "(not recorded)")
    with pytest.raises(TableError, match="column stage: wanted one of I, II, III, got IV"):
        fit_design(CODING, patients()).apply(patients(stage=["IV", "I", "I", "I"]))
