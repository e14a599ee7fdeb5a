"""The tune command on a made-up study: whole tables, the same from any number of workers and after a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gc_ray import ledger, sealed, tables
from gc_ray.cohort_tables import read_clinical, read_splits
from gc_ray.errors import StudyError
from gc_ray.models.model_folder import Model, write_model
from gc_ray.models.provenance import UNTRAINED
from gc_ray.models.signature import Signature
from gc_ray.runtime.controls import control
from gc_ray.runtime.gather import gather
from gc_ray.runtime.split import split
from gc_ray.runtime.train import unwatched
from gc_ray.runtime.tune import Tuned, read_card, tune
from gc_ray.store import Store, open_store
from gc_ray.study import Study, load_study

STUDY = """
name = "third"
[extract]
feature_sets = ["made_up"]
[scans]
phase = "pv"
[clinical]
outcome = "died"
predictors = ["age", "stage", "smokes"]
[clinical.columns]
age = { kind = "number", unit = "years", low = 0, high = 120, missing = "impute" }
stage = { kind = "categorical", levels = ["I", "II", "III"] }
smokes = { kind = "binary", missing = "category" }
[split]
folds = 3
[[signature]]
name = "factors"
families = ["clinical"]
steps = [{ step = "univariable", alpha = 0.2, also_internal = true }]
[[signature]]
name = "texture"
families = ["radiomics"]
steps = [
  { step = "stability", icc = 0.5 }, { step = "variance", threshold = 0.001 }, { step = "spearman" },
  { step = "lasso", choose = "min", folds = 5 },
]
search = { "lasso.mixing" = [0.5, 1.0], "spearman.threshold" = [0.7, 0.9] }
[[signature]]
name = "both"
scores_of = ["texture"]
predictors_of = ["factors"]
[tune]
inner_folds = 3
samples = 2
deep_model = "made"
"""
PATIENTS, NAMES = 150, tuple(f"f{i:02d}" for i in range(12))
HASH = "0" * 16


@dataclass(frozen=True)
class Made:
    """A store with split and features, and the study file that goes with it."""

    study: Study
    store: Store
    path: str


def filled(folder: Path, text: str = STUDY, scanned: int = PATIENTS) -> Made:
    """A simulated study of 150 patients, 12 features of three outlines each."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(PATIENTS, len(NAMES)))
    stage = rng.integers(3, size=PATIENTS)
    died = rng.random(PATIENTS) < 1 / (1 + np.exp(-(1.5 * x[:, 0] - x[:, 1] + stage - 1)))
    frame = pd.DataFrame({"patient_id": [f"P{i:03d}" for i in range(PATIENTS)], "died": died.astype(int)})
    frame["age"] = [str(a) if a > 45 else "" for a in rng.normal(60, 10, PATIENTS).round(1)]
    frame["stage"] = np.array(["I", "II", "III"])[stage]
    frame["smokes"] = rng.choice(["0", "1", ""], PATIENTS)
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / "clinical.csv", index=False)
    (folder / "third.toml").write_text(text)
    study = load_study(str(folder / "third.toml"))
    store = open_store(str(folder / "store"))
    split(str(folder / "clinical.csv"), study, store, "split-1")
    sealed.put(store, f"radiomics/made_up/{HASH}/settings.json", {"names": NAMES})
    for i in range(scanned):
        for reader, repeat in (("R1", 0), ("R1", 1), ("R2", 0))[: 3 if i < 60 else 1]:
            put_features(store, f"P{i:03d}", reader, repeat, x[i] + 0.2 * rng.normal(size=len(NAMES)))
    ledger.compact(store)
    return Made(study, store, str(folder / "third.toml"))


def put_features(store: Store, patient: str, reader: str, repeat: int, values, phase: str = "pv") -> None:
    """Commit one outline's features."""
    key = {"scan_id": f"s-{patient}-{phase}", "reader": reader, "repeat": repeat, "roi": ""}
    key |= {"patient_id": patient, "site": "A", "feature_set": "made_up", "generation": 1}
    row = key | {
        "phase": phase, "status": "ok", "stage": "done", "reason": "", "notes": [], "missing": "{}", "geometry": "{}",
        "mask_voxels": 1, "object": ledger.stage_features(store, key, HASH, values), "source_stamp": "",
        "source_sha256": "", "settings_hash": HASH, "code_version": "1", "seconds": 0.0, "peak_mb": 0.0,
    }  # fmt: skip
    ledger.commit(store, row)


def read(made: Made, done: Tuned, table: tables.Table) -> pa.Table:
    """One of the tables that were written, checked."""
    name = f"{table.name}/{done.study_id}/{done.tune_id}.parquet"
    return tables.check(table, pq.read_table(pa.BufferReader(made.store.get(name))))


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> tuple[Made, Tuned]:
    """A study that needed no code, tuned in this process."""
    made = filled(tmp_path_factory.mktemp("tune") / "a")
    return made, tune(made.store, made.study, 0, unwatched, "tune-1")


def test_a_third_study_is_a_new_file_and_no_code(done):
    """Every signature has its line, and the searched ones stand beside the published."""
    _, found = done
    names = [line.model_id for line in found.lines]
    assert (names, found.failed) == (["factors", "texture", "both", "texture_tuned", "both_tuned"], {})
    auc = {line.model_id: line.auc for line in found.lines}
    assert auc["both"] > auc["factors"] > 0.5
    assert 0.7 < auc["texture"] < 0.95


def test_scores_hold_each_patient_once_and_by_a_fit_that_did_not_see_the_outcome(done):
    """Leak-free: oof in the training cohort, final elsewhere; in-sample scores only as published, and named so."""
    made, found = done
    scores = read(made, found, tables.SCORES).to_pandas()
    kinds = scores.groupby(["variant", "cohort"])["kind"].unique().map(list).to_dict()
    assert kinds == {
        ("as_published", "internal"): ["final"],
        ("as_published", "train"): ["apparent"],
        ("leak_free", "internal"): ["final"],
        ("leak_free", "train"): ["oof"],
    }
    counts = scores.groupby(["model_id", "variant"])["patient_id"].agg(["size", "nunique"])
    assert (counts == PATIENTS).all(axis=None)
    assert set(scores.loc[scores["model_id"] == "both", "scan_id"]) >= {"s-P000-pv"}


def test_every_outer_fold_and_every_candidate_is_accounted_for(done):
    """resampling has each fold; selection says for each feature the step at which it left."""
    made, found = done
    resampling = read(made, found, tables.RESAMPLING).to_pandas()
    assert resampling.groupby("model_id").size().to_dict() == {line.model_id: 3 for line in found.lines}
    assert (resampling["n_train"] + resampling["n"] == 105).all()
    chosen = resampling.loc[resampling["model_id"] == "texture_tuned", "chosen"].map(json.loads)
    assert all(set(choice) <= {"lasso.mixing", "spearman.threshold"} for choice in chosen)
    selection = read(made, found, tables.SELECTION).to_pandas()
    texture = selection[(selection["model_id"] == "texture") & (selection["variant"] == "leak_free")]
    assert sorted(texture["feature"]) == list(NAMES)
    assert texture.loc[texture["step"] != "kept", "reason"].str.len().min() > 0
    assert texture.set_index("feature").loc["f00", ["step", "stability"]].to_list() == ["kept", 1.0]


def test_a_stored_signature_gives_the_stored_scores(done):
    """signature, coefficients and scores agree, to the last bits."""
    made, found = done
    text = made.store.get(f"signatures/third/{found.tune_id}/texture.json").decode()
    signature, data = Signature.from_json(text), gather(made.store, made.study).data
    frame = pd.DataFrame(data.families["radiomics"].values, data.patient_ids, list(NAMES))
    scores = (
        read(made, found, tables.SCORES)
        .to_pandas()
        .set_index(["model_id", "variant", "kind", "patient_id"])
        .sort_index()
    )
    stored = scores.loc["texture", "leak_free", "final"]["linear_predictor"]
    np.testing.assert_allclose(signature.linear_predictor(frame.loc[stored.index]), stored, rtol=1e-12)
    terms = (
        read(made, found, tables.COEFFICIENTS)
        .to_pandas()
        .set_index(["model_id", "variant", "term"])["coef"]
        .sort_index()
    )
    mine = terms.loc["texture", "leak_free"]
    by_hand = mine["(Intercept)"] + frame[list(signature.predictors)] @ mine[list(signature.predictors)]
    np.testing.assert_allclose(by_hand[stored.index], stored, rtol=1e-9, atol=1e-9)


def test_the_same_command_again_changes_nothing(done):
    """What is committed stays; the run is recorded."""
    made, found = done
    again = tune(made.store, made.study, 0, unwatched, "tune-2")
    assert (again.new, again.tune_id, again.lines) == (False, found.tune_id, found.lines)
    assert json.loads(made.store.get("runs/tune-2.json"))["exit_code"] == 0


def test_another_phase_is_no_candidate(done):
    """The study's phase chooses among ledger rows."""
    made, _ = done
    before = gather(made.store, made.study).data.digest()
    put_features(made.store, "P000", "R1", 0, np.zeros(len(NAMES)), phase="arterial")
    assert gather(made.store, made.study).data.digest() == before
    ledger.compact(made.store)


def everything(store: Store, done: Tuned) -> dict[str, bytes]:
    """Whatever tune wrote but the run records, by name."""
    folders = [f"signatures/third/{done.tune_id}", f"tune/third/{done.tune_id}"]
    folders += [f"{t}/third/{done.tune_id}.parquet" for t in ("scores", "resampling", "coefficients", "selection")]
    return {entry.key: store.get(entry.key) for folder in folders for entry in store.list(folder)}


@pytest.mark.slow
def test_one_worker_and_several_write_the_same_bits(done, ray_session):
    """Ray Tune with four trials at a time: every object equals that of this process, to the byte."""
    made, found = done
    other = filled(Path(made.path).parent.parent / "b")
    again = tune(other.store, other.study, 4, unwatched, "tune-1")
    assert again == found
    assert everything(other.store, again) == everything(made.store, found)


@pytest.mark.slow
def test_a_killed_run_is_taken_up_and_ends_with_the_same_bits(done, tmp_path):
    """Killed with its workers in the midst of its trials; the same command again repeats none that was done."""
    made, found = done
    other = filled(tmp_path / "c")
    command = [sys.executable, "-c", "from gc_ray.cli import main; main()", "tune"]
    command += ["--study", other.path, "--store", other.store.uri, "--workers", "2"]
    kept = f"tune/third/{found.tune_id}"
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 120
    while len(list(other.store.list(kept))) < 3 and time.monotonic() < deadline and run.poll() is None:
        time.sleep(0.05)
    assert run.poll() is None
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    before = {entry.key: entry.stamp for entry in other.store.list(kept)}
    assert len(before) >= 3
    assert not list(other.store.list(f"signatures/third/{found.tune_id}"))
    done_again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done_again.returncode == 0, done_again.stderr
    assert "texture_tuned" in done_again.stdout
    assert everything(other.store, found) == everything(made.store, found)
    assert before.items() <= {entry.key: entry.stamp for entry in other.store.list(kept)}.items()


def test_controls_find_nothing_and_catch_the_leak(done):
    """Image signatures fall to chance with their rows shuffled, clinical ones stay; the guard refuses a leak."""
    made, found = done
    before = everything(made.store, found)
    shuffled = control(made.store, made.study, "shuffled-features", 0, unwatched)
    assert set(shuffled.found) == {"factors", "texture", "both"}
    assert "fitted in 3 of 3" in shuffled.found["factors"]
    caught = control(made.store, made.study, "planted-leak", 0, unwatched, "tune-2")
    assert caught.passed
    record = json.loads(made.store.get("runs/tune-2.json"))
    assert (record["command"], record["control"], record["exit_code"]) == ("tune", "planted-leak", 0)
    assert caught.found == {"factors": "caught", "texture": "caught", "both": "caught"}
    assert everything(made.store, found) == before
    assert len(list(made.store.list("controls/third"))) == 2


def test_a_signature_that_cannot_be_fitted_costs_itself_alone(tmp_path):
    """The others are stored, the card says why it is missing; nothing at all is an error."""
    impossible = STUDY.replace("threshold = 0.001", "threshold = 1e6")
    made = filled(tmp_path / "d", text=impossible)
    found = tune(made.store, made.study, 0, unwatched, "tune-1")
    assert [line.model_id for line in found.lines] == ["factors"]
    assert "step variance left none of" in found.failed["texture"]
    assert "builds on texture" in found.failed["both"]
    assert json.loads(made.store.get("runs/tune-1.json"))["exit_code"] == 3


def test_patients_without_features_are_left_out_and_counted(tmp_path):
    """All signatures share their patients; who is missing is said, not guessed."""
    made = filled(tmp_path / "e", scanned=140)
    gathered = gather(made.store, made.study)
    assert len(gathered.data.y) == 140
    (lost,) = gathered.left_out
    assert (lost.reason, lost.patients) == ("radiomics features made_up: not in the store", 10)
    assert sum(n for n, _ in lost.cohorts.values()) == 10
    assert {name: of for name, (_, of) in lost.cohorts.items()} == {"train": 105, "internal": 45}


def test_a_study_without_signatures_says_so(tmp_path):
    """The study file wants them."""
    with pytest.raises(StudyError, match=r"study default: tune wants signatures; add \[\[signature\]\] sections"):
        gather(open_store(str(tmp_path)), load_study(None))


def test_a_fusion_with_the_network_head_takes_its_out_of_fold_scores(tmp_path):
    """The head's score is a signature as it is; what the paper stacks in-sample stays in its own variant."""
    parts = STUDY.index("[[signature]]"), STUDY.index("[tune]")
    own = """
[[signature]]
name = "clis"
families = ["clinical"]
[[signature]]
name = "dls"
scores_of = ["head"]
model = "score"
[[signature]]
name = "dlfs"
scores_of = ["dls"]
predictors_of = ["clis"]
"""
    made = filled(tmp_path / "f", text=STUDY[: parts[0]] + own + STUDY[parts[1] :] + 'head_model = "head-1"\n')
    splits = read_splits(made.store, "third").to_pandas()
    rng = np.random.default_rng(1)
    y = read_clinical(made.store, "third")["died"].to_numpy()
    logit = rng.normal(size=PATIENTS) + 1.5 * y - 1
    scores = pa.table({"patient_id": splits["patient_id"].to_list(), "linear_predictor": logit})
    published = scores.set_column(1, "linear_predictor", pa.array(logit + 2 * y))
    facts = {"provenance": {"statement": UNTRAINED}}
    write_model(made.store, "head-1", Model({}, facts, {"scores": scores, "as_published": published}), {})
    found = tune(made.store, made.study, 0, unwatched, "tune-1")
    assert UNTRAINED in read_card(made.store, f"signatures/third/{found.tune_id}")["statements"]
    auc = {line.model_id: line.auc for line in found.lines}
    assert auc["dlfs"] > auc["clis"]
    rows = read(made, found, tables.SCORES).to_pandas().set_index(["model_id", "variant", "patient_id"]).sort_index()
    dls = rows.loc["dls", "leak_free"]["linear_predictor"]
    np.testing.assert_array_equal(dls[splits["patient_id"]], logit)
    assert any(
        "network head" in text for text in read_card(made.store, f"signatures/third/{found.tune_id}")["statements"]
    )
