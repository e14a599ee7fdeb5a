"""ComBat frozen: the numbers of a site applied to one scan, and scans that they cannot be applied to."""

import json

import numpy as np
import pytest

from gc_ray.models.domain import BORDERLINE, REFUSED
from gc_ray.models.frozen_sites import freed, known_sites
from gc_ray.models.harmonise import EFFECTS, ComBat

NAMES = ["one", "two", "flat", "unused"]


@pytest.fixture(scope="module")
def fitted() -> tuple[np.ndarray, np.ndarray, ComBat]:
    """(features, sites, ComBat) of 60 patients; the third feature is constant within a site."""
    rng = np.random.default_rng(1)
    site = np.repeat(["A", "B"], [25, 35])
    x = rng.normal(size=(60, 4)) * [1, 5, 1, 2] + (site == "B")[:, None] * [2, -3, 0, 1]
    x[site == "B", 2] = 7.0
    return x, site, ComBat().fit(x, site)


def held(combat: ComBat, external: str = "none") -> dict:
    """A bundle's harmonisation as it comes back from JSON; the last feature is not among its predictors."""
    sites = {
        site: {
            name: dict(zip(EFFECTS, effect.tolist(), strict=True))
            for name, effect in list(zip(NAMES, combat.effects(site).T, strict=True))[:3]
            if np.isfinite(effect).all()
        }
        for site in "AB"
    }
    return json.loads(json.dumps({"families": {"deep": {"external": external, "whole": NAMES, "sites": sites}}}))


def test_one_scan_is_freed_of_its_site_as_the_whole_cohort_was_to_the_bit(fitted):
    """By the numbers in JSON as by ``ComBat.transform``; what ComBat left alone and what is not used stays."""
    x, site, combat = fitted
    wanted = combat.transform(x, site)
    wanted[:, 3] = x[:, 3]
    assert known_sites(held(combat)) == ["A", "B"]
    for row, of, expected in zip(x, site, wanted, strict=True):
        values, found = freed(held(combat), dict(zip(NAMES, row.tolist(), strict=True)), of)
        assert (list(values.values()), found) == (expected.tolist(), [])


def test_a_scan_with_a_gap_stays_as_it_is_and_says_so(fitted):
    """As in the study, where a patient with a gap in any feature, used or not, is not harmonised."""
    x, _, combat = fitted
    raw = dict(zip(NAMES, [*x[0, :3].tolist(), np.nan], strict=True))
    values, ((verdict, reason),) = freed(held(combat), raw, "A")
    assert (values is not raw, values == raw, verdict) == (True, True, BORDERLINE)
    assert reason.startswith("1 of its deep features have no value")


@pytest.mark.parametrize(
    ("external", "verdict"), [("none", BORDERLINE), ("reference", BORDERLINE), ("refuse", REFUSED)]
)
def test_a_scan_of_an_unknown_site_stays_as_it_is_with_the_verdict_of_the_study(fitted, external, verdict):
    """Nothing is known of what its site adds."""
    raw = dict(zip(NAMES, fitted[0][0].tolist(), strict=True))
    values, ((found, reason),) = freed(held(fitted[2], external), raw, "Z")
    assert (values, found) == (raw, verdict)
    assert reason.startswith("site Z has no training patients")


def test_a_bundle_without_harmonisation_changes_nothing():
    """And knows no sites."""
    assert freed({"method": "none"}, {"one": 1.0}, "Z") == ({"one": 1.0}, [])
    assert known_sites({"method": "none"}) == []
