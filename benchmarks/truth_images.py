"""One simulated cohort of 60 patients from DICOM to report, through the commands, judged beside the truth.

Site A (40 patients) trains, site B (20, another scanner) validates. The oracle is the true linear predictor of each
patient, given to ``gc-ray evaluate`` as scores made elsewhere: so it is cut, measured and intervalled as ours are.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd

PATIENTS, SITES = 60, 2
HERE = Path(__file__).resolve().parent / "truth"
STUDY, FEATURES = HERE / "images.toml", HERE / "few_features.yaml"
OUTCOME = "liver_metastasis"
HERE_ALONE = ("--workers", 0)  # in the process: 60 patients are done before Ray has started


def judged(folder: Path, seed: int) -> dict:
    """What the commands say of one cohort, and the oracle of it; what is there already is not done again.

    metrics: rows of the report's table and the oracle's. shuffled: what the control says. selection: what is kept.
    truth: AUC of the oracle in this cohort and in a large one, as ``synth`` states them.
    """
    cohort, store = folder / "cohort", folder / "store"
    study = ("--study", STUDY, "--set", f"extract.feature_sets={json.dumps([str(FEATURES)])}", "--store", store)
    if not cohort.exists():
        run("synth", "--out", cohort, "--patients", PATIENTS, "--sites", SITES, "--seed", seed)
    manifests = [part for site in ("A", "B") for part in ("--scans", cohort / f"scans_site_{site}.csv")]
    run("extract", *manifests, *study)
    run("split", "--clinical", cohort / "clinical.csv", *study)
    run("train", "autoencoder", *study)
    model = next(path.name for path in (store / "models").iterdir() if path.name.startswith("autoencoder"))
    run("embed", "--model", model, *study, *HERE_ALONE)
    run("tune", *study, *HERE_ALONE)
    run("tune", "--control", "shuffled-outcome", *study, *HERE_ALONE)
    run("evaluate", *study)
    _write_oracle(cohort, store, folder / "oracle.csv")
    oracle = ("--scores", folder / "oracle.csv", "--clinical", cohort / "clinical.csv")
    run("evaluate", *oracle, *study[:4], "--store", folder / "oracle")
    return {
        "seed": seed,
        "metrics": [*_metrics(store), *_metrics(folder / "oracle")],
        "shuffled": json.loads(next((store / "controls").rglob("*shuffled-outcome.json")).read_text())["found"],
        "selection": _selection(store),
        "truth": json.loads((cohort / "truth.json").read_text())[OUTCOME],
    }


def run(*command: object) -> None:
    """One command of the product in a process of its own; its output passes through, a failure ends this one."""
    words = [str(word) for word in command]
    print(f"gc-ray {' '.join(words[:2])}", flush=True)
    call = [sys.executable, "-c", "from gc_ray.cli import main; main()", *words]
    subprocess.run(call, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})


def _write_oracle(cohort: Path, store: Path, out: Path) -> None:
    """The true probabilities as a table of scores with the cohorts of the split."""
    truth = pd.read_csv(cohort / "truth.csv")
    splits = pd.concat(pd.read_parquet(path) for path in (store / "splits").rglob("splits*.parquet"))
    found = truth.merge(splits[["patient_id", "cohort"]], on="patient_id")
    found = found[found["cohort"].isin(("train", "external"))]
    scores = pd.DataFrame({"patient_id": found["patient_id"], "score": found[f"{OUTCOME}_probability"]})
    scores["linear_predictor"] = found[f"{OUTCOME}_linear_predictor"]
    scores = scores.assign(model_id="oracle", variant="leak_free", cohort=found["cohort"])
    scores["kind"] = scores["cohort"].map({"train": "oof", "external": "final"})  # the truth was fitted on nobody
    scores.to_csv(out, index=False)


def _metrics(store: Path) -> list[dict]:
    """Leak-free metrics of the latest report in a store, as records."""
    latest = max((store / "runs").glob("evaluate-*.json"))  # names begin with the time
    found = pd.read_csv(store / "reports" / json.loads(latest.read_text())["report_id"] / "tables" / "metrics.csv")
    kept = found["metric"].isin(("auc", "hazard_ratio", "calibration_intercept", "calibration_slope"))
    kept &= (found["variant"] == "leak_free") & (found["subset"] == "all")
    return json.loads(found[kept].to_json(orient="records"))


def _selection(store: Path) -> dict[str, list[str]]:
    """Names of the features that each signature kept."""
    found = pd.concat(pd.read_parquet(path) for path in (store / "selection").rglob("*.parquet"))
    found = found[(found["variant"] == "leak_free") & (found["step"] == "kept")]
    return {name: rows["feature"].tolist() for name, rows in found.groupby("model_id")}
