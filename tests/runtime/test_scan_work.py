"""One scan's work without a cluster: every fault is a ledger row, and no row says more than it may."""

import json
import re
import resource
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from gc_ray import ledger
from gc_ray.code_versions import EXTRACTION, code_version
from gc_ray.errors import StoreError
from gc_ray.runtime.manifests import read_manifests
from gc_ray.runtime.products import NetworkInput, Radiomics, describe, products_of
from gc_ray.runtime.scan_work import Job, ScanTask, Wanted, anonymous, process_scan
from gc_ray.store import open_store
from gc_ray.study import ExtractSettings


@pytest.fixture(scope="module")
def products(quick) -> dict:
    """The quick features and both network inputs."""
    return products_of(ExtractSettings(feature_sets=(quick,), volumes=("guo2025", "cao2024")))


@pytest.fixture
def job(store, products) -> Job:
    """A job on an empty store that knows its products."""
    for product in products.values():
        describe(product, store)
    return Job(store, products, code_version(EXTRACTION), timeout_s=600.0)


@pytest.fixture
def rows(cohort) -> list:
    """The outlines of the simulated cohort."""
    return read_manifests((str(cohort / "scans.csv"),))


def task(row, job, **unless) -> ScanTask:
    """Everything the job has, wanted of one outline."""
    return ScanTask(row, "stamp", tuple(Wanted(name, 1, unless.get("sha256", "")) for name in job.products))


def entries(job) -> list[dict]:
    """The ledger's rows."""
    return ledger.read_ledger(job.store).to_pylist()


def test_a_sound_scan_commits_every_product(rows, job):
    """Features and both network inputs, each with its ledger row and an object that can be read back."""
    outcomes = process_scan(task(rows[0], job), job)
    assert [(o["product"], o["status"]) for o in outcomes] == [(name, "ok") for name in job.products]
    found = {row["feature_set"]: row for row in entries(job)}
    assert set(found) == {"quick", "volumes/guo2025", "volumes/cao2024"}
    volume = ledger.read_volume(job.store, found["volumes/cao2024"])
    assert volume["size"] == [112, 112, 64]
    assert len(volume["ct_hu"]) == 2 * len(volume["mask"]) == 2 * 112 * 112 * 64
    features = ledger.read_features(job.store, "quick")
    assert features.num_columns == 8 + 5
    for row in found.values():
        assert json.loads(row["geometry"])["size"] == [64, 64, 32]
        assert row["mask_voxels"] > 10
        assert row["source_sha256"]
        assert row["peak_mb"] > 50


def test_an_unchanged_source_is_hashed_and_left_alone(rows, job):
    """Where the stamp differs but the content does not, nothing is computed, and the stamp is remembered."""
    process_scan(task(rows[0], job), job)
    (sha256,) = {row["source_sha256"] for row in entries(job)}
    before = {(e.key, e.stamp) for e in job.store.list("")}
    outcomes = process_scan(task(rows[0], job, sha256=sha256), job)
    assert {o["status"] for o in outcomes} == {"unchanged"}
    new = {(e.key, e.stamp) for e in job.store.list("")} - before
    assert [key for key, _ in new] == [f"ledger/contents/{rows[0].key_id}.stamp.{sha256}"]
    assert ledger.known_contents(job.store) == {(rows[0].key_id, "stamp", sha256)}


def a_slice(ct: Path) -> Path:
    """A slice from the middle of the stack."""
    return sorted(ct.iterdir())[5]


SPOILT = {
    "no image": (lambda ct, mask: shutil.rmtree(ct), "source", r"^ct: wanted a file or folder, there is none"),
    "no mask": (lambda ct, mask: mask.unlink(), "source", r"^R1_0\.dcm: wanted a file or folder, there is none"),
    "a slice is missing": (lambda ct, mask: a_slice(ct).unlink(), "image", r"missing slice.* IM0005\.dcm and IM0007"),
    "a slice is rubbish": (lambda ct, mask: a_slice(ct).write_bytes(bytes(300)), "image", r"IM0006\.dcm"),
    "the mask is rubbish": (lambda ct, mask: mask.write_bytes(b"not DICOM"), "mask", r"R1_0\.dcm"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_a_bad_source_is_refused_with_its_stage_and_reason(rows, job, cohort, tmp_path, case):
    """Whatever is wrong with the files, every product gets a refused row that names cause and file, and no path."""
    spoil, stage, reason = SPOILT[case]
    ct = shutil.copytree(cohort / rows[0].image, tmp_path / "p" / "ct")
    mask = shutil.copy(cohort / rows[0].mask, tmp_path / "p" / "R1_0.dcm")
    spoil(ct, mask)
    moved = replace(rows[0], image="ct", mask="R1_0.dcm", image_uri=str(ct), mask_uri=str(mask))
    process_scan(task(moved, job), job)
    for found in entries(job):
        assert (found["status"], found["stage"]) == ("refused", stage)
        assert re.search(reason, found["reason"]), found["reason"]
        assert str(tmp_path) not in found["reason"]


def test_a_scan_that_needs_more_memory_than_promised_says_so_and_computes_nothing(rows, job):
    """The region decides: with one byte less than it needs nothing is written, with no limit it is computed."""
    small = replace(task(rows[0], job), memory=600 << 20)
    (found,) = process_scan(small, job)
    assert (found["status"], found["memory"] > small.memory) == ("larger", True)
    assert entries(job) == []
    assert {o["status"] for o in process_scan(replace(small, memory=found["memory"]), job)} == {"ok"}


def test_a_product_that_raises_costs_only_itself(rows, job, monkeypatch):
    """An unexpected error is a failed row without the error's text, which could quote a header; the others commit."""

    def boom(*_):
        raise KeyError("SYNTHETIC^0001")

    monkeypatch.setattr(Radiomics, "compute", boom)
    outcomes = {o["product"]: o for o in process_scan(task(rows[0], job), job)}
    assert outcomes["quick"]["status"] == "failed"
    assert outcomes["quick"]["reason"].startswith("unexpected KeyError at scan_work.py:")
    assert "SYNTHETIC" not in json.dumps(entries(job))
    assert {outcomes[name]["status"] for name in ("volumes/guo2025", "volumes/cao2024")} == {"ok"}


def test_a_store_that_cannot_be_written_ends_the_run(rows, job, monkeypatch):
    """No ledger row can be written for it, so it must not look like the scan's fault."""
    broken = Job(open_store("/proc/gc_ray"), job.products, job.code_version, job.timeout_s)
    with pytest.raises(StoreError, match="cannot write"):
        process_scan(task(rows[0], broken), broken)


@pytest.mark.slow
def test_a_full_temporary_folder_ends_the_run_and_is_no_fault_of_the_scan(rows, job, s3_store):
    """A machine that cannot hold a copy of a scan would fail every scan it is given: nothing is committed."""
    places = {}
    for name, uri in (("image_uri", rows[0].image_uri), ("mask_uri", rows[0].mask_uri)):
        places[name] = f"{s3_store.uri}/{Path(uri).name}"
        for path in sorted(Path(uri).rglob("*.dcm")) or [Path(uri)]:
            s3_store.put(path.relative_to(Path(uri).parent).as_posix(), path.read_bytes())
    scan = task(replace(rows[0], **places), job)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(StoreError, match=r"^P\w+: cannot be copied .* File too large; free space there"):
            process_scan(scan, job)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert entries(job) == []
    assert {found["status"] for found in process_scan(scan, job)} == {"ok"}


def test_an_anonymous_error_names_kind_and_place_only():
    """The text of an unexpected error is never repeated."""
    try:
        raise OSError("/secret/path")
    except OSError as error:
        assert anonymous(error).startswith("unexpected OSError at test_scan_work.py:")
    assert anonymous(MemoryError("x")).startswith("out of memory")


def test_time_is_measured_per_scan(rows, job, monkeypatch):
    """Seconds cover the whole task of the scan."""
    slow = NetworkInput.compute

    def slower(*arguments):
        time.sleep(0.2)
        return slow(*arguments)

    monkeypatch.setattr(NetworkInput, "compute", slower)
    process_scan(task(rows[0], job), job)
    assert all(row["seconds"] >= 0.2 for row in entries(job) if row["feature_set"].startswith("volumes"))
