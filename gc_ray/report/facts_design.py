"""What a run knows of its design: data, eligibility, outcome, predictors, extraction, split."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from gc_ray import __version__
from gc_ray.models.provenance import ELSEWHERE
from gc_ray.report.compute import Evaluation

Answer = tuple[str, str] | None  # what is known, and which table or setting says so
Fact = Callable[[Evaluation], Answer]


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


def _extraction(done: Evaluation) -> Answer:
    sets = done.inputs.study.extract
    if done.inputs.splits is None:
        return None
    if said := _elsewhere(done):
        return "; ".join(said), "card of the signatures"
    asked = ", ".join((*sets.feature_sets, *(f"network input {name}" for name in sets.volumes)))
    return (
        (
            f"{asked}; all parameters in settings.json beside the features, faults of scans in the ledger",
            "study file: extract",
        )
        if asked
        else None
    )


def _elsewhere(done: Evaluation) -> list[str]:
    """What the card says of features that came in as a table; then nothing of them was extracted here."""
    return [text for text in done.inputs.card.get("statements", ()) if ELSEWHERE in text]


def _pipeline(done: Evaluation) -> Answer:
    if done.inputs.splits is None:
        return None
    steps = "check, ingest, split" if _elsewhere(done) else "check, extract, split, train, embed"
    return f"{steps}, tune, evaluate: each step's tables in the store", "store"


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
    sizes = scored(done)
    external = f", external: sites {', '.join(split.external_sites)}" if split.external_sites else ""
    text = f"{sizes}; {split.folds} folds stratified by outcome, seed {split.seed}{external}; by patient, stored once"
    return text, "table splits"


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
    said = [text for text in done.inputs.card.get("statements", ()) if "backbone" in text]
    return ("; ".join(said), "card of the models") if said else None


def _settings(done: Evaluation) -> Answer:
    return "the resolved study file is part of report.json", "report.json"


def scored(done: Evaluation) -> str:
    members = done.inputs.scores.drop_duplicates("patient_id")
    y = done.inputs.patients.loc[members["patient_id"], "outcome"].to_numpy()
    sizes = pd.DataFrame({"cohort": members["cohort"].to_numpy(), "y": y}).groupby("cohort", sort=False)["y"]
    return ", ".join(f"{name} {int(part.sum())} events / {len(part)}" for name, part in sizes)


def _same(text: str, source: str) -> Fact:
    return lambda done: (text, source)


def _of_splits(text: str, source: str) -> Fact:
    return lambda done: (text, source) if done.inputs.splits is not None else None


DESIGN: dict[str, Fact] = {
    "title": _title,
    "objective": _objective,
    "sites": _sites,
    "eligibility": _eligibility,
    "extraction": _extraction,
    "outcome": _outcome,
    "predictors": _predictors,
    "predictors_known": _predictors_known,
    "missing": _missing,
    "split": _split,
    "predictor_forms": _of_splits("numbers linear, ordered levels by rank, categories by indicators", "coding"),
    "updating": _same("no model was updated", "table scores"),
    "code": _code,
    "missing_at_use": _of_splits(
        "a patient without a predictor gets no score; an error names the predictor", "package"
    ),
    "checklists": _checklists,
    "pipeline": _pipeline,
    "overlap": _overlap,
    "phase": _phase,
    "segmentation": _segmentation,
    "settings": _settings,
}
