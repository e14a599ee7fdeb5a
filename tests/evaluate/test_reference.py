"""Agreement with R on the reference files of ../shared/reference: values, recipe and versions stand in each file."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import gc_ray.evaluate as ev

AUC, TEST, FIT, BENEFIT, TIMED = 1e-10, 1e-8, 1e-6, 1e-12, 5e-4  # absolute tolerances by kind


def near(wanted, tolerance):
    """Equal within an absolute tolerance, NaN equal to NaN."""
    return pytest.approx(np.asarray(wanted, dtype=float), rel=0, abs=tolerance, nan_ok=True)


@pytest.fixture
def reference(shared):
    """Opens a reference file: its values, the data it was made on, and the columns that were used."""

    def open_file(name):
        found = json.loads((shared / "reference" / f"{name}.json").read_text())
        path = shared / "reference" / found["dataset"]
        # the default parser is one bit off, which breaks ties
        frame = pd.read_csv(path, float_precision="round_trip")
        return found["values"], frame, SimpleNamespace(**found["columns"])

    return open_file


def test_roc_delong_and_youden_equal_proc(reference):
    """AUC, variance, interval, curve and Youden's threshold are pROC's."""
    values, data, _ = reference("roc_delong_aSAH")
    for marker, wanted in values["single"].items():
        found = ev.auc_ci(data.poor, data[marker])
        assert (found.auc, found.variance) == near((wanted["auc"], wanted["var"]), AUC)
        assert (found.lower, found.upper) == near((wanted["ci95"]["lower"], wanted["ci95"]["upper"]), AUC)
        assert (found.n, found.events) == (113, 41)
        assert ev.auc(data.poor, data[marker]) == near(wanted["auc"], AUC)
        curve, drawn = ev.roc_curve(data.poor, data[marker]), wanted["roc_curve"]
        assert curve.thresholds[1:-1] == near(drawn["threshold"][1:-1], AUC)
        assert curve.sensitivity == near(drawn["sensitivity"], AUC)
        assert curve.specificity == near(drawn["specificity"], AUC)
        point = ev.operating_point(data.poor, data[marker], "youden")
        assert point.threshold == near(wanted["youden"]["threshold"], AUC)


def test_paired_and_unpaired_delong_tests_equal_proc(reference):
    """Difference, z, P and interval of two AUCs are pROC's, on the same patients and on different ones."""
    values, data, _ = reference("roc_delong_aSAH")
    for wanted in values["paired"]:
        a, b = data[wanted["a"]], data[wanted["b"]]
        paired = ev.delong_test(data.poor, a, b)
        assert (paired.z, paired.p_value) == near((wanted["Z"], wanted["p"]), TEST)
        assert (paired.lower, paired.upper) == near(wanted["diff_ci95"], TEST)
        apart = ev.delong_test_unpaired(data.poor, a, data.poor, b)
        assert (apart.z, apart.df) == near((wanted["unpaired_D"], wanted["unpaired_df"]), TEST)
        assert apart.p_welch == near(wanted["unpaired_p"], TEST)
    values, data, columns = reference("roc_unpaired_aSAH")
    men, women = (data[data.gender == level] for level in columns.levels)
    found = ev.delong_test_unpaired(men.poor, men.s100b, women.poor, women.s100b)
    wanted = [values[key] for key in ("Z", "p_z", "df", "p_t")]
    assert (found.z, found.p_value, found.df, found.p_welch) == near(wanted, TEST)


def test_precision_recall_equals_its_definition(reference):
    """Precision, recall and average precision over descending distinct scores."""
    values, data, _ = reference("pr_aSAH")
    for marker, wanted in values.items():
        found = ev.precision_recall(data.poor, data[marker])
        assert found.thresholds == near(wanted["threshold"], AUC)
        assert found.precision == near(wanted["precision"], AUC)
        assert found.recall == near(wanted["recall"], AUC)
        assert found.average_precision == near(wanted["average_precision"], AUC)


@pytest.mark.parametrize("name", ["confusion_aSAH", "confusion_breast_cancer"])
@pytest.mark.parametrize(("interval", "key"), [("wald", "wald"), ("wilson", "wilson"), ("exact", "clopper_pearson")])
def test_confusion_metrics_and_intervals_equal_r(reference, name, interval, key):
    """Counts, the five metrics and three kinds of interval."""
    values, data, columns = reference(name)
    found = ev.confusion_metrics(data[columns.outcome], data[columns.marker], columns.cutoff, interval)
    assert (found.tp, found.fp, found.tn, found.fn) == tuple(values[cell] for cell in ("TP", "FP", "TN", "FN"))
    for metric, long in zip(
        ("ACC", "SENS", "SPEC", "PPV", "NPV"),
        ("accuracy", "sensitivity", "specificity", "ppv", "npv"),
        strict=True,
    ):
        assert getattr(found, metric) == near([values[long]["est"], *values[long][key]], TEST)


@pytest.mark.parametrize("sample", ["apparent", "external"])
def test_calibration_equals_rms_and_glm(reference, sample):
    """Slope, calibration in the large, Brier, O/E, ICI and the smooth curve."""
    wanted = reference("calibration_birthwt")[0][sample]
    found = ev.calibration(wanted["outcome"], wanted["prob"])
    interval = wanted["slope_wald_ci95"]
    assert (found.slope, found.slope_lower, found.slope_upper) == near(
        (wanted["slope"], interval["lower"], interval["upper"]), FIT
    )
    assert found.intercept == near(wanted["calibration_in_the_large_slope1"], FIT)
    assert (found.brier, 1 / found.e_over_o) == near((wanted["brier"], wanted["OE"]), FIT)
    assert found.ici == near(wanted["ici_lowess"], FIT)
    assert found.curve["p"].to_numpy() == near(wanted["lowess_iter0"]["x"], FIT)
    assert found.curve["observed"].to_numpy() == near(wanted["lowess_iter0"]["y"], FIT)


@pytest.mark.parametrize("sample", ["apparent", "external"])
def test_hosmer_lemeshow_equals_hoslem_test(reference, sample):
    """Statistic, groups and P, with g - 2 degrees of freedom in development and g in validation."""
    values = reference("calibration_birthwt")[0][sample]
    tenths = values["hosmer_lemeshow_quantile_g10"]
    for wanted, groups, development in (
        (tenths["df_g_minus_2"], 10, True),
        (tenths["df_g_external"], 10, False),
        (values["hosmer_lemeshow_quantile_g5"], 5, True),
    ):
        found = ev.hosmer_lemeshow(values["outcome"], values["prob"], groups, development)
        assert (found.statistic, found.p_value) == near((wanted["chi2"], wanted["p"]), TEST)
        assert found.df == wanted["df"]
        assert list(found.table["n"]) == wanted["n"]
        assert list(found.table["observed"]) == wanted["observed1"]
        assert found.table["expected"].to_numpy() == near(wanted["expected1"], TEST)


def test_net_benefit_equals_its_formula(reference):
    """Net benefit of model and treat-all, and interventions avoided per 100 patients."""
    values, data, _ = reference("dca_dcurves_binary")
    for model in ("cancerpredmarker", "famhistory"):
        found = ev.net_benefit(data.cancer, data[model], values["thresholds"])
        assert found.model == near(values[model]["net_benefit"], BENEFIT)
        assert found.treat_all == near(values["treat_all"], BENEFIT)
        assert found.treat_none == near(values["treat_none"], BENEFIT)
        assert found.interventions_avoided == near(values[model]["interventions_avoided_per100"], 1e-10)


def test_net_benefit_with_censoring_equals_its_formula(reference):
    """Net benefit by Kaplan-Meier among the positives."""
    values, data, _ = reference("sdca_dcurves_surv")
    found = ev.net_benefit_survival(data.ttcancer, data.event, values["prob"], values["thresholds"], 1.0)
    assert found.model == near(values["net_benefit"], BENEFIT)
    assert found.treat_all == near(values["treat_all"], BENEFIT)


@pytest.mark.parametrize("name", ["km_lung", "km_veteran"])
def test_kaplan_meier_and_log_rank_equal_survival(reference, name):
    """Curves of all and of each group, limits on three scales, medians, and the log-rank test."""
    values, data, columns = reference(name)
    samples = {"overall": (values["overall"], data)} | {
        level: (wanted, data[data[columns.group].astype(str) == level]) for level, wanted in values["groups"].items()
    }
    for wanted, mine in samples.values():
        curve, at = wanted["curve"], wanted["at"]
        for interval, key in (("log-log", "ci_loglog"), ("log", "ci_log"), ("plain", "ci_plain")):
            found = ev.kaplan_meier(mine.time, mine.status, interval)
            place = np.searchsorted(found.time, at["time"], side="right") - 1
            assert found.lower[place] == near(at[key]["lower"], TEST)
            assert found.upper[place] == near(at[key]["upper"], TEST)
        assert found.survival == near(curve["surv"], TEST)
        assert [list(part) for part in (found.time, found.at_risk, found.events_at, found.censored_at)] == [
            curve[key] for key in ("time", "n_risk", "n_event", "n_censor")
        ]
        assert (found.n, found.events) == (wanted["n"], wanted["events"])
        found = ev.kaplan_meier(mine.time, mine.status)
        assert found.median == wanted["quantiles_25_50_75"][1]
        assert (found.median_lower, found.median_upper) == near(wanted["median_ci_loglog"], TEST)
    found, wanted = ev.log_rank(data.time, data.status, data[columns.group]), values["logrank"]
    assert (found.statistic, found.df, found.p_value) == near((wanted["chi2"], wanted["df"], wanted["p"]), TEST)
    assert found.table["expected"].to_numpy() == near(wanted["expected"], TEST)
    for pair in values["pairwise"]:
        mine = data[data[columns.group].isin([pair["a"], pair["b"]])]
        found = ev.log_rank(mine.time, mine.status, mine[columns.group])
        assert (found.statistic, found.p_value) == near((pair["chi2"], pair["p"]), TEST)


@pytest.mark.parametrize("name", ["cox_lung", "cox_veteran"])
def test_cox_equals_coxph(reference, name):
    """Every column of every univariable and multivariable Efron fit, factors as indicators."""
    values, data, columns = reference(name)
    data = data.dropna(subset=columns.predictors)
    factors = columns.factor_levels_first_is_reference
    for factor, levels in dict(factors).items():
        data[factor] = pd.Categorical(data[factor], levels)
    fits = [([term], wanted) for term, wanted in values["univariable_efron"].items()]
    for terms, wanted in [*fits, (columns.predictors, values["multivariable_efron"])]:
        found = ev.cox(data.time, data.status, data[terms])
        assert list(found.table["term"]) == list(np.atleast_1d(wanted["term"]))
        for column, key in (
            ("coef", "coef"),
            ("se", "se"),
            ("hazard_ratio", "HR"),
            ("lower", "HR_lower"),
            ("upper", "HR_upper"),
            ("p_value", "p"),
        ):
            assert found.table[column].to_numpy() == near(np.atleast_1d(wanted[key]), FIT)
        assert (found.log_likelihood, found.statistic) == near((wanted["loglik"], wanted["lr"][0]), FIT)
        assert (found.n, found.events) == (values["n"], values["events"])


@pytest.mark.parametrize("name", ["cox_lung", "cox_veteran"])
def test_concordance_equals_survival(reference, name):
    """Harrell's c, its standard error and the pairs, of the Cox linear predictor."""
    values, data, columns = reference(name)
    data = data.dropna(subset=columns.predictors)
    design = pd.get_dummies(data[columns.predictors], dtype=float)
    design.columns = [column.replace("_", "") for column in design.columns]
    fit = values["multivariable_efron"]
    linear = design[fit["term"]].to_numpy() @ np.array(fit["coef"])
    # the same predictors give the same value in exact arithmetic, so ties are ties
    found, wanted = ev.concordance(data.time, data.status, linear.round(12)), values["concordance_harrell"]
    assert (found.c, found.se) == near((wanted["c"], wanted["se"]), TEST)
    counts = wanted["counts"]
    assert [found.concordant, found.discordant, found.tied] == [
        counts[key] for key in ("concordant", "discordant", "tied.x")
    ]


def test_time_dependent_auc_equals_riskregression(reference):
    """AUC, standard error and limits of the cumulative/dynamic estimator."""
    values, data, columns = reference("tdauc_lung")
    data = data.dropna(subset=columns.predictors)
    found = ev.time_dependent_auc(data.time, data.status, values["linear_predictor"], values["times"])
    assert found.auc == near(values["auc"], TIMED)
    assert found.se == near(values["auc_se"], TIMED)
    assert found.lower == near(values["auc_lower"], TIMED)
    assert found.upper == near(values["auc_upper"], TIMED)


@pytest.mark.parametrize("name", ["maxstat_DLBCL", "maxstat_lung_age"])
def test_the_optimal_cutoff_equals_maxstat(reference, name):
    """Candidates, their statistics, the cutoff and its Lausen-Schumacher P, ties included."""
    values, data, columns = reference(name)
    wanted = values["maxstat"]["Lau92"]
    found = ev.optimal_cutoff(data[columns.time], data[columns.event], data[columns.marker])
    assert (found.cutoff, found.statistic, found.p_corrected) == near(
        (wanted["cut"], wanted["stat"], wanted["p"]), TEST
    )
    assert found.cuts == near(wanted["cuts"], TEST)
    assert found.statistics == near(wanted["stats"], TEST)


@pytest.mark.parametrize("name", ["table1_birthwt", "table1_dcurves_binary"])
def test_table_one_equals_r(reference, name):
    """Descriptions, t, Mann-Whitney, Pearson and Fisher tests, and standardised differences."""
    values, data, columns = reference(name)
    for variable, wanted in values["continuous"].items():
        for kind, test, p_value, statistic in (
            ("normal", "student", "p", "t"),
            ("skewed", "mannwhitney", "p_correct", "W_g0"),
        ):
            found = ev.table_one(data, columns.group, {variable: kind})
            row = found.table.iloc[0]
            assert (row["statistic"], row["p_value"], row["smd"]) == near(
                (wanted[test][statistic], wanted[test][p_value], wanted["smd"]), TEST
            )
        for group in (0, 1):
            for key in ("n", "mean", "sd", "median", "q1", "q3"):
                assert found.numbers.loc[group, key] == near(wanted[f"g{group}"][key], TEST)
        chosen = ev.table_one(data, columns.group, {variable: "continuous"}).table.loc[0, "test"]
        normal = min(wanted["shapiro_g0"]["p"], wanted["shapiro_g1"]["p"]) >= 0.05
        assert chosen == ("Student's t" if normal else "Mann-Whitney")
    for variable, wanted in values["categorical"].items():
        pearson = ev.table_one(data, columns.group, {variable: "pearson"})
        row = pearson.table.iloc[0]
        assert (row["statistic"], row["p_value"]) == near((wanted["pearson"]["chi2"], wanted["pearson"]["p"]), TEST)
        assert pearson.numbers["count"].to_numpy().reshape(-1, 2).tolist() == wanted["counts"]
        fisher = ev.table_one(data, columns.group, {variable: "fisher"}).table.iloc[0]
        assert fisher["p_value"] == near(wanted["fisher_p"], TEST)
        chosen = ev.table_one(data, columns.group, {variable: "categorical"}).table.loc[0, "test"]
        assert chosen == ("Pearson chi-square" if wanted["expected_min"] >= 5 else "Fisher's exact")


@pytest.mark.parametrize("name", ["nomogram_birthwt", "nomogram_dcurves_binary"])
def test_the_nomogram_equals_rms(reference, name):
    """Axes, points, the total's scale and the risk axis, from the ranges of the data.

    rms finds the totals of its risk axis by interpolation, 7e-5 points off at worst; its linear axis is exact.
    """
    values, data, columns = reference(name)
    ranges = {
        variable: (
            levels[variable]
            if variable in (levels := dict(columns.factor_levels_first_is_reference))
            else (data[variable].min(), data[variable].max())
        )
        for variable in columns.predictors
    }
    found = ev.nomogram(values["coef"], ranges)
    for variable, wanted in values["axes"].items():
        assert list(found.axes[variable]) == pytest.approx(wanted["axis_values"])
        assert found.points[variable] == near(wanted["points"], FIT)
    linear = found.linear_at_zero + found.linear_per_point * np.array(values["lp_axis"]["points"])
    assert linear == near(values["lp_axis"]["lp"], FIT)
    assert found.risk_axis["risk"].isin(np.atleast_1d(values["risk_axis"]["prob"])).sum() == np.size(
        values["risk_axis"]["prob"]
    )
    for risk, points in zip(*map(np.atleast_1d, values["risk_axis"].values()), strict=True):
        assert found.risk_axis.set_index("risk").loc[risk, "points"] == near(points, 1e-4)
