"""How often the nominal 95 % intervals cover the truth, by cohort size and true value, from 4,000 draws a cell.

    python benchmarks/interval_coverage.py --out gc_ray/evaluate/coverage.csv      # about 8 s on one core

AUC: normal scores of equal spread, the difference of means set by the true AUC. Proportions: binomial counts.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm

from gc_ray.evaluate.outcome import Z95
from gc_ray.evaluate.proportions import METHODS, bounds

DRAWS = 4000
SEED = 20240
COHORTS = (  # events, others
    *((5, 15), (10, 30), (15, 45), (30, 90), (30, 270), (36, 296)),
    *((60, 120), (86, 214), (100, 300), (200, 600)),
)
AREAS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98)
SIZES = (10, 20, 30, 50, 86, 100, 214, 300, 1000)
SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)


def delong_cell(rng: np.random.Generator, events: int, others: int, area: float) -> float:
    """The share of draws whose DeLong interval holds the true AUC."""
    scores = rng.normal(size=(DRAWS, events + others))
    scores[:, :events] += np.sqrt(2) * norm.ppf(area)
    case = np.argsort(scores, axis=1) < events
    below = np.cumsum(~case, axis=1) / others  # of each case, the share of the others that score lower
    above = 1 - np.cumsum(case, axis=1) / events
    estimate = np.sum(below * case, axis=1) / events
    variance = sum(
        (np.sum(values**2 * mine, axis=1) / size - estimate**2) / (size - 1)
        for values, mine, size in ((below, case, events), (above, ~case, others))
    )
    half = Z95 * np.sqrt(np.maximum(variance, 0))
    # clipping to 0..1 cannot change whether a true AUC inside is covered
    return float(np.mean(np.abs(estimate - area) <= half))


def proportion_cell(rng: np.random.Generator, method: str, n: int, share: float) -> float:
    """The share of draws whose interval holds the true proportion."""
    lower, upper = bounds(rng.binomial(n, share, size=DRAWS), np.full(DRAWS, n), method)
    return float(np.mean((lower <= share) & (share <= upper)))


def table() -> pd.DataFrame:
    """Every cell: method, n, events, value, coverage, draws."""
    rng = np.random.default_rng(SEED)
    rows = [
        ("delong", events + others, events, area, delong_cell(rng, events, others, area))
        for events, others in COHORTS
        for area in AREAS
    ]
    rows += [
        (method, n, 0, share, proportion_cell(rng, method, n, share))
        for method in METHODS
        for n in SIZES
        for share in SHARES
    ]
    return pd.DataFrame(rows, columns=["method", "n", "events", "value", "coverage"]).assign(draws=DRAWS)


def markdown(cells: pd.DataFrame) -> str:
    """The table as the documentation shows it: cohorts down, true values across, per cent."""
    lines = []
    for method, mine in cells.groupby("method", sort=False):
        wide = (100 * mine.pivot(index=["n", "events"], columns="value", values="coverage")).round(1)
        lines += ["", f"**{method}**", "", "| cohort | " + " | ".join(f"{v:g}" for v in wide.columns) + " |"]
        lines.append("|---" * (len(wide.columns) + 1) + "|")
        for (n, events), row in wide.iterrows():
            name = f"{events} / {n - events}" if method == "delong" else f"n {n}"
            lines.append(f"| {name} | " + " | ".join(f"{v:.1f}" for v in row) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="CSV to write")
    cells = table()
    if out := parser.parse_args().out:
        cells.to_csv(out, index=False)
    print(markdown(cells))
