"""A table of scores: text stays text, numbers are numbers, and a missing score is named by its patient."""

import io

import numpy as np
import pandas as pd
import pytest

from gc_ray.cohort.scores_table import parse_scores
from gc_ray.errors import TableError


def parse(text: str, **options) -> pd.DataFrame:
    """The table of this text, the outcome being a number."""
    return parse_scores(text.encode(), "s.csv", ("outcome", "event"), **options)[0]


def test_ids_and_labels_stay_text():
    """007 keeps its zeros; a model, a cohort or a site called 1 is no number."""
    found = parse("patient_id,score,outcome,cohort,model_id,site\n007,0.5,1,1,01,NA\n")
    assert found.iloc[0].to_dict() == {
        "patient_id": "007", "score": 0.5, "outcome": 1, "cohort": "1", "model_id": "01", "site": "NA"
    }  # fmt: skip


def test_other_columns_are_numbers_where_all_cells_are():
    """As pandas infers them, but for words that are no gap."""
    text = "patient_id,score,outcome,age,stage,cea\na,0.5,1,61,I,1.5\nb,0.25,0,55,NA,\n"
    found, expected = parse(text), pd.read_csv(io.StringIO(text), float_precision="round_trip")
    assert found[["score", "outcome", "age", "cea"]].equals(expected[["score", "outcome", "age", "cea"]])
    assert found["stage"].tolist() == ["I", None]
    assert parse(text, levels={"stage": ("I", "NA")})["stage"].tolist() == ["I", "NA"]


@pytest.mark.parametrize("gap", ["", "NA", "N/A", "-", "None", "未知"])
def test_a_missing_score_is_refused_with_its_patient(gap):
    """In words of the table: whose, in which row."""
    with pytest.raises(TableError) as refusal:
        parse(f"patient_id,score,outcome\n0001,0.5,1\n0002,{gap},0\n0003,{gap},0\n")
    assert str(refusal.value).startswith(
        "s.csv: score is empty for 2 row(s), the first is patient 0002 (row 3, column score (B)); fill in each row"
    )


@pytest.mark.parametrize(
    ("column", "text"), [("score", "high"), ("outcome", "yes"), ("score", "1e400"), ("outcome", "#REF!")]
)
def test_text_among_numbers_is_refused_with_its_place(column, text):
    """Where, and what it says."""
    row = {"patient_id": "P1", "score": "0.5", "outcome": "1"} | {column: text}
    letter = {"score": "B", "outcome": "C"}[column]
    with pytest.raises(
        TableError, match=rf"^s\.csv: row 2, column {column} \({letter}\): wanted numbers, got text such"
    ):
        parse(",".join(row) + "\n" + ",".join(row.values()) + "\n")


def test_an_outcome_of_true_and_false_is_0_and_1():
    """As pandas and R write it; a mixture of both ways is refused."""
    head = "patient_id,score,outcome,event\n"
    found = parse(f"{head}a,0.5,True,TRUE\nb,0.5,False,NA\n")
    assert found["outcome"].tolist() == [1, 0]
    assert found["event"].iloc[0] == 1 and np.isnan(found["event"].iloc[1])
    with pytest.raises(TableError, match="column outcome"):
        parse(f"{head}a,0.5,True,1\nb,0.5,0,1\n")


@pytest.mark.parametrize("column", ["linear_predictor", "kind"])
def test_what_goes_with_a_score_is_there_in_every_row_or_in_none(column):
    """A gap is refused as that of a score is."""
    with pytest.raises(
        TableError, match=rf"^s\.csv: {column} is empty for 1 row\(s\), the first is patient 0002 \(row 3"
    ):
        parse(f"patient_id,score,{column}\n0001,0.5,1\n0002,0.5,\n")


@pytest.mark.parametrize("lost", ["patient_id", "score"])
def test_a_missing_column_is_refused_by_name(lost):
    """With what was found."""
    head = [c for c in ("patient_id", "score", "outcome") if c != lost]
    with pytest.raises(TableError, match=rf"^s\.csv: column\(s\) {lost} missing, found "):
        parse(",".join(head) + "\n1,1\n")


def test_a_patient_with_two_scores_of_one_model_is_refused_with_both_rows():
    """Of two models a patient has two."""
    text = "patient_id,score,model_id\na,0.5,m\nb,0.2,m\na,0.4,{}\n"
    with pytest.raises(TableError, match=r"1 patients have more, such as a \(rows 2 and 4\); keep one"):
        parse(text.format("m"))
    assert len(parse(text.format("other"))) == 3
