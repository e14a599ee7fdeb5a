"""Simulated tables with known truth: no signature beats the oracle, nulls stay at one half, planted leaks show."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "truth_tables.py"
SEEDS = 12


@pytest.fixture(scope="module")
def truth():
    """The simulation of benchmarks/truth_tables.py, which runs it for 50 seeds."""
    spec = importlib.util.spec_from_file_location("truth_tables", SCRIPT)
    sys.modules["truth_tables"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["truth_tables"]


@pytest.mark.slow
def test_no_signature_beats_the_oracle_and_nested_auc_is_that_of_new_patients(truth):
    """On every seed at most three paired standard errors above; nested AUC near that of 20,000 new patients."""
    runs = [truth.judged(seed) for seed in range(SEEDS)]
    for name in truth.RECIPES:
        assert max(run[name].reach for run in runs) <= truth.STANDARD_ERRORS
        gap = np.array([run[name].nested - run[name].large for run in runs])
        gap = gap[np.isfinite(gap)]
        assert abs(gap.mean()) < 0.02 + truth.STANDARD_ERRORS * gap.std(ddof=1) / np.sqrt(len(gap))


@pytest.mark.slow
def test_a_planted_leak_passes_the_oracle(truth):
    """The bound can fail: a feature that holds the outcome goes beyond it."""
    assert truth.judged(0, leak=True)["texture"].reach > truth.STANDARD_ERRORS


@pytest.mark.slow
def test_nulls_stay_at_one_half_unless_the_selection_saw_the_left_out_patients(truth):
    """At lambda.min, with 20 features forced, and stacked; chosen on all patients beforehand, the AUC rises."""
    clean = [truth.null(1000 + seed) for seed in range(SEEDS)]
    leaky = [truth.null(1000 + seed, leak=True) for seed in range(SEEDS)]
    for name in truth.NULLS:
        of = np.array([run[name] for run in clean if name in run])
        assert abs(of.mean() - 0.5) <= truth.STANDARD_ERRORS * of.std(ddof=1) / np.sqrt(len(of))
        of = np.array([run[name] for run in leaky])
        assert of.mean() - 0.5 > truth.STANDARD_ERRORS * of.std(ddof=1) / np.sqrt(len(of))
