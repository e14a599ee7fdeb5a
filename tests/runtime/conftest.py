"""A small simulated cohort, a quick feature set, a frozen study, and one Ray session for all tests of the runtime."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from gc_ray import ledger, tables
from gc_ray.code_versions import EXTRACTION, code_version
from gc_ray.cohort.synthetic.spec import CohortSpec
from gc_ray.cohort.synthetic.write import write_cohort
from gc_ray.cohort_tables import CohortTables, store_cohort
from gc_ray.models.bundle import read_bundle
from gc_ray.runtime.bundle import bundle
from gc_ray.runtime.extract import Request, Summary, extract
from gc_ray.runtime.manifests import read_manifests
from gc_ray.runtime.plan import Done, plan_scan
from gc_ray.runtime.products import describe, products_of
from gc_ray.runtime.rescore import Request as Rescoring
from gc_ray.runtime.scan_work import Job, process_scan
from gc_ray.runtime.split import split
from gc_ray.runtime.survey import survey_scan
from gc_ray.runtime.train import unwatched
from gc_ray.runtime.tune import tune
from gc_ray.store import Store, open_store
from gc_ray.study import load_study

MEASURED = ["seconds", "peak_mb"]  # the only columns that two runs may differ in
STUDY = """
name = "frozen"
[extract]
feature_sets = ["{quick}"]
[scans]
phase = "portal_venous"
[clinical]
outcome = "died"
predictors = ["age", "stage"]
[clinical.columns]
age = {{ kind = "number", unit = "years", low = 0, high = 120, missing = "impute" }}
stage = {{ kind = "categorical", levels = ["I", "II", "III"] }}
[split]
folds = 3
[[signature]]
name = "factors"
families = ["clinical"]
[[signature]]
name = "image"
families = ["radiomics"]
steps = [{{ step = "t_test", alpha = 0.9 }}]
[[signature]]
name = "fused"
scores_of = ["image"]
predictors_of = ["factors"]
[tune]
inner_folds = 3
samples = 0
"""
MADE_UP = 120  # patients of the frozen study
QUICK = """
imageType: {Original: {}}
featureClass: {shape: [MeshVolume, Sphericity], firstorder: [Mean, Entropy], glcm: [Contrast]}
setting: {resampledPixelSpacing: [3, 3, 3], interpolator: sitkBSpline, binWidth: 25}
"""


@pytest.fixture(scope="session")
def quick(tmp_path_factory) -> str:
    """A PyRadiomics parameter file of five features, a fraction of a second a scan."""
    path = tmp_path_factory.mktemp("features") / "quick.yaml"
    path.write_text(QUICK)
    return str(path)


@pytest.fixture(scope="session")
def cohort(tmp_path_factory) -> Path:
    """Eight simulated patients of two sites, three of them outlined three times: 14 outlines, all sound."""
    out = tmp_path_factory.mktemp("cohort") / "c"
    write_cohort(out, CohortSpec(patients=8, sites=2, seed=3, matrix=64, reread_share=0.4))
    return out


@pytest.fixture(scope="session")
def own_processes() -> list[str]:
    """What a command begins with to run as in a container: with process ids and a host name of its own."""
    begin = ["unshare", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc"]
    begin += [] if os.getuid() == 0 else ["--user", "--map-current-user"]
    if not shutil.which("unshare") or subprocess.run([*begin, "true"], check=False).returncode:
        pytest.skip("this machine gives no process namespaces")
    return begin


@pytest.fixture(scope="session")
def ray_session():
    """One private Ray cluster of four slots for all tests of this process."""
    import ray

    from gc_ray.runtime import cluster

    os.environ.pop("RAY_ADDRESS", None)
    with cluster.session(4):
        yield
    assert not ray.is_initialized()


@dataclass(frozen=True)
class Run:
    """Run the extract job in this process: ``run(manifests, store)``."""

    features: str

    def __call__(
        self, manifests: list[Path | str], store: Store, work: Callable = process_scan, **options
    ) -> Summary:
        settings = [f'extract.feature_sets=["{self.features}"]', *options.pop("settings", ())]
        request = Request(tuple(map(str, manifests)), store, load_study(None, tuple(settings)), **options)
        ticks = iter(range(1000))
        return extract(request, lambda totals: lambda site, status: None, "run", lambda: float(next(ticks)), work)


@pytest.fixture
def run(quick, ray_session) -> Run:
    """The extract job with the quick feature set."""
    return Run(quick)


@pytest.fixture
def store(tmp_path) -> Store:
    """An empty local store."""
    return open_store(str(tmp_path / "store"))


@pytest.fixture(scope="session")
def tables_of() -> Callable:
    """A function from a store to (ledger without measured columns, radiomics), both sorted by key."""

    def read(store: Store, feature_set: str = "quick") -> tuple[pa.Table, pa.Table]:
        return ledger.read_ledger(store).drop_columns(MEASURED), ledger.read_features(store, feature_set)

    return read


@pytest.fixture(scope="session")
def expected(cohort, quick, tables_of, tmp_path_factory) -> tuple[pa.Table, pa.Table]:
    """The tables from one worker on this machine, by the command line: what every other way must equal."""
    store = open_store(str(tmp_path_factory.mktemp("expected") / "store"))
    manifests = [f"--scans={manifest}" for manifest in sorted(cohort.glob("scans_site_*.csv"))]
    gc_ray = Path(sys.executable).with_name("gc-ray")
    options = [f"--store={store.uri}", f"--feature-set={quick}", "--workers=1"]
    done = subprocess.run([gc_ray, "extract", *manifests, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return tables_of(store)


@dataclass(frozen=True)
class NetworkStore:
    """A store with a split study and made-up network inputs: ``fill(store)``, no scan is read."""

    guo: bool = True
    cao: bool = False

    def __call__(self, store: Store) -> Store:
        patients = [f"P{i:02d}" for i in range(26)]
        cohort = ["train"] * 12 + ["internal"] * 4 + ["external"] * 4 + ["source"] * 6
        splits = [
            {
                "study_id": "recurrence", "patient_id": p, "site": "A" if i % 2 else "B",
                "eligible": c != "source", "reason": "", "cohort": c, "fold": i % 3 if c == "train" else None,
            }
            for i, (p, c) in enumerate(zip(patients, cohort, strict=True))
        ]  # fmt: skip
        clinical = pa.table(
            {
                "patient_id": patients,
                "site": [row["site"] for row in splits],
                "recurrence": pa.array(
                    [None if c == "source" else i // 3 % 2 for i, c in enumerate(cohort)], pa.int8()
                ),
                "trg": pa.array([str(i % 2) if c == "source" else None for i, c in enumerate(cohort)]),
            }
        )
        flow = tables.build(tables.FLOW, [])
        store_cohort(store, "recurrence", CohortTables(clinical, tables.build(tables.SPLITS, splits), flow, {}))
        for i, row in enumerate(splits):
            for recipe, size in (("guo2025", (20, 18, 16)), ("cao2024", (112, 112, 64))):
                if {"guo2025": self.guo, "cao2024": self.cao}[recipe]:
                    put_volume(store, row["patient_id"], row["site"], recipe, size, i)
        return store


def put_volume(store: Store, patient: str, site: str, recipe: str, size: tuple[int, int, int], seed: int) -> dict:
    """Commit a made-up network input, a bright block in noise; its ledger row."""
    shape = size[::-1]
    ct_hu = np.random.default_rng(seed).integers(-20, 20, shape).astype("<i2")
    inside = np.zeros(shape, np.uint8)
    inside[tuple(slice(n // 4, n // 2 + seed % 3) for n in shape)] = 1
    ct_hu += (inside * (50 + 10 * (seed % 5))).astype("<i2")
    key = {"scan_id": f"s-{patient}", "reader": "R1", "repeat": 0, "roi": "", "patient_id": patient, "site": site}
    volume = {
        **key, "recipe": recipe, "generation": 1, "size": list(size), "spacing_mm": [1.0] * 3, "origin_mm": [0.0] * 3,
        "direction": [1.0, 0, 0, 0, 1, 0, 0, 0, 1], "ct_hu": ct_hu.tobytes(), "mask": inside.tobytes(),
    }  # fmt: skip
    row = {
        **key, "feature_set": f"volumes/{recipe}", "phase": "portal_venous",
        "status": "ok", "stage": "done", "reason": "", "notes": [],
        "missing": "{}", "geometry": "{}", "mask_voxels": 1, "object": ledger.stage_volume(store, volume, "h"),
        "source_stamp": "", "source_sha256": "", "settings_hash": "h", "code_version": "1", "generation": 1,
        "seconds": 0.0, "peak_mb": 0.0,
    }  # fmt: skip
    ledger.commit(store, row)
    return row


@pytest.fixture(scope="session")
def network_store() -> type[NetworkStore]:
    """Makes stores for networks: ``network_store(cao=True)(store)``."""
    return NetworkStore


@dataclass(frozen=True)
class Frozen:
    """A bundle, and eight simulated scans that it was not trained on."""

    out: Store
    training: Store
    study: str
    cohort: Path
    clinical: str

    @property
    def manifests(self) -> tuple[str, ...]:
        """The manifests of the new scans."""
        return tuple(map(str, sorted(self.cohort.glob("scans_site_*.csv"))))

    def request(self, store: Store, **changes) -> Rescoring:
        """All new scans, in this process."""
        made = Rescoring(
            read_bundle(self.out), self.manifests, store, "2026-01-01T00:00:00+00:00", self.clinical, None, 0
        )
        return replace(made, **changes)


def real_values(cohort: Path, quick: str, store: Store) -> tuple[dict, pd.DataFrame]:
    """(ledger rows by scan, features) of the cohort's scans, as extraction has them."""
    job = Job(
        store,
        products_of(load_study(None, (f'extract.feature_sets=["{quick}"]',)).extract),
        code_version(EXTRACTION),
        600,
    )
    describe(job.products["quick"], store)
    for row in read_manifests(tuple(map(str, sorted(cohort.glob("scans_site_*.csv"))))):
        if (row.reader, row.repeat) == ("R1", 0):
            process_scan(plan_scan(row, survey_scan(row), Done({}), job, False).task, job)
    table = ledger.read_features(store, "quick").to_pandas().set_index("scan_id")
    names = [name for name in table if "_" in name and name not in ("patient_id", "feature_set")]
    return {row["scan_id"]: row for row in ledger.read_ledger(store).to_pylist()}, table[names]


@pytest.fixture(scope="session")
def frozen(cohort, quick, tmp_path_factory) -> Frozen:
    """A study of 120 made-up patients around the features of real extraction, tuned and bundled."""
    folder = tmp_path_factory.mktemp("frozen")
    rows, features = real_values(cohort, quick, open_store(str(folder / "seen")))
    rng = np.random.default_rng(0)
    like = rng.integers(len(features), size=MADE_UP)
    around = features.iloc[like].to_numpy()
    x = around + 0.3 * features.to_numpy().std(axis=0) * rng.normal(size=around.shape)
    z, stage = (x - x.mean(axis=0)) / x.std(axis=0), rng.integers(3, size=MADE_UP)
    died = rng.random(MADE_UP) < 1 / (1 + np.exp(-(1.2 * z[:, 0] + stage - 1)))
    frame = pd.DataFrame({"patient_id": [f"T{i:03d}" for i in range(MADE_UP)], "died": died.astype(int)})
    frame["site"] = [rows[features.index[i]]["site"] for i in like]
    frame["age"], frame["stage"] = rng.normal(60, 10, MADE_UP).round(1), np.array(["I", "II", "III"])[stage]
    frame.to_csv(folder / "clinical.csv", index=False)
    (folder / "frozen.toml").write_text(STUDY.format(quick=quick))
    study, store = load_study(str(folder / "frozen.toml")), open_store(str(folder / "training"))
    split(str(folder / "clinical.csv"), study, store, "split-1")
    describe(products_of(study.extract)["quick"], store)
    for patient, values, i in zip(frame["patient_id"], x, like, strict=True):
        row = rows[features.index[i]]
        key = {"scan_id": f"s-{patient}", "reader": "R1", "repeat": 0, "roi": "", "patient_id": patient}
        key |= {"site": row["site"], "feature_set": "quick", "generation": 1}
        staged = ledger.stage_features(store, key, row["settings_hash"], values)
        ledger.commit(store, row | key | {"object": staged})
    ledger.compact(store)
    tune(store, study, 0, unwatched, "tune-1")
    out = open_store(str(folder / "bundle"))
    bundle(store, study, "fused", out, None)
    patients = sorted({r.patient_id for r in read_manifests(tuple(map(str, cohort.glob("scans_site_*.csv"))))})
    new = pd.DataFrame({"patient_id": patients, "age": 61, "stage": "II"})
    new.to_csv(folder / "new.csv", index=False)
    return Frozen(out, store, str(folder / "frozen.toml"), cohort, str(folder / "new.csv"))
