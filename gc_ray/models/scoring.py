"""How a bundle's signatures are put together for one scan: terms, scores upon scores, and the interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from scipy import special

from gc_ray.errors import TableError
from gc_ray.models.bundle import Bundle
from gc_ray.models.design import Design, unseen_text
from gc_ray.models.missing import Completion
from gc_ray.models.signature import CONFIDENCE, Signature
from gc_ray.study_signatures import HEAD

INTERVAL = "coefficient uncertainty only"


@dataclass(frozen=True)
class Scored:
    """One scan's risk. values: every predictor of every signature by name. lower, upper: None without covariance."""

    score: float
    linear_predictor: float
    lower: float | None
    upper: float | None
    values: dict[str, float]


def needed_names(signatures: Mapping[str, Signature], inputs: Mapping[str, tuple[str, ...]]) -> set[str]:
    """The predictors of all signatures that are not the score of another (inputs: their ``scores_of``).

    ``head`` is among them where a signature takes it: the log odds of the network head, which no signature computes.
    """
    return {
        name
        for whose, signature in signatures.items()
        for name in signature.predictors
        if name == HEAD or name not in inputs.get(whose, ())
    }


def design_of(
    coding: Mapping[str, dict], fills: Mapping[str, object], seen: Mapping[str, Sequence[str]] | None = None
) -> Design:
    """How clinical columns become terms; fills: what is filled into gaps; seen: the levels of the training cohort."""
    policies = {name: "median" if coding[name]["kind"] == "number" else "mode" for name in fills}
    return Design(coding, Completion(policies, fills), {name: tuple(levels) for name, levels in (seen or {}).items()})


def score(bundle: Bundle, features: Mapping[str, float], clinical: pd.DataFrame | None, head: float | None) -> Scored:
    """The risk of one scan.

    features: image features by name. clinical: one row with the columns of the bundle's coding. head: log odds of the
    network head, where a signature takes it. One scan at a time, so that its bits cannot depend on its companions.
    TableError when a value is missing or of an unknown level.
    """
    known = dict(features)
    if coding := bundle.scoring["coding"]:
        if clinical is None:
            raise TableError("clinical predictors: wanted a row of the clinical table, there is none; add it")
        design = design_of(coding, bundle.scoring["fills"], bundle.scoring.get("seen"))
        for column, level in design.unseen(clinical).items():
            raise TableError(unseen_text(column, level.iloc[0]))
        terms = design.apply(clinical).iloc[0]
        known |= {name: float(value) for name, value in terms.items()}
    if head is not None:
        known[HEAD] = head
    values: dict[str, float] = {}
    for name, signature in bundle.signatures.items():
        row = {predictor: known[predictor] for predictor in signature.predictors if predictor in known}
        known[name] = float(signature.linear_predictor(pd.DataFrame([row]))[0])
        values |= row
    last, linear = bundle.signatures[bundle.model], known[bundle.model]
    lower = upper = None
    if last.covariance is not None:
        error = last.standard_error(pd.DataFrame([{name: known[name] for name in last.predictors}]))[0]
        reach = float(special.ndtri((1 + CONFIDENCE) / 2) * error)
        lower, upper = float(special.expit(linear - reach)), float(special.expit(linear + reach))
    return Scored(float(special.expit(linear)), linear, lower, upper, values)
