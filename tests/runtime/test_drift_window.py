"""The window of scans that drift looks at: the latest by the number of their run, not by a clock."""

import pytest

from gc_ray.runtime import audit, drift
from gc_ray.store import open_store

RESULT = {
    "bundle_id": "b", "study_id": "s", "model_id": "m", "reader": "R1", "repeat": 0, "roi": "", "patient_id": "p",
    "site": "a", "phase": "pv", "input_hash": "h", "status": "scored", "score": 0.5, "linear_predictor": 0.0,
    "lower": 0.4, "upper": 0.6, "interval": "", "risk_group": "low", "verdict": "in-domain", "reasons": [],
    "predictors": "{}", "run": "r",
}  # fmt: skip
RUNS = [("old", "2099-01-01T00:00:00+00:00"), ("new", "2026-01-01T00:00:00+00:00"), ("last", "1970-01-01T00:00:00")]


def score(store, scan: str, when: str) -> int:
    """A run that scores one scan; its number."""
    sequence = audit.next_sequence(store, "b")
    result = RESULT | {"scan_id": scan, "scored_at": when, "sequence": sequence}
    assert audit.commit(store, audit.name_of(result), result)
    return sequence


@pytest.mark.parametrize("compacted", [False, True])
def test_a_run_whose_clock_was_wrong_does_not_stay_in_the_window(tmp_path, monkeypatch, compacted):
    """Neither one of the far future, which would be the latest for ever, nor one of the past, which never would."""
    store = open_store(str(tmp_path))
    numbers = []
    for scan, when in RUNS:
        numbers.append(score(store, scan, when))
        if compacted:
            audit.compact(store, "b")
    assert numbers == [1, 2, 3]
    monkeypatch.setattr(drift, "WINDOW", 2)
    assert drift._window(store, "b")["scan_id"].to_list() == ["new", "last"]
