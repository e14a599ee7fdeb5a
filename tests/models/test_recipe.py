"""Signatures fitted through what knows its patients: order of steps, stacking, the guard, and bad input."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from gc_ray.errors import LeakError, TableError
from gc_ray.models.cohort_data import CohortData, Features, Ratings, checked
from gc_ray.models.controls import planted_leak, shuffled_features, shuffled_outcome
from gc_ray.models.nested import choices, outer_parts, part_result, whole_part
from gc_ray.models.recipe import AS_PUBLISHED, Plan, fit_signatures, out_of_fold
from gc_ray.models.select import SEPARATES
from gc_ray.study_signatures import SignatureSettings

N, TRAIN, P = 160, 120, 8
CODING = {
    "age": {"kind": "number", "missing": "impute", "terms": ["age"]},
    "stage": {"kind": "ordinal", "levels": ["I", "II"], "codes": {"I": 0, "II": 1}, "missing": "complete_case",
              "terms": ["stage"]},
}  # fmt: skip
LASSO = {"step": "lasso", "choose": "min", "folds": 5}
RECIPES = [
    {"name": "clinical", "families": ("clinical",)},
    {"name": "texture", "families": ("radiomics",), "steps": ({"step": "t_test", "alpha": 0.5}, LASSO)},
    {"name": "fused", "scores_of": ("texture",), "predictors_of": ("clinical",)},
]


def plan(*recipes: dict, **changes) -> Plan:
    """A plan of recipes written as in a study file."""
    settings = [SignatureSettings.model_validate(recipe) for recipe in recipes or RECIPES]
    return Plan({s.name: s for s in settings}, 3, lambda ratings, kind: ratings[0, 0], (0,), **changes)


def cohort(seed: int = 0) -> CohortData:
    """160 patients, 120 of them training; the first two features tell of the outcome."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N, P))
    y = (rng.random(N) < 1 / (1 + np.exp(-(1.5 * x[:, 0] + x[:, 1])))).astype(float)
    clinical = pd.DataFrame({"age": rng.normal(60, 9, N), "stage": rng.choice(["I", "II"], N)})
    where = np.where(np.arange(N) < TRAIN, "train", "internal")
    fold = np.where(np.arange(N) < TRAIN, np.arange(N) % 3, -1)
    ids = np.array([f"P{i:03d}" for i in range(N)])
    names = tuple(f"f{i}" for i in range(P))
    return CohortData(ids, y, np.full(N, "A"), where, fold, clinical, CODING, {"radiomics": Features(names, x)})


def with_feature(data: CohortData, column: int, values: np.ndarray) -> CohortData:
    """The data with one radiomics feature replaced."""
    x = data.families["radiomics"].values.copy()
    x[:, column] = values
    return replace(data, families={"radiomics": Features(data.families["radiomics"].names, x)})


@pytest.mark.parametrize("marker", [lambda y: y, lambda y: 1 - y, lambda y: 2 * y - 1, lambda y: 100 + 5 * y])
@pytest.mark.parametrize(
    "steps",
    [
        ({"step": "strongest", "number": 3},),
        ({"step": "t_test", "alpha": 0.05},),
        ({"step": "spearman", "rule": "by_outcome"}, {"step": "strongest", "number": 1}),
        (LASSO,),
    ],
)
def test_a_feature_that_equals_the_outcome_is_kept_and_called_separation(marker, steps):
    """By every step, in every coding: the model finds it, and a warning says what it may be."""
    data = cohort()
    data = with_feature(data, 5, marker(data.y))
    fitted = fit_signatures(plan({"name": "texture", "families": ("radiomics",), "steps": steps}), data, data.train)
    found = fitted["texture"]
    assert "f5" in found.predictors
    assert f"f5 {SEPARATES} in 120 patients: it may be the outcome by another name, or made of it" in found.warnings
    assert any("separation of the outcome" in text for text in found.warnings)
    linear = found.linear_predictor(data, np.arange(N))
    assert linear[data.y == 1].min() > linear[data.y == 0].max()


def test_scores_out_of_fold_of_a_patient_who_was_fitted_on_are_refused():
    """The fit carries its patients: one of them among the scored is an error that names the signature."""
    data = cohort()
    part = outer_parts(data, 1, 0)[0]
    fitted = fit_signatures(plan(), data, part.train)
    assert np.isfinite(out_of_fold(fitted["fused"], data, part.left_out)).all()
    with pytest.raises(LeakError, match=r"signature fused: wanted out-of-fold scores, it was fitted on 1 of these"):
        out_of_fold(fitted["fused"], data, np.append(part.left_out, part.train[0]))
    assert planted_leak(plan(), data, part) == {"clinical": True, "texture": True, "fused": True}


def test_nothing_fitted_depends_on_who_is_left_out():
    """Outcomes and values of left-out patients may be anything: the fit is the same to the last bit."""
    data = cohort()
    part = outer_parts(data, 1, 0)[0]
    other = cohort(1)
    y, x = data.y.copy(), data.families["radiomics"].values.copy()
    y[part.left_out], x[part.left_out] = other.y[part.left_out], other.families["radiomics"].values[part.left_out]
    clinical = data.clinical.copy()
    clinical.loc[part.left_out] = other.clinical.loc[part.left_out]
    features = {"radiomics": Features(data.families["radiomics"].names, x)}
    changed = replace(data, y=y, clinical=clinical, families=features)
    for name, fitted in fit_signatures(plan(), data, part.train).items():
        again = fit_signatures(plan(), changed, part.train)[name]
        assert again.model.signature == fitted.model.signature
        pd.testing.assert_frame_equal(again.log, fitted.log)


def test_stacking_is_fitted_on_scores_without_the_patient_and_as_published_on_in_sample_ones():
    """In-sample scores look better than they are: a fusion fitted on them trusts the score more."""
    data = cohort(3)
    recipes = [
        {"name": "texture", "families": ("radiomics",), "steps": ({"step": "strongest", "number": P},)},
        {"name": "fused", "scores_of": ("texture",)},
    ]
    rows = data.train[:50]
    slopes = {}
    for variant in ("leak_free", AS_PUBLISHED):
        signature = fit_signatures(plan(*recipes, variant=variant), data, rows)["fused"].model.signature
        slopes[variant] = signature.coefficients[0] / signature.scale[0]
    assert slopes["leak_free"] < slopes[AS_PUBLISHED]
    assert slopes[AS_PUBLISHED] == pytest.approx(1, abs=1e-6)  # maximum likelihood is calibrated in-sample


def test_every_candidate_leaves_at_one_step_with_a_reason():
    """The log accounts for constant and missing features too."""
    data = with_feature(cohort(), 7, np.ones(N))
    data = with_feature(data, 6, np.where(np.arange(N) == 5, np.nan, 1.0))
    fitted = fit_signatures(plan(), data, data.train)["texture"]
    log = fitted.log.set_index("feature")
    assert (log.loc["f7", "step"], log.loc["f6", "step"]) == ("constant", "missing")
    assert tuple(log.index[log["step"] == "kept"]) == fitted.predictors
    assert (log.loc[log["step"] != "kept", "reason"] != "").all()


def test_a_step_that_leaves_nothing_is_an_error_that_names_it():
    """Never a model of the intercept alone; what builds on it cannot be fitted either."""
    recipe = {"name": "texture", "families": ("radiomics",), "steps": ({"step": "variance", "threshold": 1e6},)}
    data = cohort()
    with pytest.raises(TableError, match="signature texture: step variance left none of 8 radiomics features"):
        fit_signatures(plan(recipe), data, data.train)
    found = part_result(plan(recipe, {"name": "on", "scores_of": ("texture",)}), data, outer_parts(data, 1, 0)[0], 0)
    assert found["on"] == {"error": "signature on: builds on texture, which could not be fitted"}


def test_collinear_features_are_dropped_and_named():
    """The earlier of two stays, and the log says where the other went."""
    data = cohort()
    data = with_feature(data, 3, 2 * data.families["radiomics"].values[:, 0] + 1)
    fitted = fit_signatures(plan({"name": "all", "families": ("radiomics",)}), data, data.train)["all"]
    assert fitted.predictors == ("f0", "f1", "f2", "f4", "f5", "f6", "f7")
    assert "f3: determined by other predictors, dropped" in fitted.warnings
    assert fitted.log.set_index("feature").loc["f3", "step"] == "model"


def test_separation_is_said_and_scores_stay_finite():
    """Without a maximum of the likelihood the mode under a stated prior is taken, and no interval is given."""
    data = cohort()
    data = with_feature(data, 0, data.y * 3 + 0.1 * data.families["radiomics"].values[:, 0])
    fitted = fit_signatures(plan({"name": "all", "families": ("radiomics",)}), data, data.train)["all"]
    assert fitted.model.fit is None
    assert "complete separation of the outcome" in " ".join(fitted.warnings)
    linear = fitted.linear_predictor(data, np.flatnonzero(data.cohort == "internal"))
    assert np.isfinite(linear).all()
    assert np.abs(linear).max() < 30


def test_fewer_events_than_predictors_is_flagged():
    """Events per variable under 10 are stated with their number."""
    data = cohort()
    fitted = fit_signatures(plan({"name": "all", "families": ("radiomics",)}), data, data.train[:24])["all"]
    assert any("events per variable, under 10" in warning for warning in fitted.warnings)


def test_stability_wants_patients_outlined_again_in_the_part():
    """An ICC is of training patients of the part; none there is an error, and what is not computable is dropped."""
    recipe = {"name": "texture", "families": ("radiomics",), "steps": ({"step": "stability", "icc": 0.8},)}
    data = cohort()
    with pytest.raises(
        TableError, match="step stability: wanted radiomics features for the inter and the intra-read"
    ):
        fit_signatures(plan(recipe), data, data.train)
    icc = np.array([0.9, 0.7, np.nan, 0.9, 0.9, 0.9, 0.9, 0.9])
    rated = Ratings(data.patient_ids[:4], np.broadcast_to(icc, (4, 2, P)))
    data = replace(data, between={"radiomics": rated}, within={"radiomics": rated})
    fitted = fit_signatures(plan(recipe), data, data.train)["texture"]
    assert fitted.predictors == ("f0", "f3", "f4", "f5", "f6", "f7")
    with pytest.raises(
        TableError, match="wanted 2 or more of these 60 training patients outlined for the inter-reader"
    ):
        fit_signatures(plan(recipe), data, data.train[60:])


@pytest.mark.parametrize(("held", "other"), [("between", "intra"), ("within", "inter")])
def test_stability_takes_the_designs_that_are_there_and_refuses_one_that_is_named_and_is_not(held, other):
    """Left out, the one design decides; named, a missing one is an error with its reason; the log says which."""
    data, icc = cohort(), np.array([0.9, 0.7, np.nan, 0.9, 0.9, 0.9, 0.9, 0.9])
    rated = {"radiomics": Ratings(data.patient_ids[:4], np.broadcast_to(icc, (4, 2, P)))}
    data = replace(data, **{held: rated}, lacking={"radiomics": {other: "nobody did it"}})
    own = {"inter", "intra"}.difference({other}).pop()
    for designs in ((), (own,)):
        step = {"step": "stability", "icc": 0.8, "designs": designs}
        recipe = {"name": "texture", "families": ("radiomics",), "steps": (step,)}
        log = fit_signatures(plan(recipe), data, data.train)["texture"].log.set_index("feature")
        assert list(log.index[log["step"] == "kept"]) == ["f0", "f3", "f4", "f5", "f6", "f7"]
        assert log.loc["f1", "reason"] == f"ICC ({own}) not over 0.8, or not computable"
        assert log.loc["f1", "statistic"] == 0.7
    for designs in ((other,), ("inter", "intra")):
        step = {"step": "stability", "icc": 0.8, "designs": designs}
        recipe = {"name": "texture", "families": ("radiomics",), "steps": (step,)}
        with pytest.raises(
            TableError, match=f"radiomics features for the {other}-reader ICC: nobody did it; outline"
        ):
            fit_signatures(plan(recipe), data, data.train)


def test_stability_of_both_designs_goes_by_the_smaller_icc_of_each_feature():
    """A feature on which readers agree and repeats do not leaves, and the reverse; each design has its form."""
    data, rng = cohort(), np.random.default_rng(0)
    ratings = {name: Ratings(data.patient_ids[:9], rng.normal(size=(9, 2, P))) for name in ("2,1", "3,1")}
    icc = {"2,1": np.linspace(0.5, 0.95, P), "3,1": np.linspace(0.99, 0.6, P)}

    def agreement(given: np.ndarray, kind: str) -> np.ndarray:
        np.testing.assert_array_equal(given, ratings[kind].values)
        return icc[kind]

    data = replace(data, between={"radiomics": ratings["2,1"]}, within={"radiomics": ratings["3,1"]})
    recipe = {"name": "texture", "families": ("radiomics",), "steps": ({"step": "stability", "icc": 0.7},)}
    log = fit_signatures(replace(plan(recipe), agreement=agreement), data, data.train)["texture"].log
    np.testing.assert_allclose(log["statistic"], np.minimum(icc["2,1"], icc["3,1"]))
    assert ((log["step"] == "kept") == (log["statistic"] > 0.7)).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"patient_ids": np.array(["P000"] * 2 + [f"P{i:03d}" for i in range(2, N)])},
            "each patient once, P000 twice",
        ),
        ({"y": np.full(N, 2.0)}, "wanted an outcome of 0 or 1 for every patient"),
        ({"y": np.zeros(N)}, "wanted both outcomes in the training cohort, 0 of 120"),
        ({"cohort": np.full(N, "test")}, "wanted cohorts train, internal, external only"),
        ({"fold": np.zeros(3, int)}, "wanted fold of 160 patients, got 3"),
        ({"families": {"radiomics": Features(("a",), np.full((N, 1), "x"))}}, "radiomics: wanted numbers, got <U1"),
        ({"families": {"radiomics": Features(("age",), np.ones((N, 1)))}}, "wanted feature names once, age"),
    ],
)
def test_tables_that_do_not_fit_are_refused_before_anything_is_fitted(changes, message):
    """Duplicates, text, one class and unknown cohorts have a line each."""
    with pytest.raises(TableError, match=message):
        checked(replace(cohort(), **changes))


def test_text_in_a_numeric_column_and_unknown_levels_are_refused():
    """The design says which column, and what to do."""
    data, clinical = cohort(), {"name": "clinical", "families": ("clinical",)}
    text = replace(data, clinical=data.clinical.assign(age="old"))
    with pytest.raises(TableError, match="age"):
        fit_signatures(plan(clinical), text, data.train)
    level = replace(data, clinical=data.clinical.assign(stage="IV"))
    with pytest.raises(TableError, match="column stage: wanted one of I, II, got IV"):
        fit_signatures(plan(clinical), level, data.train)


def test_a_fold_with_one_class_is_an_error_that_names_it():
    """An AUC of such a fold does not exist."""
    data = cohort()
    fold = np.where(data.cohort == "train", np.where(data.y == 1, 0, 1), -1)
    with pytest.raises(TableError, match="fold 0: wanted both outcomes"):
        outer_parts(replace(data, fold=fold), 1, 0)


def test_gaps_are_imputed_by_the_fold_alone():
    """The median is that of the patients fitted on."""
    data = cohort()
    clinical = data.clinical.copy()
    clinical.loc[[0, 1], "age"] = np.nan
    data = replace(data, clinical=clinical)
    fitted = fit_signatures(plan(RECIPES[0]), data, data.train[:60])["clinical"]
    assert fitted.chosen.design.fills == {"age": clinical["age"][:60].median()}


def test_controls_leave_sizes_and_break_the_link():
    """Outcomes stay in their cohort and fold; features go to other patients with their repeated outlines."""
    data = cohort()
    dealt = shuffled_outcome(data, 0)
    for k in range(3):
        assert dealt.y[data.fold == k].sum() == data.y[data.fold == k].sum()
    assert (dealt.y != data.y).any()
    rated = Ratings(data.patient_ids[:4], data.families["radiomics"].values[:4, None].repeat(2, axis=1))
    moved = shuffled_features(replace(data, between={"radiomics": rated}), 0)
    for patient, outlines in zip(moved.between["radiomics"].patient_ids, rated.values, strict=True):
        row = int(np.flatnonzero(moved.patient_ids == patient)[0])
        np.testing.assert_array_equal(moved.families["radiomics"].values[row], outlines[0])


def test_choices_are_known_beforehand_and_begin_with_the_published():
    """Drawn without repetition by signature and seed; what says the same twice is tried once."""
    searched = RECIPES[1] | {"search": {"lasso.mixing": (0.5, 1.0), "t_test.alpha": (0.1, 0.5)}}
    signature = SignatureSettings.model_validate(searched)
    tried = choices(signature, 10, 0)
    assert tried[0] == {}
    assert len(tried) == 4  # of four combinations one is the published
    assert tried == choices(signature, 10, 0)
    assert choices(signature, 2, 0) == tried[:3]
    assert whole_part(cohort()).left_out.size == 0


def test_sites_are_harmonised_by_training_rows_and_a_new_site_gets_what_the_study_says():
    """A shift of one site is gone from the fit; a site only in the test set is as it is, or refused."""
    data = cohort()
    site = np.where(np.arange(N) % 2, "A", "B")
    x = data.families["radiomics"].values + 3.0 * (site == "B")[:, None]
    data = replace(data, site=site, families={"radiomics": Features(data.families["radiomics"].names, x)})
    recipe = {"name": "all", "families": ("radiomics",), "harmonise": {"families": ("radiomics",)}}
    fitted = fit_signatures(plan(recipe), data, data.train)["all"]
    table = fitted.feature_table(data, data.train).to_numpy()
    gap = table[site[data.train] == "A"].mean(axis=0) - table[site[data.train] == "B"].mean(axis=0)
    assert np.abs(gap).max() < 0.2
    new = replace(data, site=np.where(data.cohort == "internal", "C", site))
    rows = np.flatnonzero(new.cohort == "internal")
    np.testing.assert_array_equal(fitted.feature_table(new, rows), x[rows])
    refuse = recipe | {"harmonise": {"families": ("radiomics",), "external": "refuse"}}
    strict = fit_signatures(plan(refuse), new, new.train)["all"]
    with pytest.raises(TableError, match="harmonise: site C has no training patients"):
        strict.linear_predictor(new, rows)


def test_a_new_site_is_brought_to_the_training_patients_by_its_own_scans():
    """A planted shift of the new site is gone, whoever of it is asked for; training patients stay to the bit."""
    data = cohort()
    site = np.where(data.cohort == "internal", "C", "A")
    features = data.families["radiomics"]
    shifted = features.values * 1.5 + 4.0
    x = np.where((site == "C")[:, None], shifted, features.values)
    data = replace(data, site=site, families={"radiomics": Features(features.names, x)})
    harmonise = {"families": ("radiomics",), "external": "reference"}
    fitted = fit_signatures(
        plan({"name": "all", "families": ("radiomics",), "harmonise": harmonise}), data, data.train
    )
    rows = np.flatnonzero(site == "C")
    table = fitted["all"].feature_table(data, rows).to_numpy()
    within = fitted["all"].feature_table(data, data.train).to_numpy()
    np.testing.assert_array_equal(within, x[data.train])
    assert np.abs(table.mean(axis=0) - within.mean(axis=0)).max() < 0.2
    assert np.abs(table.std(axis=0) / within.std(axis=0) - 1).max() < 0.2
    np.testing.assert_array_equal(fitted["all"].feature_table(data, rows[:3]).to_numpy(), table[:3])


def test_a_new_site_of_few_scans_cannot_be_brought_to_the_training_patients():
    """Fewer than twenty say too little of a scanner."""
    data = cohort()
    few = np.flatnonzero(data.cohort == "internal")[:19]
    site = np.where(np.isin(np.arange(len(data.y)), few), "C", "A")
    data = replace(data, site=site)
    harmonise = {"families": ("radiomics",), "external": "reference"}
    fitted = fit_signatures(
        plan({"name": "all", "families": ("radiomics",), "harmonise": harmonise}), data, data.train
    )
    with pytest.raises(TableError, match="ComBat: wanted at least 20 rows of batch C, got 19"):
        fitted["all"].feature_table(data, few)
