"""Is a count table more uneven than chance, exactly: Fisher's test for any number of rows and columns."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
from scipy.special import gammaln
from scipy.stats import random_table

WORK = 50_000_000  # partial tables to follow, 1-2 s; past it the p-value is simulated
STEP = 200  # partial tables that take as long as one step of the loop over them
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
    limit = -log_factorial[counts].sum() + ALIKE
    chance = _chance(rows, columns, log_factorial, limit)
    if chance is None:
        return _simulated(rows, columns, limit, log_factorial, seed), False
    return min(chance, 1.0), True


def _chance(rows: np.ndarray, columns: np.ndarray, log_factorial: np.ndarray, limit: float) -> float | None:
    """The chance of a table whose -sum(log n_ij!) is at most ``limit``; None when there are too many to follow.

    Row after row, what is left of the columns decides what may follow. So partial tables that leave the same and
    weigh the same are followed together, and no further once all or none of what may follow stays within the limit
    (the network algorithm of Mehta and Patel, JASA 1983).
    """
    reach = _reach(rows, columns, log_factorial)
    constant = log_factorial[columns].sum() - log_factorial[columns.sum()] + log_factorial[rows].sum()
    states = {tuple(columns): (np.zeros(1), np.ones(1))}
    chance, work = 0.0, 0
    for i, total in enumerate(rows, start=1):
        parts: dict[tuple[int, ...], list] = {}
        for left, (values, ways) in states.items():
            for row in _fillings(int(total), left):
                rest = tuple(have - took for have, took in zip(left, row, strict=True))
                parts.setdefault(rest, []).append((values - log_factorial[list(row)].sum(), ways))
                work += len(values) + STEP
                if work > WORK:
                    return None
        states = {}
        for rest, found in parts.items():
            values, ways = _merged(found)
            least, most = reach(i, rest[0])
            within = values + most <= limit
            followed = ~within & (values + least <= limit)
            completions = log_factorial[sum(rest)] - log_factorial[list(rest)].sum() - log_factorial[rows[i:]].sum()
            chance += float(np.sum(ways[within] * np.exp(values[within] + completions + constant)))
            if followed.any():
                states[rest] = values[followed], ways[followed]
    return chance


def _reach(rows: np.ndarray, columns: np.ndarray, log_factorial: np.ndarray) -> Callable[[int, int], tuple]:
    """The least and most that rows from the i-th on can add, when ``left`` of the first column is left.

    Known for two columns; with more, nothing is known before the end.
    """
    if len(columns) > 2:
        return lambda i, left: (0.0, 0.0) if i == len(rows) else (-np.inf, np.inf)
    size = int(columns[0]) + 1
    least, most = np.full((len(rows) + 1, size), np.inf), np.full((len(rows) + 1, size), -np.inf)
    least[-1, 0] = most[-1, 0] = 0.0
    for i in range(len(rows) - 1, -1, -1):
        for k in range(min(int(rows[i]), size - 1) + 1):
            added = -log_factorial[k] - log_factorial[rows[i] - k]
            np.minimum(least[i, k:], added + least[i + 1, : size - k], out=least[i, k:])
            np.maximum(most[i, k:], added + most[i + 1, : size - k], out=most[i, k:])
    return lambda i, left: (least[i, left], most[i, left])


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


def _simulated(rows: np.ndarray, columns: np.ndarray, limit: float, log_factorial: np.ndarray, seed: int) -> float:
    """The share of random tables at most as likely, this one counted among them."""
    tables = random_table.rvs(rows, columns, size=SIMULATED, random_state=np.random.default_rng(seed)).astype(int)
    values = -log_factorial[tables].sum(axis=(1, 2))
    return float((np.sum(values <= limit) + 1) / (SIMULATED + 1))
