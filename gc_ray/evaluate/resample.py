"""How far would an estimate move in another sample: bootstrap intervals, and optimism from repeated development."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from gc_ray.errors import TableError
from gc_ray.evaluate.outcome import labels
from gc_ray.evaluate.proportions import TAIL

LEAST_USABLE = 0.9  # share of samples in which the statistic must exist, else the interval would be of a selection
LEAST_UNITS = 3  # units to draw from: with fewer, a sample is hardly ever another one


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """An estimate, its 95 % percentile interval and the value in each sample (NaN where it did not exist).

    ``events`` is the sum of the first array when that holds 0 and 1 only, else None.
    """

    estimate: float
    lower: float
    upper: float
    replicates: np.ndarray
    n: int
    events: int | None


@dataclass(frozen=True)
class Optimism:
    """Apparent performance minus the mean optimism of repeated development; ``lower`` and ``upper`` span the repeats.

    All NaN, and ``reason`` says why, when the selection was not repeated. ``n`` and ``events`` are the mean sizes
    of the test folds, ``folds`` their number.
    """

    apparent: float
    optimism: float
    corrected: float
    lower: float
    upper: float
    folds: int
    n: float
    events: float
    reason: str


def bootstrap_ci(
    statistic: Callable[..., float],
    *arrays: ArrayLike,
    by: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    draws: int = 1000,
    seed: int,
) -> Bootstrap:
    """The percentile interval of ``statistic(*arrays)`` when patients are drawn again with replacement.

    ``arrays`` (n,) or (n, k), resampled together. ``by`` (n,) names the unit that is drawn whole, such as the
    patient of several scans; ``strata`` (n,) the groups that keep their number of units, such as the outcome. A
    sample in which the statistic is NaN or raises TableError (one class only) does not count; TableError when they
    exceed a tenth, when lengths differ, or when there are fewer than 3 units. The same ``seed`` gives the same
    interval.
    """
    columns = [np.asarray(values) for values in arrays]
    if not columns or len({len(column) for column in columns}) != 1:
        raise TableError(f"bootstrap: wanted arrays of one length, got {[len(column) for column in columns]}")
    n = len(columns[0])
    units = _Units(np.arange(n) if by is None else labels("by", by, n)[0])
    pools = units.pools(np.zeros(n, dtype=int) if strata is None else labels("strata", strata, n)[0])
    if len(units.start) < LEAST_UNITS:
        raise TableError(f"bootstrap: wanted at least {LEAST_UNITS} units to draw from, got {len(units.start)}")
    rng = np.random.default_rng(seed)
    values = np.array([_in_sample(statistic, columns, units.draw(rng, pools)) for _ in range(draws)])
    usable = values[~np.isnan(values)]
    if len(usable) < LEAST_USABLE * draws:
        raise TableError(
            f"bootstrap: the statistic does not exist in {draws - len(usable)} of {draws} samples; too few events, or"
            " resample within strata of the outcome"
        )
    lower, upper = np.quantile(usable, [TAIL, 1 - TAIL])
    estimate = float(statistic(*columns))
    return Bootstrap(estimate, float(lower), float(upper), values, n, _events(columns[0]))


def optimism(resampling_table: pd.DataFrame | None, apparent: float | None = None) -> Optimism:
    """Optimism-corrected performance from folds in which every step of development was repeated.

    ``resampling_table`` has a row for each repeat and fold: ``repeat``, ``fold``, ``auc_train`` (apparent, in the
    folds it was developed on), ``auc_test`` (in the fold left out), ``n`` and ``events`` (of that fold).
    ``apparent`` is the model's own AUC on its training data; without it, the mean of ``auc_train``. Corrected =
    apparent - mean(auc_train - auc_test); the interval spans the 2.5th to 97.5th percentile of the repeats'
    corrected values, and needs 20 repeats, else NaN. Source: the idea of Harrell et al., Stat Med 1996, by
    cross-validation. TableError when a column lacks.
    """
    if resampling_table is None or not len(resampling_table):
        gone = (float("nan"),)
        return Optimism(*gone * 5, 0, *gone * 2, "not estimable: selection not repeated")
    lost = {"repeat", "fold", "auc_train", "auc_test", "n", "events"} - set(resampling_table.columns)
    if lost:
        raise TableError(
            f"resampling: wanted columns repeat, fold, auc_train, auc_test, n, events; lacks {sorted(lost)}"
        )
    gap = resampling_table["auc_train"] - resampling_table["auc_test"]
    start = float(resampling_table["auc_train"].mean()) if apparent is None else float(apparent)
    per_repeat = gap.groupby(resampling_table["repeat"]).mean()
    lower = upper = float("nan")
    if len(per_repeat) >= 20:  # fewer cannot show a 2.5th percentile
        lower, upper = (float(q) for q in np.quantile(start - per_repeat, [TAIL, 1 - TAIL]))
    return Optimism(
        start,
        float(gap.mean()),
        start - float(gap.mean()),
        lower,
        upper,
        len(gap),
        float(resampling_table["n"].mean()),
        float(resampling_table["events"].mean()),
        "",
    )


class _Units:
    """Which rows belong to each unit, so that a sample of units becomes rows without a loop."""

    def __init__(self, codes: np.ndarray):
        self.rows = np.argsort(codes, kind="stable")
        _, self.start, self.size = np.unique(codes[self.rows], return_index=True, return_counts=True)

    def pools(self, strata: np.ndarray) -> list[np.ndarray]:
        """The units of each stratum; TableError when a unit lies in two."""
        ordered = strata[self.rows]
        of_unit = ordered[self.start]
        if (np.repeat(of_unit, self.size) != ordered).any():
            raise TableError("bootstrap: wanted each unit of by in one stratum, got one in two; correct by or strata")
        return [np.flatnonzero(of_unit == stratum) for stratum in np.unique(of_unit)]

    def draw(self, rng: np.random.Generator, pools: list[np.ndarray]) -> np.ndarray:
        """The rows of a sample: as many units of each stratum as it has."""
        drawn = np.concatenate([pool[rng.integers(len(pool), size=len(pool))] for pool in pools])
        size = self.size[drawn]
        within = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
        return self.rows[np.repeat(self.start[drawn], size) + within]


def _in_sample(statistic: Callable[..., float], columns: list[np.ndarray], rows: np.ndarray) -> float:
    try:
        return float(statistic(*(column[rows] for column in columns)))
    except TableError:
        return float("nan")


def _events(first: np.ndarray) -> int | None:
    return int(first.sum()) if np.isin(first, (0, 1)).all() else None
