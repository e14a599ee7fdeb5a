"""The same person under two ids: patients whose values are equal in columns in which hardly any two people agree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from gc_ray.cohort.findings import Finding
from gc_ray.errors import SHOWN
from gc_ray.study_cohort import ClinicalSettings

LEAST_EQUAL = 10  # columns in which two rows must agree
MANY_VALUES = 20  # distinct values above which a column can tell people apart
COMMON = 0.2  # share of the patients above which a value says nothing, such as the 0 of a clipped feature
RARE = 0.02  # share of the patients up to which a value makes two of them worth comparing
FEW = 5  # patients who may have a value whatever their share is: a small cohort has ages twice
SHARED = 5  # rare values that two rows share before they are compared
AT_A_TIME = 10_000  # pairs compared at a time
BITS = 26  # of a value that are compared, 8 digits: the same scan computed twice may differ in the last ones
LOOKED_AT = 200  # columns of most distinct values: enough to tell people apart, and few enough to be quick


@dataclass(frozen=True)
class Alike:
    """Two patient ids, and in how many of the columns in which both have a value these are equal."""

    first: str
    second: str
    equal: int
    compared: int


def same_people(ids: Iterable[str], values: np.ndarray, settings: ClinicalSettings) -> list[Alike]:
    """Pairs of ids that are probably one person, but for those that the study declares to be different.

    Two rows are one person when they agree in ``LEAST_EQUAL`` or more columns of many distinct values, and in at
    least half of those in which both have a value. A value that many patients have does not count.

    Parameters
    ----------
    ids : iterable of str, n
    values : ndarray of float64, shape (n, p)
        A column for each variable, NaN where there is no value.
    settings : ClinicalSettings
        Whose ``different_patients`` are left out.

    Returns
    -------
    list of Alike
        Sorted by ids.
    """
    ids = np.array(list(ids), dtype=object)
    if settings.different_patients == "all" or len(ids) < 2:
        return []
    values = _telling(_rounded(values))
    if values.shape[1] < LEAST_EQUAL:
        return []
    allowed = {frozenset(pair) for group in settings.different_patients for pair in combinations(group, 2)}
    pairs = _candidates(values)
    equal, compared = _agreement(values, pairs)
    same = equal >= np.maximum(LEAST_EQUAL, compared / 2)
    found = [
        Alike(*sorted((str(ids[i]), str(ids[j]))), int(e), int(c))
        for (i, j), e, c in zip(pairs[same], equal[same], compared[same], strict=True)
        if frozenset((ids[i], ids[j])) not in allowed
    ]
    return sorted(found, key=lambda one: (one.first, one.second))


def same_people_text(found: list[Alike], where: str) -> str:
    """The pairs in words, with the fix; empty where there is none. where: what was compared, such as "features f"."""
    if not found:
        return ""
    named = [f"{a.first} and {a.second} (equal in {a.equal} of {a.compared} columns)" for a in found[:SHOWN]]
    more = ", .." if len(found) > SHOWN else ""
    many = "1 pair of patients has" if len(found) == 1 else f"{len(found)} pairs of patients have"
    return (
        f"{where}: {many} the same values, as one person under two ids has: "
        f"{', '.join(named)}{more}; leave one of each pair out, or name those who are different people in "
        "clinical.different_patients"
    )


def clinical_duplicates(text: pd.DataFrame, settings: ClinicalSettings) -> list[Finding]:
    """Patients of a clinical table who are probably one person, whatever columns the study uses.

    text: every cell text or None, indexed by patient_id.
    """
    cells = text.drop(columns="site", errors="ignore")
    found = same_people_text(same_people(text.index, as_numbers(cells), settings), "clinical table")
    return [Finding("error", found)] if found else []


def as_numbers(text: pd.DataFrame) -> np.ndarray:
    """The cells of a table as float64 (rows, columns): numbers as they are, other text by a number for each text."""
    columns = [_as_numbers(text[name]) for name in text]
    return np.column_stack(columns) if columns else np.empty((len(text), 0))


def _as_numbers(cells: pd.Series) -> np.ndarray:
    cells = cells.where(cells.notna() & (cells != ""), None)
    numbers = pd.to_numeric(cells, errors="coerce").to_numpy(np.float64)
    if np.isfinite(numbers[cells.notna()]).all():
        return numbers
    codes = pd.factorize(cells)[0].astype(np.float64)
    codes[codes < 0] = np.nan
    return codes


def _rounded(values: np.ndarray) -> np.ndarray:
    """The values to ``BITS`` bits; NaN stays."""
    part, exponent = np.frexp(values)
    return np.ldexp(np.round(np.ldexp(part, BITS)), exponent - BITS)


def _telling(values: np.ndarray) -> np.ndarray:
    """The columns of many distinct values, at most ``LOOKED_AT`` of them."""
    distinct = np.array([len(np.unique(column[~np.isnan(column)])) for column in values.T], dtype=int)
    kept = np.flatnonzero(distinct > MANY_VALUES)
    most = kept[np.argsort(-distinct[kept], kind="stable")][:LOOKED_AT]
    return values[:, np.sort(most)]


def _candidates(values: np.ndarray) -> np.ndarray:
    """Pairs of rows (pairs, 2) that share some rare values, or are equal throughout."""
    n = len(values)
    most = max(FEW, int(RARE * n))
    found = [pair for column in values.T for pair in _pairs_within(_equal_groups(column), most, n)]
    pairs, counts = np.unique(np.concatenate([np.empty(0, np.int64), *found]), return_counts=True)
    rows = np.unique(np.nan_to_num(values, nan=np.inf), axis=0, return_inverse=True)[1].ravel().astype(float)
    whole = [np.empty(0, np.int64), *_pairs_within(_equal_groups(rows), n, n)]
    chosen = np.unique(np.concatenate([pairs[counts >= SHARED], *whole]))
    return np.column_stack([chosen // n, chosen % n])


def _equal_groups(column: np.ndarray) -> list[np.ndarray]:
    """The places of each value of a column that stands there more than once, NaN left out."""
    order = np.argsort(column, kind="stable")[: int((~np.isnan(column)).sum())]
    ends = np.flatnonzero(np.diff(column[order])) + 1
    return [np.sort(group) for group in np.split(order, ends) if len(group) > 1]


def _pairs_within(groups: list[np.ndarray], most: int, n: int) -> Iterator[np.ndarray]:
    """Each pair of rows within groups of at most ``most``, as first * n + second."""
    for group in groups:
        if len(group) <= most:
            first, second = np.triu_indices(len(group), 1)
            yield group[first].astype(np.int64) * n + group[second]


def _agreement(values: np.ndarray, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(columns in which each pair is equal, columns in which both have a value), common values left out."""
    common = np.zeros(values.shape, bool)
    for i, column in enumerate(values.T):
        for group in _equal_groups(column):
            common[group, i] = len(group) > max(FEW, COMMON * len(values))
    equal, compared = np.zeros(len(pairs), int), np.zeros(len(pairs), int)
    for start in range(0, len(pairs), AT_A_TIME):
        part = slice(start, start + AT_A_TIME)
        a, b = pairs[part].T
        same = values[a] == values[b]
        said = ~np.isnan(values[a]) & ~np.isnan(values[b]) & ~(same & common[a])
        equal[part], compared[part] = (same & said).sum(axis=1), said.sum(axis=1)
    return equal, compared
