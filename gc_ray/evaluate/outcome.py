"""The one door through which outcomes and scores enter the statistics: checked once, then plain arrays."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from gc_ray.errors import TableError

Z95 = 1.959963984540054  # the normal quantile of .975: every Wald interval is at 95 %
TIME_TOLERANCE = np.sqrt(np.finfo(float).eps)  # times closer than this are one time, as in R's survival (aeqSurv)


def binary(y: ArrayLike, **scores: ArrayLike) -> tuple[np.ndarray, ...]:
    """``y`` as booleans and each of ``scores`` as floats, all (n,), in the order given.

    TableError when ``y`` is not 0 or 1 throughout, when a value is missing or infinite, when lengths differ or when
    there is no row. One class only is let through: see ``both_classes``.
    """
    flags = _zero_one("y", y)
    return (flags, *_aligned(len(flags), "y", scores))


def both_classes(y: np.ndarray, purpose: str) -> None:
    """TableError when ``y`` holds only events or only patients without; ``purpose`` names what needs both."""
    if y.all() or not y.any():
        raise TableError(
            f"{purpose}: wanted patients with and without the event, got {int(y.sum())} events among {len(y)};"
            " leave this cohort out or merge it with another"
        )


def probability(name: str, values: np.ndarray) -> None:
    """TableError when a value is no probability: decision curves and calibration need risks, not arbitrary scores."""
    outside = (values < 0) | (values > 1)
    if outside.any():
        row = int(np.argmax(outside))
        raise TableError(
            f"{name}: wanted probabilities from 0 to 1, got {values[row]:.6g} in row {row} ({int(outside.sum())} rows"
            " in all); give the predicted risk, not the linear predictor"
        )


def follow_up(time: ArrayLike, event: ArrayLike, **scores: ArrayLike) -> tuple[np.ndarray, ...]:
    """``time`` as floats, ``event`` as booleans and each of ``scores`` as floats, all (n,).

    Times that differ by rounding only become equal, as R's survival does: otherwise ties would be broken by the
    last bit. TableError as for ``binary``, and when a time is negative.
    """
    flags = _zero_one("event", event)
    times, *others = _aligned(len(flags), "event", {"time": time, **scores})
    if (times < 0).any():
        row = int(np.argmax(times < 0))
        raise TableError(f"time: wanted follow-up of 0 or more, got {times[row]:.6g} in row {row}; correct its dates")
    return (_merge_near_ties(times), flags, *others)


def labels(name: str, values: ArrayLike, rows: int) -> tuple[np.ndarray, list]:
    """The code of each row (n,) and the labels the codes stand for: sorted, or in the order of a pandas
    Categorical.

    Categories that no row has are dropped. TableError when a label is missing or the length is not ``rows``.
    """
    column = pd.Series(values).reset_index(drop=True)
    if len(column) != rows:
        raise TableError(f"{name}: wanted {rows} labels, one for each patient, got {len(column)}")
    if column.isna().any():
        row = int(np.argmax(column.isna().to_numpy()))
        raise TableError(f"{name}: row {row} has no label ({int(column.isna().sum())} in all); name or drop them")
    if isinstance(column.dtype, pd.CategoricalDtype):
        used = column.cat.remove_unused_categories()
        return used.cat.codes.to_numpy().astype(int), list(used.cat.categories)
    codes, levels = pd.factorize(column, sort=True)
    return codes, list(levels)


def _floats(name: str, values: ArrayLike) -> np.ndarray:
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise TableError(f"{name}: wanted numbers, got {_kind(values)}; convert the column first") from error
    if array.ndim != 1:
        raise TableError(f"{name}: wanted one value for each patient, got an array of shape {array.shape}")
    if not len(array):
        raise TableError(f"{name}: wanted at least one patient, got none; check the filter that made this cohort")
    lost = ~np.isfinite(array)
    if lost.any():
        raise TableError(
            f"{name}: row {int(np.argmax(lost))} is missing or infinite ({int(lost.sum())} in all); impute or drop it"
        )
    return array


def _zero_one(name: str, values: ArrayLike) -> np.ndarray:
    array = _floats(name, values)
    other = (array != 0) & (array != 1)
    if other.any():
        row = int(np.argmax(other))
        raise TableError(f"{name}: wanted 0 or 1, got {array[row]:.6g} in row {row}; recode it, 1 = it happened")
    return array == 1


def _aligned(rows: int, against: str, columns: dict[str, ArrayLike]) -> list[np.ndarray]:
    arrays = []
    for name, values in columns.items():
        array = _floats(name, values)
        if len(array) != rows:
            raise TableError(f"{name}: wanted {rows} values as in {against}, got {len(array)}; align them by patient")
        arrays.append(array)
    return arrays


def _merge_near_ties(times: np.ndarray) -> np.ndarray:
    distinct, code = np.unique(times, return_inverse=True)
    gaps = np.diff(distinct)
    near = (gaps <= TIME_TOLERANCE) | (gaps <= TIME_TOLERANCE * np.abs(distinct).mean())
    if not near.any():
        return times
    first = np.concatenate([[True], ~near])
    return distinct[first][np.cumsum(first) - 1][code]


def _kind(values: ArrayLike) -> str:
    return str(getattr(values, "dtype", type(values).__name__))
