"""How long does a whole report take? 3,000 simulated patients, 6 models, 1,000 bootstrap samples, every figure.

    python benchmarks/report.py
    python benchmarks/report.py --patients 1000 --models 3

Wanted: under 2 minutes on 2 cores, under 1.5 GB; the AUC of a million scores with DeLong under 2 s. The run is the
one the tests simulate.
"""

from __future__ import annotations

import argparse
import importlib.util
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from gc_ray.evaluate import auc_ci
from gc_ray.report.compute import evaluate_all
from gc_ray.report.evaluate import FOLDER, Request, evaluate
from gc_ray.report.files import report_of
from gc_ray.report.inputs import from_store
from gc_ray.report.publish import publish
from gc_ray.store import open_store

MANY = 1_000_000
SIMULATION = Path(__file__).resolve().parents[1] / "tests" / "report" / "conftest.py"


def main() -> None:
    """Measure and print a Markdown table; exit code 1 when a report that is there is made again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=3000)
    parser.add_argument("--models", type=int, default=6)
    chosen = parser.parse_args()
    simulation = _simulation()
    with tempfile.TemporaryDirectory() as folder:
        patients = simulation.simulated(chosen.patients, seed=0, models=chosen.models)
        run = simulation.write_run(open_store(folder), patients, chosen.models)
        start = time.perf_counter()
        done = evaluate_all(from_store(run.store, run.study, None))
        computed = time.perf_counter() - start
        report = report_of(done)
        whole = time.perf_counter() - start
        publish(report, run.store, FOLDER)
        start = time.perf_counter()
        again = evaluate(Request(run.study, run.store), "evaluate-again")
        found = time.perf_counter() - start
    if again.new or again.report_id != report.report_id:
        raise SystemExit("the report that is there was not found")
    draws = run.study.evaluate.bootstrap
    print("| what | measured | wanted |\n|---|---|---|")
    print(f"| tables: {chosen.patients} patients, {chosen.models} models, {draws} samples | {computed:.1f} s | |")
    print(f"| tables, {len(report.files)} files, page | {whole:.1f} s | under 120 s |")
    print(f"| the same asked again: found in the store | {found:.1f} s | under 2 s |")
    print(f"| the page | {len(report.files['index.html']) / 1e6:.1f} MB | |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"| peak memory | {peak:.0f} MB | under 1,500 MB |")
    rng = np.random.default_rng(0)
    y, score = rng.random(MANY) < 0.2, rng.normal(size=MANY)
    start = time.perf_counter()
    auc_ci(y, score)
    print(f"| AUC with DeLong, a million scores | {time.perf_counter() - start:.2f} s | under 2 s |")


def _simulation():
    spec = importlib.util.spec_from_file_location("simulation", SIMULATION)
    module = importlib.util.module_from_spec(spec)
    sys.modules["simulation"] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
