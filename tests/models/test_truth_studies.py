"""The simulated studies of `make truth`: two seeds, and what their numbers have to mean."""

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SLACK = 0.02  # of an AUC: what 600 patients leave to chance between two scores of the same patients


@pytest.fixture(scope="module")
def modules():
    """benchmarks/truth_studies.py and truth_page.py, as `make truth` imports them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield importlib.import_module("truth_studies"), importlib.import_module("truth_page")


@pytest.fixture(scope="module")
def runs(modules) -> list[dict]:
    """Two studies with 600 patients in each test cohort."""
    studies, _ = modules
    return [studies.judged(seed, studies.Size(test=600)) for seed in (0, 2)]


def test_scores_lie_between_chance_and_the_oracle_and_fusion_adds(runs):
    """fused > single > 0.5 on the mean, and none above the truth."""
    for cohort in ("internal", "external", "brought"):
        mean = {name: sum(run["auc"][cohort][name] for run in runs) / len(runs) for name in runs[0]["auc"][cohort]}
        for single in ("clinical", "radiomics", "dl"):
            assert 0.5 < mean[single] < mean["fused"] < mean["oracle"] + SLACK


def test_high_risk_dies_earlier_and_the_oracle_tells_it_best(runs):
    """Log hazard ratios at a cutoff from training scores are above 0; the truth's is the largest."""
    for run in runs:
        ratios = run["log_hazard_ratio"]
        assert 0 < ratios["fused"] <= ratios["oracle"] + 0.3


def test_what_was_planted_is_found_and_mostly_nothing_else(runs):
    """Shares are shares; a planted feature or its stand-in is kept in most cases, null features are the minority."""
    for run in runs:
        found = run["selection"]["dl_radiomics"]
        assert found["planted"] <= found["stood_for"] <= 1
        assert found["stood_for"] > 0.5 > found["null"]


def test_another_scanner_is_seen_and_handled(runs):
    """Drift alerts for site B as it is and for nobody else; brought to site A its risks are right in the large."""
    for run in runs:
        assert [run["shift"][cohort]["alert"] for cohort in ("internal", "external", "brought")] == [0, 1, 0]
        off, corrected = (abs(run["calibration"][cohort]["intercept"]) for cohort in ("external", "brought"))
        assert corrected < off


def test_shuffled_outcomes_leave_every_score_near_one_half(runs):
    """One study's nested AUC has a standard error of about 0.02."""
    for name in ("clinical", "radiomics", "dl", "dl_radiomics"):
        assert abs(sum(run["shuffled"][name]["auc"] for run in runs) / len(runs) - 0.5) < 0.08


def test_the_page_says_what_the_numbers_say(modules, runs):
    """A verdict is computed: where fusion does not add, the page says so."""
    _, written = modules
    text = written.page(runs, [], [])
    assert "| fused - radiomics |" in text
    assert "| oracle |" in text
    worse = [run | {"auc": run["auc"] | {"internal": run["auc"]["internal"] | {"fused": 0.4}}} for run in runs]
    assert "NOT every interval is above 0" in " ".join(written.page(worse, [], []).split())
