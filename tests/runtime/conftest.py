"""A small simulated cohort, a quick feature set, and one Ray session for all tests of the runtime."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

from gc_ray import ledger
from gc_ray.cohort.synthetic.spec import CohortSpec
from gc_ray.cohort.synthetic.write import write_cohort
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
