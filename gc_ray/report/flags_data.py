"""Doubts about the data that an evaluation was given: who is missing, how tables were joined, units of time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
import pandas as pd

from gc_ray.models.select import SEPARATES
from gc_ray.report.inputs import Inputs
from gc_ray.report.units import ORDER

LARGE = 0.1  # share of a cohort without a score above which those with one may be others than those without
LONGEST_MONTHS = 360  # 30 years: no follow-up after a CT is longer, so that times are days
UNTRAINED = ("untrained", "random projections")
UNKNOWN = "tune did not record why"


def data_flags(inputs: Inputs) -> Iterator[tuple]:
    """(severity, flag, about, text) of every doubt about the data."""
    yield from inputs.doubts
    yield from _said(inputs.card)
    yield from _without_score(inputs)
    yield from _times(inputs)


def _said(card: dict) -> Iterator[tuple]:
    """What the step that made the scores says of them."""
    said = list(card.get("statements", ()))
    said += [f"{name}: not fitted: {why}" for name, why in card.get("failed", {}).items()]
    said += [f"{line['model_id']}: {text}" for line in card.get("lines", ()) for text in line["warnings"]]
    for text in map(str, said):
        if any(word in text for word in UNTRAINED):
            yield ("serious", "untrained_backbone", "run", text)
        elif SEPARATES in text:
            yield ("serious", "separation", "run", text)
        else:
            yield ("note", "said_by_tune", "run", text)
    for text in card.get("notes", ()):
        yield ("note", "joined_tables", "run", text)


def _without_score(inputs: Inputs) -> Iterator[tuple]:
    """Patients of the cohorts without a score, once for all models that lack it alike; many are a selection."""
    if inputs.splits is None:
        return
    sizes = inputs.splits.groupby("cohort").size()
    free = inputs.scores[inputs.scores["variant"] == "leak_free"]
    scored = free.groupby(["model_id", "cohort"])["patient_id"].nunique()
    models, found = list(dict.fromkeys(free["model_id"])), {}
    for model, cohort in product(models, ORDER):
        of = int(sizes.get(cohort, 0))
        lost = of - int(scored.get((model, cohort), 0))
        if lost > 0:
            text = f"{lost} of {of} {cohort} patients have no score: {_reasons(inputs.card, model, cohort, lost)}"
            more = "; those with a score may differ from them" if lost > LARGE * of else ""
            found.setdefault((cohort, text + more, lost > LARGE * of), []).append(model)
    for (cohort, text, large), lacking in found.items():
        about = f"{cohort} cohort" if lacking == models else ", ".join(lacking)
        yield ("serious" if large else "note", "without_score", about, text)


def _reasons(card: dict, model: str, cohort: str, lost: int) -> str:
    """Why patients of a cohort have no score of a model, with numbers, as the card says."""
    counts = reason_counts(card, cohort, "left_out")
    for one in card.get("unscored", ()):
        if (one["model_id"], one["cohort"]) == (model, cohort):
            counts[one["reason"]] = counts.get(one["reason"], 0) + one["patients"]
    return reasons_text(counts, lost)


def reason_counts(card: dict, cohort: str, part: str) -> dict[str, int]:
    """Patients of a cohort by reason, of a part of the card: left_out, or without_score."""
    said = {one["reason"]: one["cohorts"] for one in card.get(part, ()) if "cohorts" in one}
    return {reason: cohorts[cohort][0] for reason, cohorts in said.items() if cohort in cohorts}


def reasons_text(counts: dict[str, int], lost: int) -> str:
    """Reasons with their numbers; for those of whom no reason is known it says so."""
    unknown = lost - sum(counts.values())
    named = counts | ({UNKNOWN: unknown} if unknown > 0 else {})
    if len(named) == 1:
        return next(iter(named))
    return ", ".join(f"{n}: {reason}" for reason, n in named.items())


def _times(inputs: Inputs) -> Iterator[tuple]:
    patients = inputs.patients.loc[inputs.scores["patient_id"].unique()]
    times = pd.to_numeric(patients["time"], errors="coerce").to_numpy(np.float64)
    times = times[np.isfinite(times)]
    if len(times) and times.max() > LONGEST_MONTHS:
        name = inputs.study.clinical.time_months or "time_months"
        text = (
            f"times up to {times.max():,.0f} months, which is {times.max() / 12:.0f} years, median "
            f"{np.median(times):,.0f}: they look like days; divide them by 30.44, since every horizon is in months"
        )
        yield ("serious", "times_in_days", name, text)
