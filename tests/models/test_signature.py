"""Logistic fits are R's, say when they do not exist, and freeze into objects that score alike."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from gc_ray.errors import BundleError, TableError
from gc_ray.models.signature import Signature, fit_logistic, fit_signature


def birthwt(reference):
    found, data = reference("logistic_birthwt")
    for level in ("black", "other"):
        data[f"race{level}"] = (data["race"] == level).astype(float)
    values = found["values"]
    fits = values["univariable"] | {name: values[name] for name in ("multivariable_all", "multivariable_selected")}
    return fits, data


def test_estimates_intervals_and_p_values_are_those_of_r(reference):
    """R's glm on birthwt: eight univariable and two multivariable models, to 1e-8 relative."""
    fits, data = birthwt(reference)
    for wanted in fits.values():
        names = wanted["term"][1:]
        found = fit_logistic(data[names].to_numpy(float), data["low"].to_numpy(), names)
        assert found.converged
        assert found.separation == ""
        np.testing.assert_allclose(found.coef, wanted["coef"], rtol=1e-8)
        np.testing.assert_allclose(found.se, wanted["se"], rtol=1e-8)
        np.testing.assert_allclose(found.p_value, wanted["wald_p"], atol=1e-8)
        np.testing.assert_allclose(found.odds_ratio, wanted["OR"], rtol=1e-8)
        np.testing.assert_allclose(np.exp(found.lower), wanted["OR_wald_lower"], rtol=1e-8)
        np.testing.assert_allclose(np.exp(found.upper), wanted["OR_wald_upper"], rtol=1e-8)
        assert found.log_likelihood == pytest.approx(wanted["loglik"], rel=1e-10)
        if "vcov" in wanted:
            np.testing.assert_allclose(found.covariance, wanted["vcov"], atol=1e-8)


def test_scores_and_their_errors_are_those_of_r(reference):
    """The frozen signature gives R's fitted values; its error is that of the fit's covariance."""
    fits, data = birthwt(reference)
    wanted = fits["multivariable_all"]
    table = data[wanted["term"][1:]].astype(float)
    signature, fit = fit_signature("birthwt", table, data["low"].to_numpy())
    np.testing.assert_allclose(signature.score(table), wanted["fitted"], rtol=1e-9)
    design = np.column_stack([np.ones(len(table)), table])
    error = np.sqrt((design @ fit.covariance * design).sum(axis=1))
    np.testing.assert_allclose(signature.standard_error(table), error, rtol=1e-9)
    assert fit.few_events
    assert fit.events_per_variable == pytest.approx(59 / 9)


def test_a_signature_survives_json_to_the_bit(reference):
    """Frozen numbers are the same numbers; columns are found by name, not by place."""
    fits, data = birthwt(reference)
    table = data[fits["multivariable_selected"]["term"][1:]].astype(float)
    signature, _ = fit_signature("birthwt", table, data["low"].to_numpy())
    again = Signature.from_json(signature.to_json())
    assert again == signature
    shuffled = table[table.columns[::-1]].assign(more="text")
    assert again.score(shuffled).tobytes() == signature.score(table).tobytes()


def test_a_score_does_not_depend_on_who_else_is_scored():
    """To the bit: a matrix product gives most of these rows another last bit when they stand alone."""
    rng = np.random.default_rng(0)
    names = tuple(f"x{i}" for i in range(12))
    flat = (tuple(rng.normal(size=12).tolist()) for _ in range(2))
    signature = Signature("s", names, *flat, tuple(rng.normal(size=12).tolist()), 0.3, None)
    signature = dataclasses.replace(signature, scale=tuple(abs(v) + 0.1 for v in signature.scale))
    table = pd.DataFrame(rng.normal(size=(200, 12)), columns=names)
    together = signature.linear_predictor(table)
    alone = [signature.linear_predictor(table[i : i + 1])[0] for i in range(len(table))]
    np.testing.assert_array_equal(together, alone)


def test_units_do_not_matter():
    """A predictor in other units or from another zero has the same P and gives the same log-likelihood."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    y = (rng.random(200) < 1 / (1 + np.exp(-x[:, 0]))).astype(int)
    one, other = fit_logistic(x, y), fit_logistic(x * [1e-6, 1e6, 1] + [0, 0, 1e4], y)
    np.testing.assert_allclose(other.p_value[1:], one.p_value[1:], rtol=1e-6)
    np.testing.assert_allclose(other.coef[1:] * [1e-6, 1e6, 1], one.coef[1:], rtol=1e-6)
    assert other.log_likelihood == pytest.approx(one.log_likelihood, rel=1e-10)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """95 of 100 Wald intervals cover the true log odds ratio of 1, in 400 draws of 300 patients."""
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(400):
        x = rng.normal(size=(300, 2))
        y = (rng.random(300) < 1 / (1 + np.exp(0.5 - x[:, 0]))).astype(int)
        found = fit_logistic(x, y)
        held += found.lower[1] < 1 < found.upper[1]
    assert 0.95 - 3 * 0.011 < held / 400 < 0.95 + 3 * 0.011


@pytest.mark.parametrize(
    ("x", "kind"),
    [
        (np.arange(20.0), "complete separation"),
        (np.maximum(np.arange(20.0), 10.0), "quasi-complete separation"),
        (np.arange(20.0) >= 15, "quasi-complete separation"),
    ],
)
def test_separation_is_reported_and_gives_no_number(x, kind):
    """Where no finite estimate exists there is none: neither odds ratio nor P, and no signature."""
    y = np.arange(20) >= 10
    more = np.random.default_rng(2).normal(size=20)
    table = pd.DataFrame({"marker": x.astype(float), "noise": more})
    found = fit_logistic(table.to_numpy(), y)
    assert not found.converged
    assert found.separation.startswith(kind)
    assert np.isnan(found.coef).all()
    assert np.isnan(found.p_value).all()
    with pytest.raises(TableError, match=f"signature s: wanted a logistic fit, there is none: {kind}"):
        fit_signature("s", table, y)


def test_a_strong_but_overlapping_predictor_is_no_separation():
    """One crossed pair makes the estimate finite."""
    x = np.arange(20.0)
    y = x >= 10
    y[9], y[10] = True, False
    found = fit_logistic(x[:, None], y)
    assert found.converged
    assert found.separation == ""
    assert found.odds_ratio[1] > 1


def test_fewer_events_than_predictors_are_flagged():
    """The count is of the rarer outcome, per predictor."""
    rng = np.random.default_rng(3)
    found = fit_logistic(rng.normal(size=(300, 8)), np.arange(300) < 6)
    assert found.events_per_variable == 6 / 8
    assert found.few_events


def test_collinear_constant_and_unusable_columns_are_named():
    """What is wrong, and with which column."""
    rng = np.random.default_rng(4)
    table = pd.DataFrame(rng.normal(size=(50, 3)), columns=["age", "cea", "size"])
    y = np.arange(50) % 2
    with pytest.raises(TableError, match=r"column (age|cea|sum) determined by the other"):
        fit_logistic(table.assign(sum=table.age + table.cea), y, ["age", "cea", "size", "sum"])
    with pytest.raises(TableError, match="column cea constant"):
        fit_signature("s", table.assign(cea=1.0), y)
    with pytest.raises(TableError, match="column size with missing"):
        fit_signature("s", table.assign(size=np.nan), y)
    with pytest.raises(TableError, match="some are text"):
        fit_signature("s", table.assign(size="large"), y)
    with pytest.raises(TableError, match="more than the 3 rows can tell apart"):
        fit_logistic(table[:3], y[:3])
    with pytest.raises(TableError, match="both 0 and 1"):
        fit_logistic(table, y * 0)


def test_a_table_that_does_not_fit_is_refused():
    """Missing columns and values are named; without covariance there is no error to give."""
    signature = Signature("s", ("a", "b"), (0.0, 1.0), (1.0, 2.0), (0.5, -0.5), 0.1, None)
    with pytest.raises(TableError, match="signature s: wanted columns b, not in the table"):
        signature.score(pd.DataFrame({"a": [1.0]}))
    with pytest.raises(TableError, match="column b with missing"):
        signature.score(pd.DataFrame({"a": [1.0], "b": [np.nan]}))
    with pytest.raises(TableError, match="it has none"):
        signature.standard_error(pd.DataFrame({"a": [1.0], "b": [1.0]}))
    assert signature.score(pd.DataFrame({"a": [], "b": []}, dtype=float)).shape == (0,)
    assert signature.linear_predictor(pd.DataFrame({"a": [1.0], "b": [3.0]})) == pytest.approx(0.1)


def test_text_that_is_no_signature_is_refused():
    """Unknown and missing fields, lists of different length, no JSON."""
    good = dataclasses.asdict(Signature("s", ("a",), (0.0,), (1.0,), (0.5,), 0.1, ((1.0, 0.0), (0.0, 1.0))))
    for bad in ("{", "[]", json.dumps(good | {"more": 1}), json.dumps(good | {"centre": [0.0, 1.0]})):
        with pytest.raises(BundleError):
            Signature.from_json(bad)
