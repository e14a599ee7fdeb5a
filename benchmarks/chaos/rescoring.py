"""A small study frozen into a bundle, and its scoring of new scans by two commands at once."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

from cohort import GC_RAY, Cohort, synth
from compare import rescored
from faults import clients
from place import BUCKET, UP_S, Ended, Place, until
from report import Row

from gc_ray.runtime.bundle import bundle
from gc_ray.runtime.split import split
from gc_ray.runtime.train import unwatched
from gc_ray.runtime.tune import tune
from gc_ray.store import open_store
from gc_ray.study import load_study

PATIENTS = 30
COMMIT = f"PUT /{BUCKET}/rescored-twice/audit/"  # how the request begins that commits a result
STUDY = """
name = "frozen"
[extract]
feature_sets = ["{features}"]
[scans]
phase = "portal_venous"
[clinical]
outcome = "recurrence"
predictors = ["age_years"]
columns.age_years = {{ kind = "number", unit = "years", low = 18, high = 110 }}
[split]
folds = 3
[[signature]]
name = "image"
families = ["radiomics"]
steps = [{{ step = "t_test", alpha = 0.9 }}]
[tune]
inner_folds = 3
samples = 0
"""


def two_rescorings(here: Place, cohort: Cohort) -> Row:
    """The cohort's new scans scored once in peace, then into another store by two commands at once."""
    frozen, stores = f"s3://{BUCKET}/bundle", [f"s3://{BUCKET}/rescored-{name}" for name in ("in-peace", "twice")]
    bundle_id = freeze(here.folder / "frozen", cohort.features, frozen)
    command = ("rescore", f"--bundle={frozen}", *cohort.scans())
    begin = time.monotonic()
    here.wait(here.submit(*command, f"--store={stores[0]}"), begin)
    ended = _together(here, *command, f"--store={stores[1]}")
    keys = [row.key for row in cohort.rows if (row.reader, row.repeat) == ("R1", 0)]
    return Row(
        "two rescorings at once", "the same scans and bundle, let go when both were about to commit",
        " and ".join(f"exit {end.code}" for end in ended) + f"; {_shares(stores[1])}", "",
        max(end.seconds for end in ended), rescored(stores[1], keys, bundle_id, stores[0]),
        all(end.code == 0 for end in ended),
    )  # fmt: skip


def _together(here: Place, *command: object) -> list[Ended]:
    """How the same command ended twice, when both were held until each had a result in hand and was to commit it."""
    begin = time.monotonic()
    with here.proxy.holding(COMMIT) as held:
        jobs = [here.submit(*command) for _ in range(2)]
        until(lambda: len(clients(here.processes("head"), held)) == len(jobs), UP_S, "both have a result to commit")
    return [here.wait(job, begin) for job in jobs]


def freeze(folder: Path, features: Path, out: str) -> str:
    """Simulate, extract, split, tune and bundle a small study in ``folder``; the id of the bundle at ``out``."""
    cohort, store, study = folder / "cohort", folder / "store", folder / "frozen.toml"
    folder.mkdir()
    study.write_text(STUDY.format(features=features))
    synth(cohort, f"--patients={PATIENTS}", "--seed=5", "--reread-share=0")
    options = (f"--scans={cohort}/scans.csv", f"--store={store}", f"--study={study}", "--failure-budget=1")
    subprocess.run([GC_RAY, "extract", *options], check=True, capture_output=True)
    held, settings = open_store(str(store)), load_study(str(study))
    split(str(cohort / "clinical.csv"), settings, held, "split")
    tune(held, settings, 0, unwatched, "tune")
    return bundle(held, settings, "image", open_store(out), None)[0]


def _shares(uri: str) -> str:
    """Who committed how much, by the run records."""
    store = open_store(uri)
    records = [json.loads(store.get(entry.key)) for entry in store.list("runs")]
    done = [f"{r['scored'] + r['refused']} committed, {r['already']} found done" for r in records]
    return " and ".join(done)
