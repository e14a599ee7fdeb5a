"""The package's promises: names, cheap import, frozen results, stored coverage, speed."""

from __future__ import annotations

import dataclasses
import pkgutil
import subprocess
import sys
import time

import numpy as np
import pytest

import gc_ray.evaluate as ev


def test_every_exported_name_is_a_function_that_no_module_shadows():
    """An import of a module of the same name would replace the function."""
    modules = {module.name for module in pkgutil.iter_modules(ev.__path__)}
    for name in ev.__all__:
        assert callable(getattr(ev, name))
        assert name not in modules
    with pytest.raises(AttributeError, match="has no mean"):
        _ = ev.mean


def test_importing_the_package_loads_no_library():
    """Names load their module on first use: a worker pays for what it asks for."""
    code = (
        "import sys, gc_ray.evaluate;"
        "sys.exit(sorted({'torch', 'ray', 'scipy', 'pandas', 'statsmodels', 'lifelines'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_results_cannot_be_changed():
    """A number in a report is the number that was computed."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        ev.auc_ci([0, 1, 0, 1], [1, 2, 3, 4]).auc = 1


def test_the_stored_coverage_says_what_is_known_of_each_interval():
    """DeLong at .75 with 86 / 214 is sound; near 1 with few events it is not; Wald fails where exact holds."""
    assert 0.925 <= ev.coverage_of("delong", 300, 86, 0.75) <= 0.96
    assert not ev.covers_poorly("delong", 300, 86, 0.75)
    assert not ev.covers_poorly("delong", 300, 214, 0.25)
    assert ev.covers_poorly("delong", 60, 15, 0.95)
    assert ev.covers_poorly("wald", 30, 0, 0.95)
    assert not ev.covers_poorly("exact", 30, 0, 0.95)
    # fewer than were ever simulated: unknown
    assert np.isnan(ev.coverage_of("delong", 10, 2, 0.7))


def test_a_million_scores_take_under_two_seconds():
    """AUC with DeLong's variance sorts; it does not compare pairs."""
    rng = np.random.default_rng(1)
    y, score = rng.random(1_000_000) < 0.1, rng.normal(size=1_000_000)
    start = time.process_time()
    found = ev.auc_ci(y, score)
    assert time.process_time() - start < 2
    assert found.lower < 0.5 < found.upper
