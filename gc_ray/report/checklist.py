"""TRIPOD+AI, CLEAR and METRICS filled in from a run's own tables; what the software cannot know, it says so."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from importlib import resources

import pandas as pd

from gc_ray import __version__
from gc_ray.report.compute import Evaluation

LISTS = {"TRIPOD+AI": "tripod_ai.csv", "CLEAR": "clear.csv", "METRICS": "metrics.csv"}
UNKNOWN = "not known to the software"
Answer = tuple[str, str] | None  # what is known, and which table or setting says so


def checklist_rows(done: Evaluation) -> list[dict]:
    """Rows of the table checklist: every item of the three lists, in their order."""
    answers: dict[str, Answer] = {}
    rows = []
    for name, file in LISTS.items():
        text = resources.files("gc_ray.report.checklists").joinpath(file).read_text()
        for item in csv.DictReader(io.StringIO(text)):
            fact = item.pop("fact")
            if fact not in answers:
                answers[fact] = FACTS[fact](done) if fact else None
            answer, source = answers[fact] or (UNKNOWN, "")
            rows.append({"checklist": name, **item, "answer": answer, "source": source})
    return rows


def _title(done: Evaluation) -> Answer:
    title = done.inputs.study.title
    return (title, "study file: title") if title else None


def _objective(done: Evaluation) -> Answer:
    if done.inputs.splits is None:
        return "evaluation of scores that were made elsewhere", "table scores"
    return "development in the training cohort, evaluation in the others", "table splits"


def _sites(done: Evaluation) -> Answer:
    members = done.inputs.scores.drop_duplicates("patient_id")
    site = done.inputs.patients.loc[members["patient_id"], "site"]
    if not site.replace("", pd.NA).notna().any():
        return None
    counts = ", ".join(f"{name}: {n}" for name, n in site.value_counts().sort_index().items())
    return f"{site.nunique()} sites; patients with a score {counts}", "table splits"


def _eligibility(done: Evaluation) -> Answer:
    rules = done.inputs.study.clinical.rules
    return ("left out: " + "; ".join(rule.reason for rule in rules), "study file: clinical.rules") if rules else None


def _subgroups(done: Evaluation) -> Answer:
    found = done.frame("metrics")
    names = sorted({s.partition("=")[0] for s in found["subset"] if "=" in s and not s.startswith("events only")})
    return (f"AUC by {', '.join(names)}, with a test of interaction", "tables metrics, tests") if names else None


def _extraction(done: Evaluation) -> Answer:
    sets = done.inputs.study.extract
    if done.inputs.splits is None:
        return None
    asked = ", ".join((*sets.feature_sets, *(f"network input {name}" for name in sets.volumes)))
    return (
        (
            f"{asked}; all parameters in settings.json beside the features, faults of scans in the ledger",
            "study file: extract",
        )
        if asked
        else None
    )


def _outcome(done: Evaluation) -> Answer:
    settings = done.inputs.study.clinical
    if not settings.outcome:
        return None
    follow_up = f"; follow-up by {settings.time_months} and {settings.event}" if settings.event else ""
    return f"{settings.outcome}, 1 = it happened{follow_up}", "study file: clinical.outcome"


def _predictors(done: Evaluation) -> Answer:
    names = done.inputs.study.clinical.predictors
    return (f"clinical candidates: {', '.join(names)}", "study file: clinical.predictors") if names else None


def _predictors_known(done: Evaluation) -> Answer:
    settings = done.inputs.study.clinical
    if not settings.predictors:
        return None
    late = [name for name in settings.predictors if not settings.columns[name].known_at_scan]
    text = f"not known at the scan: {', '.join(late)}" if late else "all are known at the scan"
    return text, "study file: clinical.columns"


def _sample_size(done: Evaluation) -> Answer:
    rows = done.inputs.coefficients
    if rows is None or not len(rows):
        return None
    parts = []
    for model, terms in rows[rows["variant"] == "leak_free"].groupby("model_id", sort=False):
        count = max(int((terms["term"] != "(Intercept)").sum()), 1)
        parts.append(f"{model} {terms['events'].iloc[0] / count:.1f}")
    return f"no calculation is known; events per term of the final fits: {', '.join(parts)}", "table coefficients"


def _missing(done: Evaluation) -> Answer:
    settings = done.inputs.study.clinical
    if not settings.predictors:
        return None
    ways = {settings.columns[name].missing for name in settings.predictors}
    words = {
        "complete_case": "patients without a predictor are left out",
        "impute": "imputed within each fold",
        "category": "not recorded is a level",
    }
    return "; ".join(words[way] for way in sorted(ways)), "study file: clinical.columns"


def _split(done: Evaluation) -> Answer:
    if done.inputs.splits is None:
        return None
    split = done.inputs.study.split
    sizes = _scored(done)
    external = f", external: sites {', '.join(split.external_sites)}" if split.external_sites else ""
    text = f"{sizes}; {split.folds} folds stratified by outcome, seed {split.seed}{external}; by patient, stored once"
    return text, "table splits"


def _model_building(done: Evaluation) -> Answer:
    if done.inputs.resampling is None or not len(done.inputs.resampling):
        return None
    rows = done.inputs.resampling
    text = f"logistic signatures; every step repeated in {rows['repeat'].nunique()} x {rows['fold'].nunique()} folds"
    return text, "tables selection, resampling"


def _by_site(done: Evaluation) -> Answer:
    tests = done.frame("tests")
    if not (tests["test"] == "heterogeneity").any():
        return None
    return "AUC by site, random effects, Cochran's Q and I squared", "tables metrics, tests"


def _measures(done: Evaluation) -> Answer:
    text = "AUC, average precision, calibration slope and intercept, Brier score, ICI, net benefit, rates at a cutoff"
    more = ", concordance, Kaplan-Meier and Cox" if (done.frame("metrics")["metric"] == "c_index").any() else ""
    return text + more, "tables metrics, curves"


def _prediction(done: Evaluation) -> Answer:
    kinds = done.inputs.scores.groupby("cohort", sort=False)["kind"].unique()
    return "; ".join(f"{cohort}: {', '.join(kind)}" for cohort, kind in kinds.items()), "table scores"


def _imbalance(done: Evaluation) -> Answer:
    return f"nothing was resampled or weighted by the evaluation; events: {_scored(done)}", "table scores"


def _cutoff(done: Evaluation) -> Answer:
    rows = done.frame("cutoffs").dropna(subset=["cutoff"])
    rows = rows[rows["variant"] == "leak_free"]
    if not len(rows):
        return None
    parts = [f"{r.model_id} {r.purpose} {r.cutoff:.3f}" for r in rows.itertuples()]
    return f"{rows['rule'].iloc[0]}, learned on {rows['cohort'].iloc[0]}, frozen: {'; '.join(parts)}", "table cutoffs"


def _table_one(done: Evaluation) -> Answer:
    return ("Table 1 by cohort and outcome", "table table_one") if len(done.frame("table_one")) else None


def _flow(done: Evaluation) -> Answer:
    rows = done.frame("account")
    patients = rows[rows["unit"] == "patients"]
    text = f"{patients['n_left'].iloc[0]} patients to {patients['n_left'].iloc[-1]} with a score, every step counted"
    return (text, "table account") if done.inputs.flow is not None else None


def _sizes(done: Evaluation) -> Answer:
    return _scored(done), "tables scores, metrics"


def _specification(done: Evaluation) -> Answer:
    if not done.inputs.signatures:
        return None
    names = ", ".join(done.inputs.signatures)
    return f"signatures as JSON with centre, scale, coefficients and covariance: {names}", "signatures"


def _performance(done: Evaluation) -> Answer:
    metrics = done.frame("metrics")
    mine = metrics[(metrics["metric"] == "auc") & (metrics["subset"] == "all") & metrics["estimate"].notna()]
    mine = mine[(mine["model_id"] == done.inputs.headline) & (mine["variant"] == "leak_free")]
    parts = [f"{r.cohort} {r.estimate:.3f} ({r.lower:.3f} to {r.upper:.3f})" for r in mine.itertuples()]
    return (f"AUC of {done.inputs.headline}: {'; '.join(parts)}", "table metrics") if parts else None


def _limitations(done: Evaluation) -> Answer:
    rows = done.frame("flags")
    serious = rows[rows["severity"] == "serious"]
    return f"{len(serious)} serious doubts and {len(rows) - len(serious)} notes are listed", "table flags"


def _code(done: Evaluation) -> Answer:
    return f"gc_ray {__version__}, Apache-2.0", "package"


def _checklists(done: Evaluation) -> Answer:
    return "TRIPOD+AI, CLEAR and METRICS, filled in as far as the software knows", "this page"


def _phase(done: Evaluation) -> Answer:
    phase = done.inputs.study.scans.phase
    return (
        (f"CT, contrast phase {phase}; acquisition parameters are not kept", "study file: scans.phase")
        if phase
        else None
    )


def _segmentation(done: Evaluation) -> Answer:
    scans = done.inputs.study.scans
    if done.inputs.splits is None:
        return None
    return f"given outlines of reader {scans.reader}; how they were drawn is not known here", "study file: scans"


def _overlap(done: Evaluation) -> Answer:
    said = [text for text in done.inputs.card.get("sentences", ()) if "backbone" in text]
    return ("; ".join(said), "card of the models") if said else None


def _families(done: Evaluation) -> Answer:
    rows = done.inputs.selection
    if rows is None or not len(rows):
        return None
    counts = rows.drop_duplicates("feature")["family"].value_counts().sort_index()
    return "; ".join(f"{name} {n}" for name, n in counts.items()), "table selection"


def _candidates(done: Evaluation) -> Answer:
    rows = done.inputs.selection
    return None if rows is None or not len(rows) else (f"{rows['feature'].nunique()} candidates", "table selection")


def _reliability(done: Evaluation) -> Answer:
    rows = done.inputs.selection
    if rows is None or not rows["step"].str.contains("icc|stability", case=False).any():
        return None
    lost = int(rows["step"].str.contains("icc|stability", case=False).sum())
    return (
        f"features by ICC between and within readers on training patients; {lost} left at that step",
        "table selection",
    )


def _scaling(done: Evaluation) -> Answer:
    if not done.inputs.signatures:
        return None
    return "standardised inside each fit; centre and scale are part of the signature", "signatures"


def _selection(done: Evaluation) -> Answer:
    rows = done.inputs.selection
    if rows is None or not len(rows):
        return None
    mine = rows[rows["variant"] == "leak_free"].drop_duplicates(["model_id", "feature"])
    parts = [f"{step} {n}" for step, n in mine["step"].value_counts(sort=False).items()]
    return f"features by the step at which they left: {', '.join(parts)}", "table selection"


def _selection_results(done: Evaluation) -> Answer:
    rows = done.inputs.selection
    if rows is None or not len(rows):
        return None
    kept = rows[(rows["step"] == "kept") & (rows["variant"] == "leak_free")]
    parts = [
        f"{model} {len(r)}, chosen in {r['stability'].mean():.0%} of resampling fits on average"
        for model, r in kept.groupby("model_id", sort=False)
    ]
    return f"features kept: {'; '.join(parts)}", "table selection"


def _dimensionality(done: Evaluation) -> Answer:
    return _sample_size(done)


def _uncertainty(done: Evaluation) -> Answer:
    settings = done.inputs.study.evaluate
    return f"95 % intervals: DeLong, {settings.interval}, bootstrap of {settings.bootstrap} samples", "table metrics"


def _comparison(done: Evaluation) -> Answer:
    n = int((done.frame("tests")["test"] == "auc difference").sum())
    models = ", ".join(done.inputs.models)
    return (f"{n} paired DeLong tests, not adjusted, among {models}", "table tests") if n else None


def _interpretability(done: Evaluation) -> Answer:
    rows = done.frame("nomogram")
    return (f"nomogram of {', '.join(rows['model_id'].unique())}", "table nomogram") if len(rows) else None


def _calculator(done: Evaluation) -> Answer:
    return ("the calculator of this page, for research only", "this page") if len(done.frame("nomogram")) else None


def _settings(done: Evaluation) -> Answer:
    return "the resolved study file is part of report.json", "report.json"


def _calibration(done: Evaluation) -> Answer:
    metrics = done.frame("metrics")
    rows = metrics[(metrics["metric"] == "calibration_slope") & (metrics["model_id"] == done.inputs.headline)]
    rows = rows[(rows["variant"] == "leak_free") & rows["estimate"].notna()]
    parts = [f"{r.cohort} {r.estimate:.2f} ({r.lower:.2f} to {r.upper:.2f})" for r in rows.itertuples()]
    return (f"slope of {done.inputs.headline}: {'; '.join(parts)}", "table metrics") if parts else None


def _test_of(cohort: str) -> Callable[[Evaluation], Answer]:
    def answer(done: Evaluation) -> Answer:
        members = done.inputs.scores[done.inputs.scores["cohort"] == cohort]
        n = members["patient_id"].nunique()
        return (f"{n} patients", "table scores") if n else ("none", "table scores")

    return answer


def _same(text: str, source: str) -> Callable[[Evaluation], Answer]:
    return lambda done: (text, source)


def _of_splits(text: str, source: str) -> Callable[[Evaluation], Answer]:
    return lambda done: (text, source) if done.inputs.splits is not None else None


def _scored(done: Evaluation) -> str:
    members = done.inputs.scores.drop_duplicates("patient_id")
    y = done.inputs.patients.loc[members["patient_id"], "outcome"].to_numpy()
    sizes = pd.DataFrame({"cohort": members["cohort"].to_numpy(), "y": y}).groupby("cohort", sort=False)["y"]
    return ", ".join(f"{name} {int(part.sum())} events / {len(part)}" for name, part in sizes)


FACTS: dict[str, Callable[[Evaluation], Answer]] = {
    "title": _title,
    "objective": _objective,
    "sites": _sites,
    "eligibility": _eligibility,
    "subgroups": _subgroups,
    "extraction": _extraction,
    "outcome": _outcome,
    "predictors": _predictors,
    "predictors_known": _predictors_known,
    "sample_size": _sample_size,
    "missing": _missing,
    "split": _split,
    "predictor_forms": _of_splits("numbers linear, ordered levels by rank, categories by indicators", "coding"),
    "model_building": _model_building,
    "by_site": _by_site,
    "measures": _measures,
    "updating": _same("no model was updated", "table scores"),
    "prediction": _prediction,
    "imbalance": _imbalance,
    "cutoff": _cutoff,
    "table_one": _table_one,
    "code": _code,
    "flow": _flow,
    "sizes": _sizes,
    "specification": _specification,
    "performance": _performance,
    "limitations": _limitations,
    "missing_at_use": _of_splits(
        "a patient without a predictor gets no score; an error names the predictor", "package"
    ),
    "checklists": _checklists,
    "pipeline": _of_splits(
        "check, extract, split, train, embed, tune, evaluate: each step's tables in the store", "store"
    ),
    "overlap": _overlap,
    "phase": _phase,
    "segmentation": _segmentation,
    "families": _families,
    "candidates": _candidates,
    "reliability": _reliability,
    "scaling": _scaling,
    "selection": _selection,
    "selection_results": _selection_results,
    "uncertainty": _uncertainty,
    "comparison": _comparison,
    "interpretability": _interpretability,
    "settings": _settings,
    "calculator": _calculator,
    "dimensionality": _dimensionality,
    "calibration": _calibration,
    "internal_test": _test_of("internal"),
    "external_test": _test_of("external"),
}
