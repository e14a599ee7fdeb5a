"""The signatures of a study, fitted on given patients: selection, stacking on out-of-fold scores, and the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from gc_ray.errors import LeakError, TableError
from gc_ray.models.cohort_data import CohortData
from gc_ray.models.multivariable import Model, as_it_is, fit_model, lasso_model
from gc_ray.models.select import Agreement, Chosen, choose
from gc_ray.models.steps import stratified_folds
from gc_ray.study_signatures import HEAD, SCORE, SignatureSettings

LEAK_FREE, AS_PUBLISHED = "leak_free", "as_published"
LASSO, STACK = 1, 2  # independent streams of a part's seed
KEPT = "kept"
UNFITTED = "patients were not fitted on: an earlier signature, fitted without them, has not seen a level of theirs"


@dataclass(frozen=True, eq=False)
class Plan:
    """How all signatures are fitted: their settings in the study's order, by name.

    agreement: the ICC of each feature from ratings (rated, outlines, features), of kind 2,1 or 3,1. stream: seed of
    whatever is drawn; every part of a resampling has its own. variant: leak_free, or as_published: stacked on
    in-sample scores, and steps that look at the internal cohort do so.
    """

    signatures: Mapping[str, SignatureSettings]
    inner_folds: int
    agreement: Agreement
    stream: tuple[int, ...]
    variant: str = LEAK_FREE

    def needed(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """``names`` and what they build on, in the study's order."""
        wanted = set(names)
        for name in reversed(self.signatures):
            if name in wanted:
                wanted |= {*self.signatures[name].scores_of, *self.signatures[name].predictors_of} - {HEAD}
        return tuple(name for name in self.signatures if name in wanted)


@dataclass(frozen=True, eq=False)
class Fitted:
    """A signature that knows the patients on whom it was fitted.

    above: the fits of the signatures that it builds on. log: a row for every candidate, with the step at which it
    left. scores: names of the scores among its predictors.
    """

    settings: SignatureSettings
    model: Model
    chosen: Chosen | None
    above: Mapping[str, Fitted]
    log: pd.DataFrame
    trained_on: frozenset[str]
    variant: str
    warnings: tuple[str, ...]

    @property
    def predictors(self) -> tuple[str, ...]:
        """What the signature is a linear function of."""
        return self.model.signature.predictors

    def feature_table(self, data: CohortData, rows: np.ndarray) -> pd.DataFrame:
        """Its predictors but the scores: its own and those of other signatures; NaN where a value is missing."""
        parts = [self.chosen.table(data, rows)] if self.chosen is not None else []
        parts += [self.above[name].feature_table(data, rows) for name in self.settings.predictors_of]
        return _joined(parts, len(rows))

    def linear_predictor(self, data: CohortData, rows: np.ndarray) -> np.ndarray:
        """Log odds of the patients in ``rows``; NaN where a predictor has no value."""
        scores = {
            name: data.head[self.variant][rows] if name == HEAD else self.above[name].linear_predictor(data, rows)
            for name in self.settings.scores_of
        }
        table = _joined([self.feature_table(data, rows), pd.DataFrame(scores, index=range(len(rows)))], len(rows))
        complete = table[list(self.predictors)].notna().all(axis=1).to_numpy()
        linear = np.full(len(rows), np.nan)
        linear[complete] = self.model.signature.linear_predictor(table[complete])
        return linear


def fit_signatures(
    plan: Plan, data: CohortData, rows: np.ndarray, names: tuple[str, ...] | None = None
) -> dict[str, Fitted]:
    """The signatures ``names`` (all when None) and those they build on, fitted on the patients in ``rows`` alone.

    TableError that names signature and step when a step leaves nothing.
    """
    wanted = names or tuple(plan.signatures)
    fitted = fit_each(plan, data, rows, wanted)
    for found in fitted.values():
        if isinstance(found, TableError):
            raise found
    return fitted


def fit_each(
    plan: Plan, data: CohortData, rows: np.ndarray, names: tuple[str, ...] | None = None
) -> dict[str, Fitted | TableError]:
    """As ``fit_signatures``, with the error in place of a signature that cannot be fitted, or builds on such."""
    fitted: dict[str, Fitted] = {}
    faults: dict[str, TableError] = {}
    wanted = plan.needed(names or tuple(plan.signatures))
    for name in wanted:
        settings = plan.signatures[name]
        lost = [above for above in (*settings.scores_of, *settings.predictors_of) if above in faults]
        try:
            if lost:
                raise TableError(f"signature {name}: builds on {lost[0]}, which could not be fitted")
            fitted[name] = _fit(settings, plan, data, rows, fitted)
        except TableError as error:
            if isinstance(error, LeakError):
                raise
            faults[name] = error
    return {name: fitted.get(name) or faults[name] for name in wanted}


def out_of_fold(fitted: Fitted, data: CohortData, rows: np.ndarray) -> np.ndarray:
    """Log odds of patients whom the fit has not seen; LeakError when it has seen one of them."""
    seen = sorted(fitted.trained_on.intersection(data.patient_ids[rows].tolist()))
    if seen:
        raise LeakError(
            f"signature {fitted.settings.name}: wanted out-of-fold scores, it was fitted on {len(seen)} of these "
            f"{len(rows)} patients ({', '.join(seen[:3])}); score them by a fit without them"
        )
    return fitted.linear_predictor(data, rows)


def _fit(
    settings: SignatureSettings, plan: Plan, data: CohortData, rows: np.ndarray, fitted: Mapping[str, Fitted]
) -> Fitted:
    above = {name: fitted[name] for name in {*settings.scores_of, *settings.predictors_of} - {HEAD}}
    rng = np.random.default_rng([*plan.stream, LASSO])
    chosen = None
    if settings.families:
        chosen = choose(settings, data, rows, plan.agreement, rng, looks=plan.variant == AS_PUBLISHED)
    shell = Fitted(
        settings, None, chosen, above, pd.DataFrame(), frozenset(data.patient_ids[rows].tolist()), plan.variant, ()
    )
    features = shell.feature_table(data, rows)
    scores = pd.DataFrame({name: _training_scores(name, plan, data, rows, above) for name in settings.scores_of})
    scored = scores.notna().all(axis=1).to_numpy() if scores.shape[1] else np.ones(len(rows), bool)
    table = _joined([features, scores], len(rows))
    model = _model(settings, chosen, table[scored], data.y[rows[scored]])
    log = _log(chosen, above, settings, model)
    without = [f"{int((~scored).sum())} of {len(rows)} {UNFITTED}"] if not scored.all() else []
    warnings = (*(chosen.warnings if chosen else ()), *without, *model.warnings)
    return replace(shell, model=model, log=log, warnings=warnings)


def _training_scores(
    name: str, plan: Plan, data: CohortData, rows: np.ndarray, above: Mapping[str, Fitted]
) -> np.ndarray:
    """The score of another signature in the patients fitted on.

    Leak-free each patient is scored once, by one fit without that patient: so these scores lie on the scale of those
    that a single fit gives to new patients. They are taken as they are: a calibration fitted fold by fold on the
    other folds' scores would bring each patient's own outcome back in.
    """
    if name == HEAD:
        if not data.head:
            raise TableError("signatures: wanted the score of the network head, there is none; train the head first")
        return data.head[plan.variant][rows]
    if plan.variant == AS_PUBLISHED:
        return above[name].linear_predictor(data, rows)
    if plan.signatures[name].model == "score" and plan.signatures[name].scores_of == (HEAD,):
        return data.head[plan.variant][rows]  # out-of-fold by the head's own folds
    inner = stratified_folds(data.y[rows], plan.inner_folds, np.random.default_rng([*plan.stream, STACK]))
    scores = np.empty(len(rows))
    for k in range(plan.inner_folds):
        part = replace(plan, stream=(*plan.stream, STACK, k))
        without = fit_signatures(part, data, rows[inner != k], (name,))[name]
        scores[inner == k] = out_of_fold(without, data, rows[inner == k])
    return scores


def _model(settings: SignatureSettings, chosen: Chosen | None, table: pd.DataFrame, y: np.ndarray) -> Model:
    if settings.model == "score":
        return as_it_is(settings.name, settings.scores_of[0])
    if settings.model == "lasso":
        return lasso_model(settings.name, *chosen.penalised)
    return fit_model(settings.name, table, y)


def _joined(parts: list[pd.DataFrame], rows: int) -> pd.DataFrame:
    """The columns of all parts, each name once."""
    table = pd.concat(
        [part.reset_index(drop=True) for part in parts if part.shape[1]] or [pd.DataFrame(index=range(rows))], axis=1
    )
    return table.loc[:, ~table.columns.duplicated()]


def _log(
    chosen: Chosen | None, above: Mapping[str, Fitted], settings: SignatureSettings, model: Model
) -> pd.DataFrame:
    """feature, family, step, statistic, p_value, reason: of every candidate, those of other signatures included."""
    parts = [chosen.log] if chosen is not None else []
    for name in settings.predictors_of:
        taken = above[name].log
        parts.append(taken[(taken["step"] == KEPT) & (taken["family"] != SCORE)])
    scores = [
        {"feature": s, "family": SCORE, "step": KEPT, "statistic": np.nan, "p_value": np.nan, "reason": ""}
        for s in settings.scores_of
    ]
    log = pd.concat([p for p in [*parts, pd.DataFrame(scores)] if len(p)], ignore_index=True)
    log = log.drop_duplicates("feature", ignore_index=True)
    out = (log["step"] == KEPT) & ~log["feature"].isin(model.signature.predictors)
    log.loc[out, ["step", "reason"]] = ["model", "determined by other predictors, or coefficient 0"]
    return log
