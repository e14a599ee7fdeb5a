"""The job on a real Ray: the same tables whatever the number of workers, machines, stores and crashes."""

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gc_ray import ledger
from gc_ray.errors import StoreError
from gc_ray.runtime.scan_work import process_scan
from gc_ray.store import open_store

pytestmark = pytest.mark.slow

GC_RAY = str(Path(sys.executable).with_name("gc-ray"))


def sites(cohort: Path) -> list[Path]:
    """The manifests of the cohort's sites."""
    return sorted(cohort.glob("scans_site_*.csv"))


def settled(store) -> dict[str, str]:
    """The commits once no orphaned worker adds any: a killed driver's workers may finish the scan in hand."""
    before, since = commits(store), time.monotonic()
    while time.monotonic() - since < 4:
        time.sleep(0.2)
        if commits(store) != before:
            before, since = commits(store), time.monotonic()
    return before


def scans(cohort: Path) -> list[str]:
    """The manifests as options."""
    return [f"--scans={manifest}" for manifest in sites(cohort)]


def command(*arguments: object, timeout: float = 300) -> subprocess.CompletedProcess:
    """Run gc-ray as a user would."""
    return subprocess.run(
        [GC_RAY, *map(str, arguments)], capture_output=True, text=True, timeout=timeout, check=False
    )


def commits(store) -> dict[str, str]:
    """The commit objects of a store with their stamps: rewriting one would change it."""
    return {e.key: e.stamp for e in store.list("ledger/commits")}


def test_two_workers_give_the_tables_of_one(run, cohort, store, tables_of, expected):
    """Rows, values and reasons are Arrow-equal, floats bitwise."""
    summary = run(sites(cohort), store, workers=2)
    assert summary.computed == expected[0].num_rows == 14
    for found, wanted in zip(tables_of(store), expected, strict=True):
        assert found.equals(wanted)


def test_a_second_run_computes_nothing(run, cohort, store):
    """The same command again leaves every commit as it is, with --verify too."""
    run(sites(cohort), store)
    before = commits(store)
    assert run(sites(cohort), store).computed == 0
    assert run(sites(cohort), store, verify=True).computed == 0
    assert commits(store) == before


def test_a_changed_scan_is_computed_anew_and_only_it(run, cohort, store, tmp_path):
    """A touched source is hashed and left alone; changed content makes a new generation, which readers see."""
    moved = Path(shutil.copytree(cohort, tmp_path / "moved"))
    run(sites(moved), store)
    slices = sorted((moved / "site_A" / "P0001" / "ct").iterdir())
    os.utime(slices[0])
    assert run(sites(moved), store).computed == 0
    slices[7].unlink()
    summary = run(sites(moved), store, settings=("extract.failure_budget=1.0",))
    changed = [r for r in ledger.read_ledger(store).to_pylist() if r["generation"] == 2]
    assert summary.computed == len(changed) >= 1
    assert {(r["patient_id"], r["status"]) for r in changed} == {("P0001", "refused")}
    assert "P0001" not in ledger.read_features(store, "quick").column("patient_id").to_pylist()


def test_the_same_on_s3(cohort, quick, s3_store, tables_of, expected):
    """Scans and store both on a real S3 server: equal tables, but for the ETags that stand in for times."""
    prefix = f"in-{secrets.token_hex(3)}"
    root = open_store(s3_store.uri.rsplit("/", 1)[0])
    for path in cohort.rglob("*"):
        if path.is_file():
            root.put(f"{prefix}/{path.relative_to(cohort)}", path.read_bytes())
    manifests = [f"--scans={root.uri}/{prefix}/{m.name}" for m in sites(cohort)]
    options = [*manifests, f"--store={s3_store.uri}", f"--feature-set={quick}"]
    done = command("extract", *options)
    assert done.returncode == 0, done.stderr
    (rows, features), (wanted_rows, wanted_features) = tables_of(s3_store), expected
    stamps = ["source_stamp"]
    assert rows.drop_columns(stamps).equals(wanted_rows.drop_columns(stamps))
    assert features.equals(wanted_features)
    assert "0 results computed" in command("extract", *options).stdout


def test_a_run_killed_half_way_resumes(cohort, quick, tmp_path, tables_of, expected):
    """kill -9: no row lost, none doubled, nothing recomputed that was committed, tables equal."""
    store = open_store(str(tmp_path / "store"))
    options = [
        *scans(cohort),
        f"--store={store.uri}",
        f"--feature-set={quick}",
        "--workers=1",
    ]
    with subprocess.Popen(
        [GC_RAY, "extract", *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as first:
        deadline = time.monotonic() + 120
        while len(commits(store)) < 4 and time.monotonic() < deadline:
            time.sleep(0.02)
        os.killpg(first.pid, signal.SIGKILL)
    before = settled(store)
    assert 4 <= len(before) < 14, "the run was not killed half way"
    assert not list(store.list("runs")), "a run that was killed has no record"
    done = command("extract", *options)
    assert done.returncode == 0, done.stderr
    assert f"{14 - len(before)} results computed" in done.stdout
    after = commits(store)
    assert {key: after[key] for key in before} == before
    assert len(after) == 14
    for found, wanted in zip(tables_of(store), expected, strict=True):
        assert found.equals(wanted)


def test_a_poison_scan_and_a_killed_worker_cost_one_scan(run, cohort, store, tmp_path):
    """A scan that always crashes its worker is failed after three tries; one whose worker was killed once is ok."""
    marks = tmp_path / "marks"
    marks.mkdir()

    def work(task, job):
        mark = marks / secrets.token_hex(4)
        if task.row.patient_id == "P0001":
            mark.with_name(f"poison-{mark.name}").touch()
            os.kill(os.getpid(), signal.SIGSEGV)
        if task.row.patient_id == "P0002" and not list(marks.glob("killed-*")):
            mark.with_name(f"killed-{mark.name}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return process_scan(task, job)

    summary = run(sites(cohort), store, work, settings=("extract.failure_budget=0.5",))
    rows = ledger.read_ledger(store).to_pylist()
    failed = [r for r in rows if r["status"] == "failed"]
    assert len(rows) == 14
    assert {r["patient_id"] for r in failed} == {"P0001"}
    assert {r["stage"] for r in failed} == {"worker"}
    (reason,) = {r["reason"] for r in failed}
    assert re.match(r"the worker process died .* in 3 of 3 tries", reason), reason
    assert len(list(marks.glob("poison-*"))) == 3 * len(failed)
    assert summary.counts["A", "failed"] == len(failed)
    assert {r["status"] for r in rows if r["patient_id"] != "P0001"} <= {"ok", "repaired"}


def test_a_crash_in_a_first_look_costs_one_scan(ray_session):
    """Short looks at many scans share a task; one that kills its process is replaced, its neighbours are not lost."""
    from gc_ray.runtime import cluster

    def look(item):
        if item == 3:
            os.kill(os.getpid(), signal.SIGSEGV)
        return item * 10

    assert cluster.map_chunks(look, list(range(6)), 4, lambda item: -item) == [0, 10, 20, -3, 40, 50]


def test_a_failed_scan_is_tried_again_by_the_next_run(run, cohort, store):
    """A failure is never cached: once the cause is gone the scan gets its row."""

    def work(task, job):
        if task.row.patient_id == "P0001":
            os.kill(os.getpid(), signal.SIGKILL)
        return process_scan(task, job)

    settings = ("extract.failure_budget=0.5", "extract.attempts=1")
    failed = run(sites(cohort), store, work, settings=settings).counts["A", "failed"]
    summary = run(sites(cohort), store)
    assert summary.computed == failed
    assert not any(status == "failed" for _, status in summary.counts)


@pytest.mark.parametrize("hang", ["that lets Python run", "inside C code"])
def test_a_scan_that_hangs_is_given_up(run, cohort, store, hang):
    """Time is up: the ledger says so, the rest finishes; also when the hang holds Python's lock."""

    def work(task, job):
        if (task.row.patient_id, task.row.reader, task.row.repeat) == ("P0001", "R1", 0):
            return process_scan(task, type(job)(job.store, {"quick": Hang()}, job.code_version, 1.0, 1.0))
        return process_scan(task, job)

    class Hang:
        """A product that never comes to an end."""

        stage, settings = "features", {}

        def region_voxels(self, mask):
            return 0.0

        def part_read(self, full, kind, mask):
            return (0, 0, 0), full.size

        def compute(self, *_):
            if hang == "inside C code":
                re.match(r"(a+)+$", "a" * 60 + "b")  # exponential backtracking that holds the interpreter's lock
            time.sleep(600)

    run(sites(cohort), store, work, settings=("extract.failure_budget=0.5", "extract.attempts=2"))
    rows = ledger.read_ledger(store).to_pylist()
    (failed,) = [r for r in rows if r["status"] == "failed"]
    assert failed["patient_id"] == "P0001"
    wanted = "not finished within 1 s" if hang == "that lets Python run" else "the worker process died"
    assert failed["reason"].startswith(wanted)
    assert len(rows) == 14


def test_a_scan_larger_than_promised_moves_to_a_larger_class(run, cohort, store, tables_of, expected):
    """Headers do not tell the region's size: such a scan is read, put off, and computed with enough memory."""
    from gc_ray.runtime import scan_work, waves

    def work(task, job):
        hungry = task.row.patient_id == "P0002" and task.memory is not None and task.memory < 4 << 30
        if hungry:
            return [{"product": "", "status": waves.LARGER, "stage": "mask", "reason": "", "memory": 3 << 30}]
        return scan_work.process_scan(task, job)

    assert run(sites(cohort), store, work).computed == 14
    for found, wanted in zip(tables_of(store), expected, strict=True):
        assert found.equals(wanted)


def test_a_store_that_fills_up_stops_the_run_with_one_line(run, cohort, store):
    """When a worker cannot write, the run ends with StoreError and no run record."""

    def work(task, job):
        raise StoreError("store x: cannot write shard: No space left on device; check rights, free space")

    with pytest.raises(StoreError, match="No space left on device"):
        run(sites(cohort), store, work)
    assert [e.key for e in store.list("runs")] == []


def test_the_exit_code_tells_the_failure_budget(cohort, quick, tmp_path):
    """Exit 3 when too many results are lost, and the run record carries it; 0 with a larger budget."""
    moved = Path(shutil.copytree(cohort, tmp_path / "c"))
    shutil.rmtree(moved / "site_A" / "P0001" / "ct")
    options = [*scans(moved), f"--feature-set={quick}", f"--store={tmp_path / 's'}"]
    assert command("extract", *options).returncode == 3
    assert command("extract", *options, "--failure-budget=0.9").returncode == 0
    store = open_store(str(tmp_path / "s"))
    records = [json.loads(store.get(e.key)) for e in store.list("runs")]
    assert [r["exit_code"] for r in records] == [3, 0]
    assert sum(entry["n"] for entry in records[0]["results"]) == 14


def test_sites_extracted_apart_and_merged_equal_sites_extracted_together(run, cohort, tmp_path, tables_of, expected):
    """Two hospitals run the job on their own: the merged store is the same, and merging again adds nothing."""
    stores = [open_store(str(tmp_path / m.stem)) for m in sites(cohort)]
    for manifest, store in zip(sites(cohort), stores, strict=True):
        run([manifest], store)
    into = open_store(str(tmp_path / "merged"))
    options = [*(f"--store={s.uri}" for s in stores), f"--into={into.uri}"]
    first, again = command("merge", *options), command("merge", *options)
    assert (first.returncode, again.returncode) == (0, 0), first.stderr
    assert first.stdout.startswith("14 results added") and again.stdout.startswith("0 results added")
    for found, wanted in zip(tables_of(into), expected, strict=True):
        assert found.equals(wanted)


def test_no_patient_name_in_any_output(run, cohort, quick, tmp_path):
    """The headers' names stay in the headers: not in the store, not in what is printed, not with damaged files."""
    planted = b"SYNTHETIC"
    moved = Path(shutil.copytree(cohort, tmp_path / "c"))
    folders = sorted((moved / "site_A").iterdir())
    assert planted in (sorted((folders[0] / "ct").iterdir())[0]).read_bytes()
    for i, folder in enumerate(folders[:3]):
        victim = sorted((folder / "ct").iterdir())[4]
        content = victim.read_bytes()
        victim.write_bytes([content[:600], content.replace(b"PN", b"DS"), content.replace(b"\\IS", b"\\PN")][i])
    outputs = [
        command(name, *scans(moved), *more)
        for name, more in (
            ("extract", (f"--store={tmp_path / 's'}", f"--feature-set={quick}", "--volumes=cao2024")),
            ("check", ()),
            ("check", ("--json",)),
        )
    ]
    written = [p.read_bytes() for p in (tmp_path / "s").rglob("*") if p.is_file()]
    assert len(written) > 20
    for text in [*written, *(o.stdout.encode() + o.stderr.encode() for o in outputs)]:
        assert planted not in text
        assert str(tmp_path / "c").encode() not in text


def test_a_worker_stays_under_1500_mb_for_a_512_x_512_x_300_series(ray_session, tmp_path):
    """Memory follows the region, not the scan: of 300 slices those needed are decoded, 1,925 features computed."""
    from gc_ray.cohort.synthetic.spec import CohortSpec
    from gc_ray.cohort.synthetic.write import write_cohort
    from gc_ray.runtime.extract import Request, extract
    from gc_ray.study import load_study

    spec = CohortSpec(patients=1, matrix=512, slices=300, slice_mm=1.0, reread_share=0)
    files = write_cohort(tmp_path / "c", spec)
    store = open_store(str(tmp_path / "store"))
    settings = ('extract.feature_sets=["guo2025"]', 'extract.volumes=["guo2025", "cao2024"]')
    request = Request((str(files.scans),), store, load_study(None, settings))
    extract(request, lambda totals: lambda *_: None, "large", time.monotonic)
    rows = ledger.read_ledger(store).to_pylist()
    assert [(r["status"], json.loads(r["geometry"])["size"]) for r in rows] == 3 * [("ok", [512, 512, 300])]
    assert max(r["peak_mb"] for r in rows) < 1500
