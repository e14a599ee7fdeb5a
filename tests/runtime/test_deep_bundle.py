"""The recurrence study by its commands from scans to a bundle with networks, and new scans scored by it."""

import io
import json
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from gc_ray.cohort.synthetic.spec import CohortSpec
from gc_ray.cohort.synthetic.write import write_cohort
from gc_ray.cohort_tables import read_splits
from gc_ray.models.bundle import read_bundle
from gc_ray.runtime import audit
from gc_ray.store import open_store
from gc_ray.study import digest

pytestmark = pytest.mark.slow

SMALL = (
    "name=pilot", "backbone.depth=10", "clinical.source_label=''", 'clinical.predictors=["age_years"]',
    "split.folds=2", "head.views=1", "head.epochs=2", "head.hidden=[4]", "embed.workers=0", "tune.samples=0",
    "tune.inner_folds=2", "split.train_share=1", "clinical.rules=[]",
)  # fmt: skip
SPEC = {"matrix": 64, "slices": 32, "reread_share": 0, "recurrence_rate": 0.5}


def gc_ray(*arguments: str | Path) -> str:
    """What a command prints, run in a process of its own."""
    command = [sys.executable, "-c", "from gc_ray.cli import main; main()", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=590, check=False)
    assert done.returncode == 0, f"{arguments[0]}: {done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with a cohort of 24, a store, the bundle of dlfs, and three new patients.

    With so few patients the LASSO keeps nothing: the clinical signature is the age alone, and all are eligible.
    """
    out = tmp_path_factory.mktemp("pilot")
    seen = write_cohort(out / "seen", CohortSpec(patients=24, sites=2, seed=4, **SPEC))
    write_cohort(out / "new", CohortSpec(patients=3, seed=5, **SPEC))
    text = resources.files("gc_ray.studies").joinpath("recurrence.toml").read_text()
    text, n = re.subn(r'steps = \[\{ step = "lasso".*\nsearch = .*\n', "", text)
    assert n == 1
    (out / "pilot.toml").write_text(text)
    here = ["--study", out / "pilot.toml", "--store", out / "store", *(f"--set={line}" for line in SMALL)]
    gc_ray("extract", "--scans", seen.scans, *here, "--workers", "2")
    gc_ray("split", "--clinical", seen.clinical, *here)
    gc_ray("train", "backbone", *here, "--workers", "0")
    gc_ray("train", "head", *here, "--workers", "0")
    gc_ray("tune", *here, "--workers", "0")
    gc_ray("bundle", *here, "--model", "dlfs", "--out", out / "bundle")
    return out


def test_new_scans_and_old_ones_are_scored_by_networks_and_clinical_signature_together(made):
    """Three new scans; two of the external site get the linear predictor that tune gave them, to the bit."""
    held = read_bundle(open_store(str(made / "bundle")))
    assert [network.kind for network in held.networks.values()] == ["backbone", "head"]
    assert "spacing_z_mm" in held.reference["geometry"]  # from the network inputs, the only thing extracted
    splits, seen = (
        read_splits(open_store(str(made / "store")), "pilot").to_pandas(),
        pd.read_csv(made / "seen/scans.csv"),
    )
    train = seen[seen["patient_id"].isin(splits.loc[splits["cohort"] == "train", "patient_id"])]
    assert held.card["training"]["scans"] == digest(sorted(train["scan_id"]))
    assert list(held.reference["predictors"]) == ["age_years", "head"]
    parts = [
        pd.read_csv(made / name).assign(folder=name.partition("/")[0])
        for name in ("seen/scans_site_B.csv", "new/scans.csv")
    ]
    parts[1]["scan_id"], parts[1]["patient_id"] = "new-" + parts[1]["scan_id"], "new-" + parts[1]["patient_id"]
    scans = pd.concat([parts[0][:2], parts[1]])
    for name in ("image", "mask"):
        scans[name] = [str(made / f / path) for f, path in zip(scans["folder"], scans[name], strict=True)]
    scans.drop(columns="folder").to_csv(made / "scans.csv", index=False)
    clinical = [pd.read_csv(made / name / "clinical.csv") for name in ("seen", "new")]
    clinical[1]["patient_id"] = "new-" + clinical[1]["patient_id"]
    pd.concat(clinical).to_csv(made / "clinical.csv", index=False)
    asked = (
        "rescore",
        "--bundle",
        made / "bundle",
        "--scans",
        made / "scans.csv",
        "--clinical",
        made / "clinical.csv",
    )
    for said in ("0 already, 0 waiting, 0 failed", "0 scored, 0 refused, 5 already, 0 waiting, 0 failed"):
        assert said in gc_ray(*asked, "--store", made / "results", "--workers", "0")
    results = open_store(str(made / "results"))
    rows = audit.read_scores(results, held.bundle_id).to_pylist()
    assert len(rows) == 5 and all({"dls", "age_years"} <= set(json.loads(row["predictors"])) for row in rows)
    drift = max(e.key for e in results.list(f"drift/{held.bundle_id}") if e.key.endswith(".parquet"))
    drifted = pq.read_table(io.BytesIO(results.get(drift))).to_pylist()
    assert {"head": 5}.items() <= {row["name"]: row["n"] for row in drifted}.items()
    name = f"scores/pilot/{held.card['training']['tune_id']}.parquet"
    final = pq.read_table(io.BytesIO(open_store(str(made / "store")).get(name))).to_pandas()
    final = final[(final["kind"] == "final") & (final["variant"] == "leak_free")]
    final = final.set_index(["model_id", "patient_id"])["linear_predictor"]
    old = [row for row in rows if not row["patient_id"].startswith("new-")]
    assert [json.loads(row["predictors"])["dls"] for row in old] == [final["dls", row["patient_id"]] for row in old]
    scored = [row for row in old if row["status"] == "scored"]
    assert [row["linear_predictor"] for row in scored] == [final["dlfs", row["patient_id"]] for row in scored]
