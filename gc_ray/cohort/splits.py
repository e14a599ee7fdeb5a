"""Eligible patients divided into cohorts and folds: by site, then by a seeded draw within each outcome class."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gc_ray.cohort.findings import some
from gc_ray.errors import TableError
from gc_ray.patients import same_label
from gc_ray.study_cohort import SplitSettings

COHORTS = ("train", "internal", "external")
# Independent streams of the one seed, so that another number of folds leaves the cohorts as they are.
COHORT_STREAM, FOLD_STREAM = 0, 1


def draw_cohorts(outcome: pd.Series, site: pd.Series, settings: SplitSettings) -> pd.Series:
    """train, internal or external for each eligible patient.

    outcome: 0/1 indexed by patient_id; site: likewise. Depends on the set of patients, their outcome and site, and on
    the settings, never on the order of rows. TableError when an external site has no patient or a cohort lacks one of
    the two classes.
    """
    lost = sorted(set(settings.external_sites) - set(site))
    if lost:
        there = sorted(set(site))
        meant = [label for label in there if same_label(label) in set(map(same_label, lost))]
        hint = f"write {some(meant)} as the table does" if meant else "correct split.external_sites"
        raise TableError(
            f"site: split.external_sites names {some(lost)}, of which no patient is eligible; the table's sites are "
            f"{some(there) if any(there) else 'not stated'}; {hint}"
        )
    cohort = pd.Series("external", index=outcome.index.sort_values(), dtype=object)
    inside = outcome[~site.isin(settings.external_sites)]
    rng = np.random.default_rng([settings.seed, COHORT_STREAM])
    for patients in _classes(inside):
        drawn = rng.permutation(patients)
        n_train = round(settings.train_share * len(drawn))
        cohort[drawn[:n_train]] = "train"
        cohort[drawn[n_train:]] = "internal"
    for name in ["train", *sorted(set(cohort) - {"train"})]:
        _check_classes(outcome[cohort.index[cohort == name]], name)
    return cohort


def draw_folds(outcome: pd.Series, settings: SplitSettings) -> pd.Series:
    """The fold, 0 .. folds - 1, of each training patient; folds differ by at most one patient in each class.

    outcome: 0/1 of the training cohort, indexed by patient_id. TableError when a class has fewer patients than there
    are folds.
    """
    smaller = int(min((outcome == value).sum() for value in (0, 1)))
    if smaller < settings.folds:
        raise TableError(
            f"cohort train: wanted both classes in each of {settings.folds} folds, the smaller class has {smaller} "
            f"of {len(outcome)} patients; lower split.folds or add patients"
        )
    rng = np.random.default_rng([settings.seed, FOLD_STREAM])
    # dealt like cards, the second class going on where the first ended: whole folds differ by at most one too
    dealt = np.concatenate([rng.permutation(patients) for patients in _classes(outcome)])
    return pd.Series(np.arange(len(dealt)) % settings.folds, index=dealt, dtype="int32").sort_index()


def _classes(outcome: pd.Series) -> list[np.ndarray]:
    """Sorted ids of the patients without and with the outcome."""
    return [np.array(sorted(outcome.index[outcome == value]), dtype=object) for value in (0, 1)]


def _check_classes(outcome: pd.Series, cohort: str) -> None:
    events, n = int(outcome.sum()), len(outcome)
    if events in (0, n):
        raise TableError(
            f"cohort {cohort}: wanted patients with and without the outcome, {events} of {n} have it; "
            "change split.external_sites or split.train_share, or add patients"
        )
