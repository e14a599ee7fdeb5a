"""What the first paragraph says: the three numbers that matter, and the honest sentences beside them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gc_ray.report.compute import Evaluation
from gc_ray.report.plots import KINDS

HARDEST = ("external", "internal")  # the cohort that says most about other patients comes first
MOST_SENTENCES = 6  # in the first paragraph; all doubts stand in their own section
SLOPES = "whether the risks are too extreme (below 1) or too timid (above 1)"
TURNED = "whether more events go with higher risks (above 0) or with lower ones (below 0)"
NOT_ESTIMABLE = "not estimable"


def number(value: float, digits: int = 3) -> str:
    """A number as printed; 'not estimable' for none."""
    if value is None or np.isnan(value):
        return NOT_ESTIMABLE
    return "infinite" if np.isinf(value) else f"{value:.{digits}f}"


def p_text(value: float) -> str:
    """A P value as printed."""
    if value is None or np.isnan(value):
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def span(row: pd.Series, digits: int = 3) -> str:
    """Estimate and 95 % interval of a row of metrics or tests, as printed."""
    if np.isnan(row["estimate"]):
        return f"{NOT_ESTIMABLE}{': ' + row['note'] if row.get('note') else ''}"
    value = number(row["estimate"], digits)
    if np.isnan(row["lower"]) or np.isnan(row["upper"]):
        return value
    return f"{value} ({number(row['lower'], digits)} to {number(row['upper'], digits)})"


def summary(done: Evaluation) -> dict:
    """The first paragraph: text, numbers (what, value, about) and sentences."""
    metrics = done.frame("metrics")
    mine = metrics[(metrics["model_id"] == done.inputs.headline) & (metrics["subset"] == "all")]
    mine = mine[mine["kind"] != "resampling"]
    variant = "leak_free" if (mine["variant"] == "leak_free").any() else mine["variant"].iloc[0]
    mine = mine[mine["variant"] == variant]
    cohort = next((name for name in HARDEST if name in set(mine["cohort"])), mine["cohort"].iloc[-1])
    here = mine[mine["cohort"] == cohort].set_index("metric")
    auc = here.loc["auc"]
    slope = here.loc["calibration_slope", "estimate"]
    who = f"{auc['n']:,} patients of the {cohort} cohort, {auc['events']:,} of them with the event"
    text = (
        f"This report judges {_several(done.inputs.models)} on {_patients(done)} patients. Its first model, "
        f"{done.inputs.headline}, was tried on {who} ({KINDS.get(auc['kind'], auc['kind'])} scores). "
        "The AUC is the chance that a patient with the event scores higher than one without (0.5 is a coin); the "
        f"calibration slope says {TURNED if slope < 0 else SLOPES}; sensitivity is the share of events that the "
        "cutoff finds."
    )
    sensitivity, specificity = here.loc["sensitivity"], here.loc["specificity"]
    numbers = [
        {"what": f"AUC, {cohort}", "value": number(auc["estimate"]), "about": _about(auc)},
        {
            "what": f"Calibration slope, {cohort}",
            "value": number(here.loc["calibration_slope", "estimate"], 2),
            "about": _about(here.loc["calibration_slope"], 2),
        },
        {
            "what": f"Sensitivity at the frozen cutoff, {cohort}",
            "value": number(sensitivity["estimate"], 2),
            "about": f"{_about(sensitivity, 2)}; specificity {span(specificity, 2)}",
        },
    ]
    return {"text": text, "numbers": numbers, "sentences": sentences(done)}


def sentences(done: Evaluation) -> list[str]:
    """What a reader must know before the numbers: optimism, and the serious doubts."""
    metrics = done.frame("metrics")
    wanted, shown = done.inputs.wanted, done.inputs.headline
    corrected = metrics[(metrics["metric"] == "auc_corrected") & (metrics["model_id"] == shown)]
    said = []
    if wanted not in done.inputs.models:
        said.append(f"{wanted} has no scores here: {shown} comes first.")
    elif wanted != shown:
        said.append(f"{wanted} has in-sample scores only, since a fold kept nothing of it: {shown} comes first.")
    for row in corrected.itertuples():
        if row.note:
            said.append(f"Optimism of {row.model_id} is {row.note}.")
        else:
            said.append(
                f"Every step of {row.model_id} was repeated in folds: corrected for optimism, its AUC in training "
                f"is {number(row.estimate)}."
            )
    said += [f"{text}." for severity, _, _, text in done.inputs.doubts if severity == "note"]
    flags = done.frame("flags")
    serious = flags[flags["severity"] == "serious"] if len(flags) else flags
    said += [f"{about}: {text}." for text, about in _alike(serious)[: MOST_SENTENCES - 1]]
    if len(flags):
        said.append(f"In all {len(serious)} serious doubts and {len(flags) - len(serious)} notes, see Doubts.")
    return said


def _alike(flags: pd.DataFrame) -> list[tuple[str, str]]:
    """(text, whom it is about) of each doubt once, in the order of the table."""
    if not len(flags):
        return []
    return list(flags.groupby("text", sort=False)["about"].agg(", ".join).items())


def _about(row: pd.Series, digits: int = 3) -> str:
    if np.isnan(row["estimate"]):
        return row["note"]
    if np.isnan(row["lower"]):
        return f"no interval; {row['events']} events among {row['n']}"
    low, high = number(row["lower"], digits), number(row["upper"], digits)
    return f"95 % interval {low} to {high}; {row['events']} events among {row['n']}"


def _several(models: list[str]) -> str:
    return f"{len(models)} models ({', '.join(models)})" if len(models) > 1 else f"one model ({models[0]})"


def _patients(done: Evaluation) -> str:
    return f"{done.inputs.scores['patient_id'].nunique():,}"
