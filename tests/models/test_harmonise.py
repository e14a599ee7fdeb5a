"""ComBat is sva's, takes away what batches add and nothing else, and knows only the batches it was shown."""

import numpy as np
import pandas as pd
import pytest

from gc_ray.errors import TableError
from gc_ray.models.harmonise import ComBat

MODES = {
    "with_covariate": ({}, True),
    "no_covariate": ({}, False),
    "mean_only": ({"mean_only": True}, True),
    "ref_batch": ({"ref_batch": "b1"}, True),
}


def shifted(seed: int, rows: int = 60, features: int = 30):
    """The same population from three sites, two of which shift and stretch all features; and before that."""
    rng = np.random.default_rng(seed)
    true = rng.normal(size=(rows * 3, features)) + np.linspace(0, 20, features)
    site = np.repeat(["a", "b", "c"], rows)
    shift = np.where(site == "a", 0.0, np.where(site == "b", 2.0, -1.0))
    stretch = np.where(site == "c", 2.0, 1.0)
    centre = np.linspace(0, 20, features)
    return true, (true - centre) * stretch[:, None] + centre + shift[:, None], site


@pytest.mark.parametrize("mode", MODES)
def test_values_are_those_of_sva(reference, mode):
    """sva 3.46.0 on three batches of 200: every value listed, to 1e-10 of the feature's spread."""
    found, data = reference("combat_segmentation")
    options, with_covariate = MODES[mode]
    x = data[found["columns"]["features"]].to_numpy(float)
    covariate = (data["class"] == "WS").to_numpy(float) if with_covariate else None
    wanted, batch = found["values"][mode], found["values"]["batch"]
    got = ComBat(**options).fit(x, batch, covariate).transform(x, batch, covariate)
    rows = np.array(wanted["cols"]) - 1
    np.testing.assert_allclose(got[rows] / x.std(axis=0), np.array(wanted["values"]) / x.std(axis=0), atol=1e-10)
    np.testing.assert_allclose(got.mean(axis=0), wanted["row_mean"], rtol=1e-10)
    np.testing.assert_allclose(got.std(axis=0, ddof=1), wanted["row_sd"], rtol=1e-10)


@pytest.mark.parametrize("parametric", [True, False])
def test_new_rows_of_the_same_batches_lose_the_sites_effect(parametric):
    """Fitted on some patients, applied to others: the sites' means and spreads come together."""
    _, x, site = shifted(0)
    _, new, _ = shifted(1)
    combat = ComBat(parametric=parametric).fit(x, site)
    got = combat.transform(new, site)
    means = np.array([got[site == name].mean(axis=0) for name in "abc"])
    spreads = np.array([got[site == name].std(axis=0) for name in "abc"])
    assert np.ptp(means, axis=0).mean() < 0.5  # of 3 before; sampling alone leaves 0.3
    assert (spreads.max(axis=0) / spreads.min(axis=0)).mean() < 1.35  # of 2 before
    np.testing.assert_allclose(combat.transform(new[5:6], site[5:6])[0], got[5], rtol=1e-12)


def test_a_reference_batch_stays_to_the_bit_and_the_others_come_to_it():
    """The sites' features end where the reference has them."""
    true, x, site = shifted(2)
    got = ComBat(ref_batch="a").fit(x, site).transform(x, site)
    assert got[site == "a"].tobytes() == x[site == "a"].tobytes()
    assert np.abs(got.mean(axis=0) - true.mean(axis=0)).max() < 0.4


def test_an_effect_named_as_a_covariate_is_kept():
    """What differs between patients of one site stays different, although sites have different shares of it."""
    rng = np.random.default_rng(3)
    _, x, site = shifted(4)
    stage = (rng.random(len(site)) < np.where(site == "b", 0.8, 0.2)).astype(float)
    x = x + 3 * stage[:, None]
    got = ComBat().fit(x, site, stage).transform(x, site, stage)
    gap = got[stage == 1].mean(axis=0) - got[stage == 0].mean(axis=0)
    assert abs(gap.mean() - 3) < 0.2


def test_batches_that_do_not_differ_are_left_nearly_alone():
    """Without site effects the shrunken estimates move values by little, and row order does not matter."""
    rng = np.random.default_rng(5)
    x, site = rng.normal(size=(300, 40)), np.resize(["a", "b", "c"], 300)
    got = ComBat().fit(x, site).transform(x, site)
    assert np.abs(got - x).mean() < 0.06
    order = rng.permutation(300)
    again = ComBat().fit(x[order], site[order]).transform(x, site)
    np.testing.assert_allclose(again, got, atol=1e-10)


def test_a_feature_that_is_constant_within_a_batch_passes_through():
    """As in sva: it stays as it was, the others do not."""
    _, x, site = shifted(6)
    x[site == "b", 4] = 1.0
    same = (ComBat().fit(x, site).transform(x, site) == x).all(axis=0)
    assert np.flatnonzero(same).tolist() == [4]


def test_what_it_was_not_prepared_for_is_refused():
    """An unknown site, a single batch, too few rows, confounding, and use before the fit: one clear line each."""
    _, x, site = shifted(7)
    with pytest.raises(TableError, match="wanted rows of a, b, c, got d; fit with rows of that batch"):
        ComBat().fit(x, site).transform(x[:1], ["d"])
    with pytest.raises(TableError, match="at least 2 batches"):
        ComBat().fit(x[:60], site[:60])
    with pytest.raises(TableError, match="at least 2 rows of batch b, got 1"):
        ComBat().fit(x[:61], site[:61])
    with pytest.raises(TableError, match="at least 20 rows of batch b, got 19"):
        ComBat(ref_batch="a").fit(x[:79], site[:79])
    with pytest.raises(TableError, match="reference batch z"):
        ComBat(ref_batch="z").fit(x, site)
    with pytest.raises(TableError, match="confounded"):
        ComBat().fit(x, site, (site == "a").astype(float))
    with pytest.raises(TableError, match="wanted a fit"):
        ComBat().transform(x, site)
    with pytest.raises(TableError, match="the 30 features"):
        ComBat().fit(x, site).transform(x[:, :5], site)
    with pytest.raises(TableError, match="the 1 covariates"):
        ComBat().fit(x, site, np.arange(180) % 7).transform(x, site)
    with pytest.raises(TableError, match="at least 2 features"):
        ComBat().fit(x[:, :1], site)


def test_batches_may_come_as_a_table_column():
    """A pandas column of names is as good as a list."""
    _, x, site = shifted(8)
    got = ComBat().fit(pd.DataFrame(x), pd.Series(site)).transform(x, list(site))
    np.testing.assert_array_equal(got, ComBat().fit(x, site).transform(x, site))
