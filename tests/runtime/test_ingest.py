"""Features made elsewhere: as good as extracted once they are in, and refused where they cannot be told apart."""

import gzip
import json

import openpyxl
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


def test_what_the_reader_left_out_is_in_the_run_record(table, store):
    """A PyRadiomics batch table as it is: what is no feature is listed, and the notes that were printed."""
    text = (
        "patient_id,Image,Mask,diagnostics_Mask-original_VoxelNum,b,\nP1,/i,/m,8520,0.5,\n,,,,,\nP2,/i,/m,6405,-1,\n"
    )
    done = ingest(table(text=text), "theirs", store, "run-1")
    aside = ("Image", "Mask", "diagnostics_Mask-original_VoxelNum")
    assert (done.features, done.set_aside) == (("b",), aside)
    assert [note.partition(": ")[2] for note in done.notes] == [
        "1 empty row(s) are left out (row 3)",
        "1 empty column(s) without a name are left out (F)",
        f"3 column(s) are no features and are set aside: {', '.join(aside)}",
    ]
    record = json.loads(store.get("runs/run-1.json"))
    assert (record["notes"], record["set_aside"]) == (list(done.notes), list(aside))


@pytest.mark.parametrize("form", ["gzip", "semicolons", "gb18030", "xlsx"])
def test_a_table_in_another_form_is_the_same_table(tmp_path, table, store, form):
    """Nothing is added to what the plain CSV brought in: ids, names and values are the same to the last bit."""
    text = "patient_id,特征,a\n007,0.001,2\n患者8,,0.1\n"
    ingest(table(text=text), "theirs", store, "run-1")
    path = tmp_path / f"f.{form}"
    if form == "xlsx":
        book = openpyxl.Workbook()
        for row in (["patient_id", "特征", "a"], ["007", 0.001, 2], ["患者8", None, 0.1]):
            book.active.append(row)
        book.save(path)
    else:
        german = text.replace(",", ";").replace(".", ",").encode()
        path.write_bytes({"gzip": gzip.compress(text.encode()), "semicolons": german}.get(form, text.encode("gbk")))
    done = ingest(str(path), "theirs", store, "run-2", "gb18030" if form == "gb18030" else None)
    assert (done.rows, done.added, done.gaps) == (2, 0, 1)


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
    people.drop(columns="died").assign(x=range(20, 40)).to_csv(tmp_path / "features.csv", index=False)
    study = load_study(str(tmp_path / "study.toml"))
    split(str(tmp_path / "clinical.csv"), study, store, "split-1")
    ingest(str(tmp_path / "features.csv"), "theirs", store, "run-1")
    data = gather(store, study).data
    assert data.families["radiomics"].values[:, 0].tolist() == list(range(20, 40))
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


def test_an_empty_reader_or_repeat_is_the_default_as_in_a_scans_table(table, store):
    """Else such rows would be of a reader without a name, whom no study asks for."""
    ingest(table(text="patient_id,a,reader,repeat\n1,2,,\n2,3,R1,0\n3,4,R2,1\n"), "theirs", store, "run-1")
    found = ledger.read_features(store, "theirs").to_pandas()
    assert found[["patient_id", "reader", "repeat"]].values.tolist() == [
        ["1", "R1", 0],
        ["2", "R1", 0],
        ["3", "R2", 1],
    ]


def test_another_patient_or_another_sites_patient_never_replaces_a_row(table, store):
    """The scan id is the patient id where there is none: site B's patient 1 would be a new value of site A's."""
    ingest(table(text="patient_id,site,a\n1,A,2\n2,A,3\n"), "theirs", store, "run-1")
    with pytest.raises(TableError, match=r"1 are at several: 1 \(A in the store, B in features.csv\)"):
        ingest(table(text="patient_id,site,a\n1,B,5\n9,B,3\n"), "theirs", store, "run-2")
    with pytest.raises(TableError, match="scan 2 is of patient 7, in the store it is of patient 2"):
        ingest(table(text="patient_id,scan_id,site,a\n7,2,A,5\n"), "theirs", store, "run-3")
    done = ingest(table(text="patient_id,site,a\n1,a,5\n3,A,3\n"), "theirs", store, "run-4")
    assert (done.added, done.changed) == (2, 1)


def test_one_number_of_two_sites_in_one_table_is_not_a_second_outline(table, store):
    """The advice to number the outlines would make one patient of two."""
    with pytest.raises(TableError, match="put the site before the id in every table"):
        ingest(table(text="patient_id,site,a\n1,A,2\n1,B,3\n"), "theirs", store, "run-1")


@pytest.mark.parametrize("name", ["..", ".hidden", "-x", "a/b", ""])
def test_the_name_of_a_set_is_no_path(table, store, name):
    """It becomes a folder of the store."""
    with pytest.raises(TableError, match="wanted letters, digits"):
        ingest(table(), name, store, "run-1")


def test_two_sets_whose_names_differ_only_in_case_are_refused(table, store):
    """On some disks they are one folder."""
    ingest(table(), "feat", store, "run-1")
    with pytest.raises(TableError, match="the store has feat, which differs from Feat only in case"):
        ingest(table(), "Feat", store, "run-2")
