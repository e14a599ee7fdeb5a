"""What signatures are fitted on and score: the patients of a study, one row each, with all kinds of features."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pandas as pd

from gc_ray.errors import TableError
from gc_ray.models.inputs import named

TRAIN = "train"
COHORTS = (TRAIN, "internal", "external")
FEWEST_RATED = 2  # patients outlined again whom an ICC wants
Ids = np.ndarray  # text, one a patient


@dataclass(frozen=True, eq=False)
class Features:
    """One family of image features: names (p), values float64 (patients, p); NaN where a value is missing."""

    names: tuple[str, ...]
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class Ratings:
    """One family of features of the patients who were outlined again: values (rated, outlines, p), with their ids."""

    patient_ids: Ids
    values: np.ndarray

    def of(self, patient_ids: Ids) -> np.ndarray:
        """The ratings of those of some patients who have them, (n, outlines, p)."""
        return self.values[np.isin(self.patient_ids, patient_ids)]


@dataclass(frozen=True, eq=False)
class CohortData:
    """A study's patients, sorted by id.

    y: 0 or 1. cohort: train, internal or external. fold: 0, 1, .. in the training cohort, else -1. clinical: a frame
    with one row a patient and the columns that ``coding`` names. families: radiomics, deep. between, within: of a
    family, outlines by several readers and repeats by one; lacking: of a family, why a design of an ICC is not there.
    head: log odds of the network head by variant. scan_id: of the scan that was used, empty without one.
    """

    patient_ids: Ids
    y: np.ndarray
    site: np.ndarray
    cohort: np.ndarray
    fold: np.ndarray
    clinical: pd.DataFrame
    coding: Mapping[str, dict]
    families: Mapping[str, Features] = field(default_factory=dict)
    between: Mapping[str, Ratings] = field(default_factory=dict)
    within: Mapping[str, Ratings] = field(default_factory=dict)
    lacking: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    head: Mapping[str, np.ndarray] = field(default_factory=dict)
    scan_id: np.ndarray | None = None

    @property
    def train(self) -> np.ndarray:
        """The rows of the training cohort."""
        return np.flatnonzero(self.cohort == TRAIN)

    def digest(self) -> str:
        """A digest of every value: equal data give equal text, whatever they came from."""
        text = "\x1f".join(f"{part} {value}" for part, value in self.digests().items())
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def digests(self) -> dict[str, str]:
        """A digest of each part: patients, outcome, clinical predictors, features by family, the head's scores."""
        said = ("patient_ids", "site", "cohort")
        parts = {"patients": [*(_text(getattr(self, name)) for name in said), self.fold.tobytes()]}
        parts["outcome"] = [self.y.tobytes()]
        parts["clinical predictors"] = [self.clinical[list(self.coding)].to_csv(index=False).encode()]
        for name, held in sorted(self.families.items()):
            parts[f"{name} features"] = [_text(held.names), np.ascontiguousarray(held.values).tobytes()]
        for design, group in (("between readers", self.between), ("within a reader", self.within)):
            for name, held in sorted(group.items()):
                values = [_text(held.patient_ids), np.ascontiguousarray(held.values).tobytes()]
                parts[f"{name} features {design}"] = values
        parts["scans"] = [_text(() if self.scan_id is None else self.scan_id)]
        parts["scores of the head"] = [np.ascontiguousarray(of).tobytes() for _, of in sorted(self.head.items())]
        return {name: _digest(values) for name, values in parts.items()}


def _text(values: Iterable) -> bytes:
    return "\x1f".join(map(str, values)).encode()


def _digest(parts: Iterable[bytes]) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "big") + part)
    return found.hexdigest()[:16]


def checked(data: CohortData) -> CohortData:
    """The same data, when it can be used.

    TableError for a patient twice or out of order, an unknown cohort, an outcome other than 0 and 1, one class in the
    training cohort, arrays that do not fit together, features that are no numbers, and a feature named twice.
    """
    ids, n = data.patient_ids, len(data.patient_ids)
    doubled = sorted({str(a) for a, b in pairwise(ids) if a == b})
    if doubled:
        raise TableError(f"signatures: wanted each patient once, {', '.join(doubled[:5])} twice; keep one row")
    if list(ids) != sorted(ids):
        raise TableError("signatures: wanted patients sorted by id; sort every table by patient")
    for name, length in _lengths(data).items():
        if length != n:
            raise TableError(f"signatures: wanted {name} of {n} patients, got {length}; join them by patient")
    if not np.isin(data.cohort, COHORTS).all():
        raise TableError(f"signatures: wanted cohorts {', '.join(COHORTS)} only; leave other patients out")
    if not np.isin(data.y, (0, 1)).all():
        raise TableError("signatures: wanted an outcome of 0 or 1 for every patient; leave the others out")
    _check_features(data)
    events, patients = int(data.y[data.train].sum()), len(data.train)
    if not 0 < events < patients:
        raise TableError(f"signatures: wanted both outcomes in the training cohort, {events} of {patients} have it")
    return data


def _lengths(data: CohortData) -> dict[str, int]:
    arrays = {name: getattr(data, name) for name in ("y", "site", "cohort", "fold", "clinical")}
    arrays |= {f"the head's scores {name}": values for name, values in data.head.items()}
    arrays |= {f"{name} features": features.values for name, features in data.families.items()}
    return {name: len(values) for name, values in arrays.items()}


def _check_features(data: CohortData) -> None:
    seen = set(data.coding)
    for family, features in data.families.items():
        if not np.issubdtype(features.values.dtype, np.floating):
            raise TableError(f"{family}: wanted numbers, got {features.values.dtype}; correct the table's columns")
        infinite = np.flatnonzero(np.isinf(features.values).any(axis=0))
        if len(infinite):
            raise TableError(f"{family}: {named(infinite, features.names)} with infinite values; extract them again")
        doubled = [name for name in features.names if name in seen]
        if doubled or len(set(features.names)) < len(features.names):
            raise TableError(f"{family}: wanted feature names once, {', '.join(doubled[:5]) or 'some'} are doubled")
        seen |= set(features.names)
