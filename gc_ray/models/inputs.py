"""What a matrix of predictors and a binary outcome must be before anything is fitted to them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gc_ray.errors import TableError

NAMED = 5  # columns that a message names before it only counts


def predictors(x: np.ndarray, names: Sequence[str] | None = None) -> np.ndarray:
    """``x`` as float64 (rows, columns), all finite.

    Raises TableError for another shape, text, missing or infinite values; it names the columns by ``names``, or as a
    data frame does.
    """
    names = column_names(x, names)
    try:
        found = np.asarray(x, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TableError("predictors: wanted numbers, some are text; encode or drop those columns") from error
    if found.ndim != 2 or 0 in found.shape:
        raise TableError(f"predictors: wanted rows x columns with at least one of each, got shape {found.shape}")
    bad = np.flatnonzero(~np.isfinite(found).all(axis=0))
    if len(bad):
        raise TableError(
            f"predictors: {named(bad, names)} with missing or infinite values; drop those columns, or complete or "
            f"impute the rows first"
        )
    return found


def column_names(x: np.ndarray, names: Sequence[str] | None) -> Sequence[str] | None:
    """``names``, or else those that ``x`` has where it is a data frame, or else None."""
    return names if names is not None else getattr(x, "columns", None)


def outcome(y: np.ndarray, rows: int) -> np.ndarray:
    """``y`` as float64 (rows,) of 0 and 1, both present; TableError otherwise."""
    try:
        found = np.asarray(y, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TableError("outcome: wanted 0 and 1, got text; code the event as 1") from error
    if found.shape != (rows,):
        raise TableError(f"outcome: wanted one value for each of {rows} rows, got shape {found.shape}")
    if not np.isin(found, (0.0, 1.0)).all():
        raise TableError("outcome: wanted 0 and 1 only; code the event as 1 and drop rows without outcome")
    if found.min() == found.max():
        raise TableError(f"outcome: wanted both 0 and 1, all {rows} rows have {found[0]:.0f}")
    return found


def named(columns: Sequence[int], names: Sequence[str] | None = None) -> str:
    """The columns in words: the first few by name, or by position where there are no names, then how many more."""
    shown = [str(names[c]) if names is not None else str(c) for c in columns[:NAMED]]
    more = f" and {len(columns) - NAMED} more" if len(columns) > NAMED else ""
    return f"column{'s' if len(columns) > 1 else ''} {', '.join(shown)}{more}"
