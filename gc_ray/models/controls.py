"""Negative controls: the same procedure where nothing is to be found, and a leak that has to be caught."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from gc_ray.errors import LeakError, TableError
from gc_ray.models.cohort_data import COHORTS, CohortData, Features, Ratings
from gc_ray.models.nested import Part
from gc_ray.models.recipe import Plan, fit_each, out_of_fold

Control = Literal["shuffled-outcome", "shuffled-features", "planted-leak"]
SHUFFLE = 21  # stream of the seed


def shuffled_outcome(data: CohortData, seed: int) -> CohortData:
    """The outcomes dealt anew, within each cohort and, in the training cohort, within each fold: sizes stay."""
    rng, y = np.random.default_rng([seed, SHUFFLE]), data.y.copy()
    for cohort in COHORTS:
        for fold in np.unique(data.fold):
            rows = np.flatnonzero((data.cohort == cohort) & (data.fold == fold))
            y[rows] = rng.permutation(y[rows])
    return replace(data, y=y)


def shuffled_features(data: CohortData, seed: int) -> CohortData:
    """The rows of images, with their repeated outlines and the head's scores, given to other patients of the cohort.

    Clinical rows stay: signatures of images fall to chance, clinical ones do not.
    """
    rng, other = np.random.default_rng([seed, SHUFFLE]), np.arange(len(data.y))
    for cohort in COHORTS:
        rows = np.flatnonzero(data.cohort == cohort)
        other[rows] = rng.permutation(rows)
    whose = dict(zip(data.patient_ids[other].tolist(), data.patient_ids.tolist(), strict=True))

    def rated(held: Ratings) -> Ratings:
        return Ratings(np.array([whose.get(patient, patient) for patient in held.patient_ids.tolist()]), held.values)

    return replace(
        data,
        families={name: Features(held.names, held.values[other]) for name, held in data.families.items()},
        between={name: rated(held) for name, held in data.between.items()},
        within={name: rated(held) for name, held in data.within.items()},
        head={variant: scores[other] for variant, scores in data.head.items()},
    )


def planted_leak(plan: Plan, data: CohortData, part: Part) -> dict[str, bool]:
    """For each signature that can be fitted, whether asking for out-of-fold scores of its own patients is refused."""
    both = np.sort(np.concatenate([part.left_out, part.train[:1]]))
    caught = {}
    for name, fitted in fit_each(plan, data, part.train).items():
        if isinstance(fitted, TableError):
            continue
        try:
            out_of_fold(fitted, data, both)
        except LeakError:
            caught[name] = True
        else:
            caught[name] = False
    return caught
