"""Intraclass correlations are psych's, in one piece for all features, and NaN where nothing can be said."""

import json

import numpy as np
import pandas as pd
import pytest

from gc_ray.errors import TableError
from gc_ray.features.stability import icc

PLACE = {"2,1": 1, "3,1": 2}  # in the order of the reference


def load(shared, name: str):
    found = json.loads((shared / "reference" / f"{name}.json").read_text())
    return found, pd.read_csv(shared / "reference" / found["dataset"], float_precision="round_trip")


@pytest.mark.parametrize("kind", PLACE)
def test_the_published_example_of_shrout_and_fleiss(shared, kind):
    """Six subjects, four judges: .29 and .71 in print, psych's digits and limits to 1e-10."""
    found, data = load(shared, "icc_shrout_fleiss")
    got, values = icc(data[found["columns"]["raters"]].to_numpy(), kind), found["values"]
    for name in ("icc", "lower", "upper"):
        assert getattr(got, name) == pytest.approx(values[name][PLACE[kind]], abs=1e-10)
    assert got.icc == pytest.approx({"2,1": 0.29, "3,1": 0.71}[kind], abs=0.005)


@pytest.mark.parametrize("kind", PLACE)
def test_many_features_at_once_are_those_of_psych(shared, kind):
    """273 patients seen twice, six laboratory values."""
    found, data = load(shared, "icc_pbcseq")
    features = found["columns"]["features"]
    ratings = np.stack([data[[f"{f}_1", f"{f}_2"]].to_numpy(float) for f in features], axis=-1)
    got = icc(ratings, kind)
    for name in ("icc", "lower", "upper"):
        wanted = [found["values"][f][name][PLACE[kind]] for f in features]
        np.testing.assert_allclose(getattr(got, name), wanted, atol=1e-10)


def test_a_reader_who_adds_a_constant_disagrees_but_is_consistent():
    """ICC(3,1) is 1 and ICC(2,1) less; with no disagreement at all both are 1, limits included."""
    subject = np.arange(30.0)
    same, biased = np.column_stack([subject, subject]), np.column_stack([subject, subject + 10])
    for kind in PLACE:
        got = icc(same, kind)
        assert (got.icc, got.lower, got.upper) == pytest.approx((1, 1, 1))
    assert icc(biased, "3,1").icc == pytest.approx(1)
    assert icc(biased, "2,1").icc < 0.7


def test_features_without_spread_or_with_missing_ratings_are_nan():
    """Never a number that could pass a threshold; their neighbours are not touched."""
    rng = np.random.default_rng(0)
    ratings = rng.normal(size=(40, 1, 3)) + 0.3 * rng.normal(size=(40, 2, 3))
    alone = icc(ratings[..., 2])
    ratings[..., 0] = 0.1
    ratings[3, 1, 1] = np.nan
    got = icc(ratings)
    assert np.isnan(got.icc[:2]).all()
    assert np.isnan(got.lower[:2]).all()
    assert got.icc[2] == pytest.approx(alone.icc, abs=1e-12)
    assert np.isnan(icc(np.full((5, 2), 3.0)).icc)


@pytest.mark.parametrize("ratings", [[[0, 1], [1, 0]], [[3, 0], [1, 2], [1, 2]]])
def test_readers_who_cross_in_a_few_subjects_give_no_limit_and_no_warning(ratings):
    """A quotient that does not exist is NaN, never infinite."""
    got = icc(np.array(ratings, float))
    assert np.isnan(got.lower)
    assert not np.isinf([got.icc, got.lower, got.upper]).any()


def test_units_and_order_do_not_matter():
    """Another scale, another zero, another order of subjects or readers: the same agreement."""
    rng = np.random.default_rng(1)
    ratings = rng.normal(size=(50, 1)) + 0.5 * rng.normal(size=(50, 3))
    for kind in PLACE:
        one, other = icc(ratings, kind), icc((ratings * -1e5 + 1e7)[rng.permutation(50)][:, [2, 0, 1]], kind)
        np.testing.assert_allclose([other.icc, other.lower, other.upper], [one.icc, one.lower, one.upper], atol=1e-8)


def test_the_truth_is_found_and_held_by_the_interval():
    """Subjects' variance 4, error 1: an ICC of 0.8, which 95 of 100 intervals hold."""
    rng = np.random.default_rng(2)
    ratings = 2 * rng.normal(size=(60, 1, 2000)) + rng.normal(size=(60, 2, 2000))
    got = icc(ratings, "3,1")
    assert got.icc.mean() == pytest.approx(0.8, abs=0.01)
    held = ((got.lower < 0.8) & (got.upper > 0.8)).mean()
    assert 0.95 - 3 * 0.005 < held < 0.95 + 3 * 0.005


def test_bad_input_is_one_clear_line():
    """Shape and kind are named."""
    with pytest.raises(TableError, match="at least 2 subjects x 2 raters"):
        icc(np.ones((5, 1)))
    with pytest.raises(TableError, match="wanted kind"):
        icc(np.ones((5, 2)), "1,1")
