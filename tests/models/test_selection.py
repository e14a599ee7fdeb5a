"""The filters keep what R keeps, whatever the units, and drop what has no spread."""

import numpy as np
import pytest
from scipy import stats

from gc_ray.errors import TableError
from gc_ray.models.selection import spearman_filter, t_test_filter, variance_filter
from gc_ray.models.steps import STEPS, Work
from gc_ray.study_signatures import Strongest, TTest

RULES = {"file_order": "kept_file_order", "by_outcome": "kept_by_outcome", "find_correlation": "kept_caret"}


def arrays(reference, name: str):
    found, data = reference(name)
    columns = found["columns"]
    return found, data[columns["features"]].to_numpy(float), data[columns["outcome"]].to_numpy(), columns["features"]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ["spearman_breast_cancer", "spearman_mdrr"])
def test_the_kept_set_is_that_of_r(reference, name, rule):
    """Greedy by R's cor, and caret's findCorrelation(exact = TRUE): the same names."""
    found, x, y, features = arrays(reference, name)
    kept = spearman_filter(x, found["settings"]["threshold"], rule, y).kept
    assert {features[i] for i in np.flatnonzero(kept)} == set(found["values"][RULES[rule]])


def test_p_values_are_those_of_rs_t_test(reference):
    """Student's t with equal variances, to 1e-9 relative over 96 orders of magnitude."""
    found, x, y, _ = arrays(reference, "filter_breast_cancer")
    filtered = t_test_filter(x, y, 0.05)
    np.testing.assert_allclose(filtered.p_value, found["values"]["p_t"], rtol=1e-9)
    np.testing.assert_array_equal(filtered.kept, np.array(found["values"]["p_t"]) < 0.05)
    again = stats.ttest_ind(x[y == 1], x[y == 0])
    np.testing.assert_allclose(filtered.statistic, again.statistic, rtol=1e-10)


@pytest.mark.parametrize("rule", ["file_order", "by_outcome"])
def test_no_two_kept_correlate_and_every_dropped_one_does(rule):
    """The greedy rules leave a maximal set: each predictor that left had a kept one at or over the threshold."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 20)) @ rng.normal(size=(20, 50))
    y = rng.integers(0, 2, 60)
    found = spearman_filter(x, 0.4, rule, y)
    rho = np.abs(stats.spearmanr(x).statistic)
    np.fill_diagonal(rho, 0)
    np.testing.assert_allclose(found.statistic, rho[found.kept].max(axis=0), atol=1e-12)
    assert (found.statistic[found.kept] < 0.4).all()
    assert (found.statistic[~found.kept] >= 0.4).all()


def test_by_outcome_keeps_the_strongest_and_the_first_of_ties():
    """Of copies of a rank order, in other units, the first stands for all; the strongest always stays."""
    rng = np.random.default_rng(1)
    y = np.repeat([0, 1], 30)
    strong = y + 0.3 * rng.normal(size=60)
    x = np.column_stack([strong + rng.normal(size=60), np.exp(strong), strong, -strong])
    assert spearman_filter(x, 0.5, "by_outcome", y).kept.tolist() == [False, True, False, False]


@pytest.mark.parametrize("rule", RULES)
def test_units_do_not_matter_to_ranks(rule):
    """A monotone change of every predictor leaves the kept set as it is."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(80, 5)) @ rng.normal(size=(5, 30)) + rng.normal(size=(80, 30))
    y = rng.integers(0, 2, 80)
    one, other = spearman_filter(x, 0.5, rule, y), spearman_filter(np.exp(x / 4) * 1e6, 0.5, rule, y)
    np.testing.assert_array_equal(one.kept, other.kept)


def test_a_constant_column_is_never_kept():
    """Nothing can be said of it: variance 0, correlation and t undefined."""
    rng = np.random.default_rng(3)
    y = np.repeat([0, 1], 20)
    x = np.column_stack([np.full(40, 0.1), rng.normal(size=40) + 2 * y])
    assert variance_filter(x, 0.0).kept.tolist() == [False, True]
    assert variance_filter(x, 0.0).statistic[0] == 0
    for rule in RULES:
        found = spearman_filter(x, 0.7, rule, y)
        assert found.kept.tolist() == [False, True]
        assert np.isnan(found.statistic[0])
    found = t_test_filter(x, y, 1.0)
    assert found.kept.tolist() == [False, True]
    assert np.isnan(found.p_value[0])


def test_variance_is_compared_strictly_and_on_raw_values():
    """Over the threshold, in the predictor's own units; the sample variance."""
    x = np.array([[0.0, 0.0, 0.0], [2.0, 1.0, 4.0]])
    found = variance_filter(x, 2.0)
    np.testing.assert_allclose(found.statistic, [2.0, 0.5, 8.0])
    assert found.kept.tolist() == [False, False, True]
    assert np.isnan(found.p_value).all()


def test_the_sign_of_t_is_the_direction_of_risk():
    """Positive where the event has larger values; about alpha of null predictors pass."""
    rng = np.random.default_rng(4)
    y = rng.integers(0, 2, 200)
    x = rng.normal(size=(200, 2000))
    x[:, 0] += 3 * y
    x[:, 1] -= 3 * y
    found = t_test_filter(x, y, 0.05)
    assert found.statistic[0] > 5
    assert found.statistic[1] < -5
    assert 0.05 - 3 * 0.005 < found.kept[2:].mean() < 0.05 + 3 * 0.005


def test_a_filter_that_saw_the_left_out_rows_leaks():
    """Null data: filtered inside each fold the out-of-fold AUC is 0.5; filtered once on all rows it is far above."""
    inside, outside = [], []
    for seed in range(20):
        rng = np.random.default_rng(100 + seed)
        x, y, folds = rng.normal(size=(80, 400)), np.resize([0, 1], 80), np.repeat(np.arange(8), 10)
        once = t_test_filter(x, y, 0.05).kept
        for aucs, known in ((inside, None), (outside, once)):
            auc = []
            for fold in range(8):
                out = folds == fold
                found = t_test_filter(x[~out], y[~out], 0.05)
                score = x[out] @ np.where(found.kept if known is None else known, found.statistic, 0.0)
                auc.append(stats.mannwhitneyu(score[y[out] == 1], score[y[out] == 0]).statistic / 25)
            aucs.append(np.mean(auc))
    assert abs(np.mean(inside) - 0.5) < 3 * np.std(inside, ddof=1) / np.sqrt(20)
    assert np.mean(outside) > 0.75


def test_bad_input_is_one_clear_line():
    """Text, missing values, an unknown rule, a rule without its outcome."""
    x, y = np.random.default_rng(5).normal(size=(10, 3)), np.repeat([0, 1], 5)
    with pytest.raises(TableError, match="text"):
        variance_filter([["a"]], 1.0)
    with pytest.raises(TableError, match="column 1 with missing"):
        t_test_filter(np.where(np.arange(3) == 1, np.nan, x), y, 0.05)
    with pytest.raises(TableError, match="rule by_outcome wants y"):
        spearman_filter(x, 0.7, "by_outcome")
    with pytest.raises(TableError, match="wanted rule"):
        spearman_filter(x, 0.7, "best")
    with pytest.raises(TableError, match="at least 3 rows"):
        t_test_filter(x[4:6], y[4:6], 0.05)


def separating() -> tuple[np.ndarray, np.ndarray]:
    """Twenty patients with the outcome and twenty without; what equals it in its ways, and what does not."""
    rng, y = np.random.default_rng(4), np.repeat([0, 1], 20)
    same = np.column_stack([y, 1 - y, 2 * y - 1, 1e-20 * y, 1e12 + 1e9 * y, y + 1e-18 * rng.normal(size=40)])
    return np.column_stack([same, rng.normal(size=(40, 3)), np.full(40, 3.0), 1e6 + 1e-12 * y]), y


def test_a_column_that_equals_the_outcome_has_an_infinite_t():
    """P is 0 and the sign is the direction, in every coding; a constant has no t, nor what rounding made of one."""
    x, y = separating()
    found = t_test_filter(x, y, 0.05)
    assert found.statistic[:6].tolist() == [np.inf, -np.inf, np.inf, np.inf, np.inf, np.inf]
    assert (found.p_value[:6] == 0).all() and found.kept[:6].all()
    assert np.isnan(found.statistic[-2:]).all() and not found.kept[-2:].any()
    others = stats.ttest_ind(x[y == 1, 6:9], x[y == 0, 6:9])
    np.testing.assert_allclose(found.statistic[6:9], others.statistic, rtol=1e-10)


@pytest.mark.parametrize("settings", [Strongest(step="strongest", number=6), TTest(step="t_test")])
def test_a_column_that_equals_the_outcome_is_kept_first(settings):
    """It is the strongest there is: whoever reads the selection must see it."""
    x, y = separating()
    names = tuple(f"f{i}" for i in range(x.shape[1]))
    none = np.full(x.shape[1], np.nan)
    work = Work(x, y, names, names, none, none, None, np.random.default_rng(0))
    found = STEPS[settings.step](work, settings)
    assert found.kept[:6].all() and not found.kept[-2:].any()


def test_the_strongest_are_no_more_than_have_a_t():
    """A column without spread is not among the strongest, however many are asked for."""
    x, y = separating()
    names = tuple(f"f{i}" for i in range(x.shape[1]))
    none = np.full(x.shape[1], np.nan)
    work = Work(x, y, names, names, none, none, None, np.random.default_rng(0))
    assert STEPS["strongest"](work, Strongest(step="strongest", number=50)).kept.sum() == 9
