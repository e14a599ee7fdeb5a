"""Extraction, compaction, merging and rescoring of a few tiny scans in one process, by the functions of the commands.

Extraction as ``gc-ray extract`` does it, without Ray between plan and work.
"""

from __future__ import annotations

import csv
import functools
import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk

from gc_ray import code_versions, ledger
from gc_ray.errors import TableError
from gc_ray.merge import merge
from gc_ray.models.bundle import read_bundle
from gc_ray.run_records import write_record
from gc_ray.runtime import audit, node_facts, products
from gc_ray.runtime.bundle import bundle
from gc_ray.runtime.manifests import read_manifests
from gc_ray.runtime.plan import plan_scan, read_history
from gc_ray.runtime.products import describe, products_of
from gc_ray.runtime.rescore import Request, rescore
from gc_ray.runtime.scan_work import Job, process_scan
from gc_ray.runtime.split import split
from gc_ray.runtime.survey import survey_scan
from gc_ray.runtime.train import unwatched
from gc_ray.runtime.tune import tune
from gc_ray.store import LocalStore, Store
from gc_ray.store_format import prepare
from gc_ray.study import load_study

SIZE = 14  # voxels of a side
PATIENTS = 60  # of the study that is frozen
QUICK = """
imageType: {Original: {}}
featureClass: {shape: [MeshVolume], firstorder: [Mean, Entropy]}
setting: {binWidth: 25}
"""
STUDY = """
name = "frozen"
[extract]
feature_sets = ["{quick}"]
[clinical]
outcome = "died"
predictors = ["age"]
[clinical.columns]
age = {{ kind = "number", unit = "years", low = 0, high = 120, missing = "impute" }}
[split]
folds = 2
[[signature]]
name = "image"
families = ["radiomics"]
steps = [{{ step = "strongest", number = 2 }}]
[tune]
inner_folds = 2
samples = 0
"""
MEASURED = ("seconds", "peak_mb", "scored_at", "run", "sequence")  # in which two runs may differ
FIELDS = ("scan_id", "patient_id", "site", "phase", "image", "mask", "roi")


@dataclass(frozen=True)
class Code:
    """A version of the code: the version of a library, and a factor of every feature that is computed with it."""

    library: str = "1.0"
    factor: float = 1.0

    def install(self) -> None:
        """Compute as this version from now on, in this process."""
        computed = _extract_features
        node_facts.computed_here.cache_clear()
        for module in (code_versions, products):
            module.library_versions = lambda libraries: {"made up": self.library}

        def scaled(*arguments):
            row = computed(*arguments)
            return replace(row, values=row.values * self.factor)

        products.extract_features = scaled if self.factor != 1.0 else computed


_extract_features = products.extract_features


def write_scan(folder: Path, scan: str, seed: int) -> dict[str, str]:
    """An image and a mask; the row of a manifest."""
    rng = np.random.default_rng(seed)
    inside = np.zeros((SIZE,) * 3, np.uint8)
    inside[4:10, 4:10, 3 : 9 + seed % 3] = 1
    values = (rng.normal(0, 20, inside.shape) + 60 * inside + seed).astype("<i2")
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in ((f"{scan}.nii", values), (f"{scan}-mask.nii", inside)):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing((2.0, 2.0, 2.0))
        sitk.WriteImage(image, str(folder / name))
    return dict(zip(FIELDS, (scan, f"p-{scan}", "A", "venous", f"{scan}.nii", f"{scan}-mask.nii", "1"), strict=True))


def write_scans(folder: Path, scans: dict[str, int]) -> None:
    """Scans by name, each with the seed of its voxels, and manifests: ``first.csv`` of one, ``scans.csv`` of all."""
    rows = [write_scan(folder, scan, seed) for scan, seed in scans.items()]
    for name, some in (("first.csv", rows[:1]), ("scans.csv", rows)):
        with (folder / name).open("w", newline="") as file:
            table = csv.DictWriter(file, FIELDS)
            table.writeheader()
            table.writerows(some)


@functools.cache
def asked() -> dict[str, products.Product]:
    """Three features and a network input."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "quick.yaml")
        path.write_text(QUICK)
        settings = load_study(None, (f'extract.feature_sets=["{path}"]', 'extract.volumes=["guo2025"]'))
        return products_of(settings.extract)


def extract(store: Store, manifest: str, code: Code, run: str) -> None:
    """Bring a store up to date with a manifest."""
    code.install()
    scans = read_manifests((manifest,))
    job = Job(store, asked(), code_versions.code_version(code_versions.EXTRACTION), 600.0)
    prepare(store)
    for product in job.products.values():
        describe(product, store)
    done = read_history(store, scans, job).part(0, len(scans))
    plans = [plan_scan(row, survey_scan(row), done, job, False) for row in scans]
    for plan in plans:
        if plan:
            process_scan(plan.task, job)
    ledger.compact(store)
    write_record(store, run, {"command": "extract"})


def compact(store: Store) -> None:
    """All that any command compacts."""
    ledger.compact(store)
    for bundle_id in sorted({entry.key.split("/")[1] for entry in store.list("audit")}):
        audit.compact(store, bundle_id)


def merged(sources: list[str], into: Store) -> None:
    """``gc-ray merge``."""
    merge([LocalStore(source) for source in sources], into)


def rescored(store: Store, place: Path, manifest: str, code: Code, run: str) -> None:
    """``gc-ray rescore`` in this process."""
    code.install()
    held = read_bundle(LocalStore(str(place / "bundle")))
    rescore(Request(held, (manifest,), store, "2026-01-01T00:00:00+00:00", workers=0), unwatched, run)


def freeze(place: Path) -> None:
    """A study of made-up patients around the features of the scans, tuned and bundled into ``bundle``."""
    store, rng = LocalStore(str(place / "training")), np.random.default_rng(0)
    extract(store, str(place / "scans" / "scans.csv"), Code(), "extract-1")
    rows = [row for row in ledger.read_ledger(store).to_pylist() if row["feature_set"] == "quick"]
    seen = ledger.read_features(store, "quick").to_pandas().filter(like="original").to_numpy()
    x = seen[rng.integers(len(seen), size=PATIENTS)] * rng.normal(1, 0.1, (PATIENTS, seen.shape[1]))
    died = (x[:, 0] + rng.normal(0, x[:, 0].std(), PATIENTS) > np.median(x[:, 0])).astype(int)
    frame = pd.DataFrame({"patient_id": [f"t{i}" for i in range(PATIENTS)], "site": "A", "died": died, "age": 60.5})
    frame["age"] += rng.normal(0, 5, PATIENTS).round(1)
    frame.to_csv(place / "clinical.csv", index=False)
    (place / "frozen.toml").write_text(STUDY.format(quick=place / "quick.yaml"))
    study, made = load_study(str(place / "frozen.toml")), LocalStore(str(place / "made"))
    split(str(place / "clinical.csv"), study, made, "split-1")
    describe(asked()["quick"], made)
    for i, values in enumerate(x):
        key = {"scan_id": f"s{i}", "reader": "R1", "repeat": 0, "roi": "", "patient_id": f"t{i}", "site": "A"}
        key |= {"feature_set": "quick", "generation": 1}
        staged = ledger.stage_features(made, key, rows[0]["settings_hash"], values)
        ledger.commit(made, rows[0] | key | {"object": staged})
    ledger.compact(made)
    tune(made, study, 0, unwatched, "tune-1")
    bundle(made, study, "image", LocalStore(str(place / "bundle")), None)


def contents(store: Store) -> dict[str, list]:
    """What readers get: for each result the content that was read, the code that computed it, and its values."""
    held = ledger.read_ledger(store).to_pylist()
    rows = {_key(row): row for row in held}
    if len(rows) != len(held):
        raise TableError("a result is there twice")
    values: dict[str, object] = {}
    for feature_set in sorted({row["feature_set"] for row in rows.values()}):
        usable = [row for row in rows.values() if row["feature_set"] == feature_set and row["status"] == "ok"]
        for settings in sorted({row["settings_hash"] for row in usable}):
            mine = [row for row in usable if row["settings_hash"] == settings]
            values |= _values(store, mine)
    return {
        key: [row["source_sha256"], row["code_version"], row["status"], values.get(key)] for key, row in rows.items()
    }


def scores(store: Store) -> dict[str, list]:
    """The results of rescoring: without what two runs may differ in."""
    found = {}
    for bundle_id in sorted({entry.key.split("/")[1] for entry in store.list("audit")}):
        for row in audit.read_scores(store, bundle_id).to_pylist():
            name = f"{row['scan_id']} {row['input_hash']}"
            if name in found:
                raise TableError(f"result {name} is there twice")
            found[name] = json.loads(json.dumps([v for n, v in row.items() if n not in MEASURED]))
    return found


def _values(store: Store, rows: list[dict]) -> dict[str, object]:
    if rows[0]["feature_set"].startswith("volumes/"):
        found = [ledger.read_volume(store, row) for row in rows]
        return {_key(row): [held["ct_hu"].hex(), held["size"]] for row, held in zip(rows, found, strict=True)}
    table = ledger.read_features_of(store, rows).to_pylist()
    if len(table) != len(rows):
        raise TableError(f"{len(rows) - len(table)} committed rows have no values")
    return {_key(row): [v for n, v in row.items() if n.startswith("original")] for row in table}


def _key(row: dict) -> str:
    return " ".join(str(row[name]) for name in ledger.KEY)
