"""A small simulated cohort, a quick feature set, and one Ray session for all tests of the runtime."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from gc_ray import ledger, tables
from gc_ray.cohort.synthetic.spec import CohortSpec
from gc_ray.cohort.synthetic.write import write_cohort
from gc_ray.cohort_tables import CohortTables, store_cohort
from gc_ray.runtime.extract import Request, Summary, extract
from gc_ray.runtime.scan_work import process_scan
from gc_ray.store import Store, open_store
from gc_ray.study import load_study

MEASURED = ["seconds", "peak_mb"]  # the only columns that two runs may differ in
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
