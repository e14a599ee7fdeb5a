"""The whole way on a simulated cohort: write it, extract it, and say where to look."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gc_ray.cohort.synthetic.spec import CohortSpec
from gc_ray.cohort.synthetic.write import write_cohort
from gc_ray.runtime.extract import Request, Summary, extract
from gc_ray.store import open_store
from gc_ray.study import load_study

COHORT = CohortSpec(patients=14, sites=2, seed=7, defects=0.25)
SETTINGS = (
    'extract.feature_sets=["guo2025"]',
    'extract.volumes=["guo2025", "cao2024"]',
    "extract.failure_budget=0.5",  # three of fourteen scans are made defective on purpose
)


@dataclass(frozen=True)
class Demo:
    """Where the demo's cohort and store are, and how extraction ended."""

    cohort: Path
    store: Path
    summary: Summary


def demo(out: Path, watch: Callable, wrote: Callable[[int, int], None], run: str, clock: Callable[[], float]) -> Demo:
    """Write the cohort below ``out`` unless it is there, and bring its store up to date.

    watch, run, clock: as for ``extract``. wrote: called with (patients written, patients in all).
    """
    cohort, store = out / "cohort", out / "store"
    if not cohort.exists():
        partial = out / "cohort.partial"  # renamed when whole, so that a demo cut off here begins anew
        shutil.rmtree(partial, ignore_errors=True)
        write_cohort(partial, COHORT, wrote)
        partial.rename(cohort)
    manifests = tuple(str(path) for path in sorted(cohort.glob("scans_site_*.csv")))
    request = Request(manifests, open_store(str(store)), load_study(None, SETTINGS))
    return Demo(cohort, store, extract(request, watch, run, clock))
