"""Why a number of the report may be wrong: every doubt that the run's own tables can show."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pandas as pd

from gc_ray.evaluate import covers_poorly
from gc_ray.report.flags_data import data_flags
from gc_ray.report.inputs import Inputs

LEAST_EVENTS = 100  # of each class, for a validation (Collins et al., Stat Med 2016; 35:214)
DISCRIMINATION = {"auc": "the AUC", "c_index": "the c-index"}
FEWEST = 10  # of each class: below it an AUC says next to nothing
WIDE = 0.2  # width of an AUC's interval: from useless to good
EVENTS_PER_TERM = 10  # Peduzzi et al., J Clin Epidemiol 1996; 49:1373
ALIKE = 0.5  # mean Jaccard index of the features that two resampling fits chose, below which selection is unstable
KEPT = 0.5  # share of resampling fits that chose a kept feature, below which it is there by chance
SLOPE = (0.8, 1.25)  # outside: risks clearly too extreme or too timid
HETEROGENEOUS = 0.5  # I squared from which sites differ substantially (Higgins and Thompson, Stat Med 2002)


def flag_rows(inputs: Inputs, metrics: pd.DataFrame, cutoffs: pd.DataFrame) -> list[dict]:
    """Rows of the table flags, the serious ones first. metrics, cutoffs: the tables of this evaluation."""
    found = [
        *(("serious", "caveat", "study", text) for text in inputs.study.evaluate.caveats),
        *_reversed(metrics),
        *data_flags(inputs),
        *_design(inputs, metrics),
        *_predictors(inputs),
        *_horizon(inputs),
        *_few_events(metrics, inputs.headline),
        *_of_metrics(metrics),
        *_of_cutoffs(cutoffs),
        *_stability(inputs),
        *_coefficients(inputs),
    ]
    once = list(dict.fromkeys(found))
    once.sort(key=lambda flag: flag[0] != "serious")
    names = ("severity", "flag", "about", "text")
    return [
        {"study_id": inputs.study.name, "number": i} | dict(zip(names, flag, strict=True))
        for i, flag in enumerate(once)
    ]


def _design(inputs: Inputs, metrics: pd.DataFrame) -> Iterator[tuple]:
    cohorts = set(inputs.scores["cohort"])
    if "external" not in cohorts:
        text = "no external cohort: how the model does at another hospital is not known"
        yield ("serious", "no_external_validation", "study", text)
    kinds = inputs.scores[["model_id", "variant", "kind"]].drop_duplicates()
    turned = {(one.model_id, one.variant) for one in reversed_rows(metrics)}
    for one in kinds.itertuples():
        if one.kind == "apparent":
            about = f"{one.model_id} ({one.variant})"
            text = "in-sample scores: the model was judged on the patients it was fitted on"
            good = "" if (one.model_id, one.variant) in turned else ", its numbers are too good"
            yield ("serious", "in_sample", about, text + good)
        if one.kind == "oof":
            text = (
                "out-of-fold scores are pooled over folds whose fits differ: the interval takes the fits as given; "
                "see the mean AUC within folds beside it"
            )
            yield ("note", "pooled_out_of_fold", "training cohort", text)
    if inputs.resampling is None or not len(inputs.resampling):
        text = "optimism is not estimable: the selection was not repeated"
        yield ("note", "no_resampling", "study", text)


def _predictors(inputs: Inputs) -> Iterator[tuple]:
    used: dict[str, set[str]] = {}
    for model, signature in inputs.signatures.items():
        for predictor in signature.predictors:
            used.setdefault(predictor.partition("=")[0], set()).add(model)
    if inputs.coefficients is not None:
        for one in inputs.coefficients[["model_id", "term"]].itertuples():
            used.setdefault(one.term.partition("=")[0], set()).add(one.model_id)
    for name, column in inputs.study.clinical.columns.items():
        if name in used and not column.known_at_scan:
            models = ", ".join(sorted(used[name]))
            text = f"{name} is not known when the CT is made: {models} cannot be used then"
            yield ("serious", "not_known_at_scan", name, text)


def _horizon(inputs: Inputs) -> Iterator[tuple]:
    """Whether the outcome that the score was made for is the event by the time at which it is read as a risk."""
    months = inputs.study.evaluate.risk_months
    if not months:
        return
    patients = inputs.patients.loc[inputs.scores["patient_id"].unique()].dropna(subset=["time", "event"])
    by_then = (patients["event"] == 1) & (patients["time"] <= months)
    known = by_then | (patients["time"] >= months)
    other = int((patients["outcome"] != by_then)[known].sum())
    if other:
        text = (
            f"the score is no risk at {months:g} months: {other} of {int(known.sum())} patients whose state is known "
            "then have another outcome"
        )
        yield ("serious", "outcome_not_at_horizon", "decision curves at the horizon", text)


def _few_events(metrics: pd.DataFrame, headline: str) -> Iterator[tuple]:
    """Of every cohort, and of the subgroups in which the first model is shown."""
    for one in metrics[(metrics["metric"] == "auc") & (metrics["variant"] == "leak_free")].itertuples():
        rarer = min(one.events, one.n - one.events)
        shown = rarer < LEAST_EVENTS if one.subset == "all" else rarer < FEWEST and one.model_id == headline
        if shown:
            rare = "events" if one.events <= one.n - one.events else "patients without the event"
            text = f"few events: {rarer} {rare} among {one.n}, {LEAST_EVENTS} are advised for a validation"
            where = one.cohort if one.subset == "all" else f"{one.cohort}, {one.subset}"
            yield ("serious" if rarer < FEWEST else "note", "few_events", where, text)


def reversed_rows(metrics: pd.DataFrame) -> list:
    """Rows of discrimination whose whole interval lies below one half: those with the event score lower.

    A c-index is one only where the AUC does not contradict it: the event need not be the outcome of the score.
    """
    whole = metrics[(metrics["subset"] == "all") & (metrics["kind"] != "resampling")]
    areas = {_unit(one): one.estimate for one in whole[whole["metric"] == "auc"].itertuples()}
    found = whole[whole["metric"].isin(DISCRIMINATION) & (whole["upper"] < 0.5)]
    return [one for one in found.itertuples() if not areas.get(_unit(one), np.nan) >= 0.5]


def _unit(one) -> tuple[str, str, str, str]:
    return one.model_id, one.variant, one.cohort, one.kind


def _reversed(metrics: pd.DataFrame) -> Iterator[tuple]:
    for one in reversed_rows(metrics):
        found = f"{DISCRIMINATION[one.metric]} {one.estimate:.3f} ({one.lower:.3f} to {one.upper:.3f})"
        text = (
            f"direction reversed: {found} is below 0.5, patients with the event score lower; check that 1 is the "
            "event and that a higher score is a higher risk"
        )
        yield ("serious", "direction_reversed", _about(one), text)


def _of_metrics(metrics: pd.DataFrame) -> Iterator[tuple]:
    areas = metrics[(metrics["metric"] == "auc") & (metrics["subset"] == "all")]
    for one in areas.dropna(subset=["estimate"]).itertuples():
        about = _about(one)
        if one.upper - one.lower > WIDE:
            text = f"wide interval: AUC {one.estimate:.3f} ({one.lower:.3f} to {one.upper:.3f})"
            yield ("note", "wide_interval", about, text)
        if one.estimate in (0, 1):
            yield (
                "serious",
                "separation",
                about,
                "perfect separation: DeLong's interval is a point and says nothing",
            )
        elif covers_poorly("delong", one.n, one.events, one.estimate):
            text = f"DeLong's interval covers less than it says with {one.events} events among {one.n} at this AUC"
            yield ("note", "poor_coverage", about, text)
    slopes = metrics[(metrics["metric"] == "calibration_slope") & (metrics["kind"] != "apparent")]
    for one in slopes.itertuples():
        if one.estimate <= 0:  # neither extreme nor timid: their order is wrong, or chance
            text = f"calibration slope {one.estimate:.2f}: higher risks do not go with more events"
            yield ("note", "miscalibrated", _about(one), text)
        elif not np.isnan(one.estimate) and not SLOPE[0] <= one.estimate <= SLOPE[1]:
            way = "extreme" if one.estimate < 1 else "timid"
            yield ("note", "miscalibrated", _about(one), f"calibration slope {one.estimate:.2f}: risks are too {way}")
    for one in metrics[metrics["metric"] == "i_squared"].itertuples():
        if one.estimate > HETEROGENEOUS:
            text = f"sites differ: I squared {one.estimate:.0%} of the variation of the AUC lies between them"
            yield ("note", "heterogeneous_sites", _about(one), text)


def _of_cutoffs(cutoffs: pd.DataFrame) -> Iterator[tuple]:
    for one in cutoffs.itertuples():
        about = f"{one.model_id} ({one.variant}), {one.purpose}"
        if one.note:
            yield ("note", "no_cutoff", about, one.note)
        elif one.kind == "apparent":
            yield ("note", "in_sample_cutoff", about, "the cutoff was learned on in-sample scores")
        if one.p_corrected > 0.05:
            text = f"the cutoff may be luck: P {one.p_corrected:.2g} after correction for the search for it"
            yield ("note", "cutoff_by_luck", about, text)


def _stability(inputs: Inputs) -> Iterator[tuple]:
    if inputs.resampling is not None:
        for model, rows in inputs.resampling.groupby("model_id"):
            alike = jaccard([frozenset(chosen) for chosen in rows["features"]])
            if alike < ALIKE:
                text = f"unstable selection: two resampling fits share {alike:.0%} of their features on average"
                yield ("serious", "unstable_selection", str(model), text)
    if inputs.selection is not None:
        kept = inputs.selection[inputs.selection["step"] == "kept"]
        for (model, variant), rows in kept.groupby(["model_id", "variant"]):
            rare = int((rows["stability"] < KEPT).sum())
            if rare:
                text = f"{rare} of {len(rows)} features were chosen in less than half of the resampling fits"
                yield ("note", "chance_features", f"{model} ({variant})", text)


def jaccard(sets: list[frozenset]) -> float:
    """Mean share of common members over all pairs of sets; 1 where there is no pair."""
    shares = [len(a & b) / len(a | b) if a | b else 1.0 for a, b in combinations(sets, 2)]
    return float(np.mean(shares)) if shares else 1.0


def _coefficients(inputs: Inputs) -> Iterator[tuple]:
    if inputs.coefficients is None:
        return
    for (model, variant), rows in inputs.coefficients.groupby(["model_id", "variant"]):
        terms = int((rows["term"] != "(Intercept)").sum())
        n, events = rows["n"].iloc[0], rows["events"].iloc[0]
        each = min(events, n - events) / max(terms, 1)
        if each < EVENTS_PER_TERM:
            text = f"{each:.1f} events for each of {terms} terms, under {EVENTS_PER_TERM}: coefficients are unstable"
            yield ("note", "few_events_per_term", f"{model} ({variant})", text)


def _about(one) -> str:
    where = "" if one.subset == "all" else f", {one.subset}"
    return f"{one.model_id} ({one.variant}), {one.cohort} {one.kind}{where}"
