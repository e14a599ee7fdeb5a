"""Who gets no score and why: a level that a fit has not seen, a feature without a value; nested fits bear both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from gc_ray.errors import TableError
from gc_ray.models.bundle import Bundle
from gc_ray.models.cohort_data import CohortData, Features
from gc_ray.models.nested import inner_deviance, outer_parts, part_result, whole_part
from gc_ray.models.recipe import AS_PUBLISHED, Plan, fit_signatures
from gc_ray.models.scoring import score
from gc_ray.models.signature import Signature
from gc_ray.models.unscored import count_unscored, unscored_reasons
from gc_ray.study_signatures import SignatureSettings

N, TRAIN = 120, 90
TERMS = ["stage=II", "stage=III", "stage=not recorded"]
CODING = {
    "age": {"kind": "number", "missing": "impute", "terms": ["age"]},
    "stage": {"kind": "categorical", "levels": ["I", "II", "III"], "missing": "category", "terms": TERMS},
}
CLINICAL = {"name": "clinical", "families": ("clinical",)}
TEXTURE = {"name": "texture", "families": ("radiomics",), "steps": ({"step": "strongest", "number": 2},)}
FUSED = {"name": "fused", "scores_of": ("texture",), "predictors_of": ("clinical",)}
STACKED = {"name": "stacked", "scores_of": ("clinical", "texture")}


def plan(*recipes: dict, **changes) -> Plan:
    """A plan of recipes written as in a study file."""
    settings = [SignatureSettings.model_validate(recipe) for recipe in recipes]
    return Plan({s.name: s for s in settings}, 3, lambda ratings, kind: ratings[0, 0], (0,), **changes)


def cohort(**levels: str | None) -> CohortData:
    """120 patients, 90 of them training, of stages I and II; some of another stage: ``cohort(P100="III")``."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(N, 4))
    stage = rng.choice(["I", "II"], N).astype(object)
    y = (rng.random(N) < 1 / (1 + np.exp(-(1.5 * x[:, 0] + x[:, 1] + (stage == "II"))))).astype(float)
    ids = np.array([f"P{i:03d}" for i in range(N)])
    for patient, level in levels.items():
        stage[ids == patient] = level
    clinical = pd.DataFrame({"age": rng.normal(60, 9, N), "stage": stage})
    where = np.where(np.arange(N) < TRAIN, "train", "external")
    fold = np.where(np.arange(N) < TRAIN, np.arange(N) % 3, -1)
    families = {"radiomics": Features(("f0", "f1", "f2", "f3"), x)}
    return CohortData(ids, y, np.full(N, "A"), where, fold, clinical, CODING, families)


OTHERS = np.arange(TRAIN, N)


@pytest.mark.parametrize(
    ("level", "said"),
    [
        ("III", "level III of stage is in none of the patients that the model was fitted on"),
        (None, "stage is not recorded, and it is in all patients that the model was fitted on"),
    ],
)
def test_a_patient_of_a_level_that_training_has_not_seen_is_unscored(level, said):
    """Not scored as one of stage I; the others are scored as they were without that patient."""
    without, data = cohort(), cohort(P100=level)
    fits = fit_signatures(plan(CLINICAL, TEXTURE, FUSED, STACKED), data, data.train)
    for name in ("clinical", "fused"):
        reasons = unscored_reasons(fits[name], data, OTHERS)
        assert [(i, why) for i, why in zip(OTHERS, reasons, strict=True) if why] == [(100, said)]
    reasons = unscored_reasons(fits["stacked"], data, OTHERS)
    assert reasons[10] == f"no score of clinical: {said}"
    assert not any(unscored_reasons(fits["texture"], data, OTHERS))
    before = fit_signatures(plan(CLINICAL, TEXTURE, FUSED, STACKED), without, without.train)
    known = np.delete(OTHERS, 10)
    for name, fit in fits.items():
        linear = fit.linear_predictor(data, OTHERS)
        assert np.isnan(linear[10]) == (name != "texture")
        np.testing.assert_array_equal(
            fit.linear_predictor(data, known), before[name].linear_predictor(without, known)
        )


def test_a_column_that_no_predictor_is_of_costs_nobody_the_score():
    """The steps left the stage out: whatever stage a patient has, the model does not ask for it."""
    data = cohort(P100="III")
    only_age = CLINICAL | {"steps": ({"step": "strongest", "number": 1},)}
    found = fit_signatures(plan(only_age), data, data.train)["clinical"]
    assert ("stage=II" in found.predictors) == any(unscored_reasons(found, data, OTHERS))


def test_a_feature_without_a_value_is_named_and_counted():
    """Not 'no usable scan': the scan is there, a number of it is not."""
    data = cohort()
    x = data.families["radiomics"].values.copy()
    x[100:110, :2] = np.nan
    data = replace(data, families={"radiomics": Features(data.families["radiomics"].names, x)})
    fitted = fit_signatures(plan(TEXTURE), data, data.train)["texture"]
    reasons = unscored_reasons(fitted, data, OTHERS)
    (found,) = count_unscored("texture", "external", reasons)
    assert (found.patients, found.of) == (10, 30)
    assert found.reason.startswith("no value of ") and {"f0", "f1"} & set(found.reason.replace(",", "").split())


def test_a_level_that_one_training_patient_has_leaves_that_patient_unscored_out_of_fold():
    """Fold by fold the rule is the same; counts and losses are of those who have a score."""
    data = cohort(P003="III")
    parts = outer_parts(data, 1, 0)
    results = {part.fold: part_result(plan(CLINICAL, TEXTURE, FUSED), data, part, 0) for part in parts}
    for fold, found in results.items():
        scores = np.array(found["fused"]["linear_predictor"], dtype=float)
        lost = data.patient_ids[parts[fold].left_out][np.isnan(scores)].tolist()
        assert lost == (["P003"] if fold == 0 else [])
        assert found["fused"]["n"] == 30 - len(lost)
        assert [why for why in found["fused"]["unscored"] if why] == (
            ["level III of stage is in none of the patients that the model was fitted on"] if lost else []
        )
        assert np.isfinite([found["fused"][name] for name in ("auc_test", "brier_test", "deviance_test")]).all()


def test_what_stacks_on_it_is_fitted_without_that_patient_and_says_so():
    """The inner score of a patient whose level no other inner fold has does not exist: nothing takes its place."""
    data = cohort(P003="III")
    fitted = fit_signatures(plan(CLINICAL, TEXTURE, STACKED), data, data.train)["stacked"]
    assert any(text.startswith("1 of 90 patients were not fitted on") for text in fitted.warnings)
    assert np.isfinite(fitted.linear_predictor(data, data.train)).all()  # the whole cohort has seen the level
    published = fit_signatures(plan(CLINICAL, TEXTURE, STACKED, variant=AS_PUBLISHED), data, data.train)
    assert not any("not fitted on" in text for text in published["stacked"].warnings)


def test_leaving_patients_unscored_is_no_gain_in_the_search():
    """An inner deviance is a mean over all: without a score a patient counts as predicted by the share of events."""
    data = cohort(P003="III", P004=None)
    found = inner_deviance(plan(CLINICAL), data, whole_part(data), "clinical", 0)
    assert np.isfinite(found)
    assert 0.5 < found < 2.5


def test_a_bundle_gives_no_score_to_a_level_that_training_has_not_seen():
    """New scans are judged by the same rule and in the same words; an older bundle takes all for seen."""
    signature = Signature("m", tuple(TERMS[:2]), (0.0, 0.0), (1.0, 1.0), (1.0, 2.0), 0.0, None)
    scoring = {"coding": {"stage": CODING["stage"]}, "fills": {"stage": "I"}, "seen": {"stage": ["I", "II"]}}
    made = Bundle({"model": "m"}, {"m": signature}, scoring, {}, {}, {}, {}, {})
    assert score(made, {}, pd.DataFrame({"stage": ["II"]}), None).linear_predictor == 1.0
    with pytest.raises(TableError, match="level III of stage is in none of the patients"):
        score(made, {}, pd.DataFrame({"stage": ["III"]}), None)
    with pytest.raises(TableError, match="stage is not recorded, and it is in all patients"):
        score(made, {}, pd.DataFrame({"stage": [None]}, dtype=object), None)
    older = replace(made, scoring={name: part for name, part in scoring.items() if name != "seen"})
    assert score(older, {}, pd.DataFrame({"stage": ["III"]}), None).linear_predictor == 2.0
