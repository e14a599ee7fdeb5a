"""Tests between models, groups and sites, and of calibration: each with its null hypothesis, none adjusted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from gc_ray import evaluate
from gc_ray.errors import TableError
from gc_ray.report.measure import discrimination, row
from gc_ray.report.units import Unit, same_patients

PAIRED = "DeLong, paired, in the patients who have both scores; null: the two AUCs are equal"
HOSMER = "Hosmer-Lemeshow, 10 groups by quantiles; null: the risks are right"
LOG_RANK = "log-rank at the frozen cutoff; null: both groups have one hazard"
INTERACTION = "chi-square over groups; null: all have one AUC"
SITES = "Cochran's Q on logit AUC, random effects; null: all sites have one AUC"
CONTRAST = "DeLong among events only; null: AUC .5; above .5 = the named level scores higher"


def test_rows(units: list[Unit], cutoff_of: Callable[[Unit], float | None]) -> list[dict]:
    """Rows of the table tests: models in pairs, calibration, risk groups. cutoff_of: survival cutoff of a unit."""
    rows = [_paired(a, b) for a, b in same_patients(units)]
    for unit in units:
        rows.append(_test(unit, "calibration", HOSMER, lambda unit=unit: _hosmer(unit)))
        cutoff = cutoff_of(unit)
        if cutoff is not None and np.isfinite(cutoff) and len(unit.followed().score):
            known = unit.followed()
            rows.append(_test(known, "log_rank", LOG_RANK, lambda u=known, c=cutoff: _log_rank(u, c)))
    return rows


def group_rows(unit: Unit, columns: tuple[str, ...], coding: dict) -> tuple[list[dict], list[dict]]:
    """(metrics, tests) of a unit by subgroup and by site; coding: the declared columns of the study."""
    metrics, tests = [], []
    for name in columns:
        labels = level_names(unit.patients[name], coding.get(name))
        known = labels.notna().to_numpy()
        if labels[known].nunique() < 2:
            continue
        part = unit.part(known)
        metrics += _by_level(part, name, labels[known])
        tests.append(
            _test(part, "interaction", INTERACTION, lambda p=part, g=labels[known]: _interaction(p, g), subset=name)
        )
    site = unit.patients["site"]
    if site.nunique() > 1:
        metrics += _by_level(unit, "site", site)
        pooled, test = _sites(unit, site)
        metrics += pooled
        tests.append(test)
    return metrics, tests


def contrast_rows(unit: Unit, contrasts: tuple[str, ...]) -> tuple[list[dict], list[dict]]:
    """(metrics, tests) of how the score tells a level of a column from its other levels, among events only."""
    metrics, tests = [], []
    for contrast in contrasts:
        relabelled = among_events(unit, contrast)
        if relabelled is None:
            continue
        subset = f"events only, positive: {contrast}"
        metrics += discrimination(relabelled, subset)
        tests.append(_test(relabelled, "contrast", CONTRAST, lambda u=relabelled: _against_half(u), subset=subset))
    return metrics, tests


def among_events(unit: Unit, contrast: str) -> Unit | None:
    """The unit's events whose column is known, with the named level as the outcome; None where there are none.

    contrast: column=level.
    """
    column, _, level = contrast.partition("=")
    if column not in unit.patients:
        return None
    events = unit.part((unit.patients["outcome"].eq(1) & unit.patients[column].notna()).to_numpy())
    if not len(events.score):
        return None
    named = events.patients[column].astype(str).eq(level).astype(int)
    return replace(events, patients=events.patients.assign(outcome=named))


def level_names(values: pd.Series, declared: object) -> pd.Series:
    """Labels of a subgroup column: yes and no of a binary one, levels as they are."""
    if getattr(declared, "kind", "") == "binary" or values.dropna().isin((0, 1)).all():
        return values.map({0: "no", 1: "yes"})
    return values.astype(object).where(values.notna())


def _paired(a: Unit, b: Unit) -> dict:
    def compute() -> dict:
        return _difference(a, b.score)

    return _test(a, "auc difference", PAIRED, compute, other=b.model_id)


def _hosmer(unit: Unit) -> dict:
    found = evaluate.hosmer_lemeshow(unit.y, unit.score, development=unit.kind == "apparent")
    return {"statistic": found.statistic, "df": found.df, "p_value": found.p_value}


def _log_rank(unit: Unit, cutoff: float) -> dict:
    group = evaluate.risk_groups(unit.score, cutoff)
    found = evaluate.log_rank(unit.patients["time"], unit.patients["event"], group)
    return {"statistic": found.statistic, "df": found.df, "p_value": found.p_value}


def _interaction(unit: Unit, labels: pd.Series) -> dict:
    found = evaluate.subgroup_auc(unit.y, unit.score, labels)
    return {"statistic": found.statistic, "df": found.df, "p_value": found.p_value}


def _against_half(unit: Unit) -> dict:
    return _difference(unit, np.zeros(len(unit.score)))


def _difference(unit: Unit, other: np.ndarray) -> dict:
    """The AUC of a unit's scores less that of other scores of the same patients."""
    found = evaluate.delong_test(unit.y, unit.score, other)
    return {
        "estimate": found.difference,
        "lower": found.lower,
        "upper": found.upper,
        "statistic": found.z,
        "p_value": found.p_value,
    }


def _by_level(unit: Unit, name: str, labels: pd.Series) -> Iterator[dict]:
    for level in sorted(labels.unique(), key=str):
        yield from discrimination(unit.part((labels == level).to_numpy()), f"{name}={level}")


def _sites(unit: Unit, site: pd.Series) -> tuple[list[dict], dict]:
    try:
        found = evaluate.by_site(unit.y, unit.score, site)
    except TableError as error:
        return [], _test(unit, "heterogeneity", SITES, lambda: {}, note=str(error))
    pooled = [
        row(unit, "auc_sites_pooled", (found.auc, found.lower, found.upper), SITES),
        row(unit, "auc_another_site", (found.auc, found.prediction_lower, found.prediction_upper), "95 % prediction"),
        row(unit, "i_squared", (found.i_squared, np.nan, np.nan), "share of variation between sites, no interval"),
    ]
    values = {"statistic": found.q, "df": found.df, "p_value": found.p_value}
    return pooled, _test(unit, "heterogeneity", SITES, lambda: values)


def _test(
    unit: Unit,
    test: str,
    method: str,
    compute: Callable[[], dict],
    *,
    other: str = "",
    subset: str = "all",
    note: str = "",
) -> dict:
    values = dict.fromkeys(("estimate", "lower", "upper", "statistic", "df", "p_value"), np.nan)
    try:
        values |= compute()
    except TableError as error:
        note = str(error)
    named = {"subset": subset, "test": test, "other": other}
    return unit.key | named | values | unit.size | {"method": method, "note": note}
