"""Statistics of a score against an outcome: plain arrays in, frozen results with intervals out."""

from __future__ import annotations

from importlib import import_module

_HOME = {
    "auc": "delong",
    "auc_ci": "delong",
    "delong_test": "delong",
    "delong_test_unpaired": "delong",
    "roc_curve": "roc",
    "precision_recall": "roc",
    "operating_point": "roc",
    "confusion_metrics": "confusion",
    "proportion": "proportions",
    "calibration": "calibrate",
    "hosmer_lemeshow": "calibrate",
    "net_benefit": "decision",
    "net_benefit_survival": "decision",
    "kaplan_meier": "survival",
    "log_rank": "survival",
    "cox": "cox_model",
    "concordance": "c_index",
    "time_dependent_auc": "time_auc",
    "optimal_cutoff": "cutoff",
    "risk_groups": "risk_group",
    "table_one": "baseline_table",
    "subgroup_auc": "subgroup",
    "by_site": "subgroup",
    "nomogram": "nomogram_axes",
    "points_of": "nomogram_axes",
    "risk_at": "nomogram_axes",
    "bootstrap_ci": "resample",
    "optimism": "resample",
    "covers_poorly": "coverage",
    "coverage_of": "coverage",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    """Load a function's module when it is first asked for: a worker that needs one does not pay for all."""
    if name not in _HOME:
        raise AttributeError(f"gc_ray.evaluate has no {name}")
    return getattr(import_module(f"gc_ray.evaluate.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
