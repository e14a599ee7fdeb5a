"""What cannot be computed is defined, or refused in a line that says what was wanted, what came and what to do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import gc_ray.evaluate as ev
from gc_ray.errors import TableError

Y, S = [0, 1, 0, 1], [0.1, 0.9, 0.4, 0.6]
OF_BINARY = {
    "auc": lambda y, s: ev.auc(y, s),
    "auc_ci": lambda y, s: ev.auc_ci(y, s),
    "delong_test": lambda y, s: ev.delong_test(y, s, s),
    "delong_test_unpaired": lambda y, s: ev.delong_test_unpaired(y, s, y, s),
    "roc_curve": lambda y, s: ev.roc_curve(y, s),
    "precision_recall": lambda y, s: ev.precision_recall(y, s),
    "operating_point": lambda y, s: ev.operating_point(y, s, "youden"),
    "confusion_metrics": lambda y, s: ev.confusion_metrics(y, s, 0.5),
    "calibration": lambda y, s: ev.calibration(y, s),
    "hosmer_lemeshow": lambda y, s: ev.hosmer_lemeshow(y, s, 2),
    "net_benefit": lambda y, s: ev.net_benefit(y, s, [0.5]),
    "subgroup_auc": lambda y, s: ev.subgroup_auc(y, s, ["a"] * len(y)),
    "by_site": lambda y, s: ev.by_site(y, s, ["a"] * len(y)),
}
OF_TIME = {
    "kaplan_meier": lambda t, e, s: ev.kaplan_meier(t, e),
    "log_rank": lambda t, e, s: ev.log_rank(t, e, [0, 0, 1, 1][: len(t)]),
    "cox": lambda t, e, s: ev.cox(t, e, s),
    "concordance": lambda t, e, s: ev.concordance(t, e, s),
    "time_dependent_auc": lambda t, e, s: ev.time_dependent_auc(t, e, s, [2]),
    "optimal_cutoff": lambda t, e, s: ev.optimal_cutoff(t, e, s),
    "net_benefit_survival": lambda t, e, s: ev.net_benefit_survival(t, e, s, [0.3], 2),
}
BAD = {
    "y: wanted 0 or 1, got 2": ([0, 2, 0, 1], S),
    "y: row 1 is missing": ([0, np.nan, 0, 1], S),
    "y: row 1 is missing or infinite .1 in all.": ([0, None, 0, 1], S),
    "wanted numbers": (["no", "yes", "no", "yes"], S),
    "is missing or infinite": (Y, [0.1, np.nan, 0.4, 0.6]),
    "wanted 4 values": (Y, S[:3]),
    "wanted at least one patient": ([], []),
    "wanted one value for each patient": ([Y], S),
}


@pytest.mark.parametrize("name", OF_BINARY)
@pytest.mark.parametrize("message", BAD)
def test_outcomes_pass_one_checked_door(name, message):
    """Coding, missing values, lengths, empty cohorts and shapes are refused alike by every function."""
    y, score = BAD[message]
    with pytest.raises(TableError, match=message) as error:
        OF_BINARY[name](y, score)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", OF_TIME)
@pytest.mark.parametrize(
    ("time", "event", "message"),
    [
        ([1, 2, -3, 4], [1, 0, 1, 0], "time: wanted follow-up of 0 or more, got -3"),
        ([1, 2, np.nan, 4], [1, 0, 1, 0], "time: row 2 is missing"),
        ([1, 2, 3, 4], [1, 0, 2, 0], "event: wanted 0 or 1, got 2"),
        ([1, 2, 3], [1, 0, 1, 0], "time: wanted 4 values"),
        ([], [], "event: wanted at least one patient"),
    ],
)
def test_follow_up_passes_one_checked_door(name, time, event, message):
    """Negative or missing times, events that are not 0 or 1 and lengths are refused alike."""
    with pytest.raises(TableError, match=message):
        OF_TIME[name](time, event, S)


@pytest.mark.parametrize("name", sorted(set(OF_BINARY) - {"confusion_metrics", "net_benefit", "subgroup_auc"}))
@pytest.mark.parametrize("y", [[0, 0, 0, 0], [1, 1, 1, 1]])
def test_one_class_alone_is_refused_where_both_are_needed(name, y):
    """Discrimination and calibration compare two kinds of patients; the Hosmer-Lemeshow test does not."""
    if name == "hosmer_lemeshow":
        assert np.isfinite(ev.hosmer_lemeshow(y, S, 2).statistic)
        return
    with pytest.raises(TableError, match="wanted"):
        OF_BINARY[name](y, S)


def test_one_class_alone_is_defined_where_it_can_be():
    """Sensitivity without events is NaN, specificity is not; net benefit without events is never positive."""
    found = ev.confusion_metrics([0, 0, 0], [0.1, 0.2, 0.9], 0.5, "bootstrap")
    assert np.isnan(found.SENS.estimate)
    assert found.SPEC.estimate == pytest.approx(2 / 3)
    assert (ev.net_benefit([0, 0, 0], [0.1, 0.2, 0.9], [0.15, 0.5]).model < 0).all()
    assert np.isnan(ev.subgroup_auc([0, 0, 0], [1, 2, 3], [1, 1, 2]).table["auc"]).all()


@pytest.mark.parametrize("name", ["calibration", "hosmer_lemeshow", "net_benefit"])
def test_scores_are_not_taken_for_probabilities(name):
    """A linear predictor where a risk is needed is refused, with the row."""
    with pytest.raises(TableError, match=r"p: wanted probabilities from 0 to 1, got 1\.5 in row 1"):
        OF_BINARY[name](Y, [0.1, 1.5, 0.4, 0.6])
    with pytest.raises(TableError, match="wanted probabilities"):
        ev.net_benefit_survival([1, 2, 3, 4], Y, [0.1, -0.5, 0.4, 0.6], [0.3], 2)


@pytest.mark.parametrize(
    "name", sorted(set(OF_TIME) - {"kaplan_meier", "time_dependent_auc", "net_benefit_survival"})
)
def test_no_event_is_refused_where_one_is_needed(name):
    """Hazards and orders cannot be compared without an event."""
    with pytest.raises(TableError, match=r"0 events|got none"):
        OF_TIME[name]([1, 2, 3, 4], [0, 0, 0, 0], S)


def test_no_event_is_defined_where_it_can_be():
    """Survival stays 1, the AUC at a time is NaN, and treating costs."""
    assert (ev.kaplan_meier([1, 2, 3], [0, 0, 0]).survival == 1).all()
    assert np.isnan(ev.time_dependent_auc([1, 2, 3], [0, 0, 0], [1, 2, 3], [2]).auc[0])
    assert ev.net_benefit_survival([1, 2, 3], [0, 0, 0], [0.5] * 3, [0.3], 2).model[0] < 0


def test_ties_everywhere_are_defined_or_refused():
    """A constant score has AUC .5 with variance 0, two thresholds, no slope; it gives no cutoff."""
    y, flat = [0, 1, 0, 1, 0], [0.3] * 5
    found = ev.auc_ci(y, flat)
    assert (found.auc, found.variance) == (0.5, 0)
    assert list(ev.roc_curve(y, flat).thresholds) == [-np.inf, np.inf]
    calibrated = ev.calibration(y, flat)
    assert np.isnan(calibrated.slope)
    assert calibrated.intercept == pytest.approx(np.log(0.4 / 0.6) - np.log(0.3 / 0.7))
    for refused in (
        lambda: ev.operating_point(y, flat, "youden"),
        lambda: ev.hosmer_lemeshow(y, flat),
        lambda: ev.optimal_cutoff([1, 2, 3, 4, 5], y, flat),
        lambda: ev.cox([1, 2, 3, 4, 5], y, flat),
    ):
        with pytest.raises(TableError, match=r"wanted|one value"):
            refused()
    # all patients leave at once
    assert ev.kaplan_meier([2, 2, 2], [1, 1, 0]).survival == pytest.approx([1 / 3])
    assert ev.log_rank([2, 2, 2, 2], [1, 0, 1, 0], [0, 0, 1, 1]).statistic == pytest.approx(0)


def test_a_cohort_of_three_has_defined_answers():
    """One event and two without: the AUC is known, its variance is not."""
    y, score = [0, 1, 0], [0.1, 0.9, 0.4]
    found = ev.auc_ci(y, score)
    assert found.auc == 1
    assert np.isnan([found.variance, found.lower, found.upper]).all()
    assert ev.calibration(y, score).slope == np.inf
    assert pytest.approx((1, 0.2065493, 1)) == ev.confusion_metrics(y, score, 0.5).SENS
    assert ev.table_one(pd.DataFrame({"y": y, "s": score}), "y", {"s": "continuous"}).table.loc[0, "test"] == (
        "none: too few values or only one"
    )
    with pytest.raises(TableError, match="does not exist"):
        ev.bootstrap_ci(ev.auc, y, score, seed=1)


def test_perfect_separation_is_defined():
    """AUC 1 with a point as interval, which the coverage flag calls poor; risks of 0 and 1 are counted."""
    y = np.repeat([0, 1], 20)
    found = ev.auc_ci(y, y * 1.0)
    assert (found.auc, found.lower, found.upper) == (1, 1, 1)
    assert ev.covers_poorly("delong", 40, 20, 1.0)
    calibrated = ev.calibration(y, y * 1.0)
    assert (calibrated.brier, calibrated.excluded) == (0, 40)
    assert np.isnan(calibrated.slope)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: ev.confusion_metrics(Y, S, 0.5, "jeffreys"),
            "interval: wanted one of wald, wilson, exact, bootstrap",
        ),
        (lambda: ev.confusion_metrics(Y, S, np.nan), "threshold: wanted a finite number"),
        (lambda: ev.kaplan_meier([1, 2], [1, 0], "arcsin"), "interval: wanted one of log-log, log, plain"),
        (lambda: ev.operating_point(Y, S, "best"), "rule: wanted youden or a threshold"),
        (lambda: ev.net_benefit(Y, S, [0, 0.5]), "thresholds: wanted values strictly between"),
        (lambda: ev.net_benefit_survival([1, 2], [1, 0], [0.5, 0.5], [0.3], 9), "horizon: wanted a time"),
        (lambda: ev.log_rank([1, 2], [1, 0], ["a", "a"]), "wanted two groups"),
        (lambda: ev.log_rank([1, 2], [1, 0], ["a", None]), "row 1 has no label"),
        (lambda: ev.cox([1, 2, 3], [1, 1, 1], [[1, 2], [2, 4], [3, 6]]), "x2 is a combination"),
        (lambda: ev.cox([1, 2, 3], [1, 1, 1], [1, np.nan, 2]), "missing or infinite"),
        (lambda: ev.cox([1, 2, 3], [0, 0, 1], [1, 3, 2]), "among the patients at risk at the events, x do not"),
        (lambda: ev.time_dependent_auc([1, 2], [1, 0], [1, 0], [-1]), "times: wanted times above 0"),
        (lambda: ev.optimal_cutoff([1, 2], [1, 0], [1, 0], 0.6), "min_fraction: wanted"),
        (lambda: ev.table_one(pd.DataFrame({"a": [1]}), "b", {}), "unknown columns"),
        (lambda: ev.table_one(pd.DataFrame({"a": [1, 2], "b": [0, 1]}), "b", {"a": "t"}), "unknown kinds"),
        (lambda: ev.table_one(pd.DataFrame({"a": [1, 2], "b": [0, 0]}), "b", {"a": "normal"}), "two groups"),
        (lambda: ev.table_one(pd.DataFrame({"a": ["x", "y"], "b": [0, 1]}), "b", {"a": "normal"}), "wanted numbers"),
        (lambda: ev.nomogram({"age": 1.0}, {"age": (1, 2)}), "wanted the model's Intercept"),
        (lambda: ev.nomogram({"Intercept": 1, "age": 1.0}, {}), "have no range"),
        (lambda: ev.nomogram({"Intercept": 1}, {"age": (1, 2)}), "no coefficient"),
        (lambda: ev.nomogram({"Intercept": 1, "age": 0.0}, {"age": (1, 2)}), "at least one with an effect"),
        (lambda: ev.nomogram({"Intercept": 1, "age": 1.0}, {"age": (2, 1)}), "wanted rising numbers"),
        (lambda: ev.bootstrap_ci(np.mean, [1, 2], [1], seed=1), "arrays of one length"),
        (lambda: ev.bootstrap_ci(np.mean, [1, 2, 3], by=[1, 1, 2], seed=1), "at least 3 units"),
        (lambda: ev.bootstrap_ci(np.mean, [1, 2, 3, 4], by=[1, 1, 2, 3], strata=[1, 2, 1, 1], seed=1), "one stratum"),
        (lambda: ev.optimism(pd.DataFrame({"repeat": [1]})), "resampling: wanted columns"),
        (lambda: ev.covers_poorly("logit", 100, 50, 0.5), "coverage: wanted one of"),
        (lambda: ev.risk_groups([1, np.nan], 1), "values are missing"),
        (lambda: ev.risk_groups([1, 2], [2, 1], ("a", "b", "c")), "rising numbers"),
        (lambda: ev.by_site(Y, [0, 1, 0, 1], ["a"] * 4), "wanted a site with both classes and some overlap"),
    ],
)
def test_every_option_that_cannot_be_is_refused(call, message):
    """The message names what was wanted."""
    with pytest.raises(TableError, match=message):
        call()


@pytest.mark.parametrize("value", ["1e2147483648", "1e400", np.inf])
def test_an_infinite_number_of_table_one_is_refused(value):
    """Also as text, on which pandas' own parser ends the process."""
    frame = pd.DataFrame({"group": [0, 0, 1, 1], "x": pd.Series(["1", "2", "3", value], dtype=object)})
    with pytest.raises(TableError, match="table one: x holds an infinite number"):
        ev.table_one(frame, "group", {"x": "continuous"})
