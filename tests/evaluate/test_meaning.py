"""What each statistic must mean: direction, limits, and what may not change it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

import gc_ray.evaluate as ev


@pytest.fixture
def cohort():
    """400 patients whose risk p is right by construction, with a survival time that it shortens."""
    rng = np.random.default_rng(1)
    linear = rng.normal(size=400)
    p = expit(linear - 1)
    event_time, censored = rng.exponential(np.exp(-linear) * 20), rng.exponential(30, 400)
    return pd.DataFrame(
        {
            "y": rng.random(400) < p,
            "p": p,
            "noise": rng.normal(size=400),
            "time": np.minimum(event_time, censored),
            "event": event_time <= censored,
            "site": rng.choice(["north", "south", "west"], 400),
        }
    )


def test_auc_knows_its_direction_and_is_blind_to_scale(cohort):
    """Higher score = higher risk: reversing gives 1 - AUC, a monotone transformation changes nothing."""
    found = ev.auc_ci(cohort.y, cohort.p)
    assert 0.5 < found.lower < found.auc < found.upper < 1
    assert ev.auc_ci(cohort.y, -cohort.p).auc == pytest.approx(1 - found.auc)
    assert ev.auc_ci(~cohort.y, cohort.p).auc == pytest.approx(1 - found.auc)
    assert ev.auc_ci(cohort.y, np.exp(3 * cohort.p)) == found
    order = np.random.default_rng(2).permutation(len(cohort))
    assert ev.auc_ci(cohort.y[order], cohort.p[order]).variance == pytest.approx(found.variance)
    twice = ev.auc_ci(np.tile(cohort.y, 2), np.tile(cohort.p, 2))
    assert twice.auc == pytest.approx(found.auc)
    assert twice.variance == pytest.approx(found.variance / 2, rel=0.02)


def test_delong_tests_swap_sign_and_paired_sees_the_correlation(cohort):
    """Exchanging the scores changes the sign; a score against itself differs by nothing; pairing sharpens."""
    other = cohort.p + 0.1 * cohort.noise
    found, swapped = ev.delong_test(cohort.y, cohort.p, other), ev.delong_test(cohort.y, other, cohort.p)
    assert (found.z, found.p_value) == pytest.approx((-swapped.z, swapped.p_value))
    assert found.lower < found.difference < found.upper
    assert abs(found.z) > abs(ev.delong_test_unpaired(cohort.y, cohort.p, cohort.y, other).z)
    same = ev.delong_test(cohort.y, cohort.p, cohort.p)
    assert (same.difference, same.z, same.p_value) == (0, 0, 1)
    assert ev.delong_test(cohort.y, cohort.p, cohort.noise).p_value < 1e-4


def test_roc_curve_agrees_with_auc_and_confusion(cohort):
    """The area under the curve is the AUC; a point on it is the confusion matrix at its threshold."""
    curve = ev.roc_curve(cohort.y, cohort.p)
    assert np.trapezoid(curve.sensitivity[::-1], 1 - curve.specificity[::-1]) == pytest.approx(
        ev.auc(cohort.y, cohort.p)
    )
    middle = len(curve.thresholds) // 2
    found = ev.confusion_metrics(cohort.y, cohort.p, curve.thresholds[middle])
    assert (found.SENS.estimate, found.SPEC.estimate) == pytest.approx(
        (curve.sensitivity[middle], curve.specificity[middle])
    )


def test_the_operating_point_is_the_best_threshold_or_the_given_one(cohort):
    """Youden's threshold beats all others; a number is taken as it is; a score at the threshold is positive."""
    point, curve = ev.operating_point(cohort.y, cohort.p, "youden"), ev.roc_curve(cohort.y, cohort.p)
    assert point.sensitivity + point.specificity == pytest.approx((curve.sensitivity + curve.specificity).max())
    assert ev.operating_point(cohort.y, cohort.p, 0.6).threshold == 0.6
    assert ev.operating_point(cohort.y, cohort.p, 0.6).rule == "fixed"
    assert ev.confusion_metrics([0, 1], [0.2, 0.6], 0.6).tp == 1
    # of equal indices the lowest threshold, which misses fewest events
    assert ev.operating_point([0, 1, 0, 1], [1, 2, 3, 4], "youden").threshold == 1.5


def test_average_precision_of_nothing_is_the_prevalence(cohort):
    """A constant score gives the share of events, a perfect one gives 1."""
    assert ev.precision_recall(cohort.y, np.ones(400)).average_precision == pytest.approx(cohort.y.mean())
    assert ev.precision_recall(cohort.y, cohort.y * 1.0).average_precision == 1


def test_intervals_of_proportions_agree_with_each_other(cohort):
    """All four kinds hold the estimate and are close in a large cohort; the bootstrap is seeded."""
    found = {
        interval: ev.confusion_metrics(cohort.y, cohort.p, 0.3, interval).ACC
        for interval in ("wald", "wilson", "exact", "bootstrap")
    }
    for limits in found.values():
        assert limits.lower < limits.estimate < limits.upper
        assert (limits.lower, limits.upper) == pytest.approx((found["wald"].lower, found["wald"].upper), abs=0.015)
    again = ev.confusion_metrics(cohort.y, cohort.p, 0.3, "bootstrap")
    assert found["bootstrap"] == again.ACC
    assert ev.proportion(0, 5).lower == 0
    assert ev.proportion(5, 5).upper == 1


@pytest.mark.parametrize("method", ["wald", "wilson", "exact"])
def test_intervals_of_proportions_equal_statsmodels(method):
    """Every count of 30 against an independent implementation."""
    from statsmodels.stats.proportion import proportion_confint

    wanted = proportion_confint(
        np.arange(31), 30, method={"wald": "normal", "wilson": "wilson", "exact": "beta"}[method]
    )
    found = [ev.proportion(x, 30, method) for x in range(31)]
    assert pytest.approx(np.clip(wanted, 0, 1), abs=1e-12) == np.array(found)[:, 1:].T


def test_calibration_says_which_way_risks_are_wrong(cohort):
    """Right risks: slope 1, intercept 0. Too extreme: slope under 1. Too low: intercept over 0, E/O under 1."""
    right = ev.calibration(cohort.y, cohort.p)
    assert right.slope_lower < 1 < right.slope_upper
    assert right.intercept_lower < 0 < right.intercept_upper
    assert right.e_over_o == pytest.approx(1, abs=0.15)
    assert right.ici < 0.05
    assert right.bins["n"].sum() == 400
    extreme = ev.calibration(cohort.y, expit(2 * logit(cohort.p)))
    assert extreme.slope == pytest.approx(right.slope / 2)
    low = ev.calibration(cohort.y, expit(logit(cohort.p) - 1))
    assert low.intercept == pytest.approx(right.intercept + 1)
    assert low.e_over_o < right.e_over_o
    assert min(low.brier, extreme.brier) > right.brier


def test_the_ici_has_an_interval_that_knows_wrong_risks_and_the_size(cohort):
    """Wrong risks lie beyond right ones, more patients narrow the interval, and nothing else of the result moves."""
    right, halved = (ev.calibration(cohort.y, p, 300, 1) for p in (cohort.p, cohort.p / 2))
    assert 0 < right.ici_lower < right.ici_upper < 0.1
    assert halved.ici_lower > right.ici_upper
    assert halved.ici_lower < halved.ici < halved.ici_upper
    four = ev.calibration(np.tile(cohort.y, 4), np.tile(cohort.p / 2, 4), 300, 1)
    width = (halved.ici_upper - halved.ici_lower) / 2
    assert four.ici_upper - four.ici_lower == pytest.approx(width, rel=0.2)
    again, other = (ev.calibration(cohort.y, cohort.p, 300, seed) for seed in (1, 2))
    assert (again.ici_lower, again.ici_upper) == (right.ici_lower, right.ici_upper)
    assert other.ici_lower != right.ici_lower
    bare = ev.calibration(cohort.y, cohort.p)
    assert np.isnan([bare.ici_lower, bare.ici_upper]).all()
    assert (bare.ici, bare.slope) == (right.ici, right.slope)


def test_the_interval_of_the_ici_is_that_of_the_whole_fit_in_each_sample(cohort):
    """Interpolating more coarsely in a sample than for the estimate moves the limits by less than it says."""
    y, p = cohort.y.to_numpy(), cohort.p.to_numpy()
    slow = ev.bootstrap_ci(lambda y, p: ev.calibration(y, p).ici, y, p, draws=200, seed=1)
    found = ev.calibration(y, p, 200, 1)
    assert (found.ici_lower, found.ici_upper) == pytest.approx((slow.lower, slow.upper), abs=3e-4)


def test_hosmer_lemeshow_rejects_wrong_risks_only(cohort):
    """Right risks pass, halved risks fail; the test of development has two degrees of freedom less."""
    assert ev.hosmer_lemeshow(cohort.y, cohort.p).p_value > 0.05
    assert ev.hosmer_lemeshow(cohort.y, cohort.p / 2).p_value < 1e-6
    assert ev.hosmer_lemeshow(cohort.y, cohort.p, development=True).df == 8
    # a quantile between two of few distinct risks leaves no empty group behind
    assert (ev.hosmer_lemeshow(cohort.y, cohort.p.round(1)).table["n"] > 0).all()


def test_net_benefit_has_its_limits(cohort):
    """Below all risks the model is treat-all, above them treat-none; perfect risks gain the prevalence."""
    found = ev.net_benefit(cohort.y, 0.2 + 0.5 * cohort.p, [0.1, 0.9])
    assert found.model[0] == pytest.approx(found.treat_all[0])
    assert (found.model[1], found.treat_none[1]) == (0, 0)
    assert found.interventions_avoided[0] == pytest.approx(0)
    assert ev.net_benefit(cohort.y, cohort.y * 1.0, [0.3]).model == pytest.approx(cohort.y.mean())


def test_net_benefit_without_censoring_is_the_binary_one(cohort):
    """With everybody followed to the horizon both formulas agree; and the risk is of the event, not of survival."""
    time, horizon = np.where(cohort.y, 5.0, 20.0), 10.0
    thresholds = [0.1, 0.2, 0.4]
    survival = ev.net_benefit_survival(time, cohort.y, cohort.p, thresholds, horizon)
    assert survival.model == pytest.approx(ev.net_benefit(cohort.y, cohort.p, thresholds).model)
    assert (survival.model > ev.net_benefit_survival(time, cohort.y, 1 - cohort.p, thresholds, horizon).model).all()
    # follow-up of the only positive ends before the horizon: not estimable, and not silently carried on
    assert np.isnan(ev.net_benefit_survival([1, 9, 9], [0, 1, 0], [0.9, 0.1, 0.1], [0.5], 5).model[0])


def test_net_benefit_with_censoring_counts_by_kaplan_meier():
    """By hand: of four treated one has the event at 1 and one is lost at 2, so 3/4 are free at 3; of five 4/5."""
    found = ev.net_benefit_survival([1, 2, 4, 5, 6], [1, 0, 1, 0, 0], [0.9, 0.8, 0.7, 0.2, 0.1], [0.2, 0.5], 3)
    assert found.model == pytest.approx([(1 / 4 - 3 / 4 * 1 / 4) * 4 / 5, (1 / 3 - 2 / 3) * 3 / 5])
    assert found.treat_all == pytest.approx([1 / 5 - 4 / 5 * 1 / 4, 1 / 5 - 4 / 5])


def test_kaplan_meier_without_censoring_is_the_share_still_free():
    """Survival is the empirical one; where it stays at one half, the median is the middle of that stretch."""
    found = ev.kaplan_meier([1, 2, 3, 4], [1, 1, 1, 1])
    assert found.survival == pytest.approx([0.75, 0.5, 0.25, 0])
    assert found.median == 2.5
    assert np.isnan(found.lower[-1])
    never = ev.kaplan_meier([1, 2, 3], [0, 0, 0])
    assert (never.survival == 1).all()
    assert np.isnan(never.median)


def test_times_that_differ_by_rounding_are_ties():
    """0.1 + 0.2 and 0.3 are one time, as in R: the last bit decides nothing."""
    assert len(ev.kaplan_meier([0.1 + 0.2, 0.3, 1], [1, 1, 1]).time) == 2


def test_log_rank_is_blind_to_labels_and_finds_a_difference(cohort):
    """Renaming groups changes nothing; worse groups have more events than expected; noise gives no finding."""
    high = cohort.p > cohort.p.median()
    found = ev.log_rank(cohort.time, cohort.event, high)
    named = ev.log_rank(cohort.time, cohort.event, np.where(high, "a", "b"))
    assert found.statistic == pytest.approx(named.statistic)
    assert found.p_value < 1e-6
    assert found.table.set_index("group").eval("events > expected")[True]
    assert found.table["expected"].sum() == pytest.approx(found.events)
    assert ev.log_rank(cohort.time, cohort.event, cohort.noise > 0).p_value > 0.01


def test_cox_finds_the_true_ratio_whatever_the_unit(cohort):
    """The log hazard ratio of the simulation is 1; a change of unit rescales it; relabelling inverts it."""
    linear = logit(cohort.p) + 1
    found = ev.cox(cohort.time, cohort.event, linear).table.iloc[0]
    assert found["lower"] < np.e < found["upper"]
    assert ev.cox(cohort.time, cohort.event, 10 * linear).table.loc[0, "coef"] == pytest.approx(found["coef"] / 10)
    assert ev.cox(cohort.time * 30, cohort.event, linear).table.loc[0, "coef"] == pytest.approx(found["coef"])
    group = pd.Categorical(np.where(cohort.noise > 0, "a", "b"), ["a", "b"])
    forth = ev.cox(cohort.time, cohort.event, pd.DataFrame({"g": group})).table
    back = ev.cox(cohort.time, cohort.event, pd.DataFrame({"g": group.reorder_categories(["b", "a"])})).table
    assert (forth.loc[0, "term"], back.loc[0, "term"]) == ("gb", "ga")
    assert forth.loc[0, "hazard_ratio"] == pytest.approx(1 / back.loc[0, "hazard_ratio"])


def test_cox_agrees_with_lifelines_on_ties(cohort):
    """A second implementation, with times tied in whole months."""
    from lifelines import CoxPHFitter

    frame = cohort[["p", "noise"]].assign(time=np.ceil(cohort.time), event=cohort.event)
    fitter = CoxPHFitter().fit(frame, "time", "event", fit_options={"precision": 1e-12, "r_precision": 1e-14})
    found = ev.cox(frame.time, frame.event, frame[["p", "noise"]])
    assert found.table["coef"].to_numpy() == pytest.approx(fitter.params_.to_numpy(), abs=1e-6)
    assert found.table["se"].to_numpy() == pytest.approx(fitter.standard_errors_.to_numpy(), abs=1e-6)


def test_cox_calls_a_separating_term_infinite_and_keeps_the_others(cohort):
    """Nobody of group b has the event: its ratio is 0 with limits 0 and infinity, not a large number."""
    noise = cohort.noise.to_numpy()
    group = ~cohort.event.to_numpy() & (noise > 0)
    found = ev.cox(cohort.time, cohort.event, pd.DataFrame({"group": group * 1, "p": cohort.p})).table
    assert tuple(found.loc[0, ["hazard_ratio", "lower", "upper"]]) == (0, 0, np.inf)
    assert np.isnan(found.loc[0, "p_value"])
    assert np.isfinite(found.loc[1].drop("term").astype(float)).all()


def test_cox_calls_a_perfect_order_infinite():
    """The highest score always goes first: no finite ratio fits, however the score is scaled."""
    time = np.arange(1.0, 31)
    for score in (-time, -1e6 * time, -np.exp(time), -np.sqrt(time), (time <= 15) * 1.0):
        row = ev.cox(time, time <= 15, score).table.iloc[0]
        assert tuple(row[["hazard_ratio", "lower", "upper"]]) == (np.inf, 0, np.inf)
        assert np.isnan(row["se"])


def test_concordance_knows_its_direction(cohort):
    """A higher score means an earlier event: reversed 1 - c; constant .5; without censoring the exact order is 1."""
    found = ev.concordance(cohort.time, cohort.event, cohort.p)
    assert 0.6 < found.lower < found.c < found.upper < 1
    assert ev.concordance(cohort.time, cohort.event, -cohort.p).c == pytest.approx(1 - found.c)
    assert ev.concordance(cohort.time, cohort.event, np.ones(400)).c == 0.5
    assert ev.concordance([1, 2, 3], [1, 1, 1], [3, 2, 1]).c == 1


def test_time_dependent_auc_without_censoring_is_the_auc(cohort):
    """With everybody followed it is the AUC of having had the event; with censoring it keeps its direction."""
    whole = ev.time_dependent_auc(cohort.time, np.ones(400), cohort.p, [10.0])
    by_then = cohort.time <= 10
    assert whole.auc[0] == pytest.approx(ev.auc(by_then, cohort.p))
    assert whole.se[0] == pytest.approx(np.sqrt(ev.auc_ci(by_then, cohort.p).variance), rel=0.01)
    found = ev.time_dependent_auc(cohort.time, cohort.event, cohort.p, [5, 10, 1e6])
    assert (found.auc[:2] > 0.6).all()
    assert np.isnan(found.auc[2])
    assert ev.time_dependent_auc(cohort.time, cohort.event, -cohort.p, [5]).auc[0] == pytest.approx(1 - found.auc[0])


def test_the_corrected_cutoff_p_is_never_smaller_than_the_naive(cohort):
    """Searching costs: noise is not significant after correction, and each side keeps its tenth."""
    found = ev.optimal_cutoff(cohort.time, cohort.event, cohort.p)
    assert found.p_naive < found.p_corrected < 1e-6
    assert min(found.low, found.high) >= 40
    assert found.low + found.high == found.n
    noise = ev.optimal_cutoff(cohort.time, cohort.event, cohort.noise)
    assert noise.p_corrected > max(noise.p_naive, 0.05)
    scaled = ev.optimal_cutoff(cohort.time, cohort.event, 2 * cohort.p)
    assert scaled.cutoff == pytest.approx(2 * found.cutoff)


def test_the_corrected_cutoff_p_holds_its_level():
    """Among 200 cohorts of pure noise about one in twenty is significant after correction, far more before."""
    rng = np.random.default_rng(3)
    found = [ev.optimal_cutoff(rng.exponential(size=80), np.ones(80), rng.normal(size=80)) for _ in range(200)]
    assert np.mean([f.p_corrected < 0.05 for f in found]) < 0.1
    assert np.mean([f.p_naive < 0.05 for f in found]) > 0.25


def test_risk_groups_split_as_the_cutoff_was_learned(cohort):
    """Above the cutoff is high; the groups have the sizes that the search counted."""
    cutoff = ev.optimal_cutoff(cohort.time, cohort.event, cohort.p)
    groups = ev.risk_groups(cohort.p, cutoff.cutoff)
    assert (groups == "low").sum() == cutoff.low
    assert list(ev.risk_groups([1, 2, 3], [1, 2], ("low", "mid", "high"))) == ["low", "mid", "high"]


def test_table_one_is_blind_to_the_order_of_patients_and_signs_differences(cohort):
    """Shuffling changes nothing; exchanging two groups changes the sign of the difference, not P."""
    spec = {"p": "continuous", "noise": "normal", "site": "categorical"}
    found = ev.table_one(cohort, "y", spec).table
    shuffled = ev.table_one(cohort.sample(frac=1, random_state=1), "y", spec).table
    pd.testing.assert_frame_equal(found, shuffled)
    swapped = ev.table_one(cohort, ~cohort.y, spec).table
    assert swapped["p_value"].dropna().to_numpy() == pytest.approx(found["p_value"].dropna().to_numpy())
    assert swapped.loc[0, "smd"] == pytest.approx(-found.loc[0, "smd"])
    assert found.loc[0, "smd"] < 0  # without the event the risk is lower


def test_table_one_of_three_groups_counts_missing_values(cohort):
    """Three sites: analysis of variance or Kruskal-Wallis; missing values are counted and left out."""
    frame = cohort.assign(noise=cohort.noise.where(cohort.index > 9))
    found = ev.table_one(frame, "site", {"noise": "continuous", "p": "skewed", "y": "categorical"})
    assert found.table.loc[0, "test"] == "analysis of variance"
    assert found.table.loc[1, "test"] == "Kruskal-Wallis"
    assert found.table.loc[0, "missing"] == 10
    assert found.numbers.groupby("variable")["n"].sum()["noise"] == 390


def test_fisher_for_larger_tables_equals_r_or_is_simulated():
    """An independent 2 x 2, R's fisher.test for more; three wide columns are simulated, seeded, and say so."""
    from scipy.stats import fisher_exact as scipy_fisher

    from gc_ray.evaluate.fisher import fisher_exact

    for counts in ([[3, 1], [1, 3]], [[10, 2], [3, 15]], [[0, 5], [7, 2]]):
        assert fisher_exact(counts)[0] == pytest.approx(scipy_fisher(counts).pvalue)
    # R 4.2.2: fisher.test(matrix(c(3,40,300,500,200, 1,10,60,90,50), 5), workspace = 2e8)
    long = np.array([[3, 40, 300, 500, 200], [1, 10, 60, 90, 50]])
    assert fisher_exact(long.T) == (pytest.approx(0.379734661109779, abs=1e-8), True)
    # R 4.2.2: fisher.test(matrix(c(2,1,0,5, 9,8,4,7, 3,6,0,2), 4), workspace = 2e8)
    wide = np.array([[2, 1, 0, 5], [9, 8, 4, 7], [3, 6, 0, 2]])
    assert fisher_exact(wide) == (pytest.approx(0.273704130062638, abs=1e-8), True)
    assert fisher_exact(wide.T)[0] == pytest.approx(fisher_exact(wide)[0])
    large = np.array([[30, 10, 25], [20, 30, 20], [2, 1, 3], [25, 20, 15]]) * 4
    p_value, exact = fisher_exact(large)
    assert not exact
    assert p_value < 1e-4
    assert fisher_exact(large) == (p_value, exact)


def test_subgroup_interaction_of_two_groups_is_the_unpaired_test(cohort):
    """The chi-square is the square of z; labels do not matter; a group without events has no AUC."""
    two = np.where(cohort.site == "north", "north", "other")
    found = ev.subgroup_auc(cohort.y, cohort.p, two)
    here = two == "north"
    wanted = ev.delong_test_unpaired(cohort.y[here], cohort.p[here], cohort.y[~here], cohort.p[~here])
    assert (found.statistic, found.p_value) == pytest.approx((wanted.z**2, wanted.p_value))
    assert found.table["n"].sum() == found.n
    assert found.table["events"].sum() == found.events
    lone = ev.subgroup_auc([0, 0, 0, 1, 1, 0], [1, 2, 3, 3, 1, 2], list("aabbbb"))
    assert np.isnan(lone.table.loc[0, "auc"])
    assert np.isnan(lone.p_value)


def test_sites_that_agree_show_no_heterogeneity_and_sites_that_do_not_do(cohort):
    """The pooled AUC lies among the sites'; a site with reversed scores raises I squared; one site is itself."""
    found = ev.by_site(cohort.y, cohort.p, cohort.site)
    assert found.table["auc"].min() < found.auc < found.table["auc"].max()
    assert found.table["weight"].sum() == pytest.approx(1)
    assert found.lower < found.auc < found.upper
    broken = ev.by_site(cohort.y, np.where(cohort.site == "west", -cohort.p, cohort.p), cohort.site)
    assert broken.i_squared > 0.8 > found.i_squared
    assert broken.p_value < 1e-4
    assert (broken.prediction_lower, broken.prediction_upper) < (found.prediction_lower, found.prediction_upper)
    single = ev.by_site(cohort.y, cohort.p, ["one"] * 400)
    assert single.auc == pytest.approx(ev.auc(cohort.y, cohort.p))
    assert np.isnan(single.p_value)


def test_the_nomogram_gives_the_risk_of_the_model():
    """Points of any patient, read off the total axis, give the logistic model's own risk."""
    coefficients = {"Intercept": -2.0, "age": 0.03, "cea": -0.4, "grade=2": 0.5, "grade=3": 1.1}
    chart = ev.nomogram(coefficients, {"age": (31, 78), "cea": (0.0, 1.0), "grade": ["1", "2", "3"]})
    assert max(points.max() for points in chart.points.values()) == 100
    assert min(points.min() for points in chart.points.values()) == 0
    for age, cea, grade, effect in ((31, 0.2, "1", 0), (60, 0.9, "3", 1.1), (90, 0, "2", 0.5)):
        total = ev.points_of(chart, {"age": age, "cea": cea, "grade": grade})
        assert ev.risk_at(chart, total) == pytest.approx(expit(-2 + 0.03 * age - 0.4 * cea + effect))
    assert (np.diff(chart.risk) > 0).all()


def test_the_bootstrap_agrees_with_delong_and_sees_clusters(cohort):
    """Percentiles are near DeLong's limits; the seed fixes them; doubled rows drawn whole do not look like more."""
    found = ev.bootstrap_ci(ev.auc, cohort.y, cohort.p, seed=5)
    wanted = ev.auc_ci(cohort.y, cohort.p)
    assert (found.estimate, found.n, found.events) == (pytest.approx(wanted.auc), 400, wanted.events)
    assert (found.lower, found.upper) == pytest.approx((wanted.lower, wanted.upper), abs=0.01)
    again = ev.bootstrap_ci(ev.auc, cohort.y, cohort.p, seed=5)
    assert (again.replicates == found.replicates).all()
    y, p, patient = np.tile(cohort.y, 2), np.tile(cohort.p, 2), np.tile(np.arange(400), 2)
    whole = ev.bootstrap_ci(ev.auc, y, p, by=patient, seed=5)
    naive = ev.bootstrap_ci(ev.auc, y, p, seed=5)
    assert whole.upper - whole.lower == pytest.approx(found.upper - found.lower, rel=0.1)
    assert naive.upper - naive.lower < 0.85 * (whole.upper - whole.lower)


def test_strata_keep_their_sizes():
    """Stratified by outcome every sample has as many events as the cohort."""
    y = np.repeat([0, 1], [30, 10])
    found = ev.bootstrap_ci(lambda y: y.sum(), y, strata=y, seed=1, draws=50)
    assert set(found.replicates) == {10}


def test_optimism_is_what_development_promised_too_much():
    """Corrected = apparent minus mean optimism; without a table it is not estimable and says why."""
    rows = [
        {"repeat": r, "fold": f, "auc_train": 0.9, "auc_test": 0.7, "n": 20, "events": 5}
        for r in range(20)
        for f in range(5)
    ]
    found = ev.optimism(pd.DataFrame(rows), apparent=0.88)
    assert (found.optimism, found.corrected, found.lower) == pytest.approx((0.2, 0.68, 0.68))
    missing = ev.optimism(None)
    assert missing.reason == "not estimable: selection not repeated"
    assert np.isnan(missing.corrected)
