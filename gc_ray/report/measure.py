"""Every number of a unit: discrimination, calibration, the confusion matrix, usefulness and survival."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from gc_ray import evaluate
from gc_ray.errors import TableError
from gc_ray.report.units import Unit
from gc_ray.study import EvaluateSettings

DELONG = "DeLong; Wald interval"
NO_CUTOFF = "no cutoff: see the table cutoffs"
RATES = {"ACC": "accuracy", "SENS": "sensitivity", "SPEC": "specificity", "PPV": "ppv", "NPV": "npv"}


def metric_rows(unit: Unit, cutoffs: dict[str, float | None], settings: EvaluateSettings) -> list[dict]:
    """Rows of the table metrics for all patients of a unit. cutoffs: by purpose, None where there is none."""
    return [
        *discrimination(unit),
        *_bootstrapped(unit, settings),
        *_within_folds(unit),
        *_calibration(unit, settings),
        *_confusion(unit, cutoffs.get("classification"), settings),
        *_benefit_in_time(unit.followed(), cutoffs.get("classification"), settings),
        *_survival(unit, cutoffs.get("survival"), settings),
    ]


def discrimination(unit: Unit, subset: str = "all") -> Iterator[dict]:
    """The AUC of a unit."""
    yield from _guarded(
        unit, ("auc",), DELONG, lambda: [_limits(evaluate.auc_ci(unit.y, unit.score), "auc")], subset=subset
    )


def row(unit: Unit, metric: str, found: tuple, method: str, note: str = "", subset: str = "all") -> dict:
    """One row of the table metrics; found: estimate, lower, upper."""
    numbers = dict(zip(("estimate", "lower", "upper"), found, strict=True))
    return unit.key | {"subset": subset, "metric": metric, **numbers, **unit.size, "method": method, "note": note}


def _guarded(
    unit: Unit, metrics: tuple, method: str, compute: Callable[[], list[tuple]], subset: str = "all"
) -> Iterator[dict]:
    """The rows of some metrics; where the data cannot give them, rows that say why."""
    try:
        found, note = compute(), ""
    except TableError as error:
        found, note = [(np.nan,) * 3] * len(metrics), str(error)
    for metric, numbers in zip(metrics, found, strict=True):
        yield row(unit, metric, numbers, method, note, subset)


def _limits(found: object, name: str) -> tuple[float, float, float]:
    return getattr(found, name), found.lower, found.upper


def _bootstrapped(unit: Unit, settings: EvaluateSettings) -> Iterator[dict]:
    statistics = {
        "auc_bootstrap": _fast_auc,
        "average_precision": _fast_average_precision,
        "brier": lambda y, p: float(np.mean((p - y) ** 2)),
        "e_over_o": lambda y, p: float(p.mean() / y.mean()) if y.any() else np.nan,
    }
    arrays = unit.y.astype(bool), unit.score
    for metric, statistic in statistics.items():
        yield from _guarded(
            unit,
            (metric,),
            _percentiles(settings),
            lambda statistic=statistic: [_bootstrap(statistic, arrays, settings)],
        )


def _percentiles(settings: EvaluateSettings) -> str:
    return f"percentiles of {settings.bootstrap} bootstrap samples of patients"


def _bootstrap(statistic: Callable, arrays: tuple, settings: EvaluateSettings) -> tuple[float, float, float]:
    if not settings.bootstrap:
        return statistic(*arrays), np.nan, np.nan
    found = evaluate.bootstrap_ci(statistic, *arrays, draws=settings.bootstrap, seed=settings.seed)
    return found.estimate, found.lower, found.upper


def _fast_auc(y: np.ndarray, score: np.ndarray) -> float:
    """As ``evaluate.auc``, for arrays that were checked already; NaN with one class."""
    cases = int(y.sum())
    if not 0 < cases < len(y):
        return np.nan
    return float((rankdata(score)[y].sum() - cases * (cases + 1) / 2) / (cases * (len(y) - cases)))


def _fast_average_precision(y: np.ndarray, score: np.ndarray) -> float:
    """As ``evaluate.precision_recall``, for arrays that were checked already; NaN without events."""
    if not y.any():
        return np.nan
    order = np.argsort(-score)
    ranked = score[order]
    last = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(y) - 1)
    found = np.cumsum(y[order])[last]
    return float(np.sum(np.diff(found, prepend=0) * found / (last + 1)) / found[-1])


def _within_folds(unit: Unit) -> Iterator[dict]:
    """The mean AUC within folds: pooled scores of different fits are not on one scale, those of a fold are."""
    fold = unit.patients["fold"]
    if unit.kind != "oof" or fold.isna().any():
        return
    parts = [unit.part((fold == k).to_numpy()) for k in sorted(fold.unique())]
    areas = [evaluate.auc(p.y, p.score) for p in parts if 0 < p.y.sum() < len(p.y)]
    mean = float(np.mean(areas)) if areas else np.nan
    method = f"mean of {len(areas)} folds of the splits, without an interval: folds are not independent"
    yield row(unit, "auc_within_folds", (mean, np.nan, np.nan), method)


def _calibration(unit: Unit, settings: EvaluateSettings) -> Iterator[dict]:
    metrics = ("calibration_slope", "calibration_intercept", "ici")

    def compute() -> list[tuple]:
        found = evaluate.calibration(unit.y, unit.score, settings.bootstrap, settings.seed)
        return [
            (found.slope, found.slope_lower, found.slope_upper),
            (found.intercept, found.intercept_lower, found.intercept_upper),
            (found.ici, found.ici_lower, found.ici_upper),
        ]

    method = f"logistic recalibration, Wald interval; ici: loess, {_percentiles(settings)}"
    for one in _guarded(unit, metrics, method, compute):
        unknown = not one["note"] and np.isnan(one["estimate"])
        yield one | ({"note": "the risks between 0 and 1 are all equal"} if unknown else {})


def _confusion(unit: Unit, cutoff: float | None, settings: EvaluateSettings) -> Iterator[dict]:
    counts = ("tp", "fp", "tn", "fn")
    if cutoff is None or np.isnan(cutoff):
        for metric in (*counts, *RATES.values(), "net_benefit"):
            yield row(unit, metric, (np.nan,) * 3, "at the frozen cutoff", NO_CUTOFF)
        return
    found = evaluate.confusion_metrics(unit.y, unit.score, cutoff, settings.interval, seed=settings.seed)
    for name in counts:
        yield row(unit, name, (float(getattr(found, name)), np.nan, np.nan), "count at the frozen cutoff")
    for name, metric in RATES.items():
        one = getattr(found, name)
        note = "" if np.isfinite(one.estimate) else "nobody in the denominator"
        yield row(unit, metric, (one.estimate, one.lower, one.upper), f"{settings.interval} interval", note)
    if 0 < cutoff < 1:
        odds = cutoff / (1 - cutoff)

        def benefit(y: np.ndarray, p: np.ndarray) -> float:
            return float(np.mean((p >= cutoff) * np.where(y, 1.0, -odds)))

        yield from _guarded(
            unit,
            ("net_benefit",),
            f"at the frozen cutoff; percentiles of {settings.bootstrap} bootstrap samples",
            lambda: [_bootstrap(benefit, (unit.y.astype(bool), unit.score), settings)],
        )


def _benefit_in_time(unit: Unit, cutoff: float | None, settings: EvaluateSettings) -> Iterator[dict]:
    """The net benefit at the study's horizon, where the score is the risk by then."""
    months = settings.risk_months
    if not months or not len(unit.score):
        return
    metric = f"net_benefit_at_{months:g}_months"
    if cutoff is None or not 0 < cutoff < 1:
        yield row(unit, metric, (np.nan,) * 3, "at the frozen cutoff", NO_CUTOFF)
        return

    def benefit(time: np.ndarray, event: np.ndarray, score: np.ndarray) -> float:
        return float(evaluate.net_benefit_survival(time, event, score, [cutoff], months).model[0])

    arrays = unit.patients["time"].to_numpy(), unit.patients["event"].to_numpy(), unit.score
    method = f"at the frozen cutoff, by Kaplan-Meier; {_percentiles(settings)}"

    def compute() -> list[tuple]:
        known = np.isfinite(benefit(*arrays))  # before any sample, so that a horizon out of reach is told as such
        return [_bootstrap(benefit, arrays, settings) if known else (np.nan,) * 3]

    for one in _guarded(unit, (metric,), method, compute):
        unknown = not one["note"] and np.isnan(one["estimate"])
        yield one | ({"note": "the follow-up of those at or above the cutoff ends before"} if unknown else {})


def _survival(unit: Unit, cutoff: float | None, settings: EvaluateSettings) -> Iterator[dict]:
    known = unit.followed()
    if not len(known.score):
        return
    time, event = known.patients["time"].to_numpy(), known.patients["event"].to_numpy()
    yield from _guarded(
        known,
        ("c_index",),
        "Harrell, infinitesimal jackknife",
        lambda: [_limits(evaluate.concordance(time, event, known.score), "c")],
    )
    horizons = settings.horizons_months

    def areas() -> list[tuple]:
        found = evaluate.time_dependent_auc(time, event, known.score, horizons)
        return list(zip(found.auc, found.lower, found.upper, strict=True))

    names = tuple(f"auc_at_{horizon:g}_months" for horizon in horizons)
    for one in _guarded(known, names, "cumulative/dynamic, inverse probability of censoring", areas):
        unknown = not one["note"] and np.isnan(one["estimate"])
        yield one | ({"note": "no event by then, or nobody followed beyond"} if unknown else {})
    if cutoff is not None and np.isfinite(cutoff):
        high = pd.Series((known.score > cutoff).astype(float), name="high")

        def ratio() -> list[tuple]:
            if high.nunique() < 2:
                raise TableError("all patients are in one risk group")
            found = evaluate.cox(time, event, high.to_frame()).table.iloc[0]
            return [(found["hazard_ratio"], found["lower"], found["upper"])]

        yield from _guarded(known, ("hazard_ratio",), "Cox, high against low risk, cutoff frozen", ratio)
