"""The clinical table and the truth behind it, drawn without any image."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from scipy.special import expit

from gc_ray.cohort.synthetic.outcomes import (
    Truth,
    area_under_curve,
    features_of,
    outcomes_of,
    regression_grade,
    truth_of,
)
from gc_ray.cohort.synthetic.population import clinical_of, normals_of, scores_of
from gc_ray.cohort.synthetic.spec import SOURCE_FIRST, CohortSpec, patient_id, patient_indices, site_of

OUTCOMES = ("recurrence", "liver_metastasis")


@dataclass(frozen=True, eq=False)
class Drawn:
    """A cohort without images.

    clinical: one row per patient, as a study's clinical table.
    truth: patient_id, latent variables, and linear predictor and probability of each outcome.
    models: what outcomes were drawn from.
    oracle_auc: AUC of each true linear predictor on these very patients; None without both kinds.
    """

    clinical: pd.DataFrame
    truth: pd.DataFrame
    models: Truth
    oracle_auc: dict[str, float | None]


def draw(spec: CohortSpec) -> Drawn:
    """The clinical table and its truth for all patients of a specification; rows do not depend on how many follow."""
    indices = patient_indices(spec)
    models = truth_of(spec)
    scores = scores_of(normals_of(spec, indices))
    clinical = clinical_of(scores)
    features = features_of(scores, clinical)
    outcomes = outcomes_of(models, scores, clinical)
    source = pd.Series([i >= SOURCE_FIRST for i in indices])
    people = pd.DataFrame(
        {"patient_id": [patient_id(i) for i in indices], "site": [site_of(spec, i).name for i in indices]}
    )
    truth = pd.concat([people[["patient_id"]], scores[["size", "texture", "grain"]]], axis=1)
    for name in OUTCOMES:
        predictor = pd.Series(getattr(models, name).linear_predictor(features)).mask(source)
        truth[f"{name}_linear_predictor"] = predictor
        truth[f"{name}_probability"] = expit(predictor)
    auc = {
        name: area_under_curve(outcomes[name][~source], truth[f"{name}_linear_predictor"][~source])
        for name in OUTCOMES
    }
    table = pd.concat([people, _of_source_task(clinical, source), outcomes.convert_dtypes().mask(source)], axis=1)
    table["trg"] = pd.Series(regression_grade(spec, scores), dtype="Int64").where(source)
    return Drawn(table, truth.round(6), models, auc)


def _of_source_task(clinical: pd.DataFrame, source: pd.Series) -> pd.DataFrame:
    """Patients of the source task are those treated before surgery, so that there is a regression to grade."""
    return clinical.assign(preoperative_chemotherapy=clinical["preoperative_chemotherapy"].mask(source, "1"))
