"""Can the interval be believed here: how often each method covered the truth in simulated cohorts like this one."""

from __future__ import annotations

from functools import cache
from importlib import resources

import numpy as np
import pandas as pd

from gc_ray.errors import TableError

LEAST = 0.925  # of nominal .95: below it an interval is called too narrow; simulation error is .0035


def covers_poorly(method: str, n: int, events: int, value: float) -> bool:
    """Whether the nominal 95 % interval covers less than 92.5 % in cohorts like this one.

    As ``coverage_of``; False where that is unknown.
    """
    return coverage_of(method, n, events, value) < LEAST


def coverage_of(method: str, n: int, events: int, value: float) -> float:
    """The simulated coverage, 0 to 1, of a nominal 95 % interval; NaN where nothing like it was simulated.

    ``method`` is ``delong`` (an AUC of ``value`` from ``n`` patients, ``events`` of them with the event) or
    ``wald``, ``wilson``, ``exact`` (a proportion of ``value`` among ``n``; ``events`` is not used). The nearest
    simulated cohort that is not larger, at the nearest value that is not easier, answers. Source: 4,000 draws per
    cell, ``benchmarks/interval_coverage.py``. TableError for an unknown method.
    """
    cells = _cells()
    if method not in set(cells["method"]):
        raise TableError(f"coverage: wanted one of {', '.join(sorted(set(cells['method'])))}, got {method}")
    cells = cells[cells["method"] == method]
    size = np.minimum(cells["events"], cells["n"] - cells["events"]) if method == "delong" else cells["n"]
    mine = min(events, n - events) if method == "delong" else n
    if mine < size.min() or not 0 <= value <= 1:
        return float("nan")
    # both are symmetric about one half, and coverage falls towards the ends
    distance, tables = abs(value - 0.5), abs(cells["value"] - 0.5)
    harder = tables[tables >= distance - 1e-9]
    at_value = np.isclose(tables, harder.min() if len(harder) else tables.max())
    near = cells[at_value & (size <= mine)]
    size = size[near.index]
    near = near[size == size.max()]
    closest = near["n"] if method != "delong" else abs(np.log(near["n"] / n))
    return float(near.loc[closest.idxmin(), "coverage"])


@cache
def _cells() -> pd.DataFrame:
    with resources.files("gc_ray.evaluate").joinpath("coverage.csv").open() as file:
        return pd.read_csv(file)
