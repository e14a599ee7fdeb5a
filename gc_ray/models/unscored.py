"""Why a fitted signature gives some patients no score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gc_ray.models.cohort_data import CohortData
from gc_ray.models.design import unseen_text
from gc_ray.models.inputs import NAMED
from gc_ray.models.recipe import Fitted
from gc_ray.study_signatures import HEAD


@dataclass(frozen=True)
class Unscored:
    """Patients of a cohort to whom a model gives no score, for one reason; of: the cohort's patients in the data."""

    model_id: str
    cohort: str
    reason: str
    patients: int
    of: int


def unscored_reasons(fitted: Fitted, data: CohortData, rows: np.ndarray) -> list[str]:
    """For each patient in ``rows`` why the signature gives no score; "" where it gives one.

    Parameters
    ----------
    fitted : Fitted
    data : CohortData
    rows : ndarray of int
        Places of patients in ``data``.
    """
    linear = fitted.linear_predictor(data, rows)
    reasons = [""] * len(rows)
    lost = np.flatnonzero(~np.isfinite(linear))
    if not len(lost):
        return reasons
    for at, why in zip(lost, _why(fitted, data, rows[lost]), strict=True):
        reasons[at] = why
    return reasons


def count_unscored(model: str, cohort: str, reasons: list[str]) -> list[Unscored]:
    """A row for each reason; reasons: of all patients of a cohort."""
    counts = Counter(reason for reason in reasons if reason)
    return [Unscored(model, cohort, reason, n, len(reasons)) for reason, n in counts.most_common()]


def _why(fitted: Fitted, data: CohortData, rows: np.ndarray) -> list[str]:
    found = [[] for _ in rows]
    for name, several in _inputs(fitted, data, rows):
        for whose, reason in zip(found, several, strict=True):
            if reason:
                whose.append(f"no score of {name}: {reason}" if name else reason)
    return ["; ".join(dict.fromkeys(whose)) or "a predictor has no value" for whose in found]


def _inputs(fitted: Fitted, data: CohortData, rows: np.ndarray) -> Iterator[tuple[str, list[str]]]:
    """(score of which signature, "" for a feature; a reason for each patient) of everything that goes in."""
    used = set(fitted.predictors)
    for name in fitted.settings.scores_of:
        if name == HEAD:
            gaps = np.isnan(data.head[fitted.variant][rows])
            yield "", ["no score of the network head" if gap else "" for gap in gaps]
        elif name in used:
            yield name, unscored_reasons(fitted.above[name], data, rows)
    for one in _with_features(fitted):
        yield "", _levels(one, data, rows, used)
        yield "", _values(one, data, rows, used)


def _with_features(fitted: Fitted) -> Iterator[Fitted]:
    """The signature itself and those whose predictors it takes over, as far as they have features of their own."""
    if fitted.chosen is not None:
        yield fitted
    for name in fitted.settings.predictors_of:
        yield from _with_features(fitted.above[name])


def _levels(fitted: Fitted, data: CohortData, rows: np.ndarray, used: set[str]) -> list[str]:
    """Levels of clinical columns in use that the fit has not seen."""
    design, reasons = fitted.chosen.design, [""] * len(rows)
    for column, levels in design.unseen(data.clinical.iloc[rows]).items() if design is not None else ():
        if used.intersection(design.coding[column]["terms"]):
            texts = [unseen_text(column, level) if level else "" for level in levels]
            reasons = ["; ".join(filter(None, pair)) for pair in zip(reasons, texts, strict=True)]
    return reasons


def _values(fitted: Fitted, data: CohortData, rows: np.ndarray, used: set[str]) -> list[str]:
    """Image features in use that have no value."""
    names = [name for name, family in fitted.chosen.terms if name in used and family in data.families]
    table = fitted.chosen.table(data, rows)[names].isna().to_numpy()
    reasons = []
    for gaps in table:
        lost = [name for name, gap in zip(names, gaps, strict=True) if gap]
        more = f" and {len(lost) - NAMED} more" if len(lost) > NAMED else ""
        reasons.append(f"no value of {', '.join(lost[:NAMED])}{more}" if lost else "")
    return reasons
