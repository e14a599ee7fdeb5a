"""The groups of scores that are judged one by one: a model, a variant, a cohort and a kind of score."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from gc_ray.report.inputs import Inputs

LEARNT_ON = {"leak_free": "oof", "as_published": "apparent"}  # the kind of training score a cutoff is learned on
ORDER = {"train": 0, "internal": 1, "external": 2}


@dataclass(frozen=True, eq=False)
class Unit:
    """Scores of one model, variant, cohort and kind, with the patients they are of (same rows)."""

    study_id: str
    model_id: str
    variant: str
    cohort: str
    kind: str
    score: np.ndarray
    linear_predictor: np.ndarray
    patients: pd.DataFrame

    @property
    def y(self) -> np.ndarray:
        """The outcome, 0 or 1."""
        return self.patients["outcome"].to_numpy(dtype=int)

    @property
    def key(self) -> dict[str, str]:
        """The columns that name the unit in every table."""
        return {
            "study_id": self.study_id,
            "model_id": self.model_id,
            "variant": self.variant,
            "cohort": self.cohort,
            "kind": self.kind,
        }

    @property
    def size(self) -> dict[str, int]:
        """Columns n and events."""
        return {"n": len(self.score), "events": int(self.y.sum())}

    def part(self, rows: np.ndarray) -> Unit:
        """The unit of some of its patients."""
        names = (self.study_id, self.model_id, self.variant, self.cohort, self.kind)
        return Unit(*names, self.score[rows], self.linear_predictor[rows], self.patients[rows])

    def followed(self) -> Unit:
        """The unit of those whose follow-up is known; its outcome is the event that ends the follow-up."""
        known = self.part((self.patients["time"].notna() & self.patients["event"].notna()).to_numpy())
        return replace(known, patients=known.patients.assign(outcome=known.patients["event"]))


def units_of(inputs: Inputs) -> list[Unit]:
    """Every unit of a scores table: training cohort first, models in the order of the table."""
    order = {model: i for i, model in enumerate(inputs.models)}
    found = []
    for (model, variant, cohort, kind), rows in inputs.scores.groupby(["model_id", "variant", "cohort", "kind"]):
        rows = rows.sort_values("patient_id")
        patients = inputs.patients.loc[rows["patient_id"]]
        arrays = rows["score"].to_numpy(), rows["linear_predictor"].to_numpy()
        found.append(Unit(inputs.study.name, model, variant, cohort, kind, *arrays, patients))
    return sorted(
        found, key=lambda u: (u.variant != "leak_free", ORDER.get(u.cohort, 3), u.cohort, u.kind, order[u.model_id])
    )


def training_unit(units: list[Unit], model_id: str, variant: str) -> Unit | None:
    """The scores that cutoffs are learned on: of the training cohort, out-of-fold unless only others exist."""
    mine = [u for u in units if (u.model_id, u.variant, u.cohort) == (model_id, variant, "train")]
    preferred = [u for u in mine if u.kind == LEARNT_ON.get(variant, "oof")]
    return next(iter([*preferred, *mine]), None)


def same_patients(units: list[Unit]) -> Iterator[tuple[Unit, Unit]]:
    """Pairs of models of one variant, cohort and kind, each with the patients whom both have scored."""
    for i, a in enumerate(units):
        for b in units[i + 1 :]:
            alike = (a.variant, a.cohort, a.kind) == (b.variant, b.cohort, b.kind)
            both = a.patients.index.intersection(b.patients.index)
            if alike and len(both):
                yield a.part(a.patients.index.isin(both)), b.part(b.patients.index.isin(both))
