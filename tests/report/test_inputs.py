"""What a report is made from: the study's own part of a store that others share."""

from __future__ import annotations

import shutil

from gc_ray import ledger
from gc_ray.report.inputs import from_store
from gc_ray.store import open_store

ROW = {
    "scan_id": "S1", "reader": "R1", "repeat": 0, "roi": "t", "patient_id": "P1", "site": "A", "generation": 1,
    "phase": "pv", "status": "ok", "stage": "done", "reason": "", "notes": [], "missing": "{}", "geometry": "{}",
    "mask_voxels": 100, "object": "", "source_stamp": "stamp", "source_sha256": "sha", "settings_hash": "0" * 16,
    "code_version": "1-x", "seconds": 1.0, "peak_mb": 100.0,
}  # fmt: skip


def test_what_another_study_asked_of_the_same_scans_is_not_counted(run, quick, tmp_path):
    """Its refusals are no business of this study's flow, and its progress is no reason to draw the report anew."""
    store = open_store(str(shutil.copytree(run.store.uri, tmp_path / "store")))
    own = f"volumes/{quick.extract.volumes[0]}"
    for feature_set, status in ((own, "ok"), ("volumes/theirs", "refused"), ("theirs", "failed")):
        assert ledger.commit(store, ROW | {"feature_set": feature_set, "status": status})
    found = from_store(store, quick, None).outlines
    assert found[["feature_set", "status"]].to_numpy().tolist() == [[own, "ok"]]
