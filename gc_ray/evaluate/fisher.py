"""Is a count table more uneven than chance, exactly: Fisher's test for any number of rows and columns."""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy.special import gammaln
from scipy.stats import random_table

WORK = 3_000_000  # partial tables to follow, some 2 s; past it the p-value is simulated
SIMULATED = 100_000  # tables drawn then: a standard error of at most .0016
ALIKE = 1e-7  # probabilities this close (relative) are equal: rounding must not decide what is "as extreme"


def fisher_exact(counts: np.ndarray, seed: int = 0) -> tuple[float, bool]:
    """The two-sided p-value of independence of rows and columns, and whether it is exact.

    ``counts`` (r, c) of whole numbers, no empty row or column. The p-value is the chance, the margins given, of a
    table at most as likely as this one, as in R's fisher.test. Tables too large to follow are simulated with
    ``seed``. Source: Freeman and Halton, Biometrika 1951.
    """
    counts = np.asarray(counts, dtype=int)
    if counts.shape[0] < counts.shape[1]:
        counts = counts.T
    rows, columns = np.sort(counts.sum(axis=1)), counts.sum(axis=0)
    log_factorial = gammaln(np.arange(counts.sum() + 2) + 1.0)
    observed = -log_factorial[counts].sum()
    constant = log_factorial[rows].sum() + log_factorial[columns].sum() - log_factorial[counts.sum()]
    found = _distribution(rows, columns, log_factorial)
    if found is None:
        return _simulated(rows, columns, observed, log_factorial, seed), False
    values, ways = found
    extreme = values <= observed + ALIKE
    return float(min(np.sum(ways[extreme] * np.exp(values[extreme] + constant)), 1.0)), True


def _distribution(
    rows: np.ndarray, columns: np.ndarray, log_factorial: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """Each distinct -sum(log n_ij!) of the tables with these margins and how many have it; None when too many.

    Row after row, what is left of the columns decides what may follow, so partial tables that leave the same and
    weigh the same are followed together.
    """
    states = {tuple(columns): (np.zeros(1), np.ones(1))}
    work = 0
    for total in rows:
        parts: dict[tuple[int, ...], list] = {}
        for left, (values, ways) in states.items():
            for row in _fillings(int(total), left):
                rest = tuple(have - took for have, took in zip(left, row, strict=True))
                parts.setdefault(rest, []).append((values - log_factorial[list(row)].sum(), ways))
                work += len(values)
                if work > WORK:
                    return None
        states = {rest: _merged(found) for rest, found in parts.items()}
    return states[(0,) * len(columns)]


def _fillings(total: int, left: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Every way to put ``total`` into columns that hold at most ``left``."""
    if len(left) == 2:
        return [(k, total - k) for k in range(max(0, total - left[1]), min(total, left[0]) + 1)]
    heads = product(*(range(min(total, most) + 1) for most in left[:-1]))
    return [(*head, total - sum(head)) for head in heads if 0 <= total - sum(head) <= left[-1]]


def _merged(found: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    values = np.concatenate([part[0] for part in found])
    ways = np.concatenate([part[1] for part in found])
    _, first, code = np.unique(np.round(values, 9), return_index=True, return_inverse=True)
    return values[first], np.bincount(code, weights=ways)


def _simulated(rows: np.ndarray, columns: np.ndarray, observed: float, log_factorial: np.ndarray, seed: int) -> float:
    """The share of random tables at most as likely, this one counted among them."""
    tables = random_table.rvs(rows, columns, size=SIMULATED, random_state=np.random.default_rng(seed)).astype(int)
    values = -log_factorial[tables].sum(axis=(1, 2))
    return float((np.sum(values <= observed + ALIKE) + 1) / (SIMULATED + 1))
