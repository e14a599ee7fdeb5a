"""The simulated clinical table: printed margins, consistent columns, and outcomes that follow the stated model."""

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter
from sklearn.linear_model import LogisticRegression

from gc_ray.cohort.synthetic.draw import draw
from gc_ray.cohort.synthetic.outcomes import REGRESSION_SHARES, area_under_curve
from gc_ray.cohort.synthetic.population import LENGTH_CM, THICKNESS_RANGE_MM
from gc_ray.cohort.synthetic.published import (
    CAO_GROUPS,
    CATEGORICAL,
    CONTINUOUS,
    GUO_GROUPS,
    LIVER_METASTASIS_RATE,
    PT_PN_COUNTS,
    PTNM_STAGE,
    RECURRENCE_RATE,
    STAGE_MARGINS,
    SYNCHRONOUS_SHARE,
    THICKNESS_MM,
)
from gc_ray.cohort.synthetic.spec import EFFECTS, CohortSpec

PATIENTS = 20_000


@pytest.fixture(scope="module", params=EFFECTS)
def cohort(request):
    return draw(CohortSpec(PATIENTS, seed=11, effect=request.param))


@pytest.fixture(scope="module")
def full():
    return draw(CohortSpec(PATIENTS, sites=3, seed=12))


def error(share: float, n: int = PATIENTS) -> float:
    """Four standard errors of a share."""
    return 4 * np.sqrt(share * (1 - share) / n)


def test_printed_counts_add_up_to_the_printed_groups():
    """Every row of Table 1 has as many patients as its columns are headed with: no typing error."""
    for name, row in (CATEGORICAL | STAGE_MARGINS).items():
        assert (sum(row.event), sum(row.no_event)) in (CAO_GROUPS, GUO_GROUPS), name


def test_joint_stage_cells_have_the_printed_margins():
    """The assumed joint table of pT and pN has exactly the paper's margins of pT, pN and pTNM."""
    cells = pd.DataFrame(
        [(t, f"N{n}", PTNM_STAGE[t][n], c) for t, row in PT_PN_COUNTS.items() for n, c in enumerate(row)],
        columns=["pt_stage", "pn_stage", "ptnm_stage", "patients"],
    )
    cells["pt_stage"] = np.where(cells["pt_stage"].isin(["T1", "T2"]), "T1/T2", "T3/T4")
    for name, row in STAGE_MARGINS.items():
        printed = dict(zip(row.levels, np.add(row.event, row.no_event).tolist(), strict=True))
        assert cells.groupby(name)["patients"].sum().to_dict() == printed


@pytest.mark.parametrize("name", [*CATEGORICAL, *STAGE_MARGINS])
def test_categories_have_the_printed_shares(full, name):
    """Each level's share in a large cohort is the paper's, within sampling error."""
    row = (CATEGORICAL | STAGE_MARGINS)[name]
    drawn = full.clinical[name].value_counts(normalize=True)
    assert set(drawn.index) == set(row.levels)
    for level, share in zip(row.levels, row.shares, strict=True):
        assert drawn[level] == pytest.approx(share, abs=error(share)), level


@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous_columns_have_the_printed_quartiles(full, name):
    """Median and both quartiles are the paper's, and lie between those of the two printed groups."""
    row = CONTINUOUS[name]
    drawn = full.clinical[name].quantile([0.25, 0.5, 0.75]).to_numpy()
    assert drawn == pytest.approx(row.pooled, rel=0.05)
    assert (np.minimum(row.event, row.no_event) <= row.pooled).all()
    assert (row.pooled <= np.maximum(row.event, row.no_event)).all()


def test_thickness_has_the_printed_mean_and_sd(full):
    """Tumour thickness: mean and SD of both groups of Guo et al. together, tails cut at what can be drawn."""
    mean, sd = THICKNESS_MM.pooled
    assert full.clinical["tumour_thickness_mm"].mean() == pytest.approx(mean, rel=0.02)
    assert full.clinical["tumour_thickness_mm"].std() == pytest.approx(sd, rel=0.05)
    assert full.clinical["tumour_thickness_mm"].between(*THICKNESS_RANGE_MM).all()
    assert full.clinical["tumour_length_cm"].between(*LENGTH_CM).all()


def test_stage_follows_from_pt_and_pn(full):
    """No patient has a stage that AJCC/UICC 8 gives to no tumour with that pT group and pN."""
    groups = {"T1/T2": ("T1", "T2"), "T3/T4": ("T3", "T4a", "T4b")}
    allowed = {(g, f"N{n}", PTNM_STAGE[t][n]) for g, ts in groups.items() for t in ts for n in range(4)}
    drawn = set(full.clinical[list(STAGE_MARGINS)].itertuples(index=False, name=None))
    assert drawn <= allowed


def test_rates_are_the_asked_for_ones(cohort):
    """Recurrence, liver metastasis and its synchronous share occur as often as in the papers, whatever the effect."""
    table = cohort.clinical
    lesions = int(table["liver_metastasis"].sum())
    synchronous = (table["liver_metastasis_timing"] == "synchronous").sum() / lesions
    assert table["recurrence"].mean() == pytest.approx(RECURRENCE_RATE, abs=error(RECURRENCE_RATE))
    assert lesions / PATIENTS == pytest.approx(LIVER_METASTASIS_RATE, abs=error(LIVER_METASTASIS_RATE))
    # Early deaths make a few metachronous ones synchronous.
    assert synchronous == pytest.approx(SYNCHRONOUS_SHARE, abs=error(SYNCHRONOUS_SHARE, lesions) + 0.02)


def test_recurrence_rate_can_be_set():
    """The intercept follows the asked-for rate."""
    table = draw(CohortSpec(5000, recurrence_rate=0.4)).clinical
    assert table["recurrence"].mean() == pytest.approx(0.4, abs=error(0.4, 5000))


def test_times_are_consistent(full):
    """Recurrence and metastasis are seen before the end of follow-up; timing is by the six-month limit."""
    table = full.clinical
    assert (table["time_months"] > 0).all()
    for outcome in ("recurrence", "liver_metastasis"):
        months = table[f"{outcome}_months"]
        assert (months.notna() == (table[outcome] == 1)).all()
        assert (months <= table["time_months"])[months.notna()].all()
    early = table["liver_metastasis_months"] < 6
    assert ((table["liver_metastasis_timing"] == "synchronous") == early.fillna(False)).all()


@pytest.mark.parametrize("outcome", ["recurrence", "liver_metastasis"])
def test_outcomes_follow_the_stated_logistic_model(full, outcome):
    """Refitted on the true linear predictor, slope is 1 and intercept 0 within sampling error."""
    predictor = full.truth[[f"{outcome}_linear_predictor"]].to_numpy()
    fit = LogisticRegression(C=np.inf).fit(predictor, full.clinical[outcome].astype(int))
    assert fit.coef_[0, 0] == pytest.approx(1, abs=0.08)
    assert fit.intercept_[0] == pytest.approx(0, abs=0.15)


def test_survival_follows_the_stated_hazards(full):
    """The hazard ratio per unit of the true linear predictor is e."""
    table = full.clinical[["time_months", "event"]].astype(float)
    table["linear_predictor"] = full.truth["recurrence_linear_predictor"]
    fit = CoxPHFitter().fit(table, "time_months", "event")
    assert fit.params_["linear_predictor"] == pytest.approx(1, abs=0.04)


def test_oracle_auc_tells_the_effect(cohort):
    """The attainable AUC is that of chance without effect, and clearly more with one; cohort and limit agree."""
    limit = cohort.models.large_sample_auc
    without_effect = not any(cohort.models.recurrence.terms.values())
    for outcome, value in cohort.oracle_auc.items():
        assert value == pytest.approx(limit[outcome], abs=0.02)
        assert (limit[outcome] == 0.5) if without_effect else (limit[outcome] > 0.68)


def test_no_effect_means_no_column_predicts():
    """Under effect none neither size nor texture is related to any outcome."""
    cohort = draw(CohortSpec(PATIENTS, seed=5, effect="none"))
    for outcome in ("recurrence", "liver_metastasis", "event"):
        for latent in ("size", "texture"):
            auc = area_under_curve(cohort.clinical[outcome] == 1, cohort.truth[latent].to_numpy())
            assert auc == pytest.approx(0.5, abs=0.025)


def test_texture_only_means_size_does_not_predict():
    """Under effect texture-only the rougher tumours recur, the larger ones do not."""
    cohort = draw(CohortSpec(PATIENTS, seed=5, effect="texture-only"))
    event = cohort.clinical["recurrence"] == 1
    assert area_under_curve(event, cohort.truth["texture"].to_numpy()) > 0.7
    assert area_under_curve(event, cohort.truth["size"].to_numpy()) == pytest.approx(0.5, abs=0.025)


def test_source_patients_have_a_grade_and_no_outcome():
    """The source task's patients are separate ones: regression grade, chemotherapy before surgery, no outcome."""
    drawn = draw(CohortSpec(3, source_patients=4000))
    study, source = drawn.clinical[:3], drawn.clinical[3:]
    assert study["trg"].isna().all()
    assert source[["recurrence", "time_months", "event", "liver_metastasis"]].isna().all(axis=None)
    assert (source["preoperative_chemotherapy"] == "1").all()
    assert drawn.truth["recurrence_probability"][3:].isna().all()
    shares = source["trg"].value_counts(normalize=True).sort_index().to_numpy(float)
    assert shares == pytest.approx(REGRESSION_SHARES, abs=0.03)
    assert source["trg"].astype(float).corr(drawn.truth["texture"][3:], method="spearman") > 0.5


def test_patients_do_not_depend_on_how_many_follow():
    """The first ten of twenty patients are the ten of a cohort of ten, in every column."""
    ten, twenty = (draw(CohortSpec(n, sites=2, seed=4)) for n in (10, 20))
    pd.testing.assert_frame_equal(ten.clinical, twenty.clinical[:10])
    pd.testing.assert_frame_equal(ten.truth, twenty.truth[:10])


def test_another_seed_is_another_cohort():
    """Seeds do not share patients."""
    one, other = (draw(CohortSpec(10, seed=s)).truth["texture"] for s in (0, 1))
    assert (one != other).all()


def test_area_under_curve_counts_pairs():
    """Pairs in the right order count 1, ties 1/2; one kind alone has no AUC."""
    assert area_under_curve(np.array([0, 1, 0, 1]), np.array([1.0, 2.0, 2.0, 3.0])) == pytest.approx(3.5 / 4)
    assert area_under_curve(np.array([1, 1]), np.array([1.0, 2.0])) is None


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"patients": 0}, "patients must be 1 to"),
        ({"sites": 9}, "sites must be 1 to 4, not 9"),
        ({"effect": "size"}, "effect must be one of"),
        ({"slices": 10}, "raise slices"),
        ({"defects": 1.5}, "defects must be 0 to 1, not 1.5"),
        ({"slice_mm": 0}, "slice_mm must be 0.3 to 10, not 0"),
    ],
)
def test_settings_out_of_range_are_refused(setting, message):
    """The message says what was wanted and what came."""
    with pytest.raises(ValueError, match=message):
        CohortSpec(**{"patients": 5, **setting})
