"""Who are the patients and do the groups differ: Table 1 with tests by a stated rule and standardised differences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from gc_ray.errors import TableError
from gc_ray.evaluate.fisher import fisher_exact
from gc_ray.evaluate.outcome import labels

ALPHA_NORMAL = 0.05  # Shapiro-Wilk P below which values do not count as normal
MOST_SHAPIRO = 5000  # patients up to which its P is known
LEAST_EXPECTED = 5  # smallest expected count for which the chi-square distribution is trusted
EXACT_RANKS = 50  # group size below which Mann-Whitney is exact when there are no ties: R's wilcox.test
KINDS = ("continuous", "normal", "skewed", "categorical", "pearson", "fisher")
RULE = (
    "continuous: Student's t (analysis of variance for more than two groups) where Shapiro-Wilk has P >= .05 in"
    " every group, else Mann-Whitney (Kruskal-Wallis); categorical: Pearson's chi-square without continuity"
    " correction where every expected count is 5 or more, else Fisher's exact test; missing values are left out"
    " variable by variable"
)


@dataclass(frozen=True, eq=False)
class TableOne:
    """Table 1. ``table`` is for reading: variable, level, one text per group, missing, test, statistic, p_value,
    smd.

    ``numbers`` holds the same in long form: variable, level, group, n, missing, mean, sd, median, q1, q3, count,
    share. ``smd`` is the standardised mean difference, first group minus second (without a sign for more than two
    levels; the largest of all pairs for more than two groups). ``events`` is the size of group 1 when the groups
    are 0 and 1.
    """

    table: pd.DataFrame
    numbers: pd.DataFrame
    rule: str
    groups: tuple
    n: int
    events: int | None


def table_one(frame: pd.DataFrame, by: str | ArrayLike, spec: Mapping[str, str]) -> TableOne:
    """Table 1 of the variables in ``spec``, by group.

    ``frame`` has a row for each patient; ``by`` is the column of the groups, or their labels (n,); ``spec`` gives
    the kind of each variable: ``continuous`` and ``categorical`` follow ``RULE``, ``normal`` (t), ``skewed``
    (Mann-Whitney), ``pearson`` and ``fisher`` fix the test. The null hypothesis is no difference between groups;
    two-sided, not adjusted for their number. TableError when a column or kind is unknown, a number is not one, or
    there are fewer than two groups. Source: Yang and Dalton, SAS Global Forum 2012 (differences of categories).
    """
    lost = [name for name in (*spec, *([by] if isinstance(by, str) else [])) if name not in frame.columns]
    wrong = {name: kind for name, kind in spec.items() if kind not in KINDS}
    if lost or wrong:
        raise TableError(
            f"table one: unknown columns {lost[:5]}, unknown kinds {wrong}; kinds are {', '.join(KINDS)}"
        )
    codes, groups = labels("groups", frame[by] if isinstance(by, str) else by, len(frame))
    if len(groups) < 2:
        raise TableError(f"table one: wanted at least two groups, got {len(groups)}; choose another column")
    rows, numbers = [], []
    for name, kind in spec.items():
        describe = _continuous if kind in KINDS[:3] else _categorical
        shown, counted = describe(name, frame[name], codes, groups, kind)
        rows += shown
        numbers += counted
    events = int(codes.sum()) if list(groups) == [0, 1] else None
    return TableOne(pd.DataFrame(rows), pd.DataFrame(numbers), RULE, tuple(groups), len(frame), events)


def _continuous(
    name: str, column: pd.Series, codes: np.ndarray, groups: list, kind: str
) -> tuple[list[dict], list[dict]]:
    try:
        # not pd.to_numeric: it ends the process on text such as 1e2147483648
        values = column.to_numpy(dtype=float, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise TableError(f"table one: {name} is {kind} and wanted numbers, got {column.dtype}; convert it") from error
    if np.isinf(values).any():
        raise TableError(f"table one: {name} holds an infinite number; leave the value out")
    known = ~np.isnan(values)
    parts = [values[known & (codes == k)] for k in range(len(groups))]
    normal = kind == "normal" or (kind == "continuous" and all(map(_looks_normal, parts)))
    test, statistic, p_value = _compare(parts, normal)
    gaps = [_mean_difference(a, b) for a, b in combinations(parts, 2)]
    row = {"variable": name, "level": ""}
    numbers = []
    for k, (group, part) in enumerate(zip(groups, parts, strict=True)):
        mean, sd = (part.mean(), part.std(ddof=1)) if len(part) > 1 else (np.nan, np.nan)
        q1, median, q3 = np.quantile(part, [0.25, 0.5, 0.75]) if len(part) else [np.nan] * 3
        row[str(group)] = f"{mean:.4g} ± {sd:.3g}" if normal else f"{median:.4g} [{q1:.4g}, {q3:.4g}]"
        spread = {"mean": mean, "sd": sd, "median": median, "q1": q1, "q3": q3}
        numbers.append(_number(name, "", group, len(part), int(np.sum(codes == k)) - len(part)) | spread)
    missing = int(np.sum(~known))
    return [row | _tested(missing, test, statistic, p_value, _largest(gaps))], numbers


def _categorical(
    name: str, column: pd.Series, codes: np.ndarray, groups: list, kind: str
) -> tuple[list[dict], list[dict]]:
    column = column.reset_index(drop=True)
    known = column.notna().to_numpy()
    level_codes, levels = labels(name, column[known], int(known.sum()))
    counts = np.zeros((len(levels), len(groups)), dtype=int)
    np.add.at(counts, (level_codes, codes[known]), 1)
    test, statistic, p_value = _independence(counts, kind)
    sizes = counts.sum(axis=0)
    with np.errstate(invalid="ignore"):
        shares = counts / sizes
    gaps = [_category_difference(shares[:, a], shares[:, b]) for a, b in combinations(range(len(groups)), 2)]
    tested = _tested(int(np.sum(~known)), test, statistic, p_value, _largest(gaps))
    if not levels:
        return [{"variable": name, "level": ""} | tested], []
    rows, numbers = [], []
    for i, level in enumerate(map(_level, levels)):
        cells = {str(g): f"{counts[i, k]} ({shares[i, k]:.1%})" for k, g in enumerate(groups)}
        # the test belongs to the variable, so only its first row carries it
        rows.append({"variable": name, "level": level} | cells | (tested if i == 0 else {}))
        for k, group in enumerate(groups):
            missing = int(np.sum((codes == k) & ~known))
            number = _number(name, level, group, int(sizes[k]), missing)
            numbers.append(number | {"count": int(counts[i, k]), "share": shares[i, k]})
    return rows, numbers


def _level(level: object) -> str:
    """A level as text; whole numbers without the .0 that missing values in their column bring."""
    return f"{level:.0f}" if isinstance(level, float) and level.is_integer() else str(level)


def _looks_normal(values: np.ndarray) -> bool:
    if not 3 <= len(values) <= MOST_SHAPIRO or np.ptp(values) == 0:
        return False
    return bool(stats.shapiro(values).pvalue >= ALPHA_NORMAL)


def _compare(parts: list[np.ndarray], normal: bool) -> tuple[str, float, float]:
    """Name, statistic and p-value of the test of continuous values."""
    if min(map(len, parts)) < 2 or np.ptp(np.concatenate(parts)) == 0:
        return "none: too few values or only one", np.nan, np.nan
    if len(parts) > 2:
        found = stats.f_oneway(*parts) if normal else stats.kruskal(*parts)
        return ("analysis of variance" if normal else "Kruskal-Wallis"), float(found.statistic), float(found.pvalue)
    if normal:
        return "Student's t", *_student(*parts)
    ranked = np.concatenate(parts)
    exact = max(map(len, parts)) < EXACT_RANKS and len(np.unique(ranked)) == len(ranked)
    found = stats.mannwhitneyu(*parts, method="exact" if exact else "asymptotic")
    return "Mann-Whitney", float(found.statistic), float(found.pvalue)


def _student(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    df = len(a) + len(b) - 2
    pooled = (a.var(ddof=1) * (len(a) - 1) + b.var(ddof=1) * (len(b) - 1)) / df
    if pooled == 0:
        return float(np.copysign(np.inf, a.mean() - b.mean())), 0.0
    t = (a.mean() - b.mean()) / np.sqrt(pooled * (1 / len(a) + 1 / len(b)))
    return float(t), float(2 * stats.t.sf(abs(t), df))


def _independence(counts: np.ndarray, kind: str) -> tuple[str, float, float]:
    """Name, statistic and p-value of the test of a count table (levels, groups)."""
    counts = counts[:, counts.sum(axis=0) > 0]
    if min(counts.shape) < 2:
        return "none: one level or one group", np.nan, np.nan
    expected = stats.contingency.expected_freq(counts)
    if kind == "fisher" or (kind == "categorical" and expected.min() < LEAST_EXPECTED):
        p_value, exact = fisher_exact(counts)
        return ("Fisher's exact" if exact else "Fisher's, simulated"), np.nan, p_value
    statistic = float(((counts - expected) ** 2 / expected).sum())
    df = (counts.shape[0] - 1) * (counts.shape[1] - 1)
    return "Pearson chi-square", statistic, float(stats.chi2.sf(statistic, df))


def _mean_difference(a: np.ndarray, b: np.ndarray) -> float:
    """Difference of means in units of the pooled standard deviation (mean of the two variances)."""
    if min(len(a), len(b)) < 2:
        return np.nan
    sd = np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)
    difference = a.mean() - b.mean()
    return float(difference / sd) if sd else (np.nan if difference else 0.0)


def _category_difference(a: np.ndarray, b: np.ndarray) -> float:
    """Distance of two sets of shares in units of their pooled multinomial spread; signed for two levels."""
    first, second = a[1:], b[1:]
    if np.isnan(a).any() or np.isnan(b).any() or not len(first):
        return np.nan
    spread = (np.diag(first) - np.outer(first, first) + np.diag(second) - np.outer(second, second)) / 2
    gap = first - second
    distance = float(np.sqrt(max(gap @ np.linalg.pinv(spread, hermitian=True) @ gap, 0.0)))
    if gap.any() and not distance:
        return np.nan  # no spread within the groups, though they differ
    return float(np.copysign(distance, gap[0])) if len(first) == 1 else distance


def _largest(gaps: list[float]) -> float:
    if len(gaps) == 1:
        return gaps[0]
    return float(np.nanmax(np.abs(gaps))) if not np.isnan(gaps).all() else np.nan


def _number(name: str, level: str, group: object, n: int, missing: int) -> dict:
    return {"variable": name, "level": level, "group": group, "n": n, "missing": missing}


def _tested(missing: int, test: str, statistic: float, p_value: float, smd: float) -> dict:
    return {"missing": missing, "test": test, "statistic": statistic, "p_value": p_value, "smd": smd}
