"""Files that cannot be read cost their own scan, as ``failed``: it is tried again."""

import errno
import os
import re
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from gc_ray import ledger, source
from gc_ray.code_versions import EXTRACTION, code_version
from gc_ray.cohort.manifest import ScanRow
from gc_ray.errors import ScanError, StoreError
from gc_ray.runtime import check, incoming, rescore_input, scan_source, scan_work
from gc_ray.runtime.check import check_scan
from gc_ray.runtime.incoming import find_series
from gc_ray.runtime.manifests import read_manifests
from gc_ray.runtime.node import this_node
from gc_ray.runtime.plan import Done, plan_scan
from gc_ray.runtime.products import describe, products_of
from gc_ray.runtime.scan_work import Job, ScanTask, Wanted, process_scan
from gc_ray.runtime.survey import Survey, survey_scan
from gc_ray.store import Store
from gc_ray.study import ExtractSettings
from gc_ray.study_cohort import ScansSettings


@dataclass(frozen=True)
class Scan:
    """A copy of one scan and a job that computes it."""

    row: ScanRow
    job: Job

    @property
    def ct(self) -> Path:
        """The folder of slices."""
        return Path(self.row.image_uri)

    @property
    def a_slice(self) -> Path:
        """One of them."""
        return sorted(self.ct.iterdir())[5]

    def task(self, **changes) -> ScanTask:
        """Everything is wanted of it."""
        return ScanTask(replace(self.row, **changes), "stamp", (Wanted("quick", 1),), seen=True)

    def extracted(self, **changes) -> dict:
        """The ledger row after extraction."""
        process_scan(self.task(**changes), self.job)
        (row,) = ledger.read_ledger(self.job.store).to_pylist()
        return row


@pytest.fixture
def scan(cohort, quick, store, tmp_path) -> Scan:
    """The first outline of the simulated cohort, in a folder of its own."""
    row = read_manifests((str(cohort / "scans.csv"),))[0]
    shutil.copytree(cohort / row.image, tmp_path / "p" / "ct")
    shutil.copy(cohort / row.mask, tmp_path / "p" / "R1_0.dcm")
    uris = {"image_uri": str(tmp_path / "p" / "ct"), "mask_uri": str(tmp_path / "p" / "R1_0.dcm")}
    products = products_of(ExtractSettings(feature_sets=(quick,)))
    describe(products["quick"], store)
    return Scan(
        replace(row, image="ct", mask="R1_0.dcm", **uris), Job(store, products, code_version(EXTRACTION), 600.0)
    )


def fault_when_opened(patch: pytest.MonkeyPatch, path: Path, code: int) -> None:
    """Opening ``path`` fails, for whoever uses Path."""
    real = Path.open

    def opened(self, *arguments, **options):
        if self == path:
            raise OSError(code, os.strerror(code), str(path))
        return real(self, *arguments, **options)

    patch.setattr(Path, "open", opened)


def fault_when_listed(patch: pytest.MonkeyPatch, path: Path, code: int) -> None:
    """Listing the folder ``path`` fails."""
    real = os.scandir

    def listed(folder="."):
        if not isinstance(folder, int) and Path(folder) == path:
            raise OSError(code, os.strerror(code), str(path))
        return real(folder)

    patch.setattr(os, "scandir", listed)


def dangling(scan: Scan) -> None:
    """A slice is a link to content that was never fetched."""
    path = scan.a_slice
    path.unlink()
    path.symlink_to("/nowhere/at/all")


def looping(scan: Scan) -> None:
    """A slice is a link to itself."""
    path = scan.a_slice
    path.unlink()
    path.symlink_to(path)


UNREADABLE: dict[str, tuple[Callable, dict, str]] = {
    "a slice without the right": (lambda s, p: fault_when_opened(p, s.a_slice, errno.EACCES), {}, "ct: .*denied"),
    "a slice on a broken disk": (lambda s, p: fault_when_opened(p, s.a_slice, errno.EIO), {}, "ct: .*output error"),
    "a stale handle": (lambda s, p: fault_when_opened(p, s.a_slice, errno.ESTALE), {}, "ct: .*Stale file handle"),
    "a mask without the right": (
        lambda s, p: fault_when_opened(p, Path(s.row.mask_uri), errno.EACCES), {}, r"R1_0\.dcm: .*denied",
    ),
    "a folder that cannot be listed": (lambda s, p: fault_when_listed(p, s.ct, errno.EACCES), {}, "ct: .*denied"),
    "a folder of a lost server": (lambda s, p: fault_when_listed(p, s.ct, errno.ENOTCONN), {}, "ct: .*not connected"),
    "a link to nothing": (lambda s, p: dangling(s), {}, "ct: .*a link that leads nowhere"),
    "a link to itself": (lambda s, p: looping(s), {}, "ct: .*symbolic links"),
    "a name too long": (lambda s, p: None, {"image_uri": "/tmp/" + 300 * "x"}, "ct: .*name too long"),
    "a file in the place of a folder": (lambda s, p: None, {"image_uri": "/etc/hosts/ct"}, "ct: .*Not a directory"),
    "a zero byte in the name": (lambda s, p: None, {"image_uri": "/tmp/a\0b"}, "ct: .*Invalid argument"),
    "another user's home": (lambda s, p: None, {"image_uri": "~nobody-at-all/c"}, f"node {this_node()} sees nothing"),
    "another node's mount": (lambda s, p: shutil.rmtree(s.ct), {}, f"ct: node {this_node()} sees nothing there"),
}  # fmt: skip


@pytest.fixture(params=UNREADABLE)
def unreadable(request, scan, monkeypatch) -> tuple[Scan, dict, str]:
    """A scan that cannot be read, what its row differs in, and what is said of it."""
    spoil, changes, reason = UNREADABLE[request.param]
    spoil(scan, monkeypatch)
    return scan, changes, reason


def test_extraction_fails_the_scan_and_names_the_node(unreadable, tmp_path):
    """Not refused: no digest of content, a reason in the system's words, no path."""
    scan, changes, reason = unreadable
    row = scan.extracted(**changes)
    assert (row["status"], row["stage"], row["source_sha256"]) == ("failed", "source", "")
    assert re.search(reason, row["reason"]), row["reason"]
    assert f"node {this_node()}" in row["reason"]
    assert str(tmp_path) not in row["reason"]


def test_check_says_failed_too(unreadable):
    """The same words, and no verdict on the scan; what nobody saw before is refused there."""
    scan, changes, reason = unreadable
    verdict = check_scan(replace(scan.row, **changes))
    if "sees nothing" in reason:
        assert (verdict.verdict, verdict.text.split(";")[0]) == (
            "refused", "ct: wanted a file or folder, there is none",
        )  # fmt: skip
    else:
        assert verdict.verdict == "failed"
        assert re.search(reason, verdict.text), verdict.text


def test_the_first_look_never_raises(unreadable):
    """Neither of extraction nor of rescoring; without a stamp the scan's own task says what is wrong."""
    scan, changes, reason = unreadable
    row = replace(scan.row, **changes)
    assert isinstance(survey_scan(row), Survey)
    _, absent = rescore_input._stamp(row)
    assert absent == ("its image is not there" if "sees nothing" in reason else "")


def test_it_is_computed_once_it_can_be_read(scan, monkeypatch):
    """A failure is not kept: the next run has the scan."""
    with monkeypatch.context() as patch:
        fault_when_opened(patch, scan.a_slice, errno.EIO)
        row = scan.extracted()
    planned = plan_scan(scan.row, survey_scan(scan.row), Done({(*scan.row.key, "quick"): row}), scan.job, False)
    assert [o["status"] for o in process_scan(planned.task, scan.job)] == ["ok"]


def test_files_that_change_while_they_are_read_are_no_result(scan, monkeypatch):
    """Voxels of one state must not stand beside the digest of another."""
    real = scan_work.read_mask

    def later(*arguments):
        (scan.ct / "999.dcm").write_bytes(b"x")
        return real(*arguments)

    monkeypatch.setattr(scan_work, "read_mask", later)
    row = scan.extracted()
    assert (row["status"], row["reason"][:45]) == ("failed", "ct or its mask changed while it was read; run")


@pytest.mark.parametrize("how", ["by a fault of the disk", "by a file that changed", "by a file that vanished"])
def test_a_refusal_by_what_could_not_be_read_is_a_failure(scan, monkeypatch, how):
    """Readers turn every fault into a refusal; one that the files do not deserve must not stand for ever."""

    def opened(path: Path, series: str | None):
        if how == "by a fault of the disk":
            raise ScanError("slice 5 cannot be read") from OSError(errno.EIO, "x", str(path))
        if how == "by a file that changed":
            scan.a_slice.write_bytes(secrets.token_bytes(9))
        else:
            scan.a_slice.unlink()
        raise ScanError("a slice is missing")

    monkeypatch.setattr(scan_work, "open_ct", opened)
    assert scan.extracted()["status"] == "failed"
    monkeypatch.setattr(check, "survey_ct", opened)
    if how != "by a file that vanished":  # it is gone for good
        assert check_scan(scan.row).verdict == "failed"


def test_a_true_refusal_stands(scan):
    """Files that can be read and are wrong are refused as before, with their digest."""
    scan.a_slice.unlink()
    row = scan.extracted()
    assert (row["status"], row["stage"], bool(row["source_sha256"])) == ("refused", "image", True)


def test_an_absent_scan_is_refused_once_and_found_later(scan):
    """No new row says the same again; when the files are there, they are computed."""
    hidden = scan.ct.rename(scan.ct.with_name("hidden"))
    task = replace(scan.task(), seen=False)
    process_scan(task, scan.job)
    (row,) = ledger.read_ledger(scan.job.store).to_pylist()
    assert (row["status"], row["stage"]) == ("refused", "source")
    done = Done({(*scan.row.key, "quick"): row})
    again = plan_scan(scan.row, survey_scan(scan.row), done, scan.job, False).task
    assert [o["status"] for o in process_scan(again, scan.job)] == ["unchanged"]
    assert len(list(scan.job.store.list("ledger/commits"))) == 1
    hidden.rename(scan.ct)
    again = plan_scan(scan.row, survey_scan(scan.row), done, scan.job, False).task
    assert [o["status"] for o in process_scan(again, scan.job)] == ["ok"]


class Refusing:
    """A server that answers with an error code."""

    def __init__(self, code: str):
        self.code, self.uri = code, "s3://somewhere"

    def list(self, prefix: str):
        """As ``Store``."""
        from botocore.exceptions import ClientError

        fault = ClientError({"Error": {"Code": self.code, "Message": "m"}}, "ListObjectsV2")
        raise StoreError(f"store {self.uri}: cannot list {prefix}") from fault


@pytest.mark.parametrize("code", ["NoSuchBucket", "AccessDenied", "ExpiredToken"])
def test_a_server_that_refuses_costs_one_scan(scan, monkeypatch, code):
    """A missing bucket in one row of a manifest is that row's failure, in the server's word."""
    real = source._place
    monkeypatch.setattr(source, "_place", lambda uri: (Refusing(code), "k") if uri == "s3://x/ct" else real(uri))
    row = replace(scan.row, image_uri="s3://x/ct", image="s3://x/ct")
    assert survey_scan(row).stamp == ""
    found = scan.extracted(image_uri="s3://x/ct", image="s3://x/ct")
    assert found["status"] == check_scan(row).verdict == "failed"
    assert f"ct: cannot be read on node {this_node()}: the server says {code}; check" in found["reason"]


def test_an_empty_object_is_not_asked_for_its_first_bytes():
    """Some servers refuse a range of nothing (416)."""
    part = SimpleNamespace(key="k", size=0)
    assert source.head_bytes("s3://no/bucket", part, 10) == b""


@pytest.mark.slow
def test_an_empty_object_in_s3_costs_its_own_scan(scan, s3_store):
    """It is surveyed, fetched and refused for what it holds."""
    s3_store.put("p/ct/1.dcm", b"")
    s3_store.put("p/m.dcm", b"")
    uris = {"image_uri": f"{s3_store.uri}/p/ct", "mask_uri": f"{s3_store.uri}/p/m.dcm"}
    assert survey_scan(replace(scan.row, **uris)).seen
    assert scan.extracted(**uris)["status"] == "refused"


def prefix_of(scan: Scan, store: Store, path: Path) -> tuple[list, list]:
    """What is found below a prefix."""
    return find_series(str(path), store, b"key", ScansSettings(), "a")


def test_a_prefix_search_passes_over_what_cannot_be_read(scan, store, monkeypatch, tmp_path):
    """The bad file waits under a name of its own; the others are found, and nothing of the folder is kept."""
    root = tmp_path / "p"
    assert [len(found) for found in prefix_of(scan, store, root)] == [1, 0]
    for entry in list(store.list("incoming")):
        store.delete(entry.key)
    kept = len(list(store.list("incoming")))
    with monkeypatch.context() as patch:
        fault_when_opened(patch, scan.a_slice, errno.EIO)
        rows, waiting = prefix_of(scan, store, root)
    assert len(rows) == 1
    assert [w.reason for w in waiting] == [
        "a file or folder below the prefix cannot be read: Input/output error; check rights and disk"
    ]
    assert len(list(store.list("incoming"))) == kept + 1  # of the mask's folder, which was read
    (tmp_path / "p" / "locked").mkdir()
    with monkeypatch.context() as patch:
        fault_when_listed(patch, tmp_path / "p" / "locked", errno.EACCES)
        rows, waiting = prefix_of(scan, store, root)
    assert (len(rows), [w.reason.split(": ")[1] for w in waiting]) == (
        1,
        ["Permission denied; check rights and disk"],
    )


def test_a_prefix_search_over_moving_files_loses_only_these(scan, store, monkeypatch):
    """A file that is moved away between listing and reading is looked for by the next run."""
    real = incoming.head_bytes

    def moved(prefix, part, count):
        if part.key.endswith(scan_slice.name):
            raise FileNotFoundError(part.key)
        return real(prefix, part, count)

    scan_slice = scan.a_slice
    monkeypatch.setattr(incoming, "head_bytes", moved)
    rows, waiting = prefix_of(scan, store, scan.ct.parent)
    assert (len(rows), len(waiting)) == (1, 1)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe"])
def test_a_damaged_entry_of_what_is_kept_of_a_prefix_is_read_anew(scan, store, content):
    """It spares headers, nothing else; it is written anew."""
    expected = prefix_of(scan, store, scan.ct.parent)
    names = [entry.key for entry in store.list("incoming")]
    whole = {name: store.get(name) for name in names}
    for name in names:
        store.put(name, content)
    assert prefix_of(scan, store, scan.ct.parent) == expected
    assert {name: store.get(name) for name in names} == whole


def test_faults_without_words_are_named_by_kind():
    """The text of a foreign error is not repeated."""
    assert scan_source.reason_of(RuntimeError("SYNTHETIC")) == "RuntimeError"
