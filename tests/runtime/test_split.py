"""The split command: both studies on a simulated cohort, the same for the same patients, refused for faults."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from gc_ray.cohort.synthetic.draw import draw
from gc_ray.cohort.synthetic.spec import CohortSpec
from gc_ray.cohort_tables import read_clinical, read_coding, read_flow, read_splits
from gc_ray.errors import StudyError, TableError
from gc_ray.runtime.split import Split, split
from gc_ray.store import Store
from gc_ray.study import load_study

SHARE = {"recurrence": 5, "liver_metastasis": 10}  # folds of the packaged studies


@pytest.fixture(scope="module")
def clinical() -> pd.DataFrame:
    """A simulated clinical table: 600 patients of two sites and 40 of the source task."""
    return draw(CohortSpec(600, 2, seed=4, source_patients=40)).clinical


def run(frame: pd.DataFrame, store: Store, folder: Path, study: str = "recurrence", *overrides: str) -> Split:
    """Split a table as the command does."""
    path = folder / "clinical.csv"
    frame.to_csv(path, index=False)
    return split(str(path), load_study(study, overrides), store, "split-1")


@pytest.mark.parametrize("study", ["recurrence", "liver_metastasis"])
def test_both_studies_split_the_simulated_cohort(clinical, store, tmp_path, study):
    """Every patient has one row; cohorts, folds, flow and record agree with one another."""
    done = run(clinical, store, tmp_path, study)
    splits, frame = read_splits(store, study).to_pandas(), read_clinical(store, study)
    assert done.new
    assert splits["patient_id"].to_list() == frame["patient_id"].to_list() == sorted(clinical["patient_id"])
    assert splits["eligible"].sum() == done.flow[-1].n_left == read_flow(store, study)["n_left"][-1].as_py()
    assert (splits["eligible"] == splits["cohort"].isin(["train", "internal", "external"])).all()
    assert (splits["eligible"] == (splits["reason"] == "")).all()
    assert (splits["fold"].notna() == (splits["cohort"] == "train")).all()
    assert sorted(splits["fold"].dropna().unique()) == list(range(SHARE[study]))
    for name, members in splits.groupby("cohort"):
        outcome = frame.loc[members.index, study]
        assert outcome.isna().all() if name == "source" else name == "" or 0 < outcome.mean() < 0.5
    record = json.loads(store.get("runs/split-1.json"))
    assert (record["hash"], record["command"]) == (done.hash, "split")
    assert set(load_study(study).clinical.predictors) < set(read_coding(store, study))


def test_the_second_site_of_cao_is_external_and_source_patients_are_in_no_cohort(clinical, store, tmp_path):
    """Whole sites validate; patients with a regression grade serve the backbone alone."""
    run(clinical, store, tmp_path)
    splits = read_splits(store, "recurrence").to_pandas()
    study = splits[splits["eligible"]]
    assert ((study["cohort"] == "external") == (study["site"] == "B")).all()
    assert ((splits["cohort"] == "source") == splits["patient_id"].str.startswith("S")).all()


def test_the_same_patients_are_split_alike_whatever_the_table_looks_like(clinical, store, tmp_path):
    """Rows in another order, a further column, Parquet instead of CSV: the store says that it holds it already."""
    first = run(clinical, store, tmp_path)
    other = clinical.sample(frac=1, random_state=1).assign(room=range(len(clinical)))[::-1]
    again = run(other, store, tmp_path)
    assert (again.new, again.hash) == (False, first.hash)
    clinical.to_parquet(tmp_path / "clinical.parquet")
    parquet = split(str(tmp_path / "clinical.parquet"), load_study("recurrence"), store, "split-2")
    assert (parquet.new, parquet.hash) == (False, first.hash)


def test_a_workbook_and_decimal_commas_are_the_same_split(clinical, store, tmp_path):
    """Whatever program wrote the table; what its reader decided is in the run record."""
    first = run(clinical, store, tmp_path)
    clinical.to_excel(tmp_path / "clinical.xlsx", index=False, sheet_name="Cohort")
    clinical.to_csv(tmp_path / "german.csv", index=False, sep=";", decimal=",", encoding="utf-16")
    for name, said in (
        ("clinical.xlsx", "read from the Excel sheet Cohort"),
        ("german.csv", "decimal commas are read"),
    ):
        done = split(str(tmp_path / name), load_study("recurrence"), store, name)
        assert (done.new, done.hash) == (False, first.hash)
        assert any(said in note for note in json.loads(store.get(f"runs/{name}.json"))["notes"])


def test_another_split_needs_another_name(clinical, store, tmp_path):
    """A new seed or a corrected value never replaces what later commands have read."""
    run(clinical, store, tmp_path)
    before = read_splits(store, "recurrence")
    with pytest.raises(TableError, match="is split already, and not like this: splits: P0"):
        run(clinical, store, tmp_path, "recurrence", "split.seed=3")
    corrected = clinical.assign(age_years=clinical["age_years"].where(clinical["patient_id"] != "P0005", 33))
    with pytest.raises(TableError, match="not like this: clinical: P0005 differs in age_years"):
        run(corrected, store, tmp_path)
    assert read_splits(store, "recurrence").equals(before)
    assert run(clinical, store, tmp_path, "recurrence", "split.seed=3", "name=second").new


def test_a_faulty_table_stores_nothing_and_names_its_first_faults(clinical, store, tmp_path):
    """Three errors in one line, the others counted."""
    wrong = clinical.assign(age_years=500, sex="x", cea_ng_ml="high", afp_ng_ml=-1)
    with pytest.raises(TableError) as error:
        run(wrong, store, tmp_path)
    message = str(error.value)
    assert message.startswith(
        "clinical.csv: age_years: wanted 18 to 110 years; 640 of 640 are not: 500 (patients P0001"
    )
    assert message.endswith(" | and 1 more")
    assert "\n" not in message
    assert str(tmp_path) not in message
    assert list(store.list("")) == []


def test_a_study_without_an_outcome_cannot_be_split(clinical, store, tmp_path):
    """There is nothing to stratify by."""
    (tmp_path / "empty.toml").write_text("name = 'empty'")
    with pytest.raises(StudyError, match=r"study empty: split wants clinical\.outcome"):
        run(clinical, store, tmp_path, str(tmp_path / "empty.toml"))


def test_the_command_prints_flow_and_cohorts_and_its_faults_are_exit_2(clinical, tmp_path):
    """Plain text off a terminal; the same command again says so; a table that is not there is one line."""
    clinical.to_csv(tmp_path / "clinical.csv", index=False)
    job = Path(__file__).resolve().parents[2] / "jobs" / "split.py"

    def command(table: str, *options: str) -> subprocess.CompletedProcess:
        given = ["--study=recurrence", f"--clinical={tmp_path / table}", f"--store={tmp_path / 's'}", *options]
        return subprocess.run([sys.executable, job, *given], capture_output=True, text=True, check=False)

    done = command("clinical.csv")
    assert done.returncode == 0, done.stderr
    assert "     640  patients in the clinical table\n" in done.stdout
    assert "\ntrain " in done.stdout
    assert "\nfold 4 " in done.stdout
    assert ": stored: " in done.stdout
    assert "\x1b" not in done.stdout
    assert "holds the same split already, nothing was written" in command("clinical.csv").stdout
    for again in (command("none.csv"), command("clinical.csv", "--set", "split.folds=1")):
        assert (again.returncode, len(again.stderr.splitlines())) == (2, 1)
