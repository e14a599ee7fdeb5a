"""Recalibration: the logistic regression it stands for, its limits, and what it must not give away."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression

from gc_ray.errors import TableError
from gc_ray.models.recalibrate import HELD, LEAST_SLOPE, LIKELIHOOD, SEPARATED, recalibrate


def drawn(patients: int, seed: int, intercept: float = -1.0, slope: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Logits and outcomes whose log odds are intercept + slope x logit."""
    rng = np.random.default_rng(seed)
    logit = 2 * rng.standard_normal(patients)
    return logit, (rng.random(patients) < expit(intercept + slope * logit)).astype(float)


@pytest.mark.parametrize("scale", [1.0, 1e-4, 1e4])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_logistic_regression_of_statsmodels(seed, scale):
    """Reference: statsmodels Logit, Newton; agreement to 1e-9 whatever the logit's scale."""
    logit, outcome = drawn(200, seed)
    wanted = sm.Logit(outcome, sm.add_constant(logit)).fit(disp=0, tol=1e-14).params
    found = recalibrate(scale * logit, outcome)
    np.testing.assert_allclose([found.intercept, found.slope * scale], wanted, rtol=1e-9)
    assert found.method == LIKELIHOOD


def test_a_logit_that_is_calibrated_is_left_alone():
    """One event in four at odds 1 to 3 and three in four at odds 3 to 1: intercept 0, slope 1."""
    logit = np.repeat([-np.log(3), np.log(3)], 4)
    found = recalibrate(logit, np.array([0, 0, 0, 1, 0, 1, 1, 1.0]))
    np.testing.assert_allclose([found.intercept, found.slope], [0, 1], atol=1e-12)
    np.testing.assert_allclose(found.apply(logit), logit, atol=1e-12)


def test_the_mean_score_is_the_rate_of_the_outcome():
    """Weighting both outcomes alike moves a head's logits; recalibration takes that out again."""
    logit, outcome = drawn(500, 5, intercept=-2.0)
    assert expit(recalibrate(logit + 2.0, outcome).apply(logit + 2.0)).mean() == pytest.approx(
        outcome.mean(), abs=1e-12
    )


def test_separated_outcomes_get_platts_targets():
    """No maximum exists; the scores of either side then average to (n1 + 1) / (n1 + 2) and 1 / (n0 + 2) together."""
    logit, outcome = np.array([-2.0, -1.0, -0.5, 1.0, 3.0]), np.array([0, 0, 0, 1, 1.0])
    found = recalibrate(logit, outcome)
    assert found.method == SEPARATED
    assert found.slope > 0
    assert expit(found.apply(logit)).sum() == pytest.approx(2 * 3 / 4 + 3 * 1 / 5, abs=1e-12)


@pytest.mark.parametrize("logit", [[3.0, 2.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0], [0.0, 3.0, 1.0, 1.0]])
def test_a_head_without_ranking_is_not_turned_around(logit):
    """Reversed, constant and unrelated logits keep their ranks and give scores near the rate."""
    outcome = np.array([0, 0, 1, 1.0])
    found = recalibrate(np.array(logit), outcome)
    assert found.method == HELD
    assert found.slope * (np.std(logit) or 1) == pytest.approx(LEAST_SLOPE)
    assert expit(found.apply(np.array(logit))).mean() == pytest.approx(0.5, abs=1e-12)


def test_one_outcome_alone_is_refused():
    """There is nothing to regress on."""
    with pytest.raises(TableError, match="wanted both outcomes, got 0 events in 3 patients"):
        recalibrate(np.zeros(3), np.zeros(3))


def test_one_recalibration_for_all_folds_leaks_nothing_and_one_for_each_fold_does():
    """Outcomes of chance, two folds: the common one gives AUC .5, the one found on the other fold gives more.

    The other fold's logits come from a model that was fitted on this fold's outcomes: with a free slope these decide
    its sign.
    """
    common, by_fold = [], []
    fold = np.arange(100) % 2
    for seed in range(60):
        rng = np.random.default_rng(seed)
        features, outcome = rng.standard_normal((100, 10)), rng.permutation(np.repeat([0.0, 0.0, 1.0, 1.0], 25))
        raw, turned = np.zeros(100), np.zeros(100)
        for k in (0, 1):
            raw[fold == k] = _fitted(features[fold != k], outcome[fold != k], 0.1)(features[fold == k])
        for k in (0, 1):
            turned[fold == k] = _fitted(raw[fold != k, None], outcome[fold != k], 1e6)(raw[fold == k, None])
        common.append(_auc(outcome, recalibrate(raw, outcome).apply(raw)))
        by_fold.append(_auc(outcome, turned))
    assert abs(_standard_errors_from_half(common)) < 3
    assert _standard_errors_from_half(by_fold) > 3


def _fitted(features: np.ndarray, outcome: np.ndarray, freedom: float):
    return LogisticRegression(C=freedom).fit(features, outcome).decision_function


def _auc(outcome: np.ndarray, score: np.ndarray) -> float:
    n1 = outcome.sum()
    return (rankdata(score)[outcome == 1].sum() - n1 * (n1 + 1) / 2) / (n1 * (len(outcome) - n1))


def _standard_errors_from_half(values: list[float]) -> float:
    return (np.mean(values) - 0.5) / (np.std(values, ddof=1) / np.sqrt(len(values)))
