"""Faults in the midst of real runs leave no trace; and the comparison that says so sees one where there is one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gc_ray import ledger
from gc_ray.store import Store, open_store

CHAOS = Path(__file__).resolve().parents[2] / "benchmarks" / "chaos"
SCANS = ("a", "b", "c")
KEYS = [(scan, "R1", 0, "tumour") for scan in SCANS]


@pytest.fixture
def compare(monkeypatch):
    """The comparison of stores, from the folder of the benchmark."""
    monkeypatch.syspath_prepend(str(CHAOS))
    import compare

    return compare


def commit(store: Store, scan: str, value: float, generation: int = 1, status: str = "ok") -> None:
    """One outline's result."""
    key = {"scan_id": scan, "reader": "R1", "repeat": 0, "roi": "tumour", "patient_id": scan, "site": "A"}
    key |= {"feature_set": "quick", "generation": generation}
    row = key | {
        "phase": "portal_venous", "status": status, "stage": "done", "reason": "", "notes": [], "missing": "{}",
        "geometry": "{}", "mask_voxels": 1, "source_stamp": "", "source_sha256": "", "settings_hash": "h",
        "code_version": "1", "seconds": value, "peak_mb": 0.0,
        "object": ledger.stage_features(store, key, "h", [value, float("nan")]) if status == "ok" else "",
    }  # fmt: skip
    ledger.commit(store, row)


def filled(folder: Path, *values: float) -> Store:
    """A store with a result for each value, the scans in their order."""
    store = open_store(str(folder))
    store.put("radiomics/quick/h/settings.json", json.dumps({"names": ["original_x", "original_y"]}).encode())
    for scan, value in zip(SCANS, values, strict=False):
        commit(store, scan, value)
    return store


def verdict(compare, found: Store, wanted: Store) -> tuple:
    """(lost, doubled, half-written, equal) of a store."""
    seen = compare.extracted(found.uri, KEYS, wanted.uri, compare.half_written(found))
    assert seen.sound == (seen == compare.Verdict(0, 0, 0, True))
    return seen.lost, seen.doubled, seen.half, seen.equal


def test_equal_stores_are_equal_and_measured_seconds_do_not_matter(compare, tmp_path):
    """Compacted or not, with a NaN in the same place."""
    one, other = filled(tmp_path / "a", 1.0, 2.0, 3.0), filled(tmp_path / "b", 1.0, 2.0, 3.0)
    ledger.compact(other)
    assert verdict(compare, one, other) == (0, 0, 0, True)


def test_a_lost_a_doubled_a_changed_and_a_half_written_result_are_seen(compare, tmp_path):
    """A check that cannot fail would prove nothing; the last bit of a float is enough."""
    wanted = filled(tmp_path / "wanted", 1.0, 2.0, 3.0)
    assert verdict(compare, filled(tmp_path / "a", 1.0, 2.0), wanted) == (1, 0, 0, False)
    doubled = filled(tmp_path / "b", 1.0, 2.0, 3.0)
    commit(doubled, "a", 1.0, generation=2)
    assert verdict(compare, doubled, wanted)[1] == 1
    assert verdict(compare, filled(tmp_path / "c", 1.0, 2.0, 3.0000000000000004), wanted) == (0, 0, 0, False)
    refused = filled(tmp_path / "d", 1.0, 2.0)
    commit(refused, "c", 3.0, status="refused")
    assert verdict(compare, refused, wanted) == (0, 0, 0, False)
    half = filled(tmp_path / "e", 1.0, 2.0, 3.0)
    half.put("runs/extract-1.json", b'{"run": ')
    assert verdict(compare, half, wanted) == (0, 0, 1, True)


@pytest.mark.slow
@pytest.mark.usefixtures("seaweed")  # which knows what to do where SeaweedFS is missing
def test_a_killed_worker_and_a_storm_on_s3_leave_no_trace(tmp_path):
    """On two Ray nodes and an S3 server: exit 0, the table says so, and each fault did strike."""
    command = [sys.executable, CHAOS, "--only", "worker", "storm", "--patients", "4", "--out", tmp_path / "page.md"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    _, worker, storm = [line for line in (tmp_path / "page.md").read_text().splitlines() if "exit 0" in line]
    assert worker.endswith("| 0 | 0 | yes |") and "| exit 0 | 1 |" in worker
    assert storm.endswith("| 0 | 0 | yes |") and "after it took effect" in storm


def test_each_part_of_the_page_is_kept_when_the_other_is_written(monkeypatch, tmp_path):
    """The faults and the points on Ray are tried by two commands, in any order."""
    monkeypatch.syspath_prepend(str(CHAOS))
    import report

    page = tmp_path / "page.md"
    report.write_page(page, section=f"{report.SECTION}\n\npoints 1\n")
    report.write_page(page, first="# Faults\n\nfirst\n")
    report.write_page(page, section=f"{report.SECTION}\n\npoints 2\n")
    assert page.read_text() == f"# Faults\n\nfirst\n\n{report.SECTION}\n\npoints 2\n"
