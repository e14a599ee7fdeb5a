"""What the card of a tuning says: what it was made of, who has no score and why, and how new patients are scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np

from gc_ray.cohort_tables import split_hash
from gc_ray.models.cohort_data import COHORTS, TRAIN, CohortData
from gc_ray.models.nested import Part
from gc_ray.models.recipe import Fitted
from gc_ray.models.sites import TRANSDUCTIVE
from gc_ray.models.unscored import count_unscored, unscored_reasons
from gc_ray.runtime.gather import Gathered
from gc_ray.runtime.joined import LeftOut
from gc_ray.store import Store
from gc_ray.study import Study
from gc_ray.study_signatures import HEAD

Results = Mapping[str, Mapping[tuple[int, int], dict]]  # by signature and part, what ``part_result`` gives


def card_of(study: Study, gathered: Gathered, kept: Mapping[str, Fitted], found: dict) -> dict:
    """The card. found: what fitting found: lines, failed, chosen, code, libraries, inputs, unscored."""
    data = gathered.data
    return {
        "study_id": study.name,
        "sources": gathered.sources,
        "tables": gathered.tables,
        "patients": {name: int((data.cohort == name).sum()) for name in dict.fromkeys(data.cohort)},
        "left_out": [asdict(lost) for lost in gathered.left_out],
        "notes": list(gathered.notes),
        "models": {name: _described(fit) for name, fit in kept.items()},
        "statements": [*gathered.statements, *_statements(study)],
        "signature": [signature.model_dump(mode="json") for signature in study.signature],
        "tune": study.tune.model_dump(mode="json"),
        **found,
    }


def inputs_of(store: Store, study: Study, gathered: Gathered) -> dict:
    """What scores are made of, as digests part by part, and how it was chosen: to see later what has changed."""
    return {
        "split": split_hash(store, study.name),
        "scans": study.scans.model_dump(mode="json"),
        "sources": gathered.sources,
        "data": gathered.data.digests(),
    }


def unscored(
    gathered: Gathered,
    fits: tuple[Mapping[str, Fitted], Mapping[str, Fitted]],
    outer: tuple[Part, ...],
    results: Results,
) -> dict[str, list[dict]]:
    """Who has no score and why; fits: leak-free ones, and those as published.

    Returns
    -------
    dict
        unscored: by signature, cohort and reason, of the patients who were analysed. without_score: patients of the
        cohorts who have no score at all, those who were left out among them.
    """
    data, rows, several = gathered.data, [], []
    kept, published = fits
    for name, fit in kept.items():
        several.append(_reasons(fit, data, outer, results[name]))
        for cohort in COHORTS:
            rows += count_unscored(name, cohort, several[-1][data.cohort == cohort].tolist())
    every = np.arange(len(data.y))
    several += [np.array(unscored_reasons(fit, data, every), dtype=object) for fit in published.values()]
    nowhere = np.where(np.all([reasons != "" for reasons in several], axis=0), several[0], "")
    without = [*gathered.left_out, *_lost(nowhere, gathered)]
    return {"unscored": [asdict(row) for row in rows], "without_score": [asdict(one) for one in without]}


def _reasons(fit: Fitted, data: CohortData, outer: tuple[Part, ...], results: Mapping) -> np.ndarray:
    """For each patient why a signature gives no score: out of fold in the training cohort."""
    reasons = np.full(len(data.y), "", dtype=object)
    for part in outer:
        if part.repeat == 0:
            reasons[part.left_out] = results[0, part.fold]["unscored"]
    others = np.flatnonzero(data.cohort != TRAIN)
    reasons[others] = unscored_reasons(fit, data, others)
    return reasons


def _lost(reasons: np.ndarray, gathered: Gathered) -> list[LeftOut]:
    found = []
    for reason in dict.fromkeys(reasons[reasons != ""]):
        of = gathered.data.cohort[reasons == reason]
        cohorts = {name: (int((of == name).sum()), gathered.sizes[name]) for name in COHORTS if (of == name).any()}
        found.append(LeftOut(reason, len(of), cohorts))
    return found


def _described(fit: Fitted) -> dict:
    """What scoring a new patient takes beside the signature itself."""
    design = fit.chosen.design if fit.chosen is not None else None
    return {
        "families": list(fit.settings.families),
        "scores_of": list(fit.settings.scores_of),
        "predictors_of": list(fit.settings.predictors_of),
        "coding": dict(design.coding) if design else {},
        "fills": design.fills if design else {},
        "seen": {column: list(levels) for column, levels in design.seen.items()} if design else {},
        "warnings": list(fit.warnings),
    }


def _statements(study: Study) -> list[str]:
    said = [
        "out-of-fold scores: every step, from the first filter on, was fitted without the patient who is scored",
        "scores as published are in-sample in the training cohort and looked at the internal one: to compare only",
    ]
    if any(s.harmonise is not None and s.harmonise.external == "reference" for s in study.signature):
        said.append(TRANSDUCTIVE)
    if any(HEAD in signature.scores_of for signature in study.signature):
        said.append(
            "the network head's out-of-fold scores in a training part come from heads that have seen the outcomes of "
            "the left-out fold: what is stacked on them is optimistic by that much"
        )
    return said
