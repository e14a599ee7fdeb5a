"""Does the score do equally well in every subgroup and at every site: AUC by group, its tests and its pooling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import expit, logit
from scipy.stats import chi2
from scipy.stats import t as student

from gc_ray.errors import TableError
from gc_ray.evaluate.delong import auc_ci
from gc_ray.evaluate.outcome import Z95, binary, labels
from gc_ray.evaluate.proportions import TAIL


@dataclass(frozen=True, eq=False)
class SubgroupAuc:
    """``table``: group, n, events, auc, lower, upper; and the test that all groups have one AUC.

    A group without events, or with nothing else, has NaN. A group whose variance is 0 or unknown stays out of the
    test, which is NaN when fewer than two groups remain.
    """

    table: pd.DataFrame
    statistic: float
    df: int
    p_value: float
    n: int
    events: int


@dataclass(frozen=True, eq=False)
class BySite:
    """``table``: site, n, events, auc, lower, upper, weight; and the random-effects summary on the logit scale.

    ``q``, ``df``, ``p_value``, ``i_squared`` (0..1) and ``tau_squared`` (variance of logit AUC between sites)
    measure heterogeneity; ``prediction_lower`` and ``_upper`` span the AUC of another site (NaN below 3 sites).
    """

    table: pd.DataFrame
    auc: float
    lower: float
    upper: float
    prediction_lower: float
    prediction_upper: float
    q: float
    df: int
    p_value: float
    i_squared: float
    tau_squared: float
    n: int
    events: int


def subgroup_auc(y: ArrayLike, score: ArrayLike, group: ArrayLike) -> SubgroupAuc:
    """The AUC in each subgroup, and the interaction test.

    ``y`` (n,) of 0 and 1, ``score`` (n,) with higher = higher risk, ``group`` (n,) of labels. The null hypothesis
    is one AUC for all groups: the weighted squares of their distance from the common AUC are chi-square with groups
    - 1 degrees of freedom; for two groups this is the square of the unpaired DeLong test's z. TableError on bad
    input.
    """
    table, variance, n, events = _by_group(y, score, group, "group")
    usable = variance > 0
    area, weight = table["auc"].to_numpy()[usable], 1 / variance[usable]
    if len(area) < 2:
        return SubgroupAuc(table, np.nan, 0, np.nan, n, events)
    statistic = float(np.sum(weight * (area - np.average(area, weights=weight)) ** 2))
    df = len(area) - 1
    return SubgroupAuc(table, statistic, df, float(chi2.sf(statistic, df)), n, events)


def by_site(y: ArrayLike, score: ArrayLike, site: ArrayLike) -> BySite:
    """The AUC at each site, its heterogeneity and its random-effects mean.

    ``y`` (n,) of 0 and 1, ``score`` (n,) with higher = higher risk, ``site`` (n,) of labels. AUCs are pooled on the
    logit scale, variance by the delta method from DeLong's. A site with one class, perfect separation or no
    variance has weight 0. The null hypothesis of ``p_value`` is one AUC at all sites. TableError when no site can
    be pooled. Source: Cochran 1954 (Q), Higgins and Thompson 2002 (I squared), DerSimonian and Laird 1986; Debray
    et al., Stat Methods Med Res 2019.
    """
    table, variance, n, events = _by_group(y, score, site, "site")
    area = table["auc"].to_numpy()
    usable = (variance > 0) & (area > 0) & (area < 1)
    if not usable.any():
        raise TableError("by site: wanted a site with both classes and some overlap, got none; pool the sites first")
    value = logit(area[usable])
    spread = variance[usable] / (area[usable] * (1 - area[usable])) ** 2
    fixed = 1 / spread
    q = float(np.sum(fixed * (value - np.average(value, weights=fixed)) ** 2))
    df = len(value) - 1
    excess = fixed.sum() - np.sum(fixed**2) / fixed.sum()
    tau_squared = max((q - df) / excess, 0.0) if df else 0.0
    weight = 1 / (spread + tau_squared)
    mean, se = float(np.average(value, weights=weight)), float(np.sqrt(1 / weight.sum()))
    reach = student.ppf(1 - TAIL, df - 1) * np.sqrt(tau_squared + se**2) if df > 1 else np.nan
    share = np.zeros(len(area))
    share[usable] = weight / weight.sum()
    return BySite(
        table.assign(weight=share),
        *(float(expit(v)) for v in (mean, mean - Z95 * se, mean + Z95 * se, mean - reach, mean + reach)),
        q,
        df,
        float(chi2.sf(q, df)) if df else np.nan,
        max((q - df) / q, 0.0) if q else 0.0,
        tau_squared,
        n,
        events,
    )


def _by_group(
    y: ArrayLike, score: ArrayLike, group: ArrayLike, name: str
) -> tuple[pd.DataFrame, np.ndarray, int, int]:
    """A row for each group and its DeLong variance, NaN where a class is missing."""
    y, score = binary(y, score=score)
    codes, levels = labels(name, group, len(y))
    rows, variance = [], []
    for k, level in enumerate(levels):
        mine = y[codes == k]
        row = {
            name: level,
            "n": len(mine),
            "events": int(mine.sum()),
            "auc": np.nan,
            "lower": np.nan,
            "upper": np.nan,
        }
        found = auc_ci(mine, score[codes == k]) if 0 < mine.sum() < len(mine) else None
        if found:
            row |= {"auc": found.auc, "lower": found.lower, "upper": found.upper}
        rows.append(row)
        variance.append(found.variance if found else np.nan)
    return pd.DataFrame(rows), np.array(variance), len(y), int(y.sum())
