"""What a head is trained on and scores: frozen backbone outputs of several views of every patient."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gc_ray.errors import TableError

TRAIN = "train"
COHORTS = (TRAIN, "internal", "external")


@dataclass(frozen=True, eq=False)
class HeadData:
    """The patients of a study, one row each.

    patient_ids: (patients). features: float32 (patients, views, width); view 0 is not augmented, and is what scores.
    outcome: 0 or 1 (patients); of no account outside the training cohort, NaN is fine there.
    cohort: train, internal or external (patients). fold: 0, 1, .. (patients) in the training cohort, else ignored.
    """

    patient_ids: np.ndarray
    features: np.ndarray
    outcome: np.ndarray
    cohort: np.ndarray
    fold: np.ndarray

    @property
    def train(self) -> np.ndarray:
        """The rows of the training cohort."""
        return np.flatnonzero(self.cohort == TRAIN)

    @property
    def folds(self) -> int:
        """How many folds the training cohort is in."""
        return int(self.fold[self.train].max()) + 1


def checked(data: HeadData) -> HeadData:
    """The same patients sorted by id, when they can be used.

    TableError for arrays that do not fit together, a patient in two rows or cohorts, an unknown cohort, a feature
    that is no number, a training outcome other than 0 or 1, and a fold without patients or with one outcome only.
    """
    _check_shapes(data)
    order = np.argsort(data.patient_ids, kind="stable")
    if (order != np.arange(len(order))).any():  # the features may be large: copied only if they must
        data = replace(data, **{name: getattr(data, name)[order] for name in data.__dataclass_fields__})
    _check_patients(data)
    _check_features(data)
    _check_folds(data)
    return data


def _check_shapes(data: HeadData) -> None:
    shape = data.features.shape
    if len(shape) != 3 or 0 in shape or data.features.dtype != np.float32:
        raise TableError(
            f"head: wanted features float32 (patients, views, width), got {data.features.dtype} {shape}; "
            "embed the study's patients first"
        )
    for name in ("patient_ids", "outcome", "cohort", "fold"):
        if getattr(data, name).shape != shape[:1]:
            raise TableError(
                f"head: wanted {name} for {shape[0]} patients, got {getattr(data, name).shape}; join them by patient"
            )


def _check_patients(data: HeadData) -> None:
    ids = data.patient_ids
    for i in np.flatnonzero(ids[1:] == ids[:-1])[:1]:
        where = " and ".join(sorted({str(c) for c in data.cohort[ids == ids[i]]}))
        raise TableError(f"head: patient {ids[i]}: wanted one row in one cohort, got several in {where}; keep one")
    for i in np.flatnonzero(~np.isin(data.cohort, COHORTS))[:1]:
        raise TableError(
            f"head: patient {ids[i]}: wanted cohort {', '.join(COHORTS)}, got {data.cohort[i]}; leave it out"
        )


def _check_features(data: HeadData) -> None:
    for i, of_patient in enumerate(data.features):
        if not np.isfinite(of_patient).all():
            view = int(np.argmin(np.isfinite(of_patient).all(axis=1)))
            raise TableError(
                f"head: patient {data.patient_ids[i]}: wanted finite features, view {view} has NaN or infinity; "
                "embed this patient again or leave it out"
            )


def _check_folds(data: HeadData) -> None:
    train = data.train
    if len(train) == 0:
        raise TableError(f"head: wanted patients in cohort {TRAIN}, got none; look at the splits")
    outcome, fold = data.outcome[train], data.fold[train]
    for i in np.flatnonzero(~np.isin(outcome, (0, 1)))[:1]:
        raise TableError(
            f"head: patient {data.patient_ids[train[i]]}: wanted outcome 0 or 1 in the training cohort, "
            f"got {outcome[i]}; correct the clinical table"
        )
    for i in np.flatnonzero(~(fold >= 0))[:1]:
        raise TableError(
            f"head: patient {data.patient_ids[train[i]]}: wanted a training fold 0, 1, .., got {fold[i]}"
        )
    if data.folds < 2:
        raise TableError("head: wanted two folds or more, got one; split the training cohort into folds")
    for k in range(data.folds):
        events, patients = int(outcome[fold == k].sum()), int((fold == k).sum())
        if not 0 < events < patients:
            raise TableError(
                f"head: fold {k}: wanted both outcomes, got {events} events in {patients} patients; "
                "use fewer folds or stratify them by outcome"
            )
