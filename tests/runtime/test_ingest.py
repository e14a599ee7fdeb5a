"""Features made elsewhere: as good as extracted once they are in, and refused where they cannot be told apart."""

import json

import pandas as pd
import pyarrow as pa
import pytest

from gc_ray import ledger
from gc_ray.errors import TableError
from gc_ray.runtime.gather import gather
from gc_ray.runtime.ingest import ingest
from gc_ray.runtime.split import split
from gc_ray.store import Store, open_store
from gc_ray.study import load_study

STUDY = """
name = "s"
[extract]
feature_sets = []
[clinical]
outcome = "died"
[split]
folds = 2
[[signature]]
name = "texture"
families = ["radiomics"]
[tune]
feature_set = "theirs"
"""


@pytest.fixture
def store(tmp_path) -> Store:
    """An empty store."""
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def table(tmp_path):
    """A function that writes a features table and gives its address."""

    def write(name: str = "features.csv", text: str = "patient_id,b,a\n007,1e-3,2\n8,,0.1\n") -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


def test_values_and_ids_come_back_as_written(table, store):
    """A patient 007 keeps the zeros, a number its last bit, columns their order; a gap is NaN with a reason."""
    done = ingest(table(), "theirs", store, "run-1")
    assert (done.rows, done.features, done.added, done.gaps) == (2, ("b", "a"), 2, 1)
    found = ledger.read_features(store, "theirs").to_pandas().set_index("patient_id")
    assert found.loc["007", ["b", "a"]].tolist() == [1e-3, 2.0]
    assert pd.isna(found.loc["8", "b"])
    rows = {row["scan_id"]: row for row in ledger.read_ledger(store).to_pylist()}
    assert rows["8"]["missing"] == '{"b": "no value in the table"}'
    assert rows["007"]["notes"] == ["values made elsewhere, brought in from a table"]


def test_the_same_table_again_adds_nothing_and_a_mended_one_its_mended_rows(table, store):
    """As after extraction: unchanged rows stay, a changed row is a new generation and the only one that counts."""
    ingest(table(), "theirs", store, "run-1")
    assert ingest(table(), "theirs", store, "run-2").added == 0
    assert ingest(table(text="patient_id,b,a\n007,5,2\n8,,0.1\n"), "theirs", store, "run-3").added == 1
    assert ledger.read_features(store, "theirs").to_pandas().set_index("patient_id").loc["007", "b"] == 5.0


def test_a_parquet_table_and_a_csv_are_the_same_table(tmp_path, table, store):
    """Only the values decide."""
    ingest(table(), "theirs", store, "run-1")
    pd.DataFrame({"patient_id": ["007", "8"], "b": [1e-3, None], "a": [2.0, 0.1]}).to_parquet(tmp_path / "f.parquet")
    assert ingest(str(tmp_path / "f.parquet"), "theirs", store, "run-2").added == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ID,a\n1,2\n", r"column\(s\) patient_id missing, found ID, a; did you mean 'ID' for patient_id"),
        ("patient_id,a\n1,high\n", r"row 2, column a \(B\): wanted a number, got 'high'"),
        ("patient_id,a\n1,inf\n", r"row 2, column a \(B\): wanted a number, got 'inf'"),
        ("patient_id,a\n1,2\n1,3\n", r"scan 1 occurs twice \(rows 2 and 3\)"),
        ("patient_id,a\n,2\n", r"patient_id is empty in 1 row\(s\), the first is row 2"),
        ("patient_id\n1\n", "wanted rows and at least one feature, got 1 and 0"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_in_a_line(table, store, text, said):
    """What was wanted and what came; nothing is written."""
    with pytest.raises(TableError, match=said):
        ingest(table(text=text), "theirs", store, "run-1")
    assert not list(store.list(""))


def test_one_name_is_one_list_of_features(table, store):
    """Another list under the same name would make a table with holes."""
    ingest(table(), "theirs", store, "run-1")
    with pytest.raises(TableError, match="the store has theirs with other features or from extraction"):
        ingest(table(text="patient_id,c\n1,2\n"), "theirs", store, "run-2")


def test_an_outcome_left_among_the_features_is_found_before_a_signature_is_fitted(tmp_path, table, store):
    """It would be the best feature of all."""
    (tmp_path / "study.toml").write_text(STUDY)
    people = pd.DataFrame({"patient_id": [f"p{i:02d}" for i in range(20)], "died": [0, 1] * 10})
    people.to_csv(tmp_path / "clinical.csv", index=False)
    people.assign(x=range(20)).to_csv(tmp_path / "features.csv", index=False)
    study = load_study(str(tmp_path / "study.toml"))
    split(str(tmp_path / "clinical.csv"), study, store, "split-1")
    ingest(str(tmp_path / "features.csv"), "theirs", store, "run-1")
    with pytest.raises(TableError, match="radiomics features theirs: column died is named as the study's outcome"):
        gather(store, study)


def test_what_was_brought_in_is_what_a_study_gathers(tmp_path, table, store):
    """From the store on nothing tells them from features that were extracted."""
    (tmp_path / "study.toml").write_text(STUDY)
    people = pd.DataFrame({"patient_id": [f"p{i:02d}" for i in range(20)], "died": [0, 1] * 10})
    people.to_csv(tmp_path / "clinical.csv", index=False)
    people.drop(columns="died").assign(x=range(20)).to_csv(tmp_path / "features.csv", index=False)
    study = load_study(str(tmp_path / "study.toml"))
    split(str(tmp_path / "clinical.csv"), study, store, "split-1")
    ingest(str(tmp_path / "features.csv"), "theirs", store, "run-1")
    data = gather(store, study).data
    assert data.families["radiomics"].values[:, 0].tolist() == list(range(20))
    assert isinstance(ledger.read_features(store, "theirs"), pa.Table)


def test_what_is_worth_knowing_of_the_table_is_noted_and_recorded(table, store):
    """Gaps, features that say nothing, copies and readers: printed by the command, kept in the run record."""
    text = "patient_id,reader,a,b,c,d\n1,R1,1,,3,1\n2,R1,2,5,3,2\n1,R2,2,5,3,2\n"
    done = ingest(table(text=text), "theirs", store, "run-1")
    assert done.notes == (
        "1 values are missing, in 1 features (b): a feature without a value in one training patient is not used",
        "1 features have the same value in all rows (c): not used",
        "1 features equal another one in all rows (d = a)",
        "rows by reader: R1 repeat 0: 2, R2 repeat 0: 1",
    )
    assert json.loads(store.get("runs/run-1.json"))["notes"] == list(done.notes)
    assert ingest(table(), "others", store, "run-2").notes[0].startswith("1 values are missing, in 1 features (b)")


def test_a_row_whose_object_was_lost_comes_back_with_the_same_table(table, store):
    """The ledger says failed: the same values are committed anew, as a further generation."""
    ingest(table(), "theirs", store, "run-1")
    row = next(row for row in ledger.read_ledger(store).to_pylist() if row["scan_id"] == "007")
    ledger.commit(store, row | {"status": "failed", "object": "", "generation": 2})
    assert ingest(table(), "theirs", store, "run-2").added == 1
    found = ledger.read_features(store, "theirs").to_pandas().set_index("patient_id")
    assert (found.loc["007", "b"], found.loc["007", "generation"]) == (1e-3, 3)
