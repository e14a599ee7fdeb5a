"""How tests/data/store-0.1.0 and what version 0.1.0 read from it were made; not run by the tests.

With the code of version 0.1.0 (commit 33eb905) first on the path:

    PYTHONPATH=<checkout of 33eb905> python tests/data/make_store_0_1_0.py tests/data

Two simulated scans extracted (loose rows), a table of 36 patients brought in (compacted), a split, a tuning, a model
and four results of rescoring (three compacted, one loose). ``store-0.1.0-read`` holds what 0.1.0 read of each.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from gc_ray import cohort_tables, ledger
from gc_ray.cohort.manifest import ScanRow
from gc_ray.cohort.synthetic.spec import CohortSpec
from gc_ray.cohort.synthetic.write import write_cohort
from gc_ray.models.model_folder import Model, write_model
from gc_ray.runtime import audit
from gc_ray.runtime.ingest import ingest
from gc_ray.runtime.manifests import read_manifests
from gc_ray.runtime.plan import Done, plan_scan
from gc_ray.runtime.products import describe, products_of
from gc_ray.runtime.scan_work import Job, process_scan
from gc_ray.runtime.split import split
from gc_ray.runtime.survey import survey_scan
from gc_ray.runtime.train import unwatched
from gc_ray.runtime.tune import tune
from gc_ray.store import Store, open_store
from gc_ray.study import load_study

COHORT = {"patients": 2, "sites": 1, "seed": 3, "matrix": 64, "reread_share": 0.0}
CODE = "1-00000000"  # of no library: the same whatever is installed
QUICK = """
imageType: {Original: {}}
featureClass: {shape: [MeshVolume, Sphericity], firstorder: [Mean, Entropy], glcm: [Contrast]}
setting: {resampledPixelSpacing: [3, 3, 3], interpolator: sitkBSpline, binWidth: 25}
"""
STUDY = """
name = "old"
[clinical]
outcome = "died"
predictors = ["age"]
[clinical.columns]
age = { kind = "number", unit = "years", low = 0, high = 120, missing = "impute" }
[split]
folds = 3
[[signature]]
name = "factors"
families = ["clinical"]
[[signature]]
name = "image"
families = ["radiomics"]
steps = [{ step = "t_test", alpha = 0.9 }]
[tune]
feature_set = "ours"
inner_folds = 3
samples = 0
"""


def job_of(store: Store, folder: Path) -> Job:
    """The extraction of five features."""
    (folder / "quick.yaml").write_text(QUICK)
    settings = load_study(None, (f'extract.feature_sets=["{folder / "quick.yaml"}"]',)).extract
    return Job(store, products_of(settings), CODE, 600.0)


def fill(store: Store, folder: Path) -> None:
    """Everything that the store holds, by the code of the day."""
    rng = np.random.default_rng(0)
    x, patients = rng.normal(size=(36, 3)), [f"T{i:02d}" for i in range(36)]
    frame = pd.DataFrame(x.round(6), columns=["original_a", "original_b", "original_c"])
    frame.insert(0, "patient_id", patients)
    frame.to_csv(folder / "features.csv", index=False)
    died = (rng.random(36) < 1 / (1 + np.exp(-2 * x[:, 0]))).astype(int)
    clinical = pd.DataFrame({"patient_id": patients, "died": died, "age": rng.normal(60, 10, 36).round(1)})
    clinical.to_csv(folder / "clinical.csv", index=False)
    (folder / "old.toml").write_text(STUDY)
    study = load_study(str(folder / "old.toml"))
    ingest(str(folder / "features.csv"), "ours", store, "ingest-1")
    split(str(folder / "clinical.csv"), study, store, "split-1")
    tune(store, study, 0, unwatched, "tune-1")
    write_model(store, "autoencoder-old", Model({"w": torch.arange(6.0).reshape(2, 3)}, {"latent": 3}), {"kind": "m"})
    for i in range(4):
        row = ScanRow(f"scan{i}", "R1", 0, "", f"p{i}", "a", "pv", "image", "mask", "", "image", "mask")
        audit.commit(store, audit.audit_name("bundle", row, "inputs"), score(i))
        if i == 2:
            audit.compact(store, "bundle")
    job = job_of(store, folder)
    describe(job.products["quick"], store)
    write_cohort(folder / "cohort", CohortSpec(**COHORT))
    for row in read_manifests((str(folder / "cohort" / "scans.csv"),)):
        process_scan(plan_scan(row, survey_scan(row), Done({}), job, False).task, job)


def score(i: int) -> dict:
    """A made-up result of rescoring."""
    return {
        "bundle_id": "bundle", "study_id": "old", "model_id": "image", "scan_id": f"scan{i}", "reader": "R1",
        "repeat": 0, "roi": "", "patient_id": f"p{i}", "site": "a", "phase": "pv", "input_hash": "inputs",
        "status": "scored", "score": 0.1 * i, "linear_predictor": float(i), "lower": None, "upper": None,
        "interval": "none", "risk_group": "low", "verdict": "in-domain", "reasons": [], "predictors": "{}",
        "scored_at": "2026-01-01T00:00:00+00:00", "run": "rescore-1",
    }  # fmt: skip


READERS = {
    "ledger": ledger.read_ledger,
    "ours": lambda store: ledger.read_features(store, "ours"),
    "quick": lambda store: ledger.read_features(store, "quick"),
    "splits": lambda store: cohort_tables.read_splits(store, "old"),
    "flow": lambda store: cohort_tables.read_flow(store, "old"),
    "clinical": lambda store: pa.Table.from_pandas(cohort_tables.read_clinical(store, "old")),
    "rescores": lambda store: audit.read_scores(store, "bundle"),
    "scores": lambda store: pq.read_table(Path(store.root, next(e.key for e in store.list("scores/old")))),
}


def read(store: Store) -> dict[str, pa.Table]:
    """Everything that a reader of tables gives of that store, by name."""
    return {name: reader(store) for name, reader in READERS.items()}


def main(data: Path) -> None:
    """Write the store and what is read of it."""
    store = open_store(str(data / "store-0.1.0"))
    with tempfile.TemporaryDirectory() as name:
        fill(store, Path(name))
    (data / "store-0.1.0-read").mkdir()
    for table, rows in read(store).items():
        pq.write_table(rows, data / "store-0.1.0-read" / f"{table}.parquet", compression="zstd")
    print(json.dumps({"objects": len(list(store.list(""))), "bytes": sum(e.size for e in store.list(""))}))


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
