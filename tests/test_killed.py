"""A run killed at any write or delete, and another source or code when it is begun again: no value is lost or old."""

import itertools

import pytest

from gc_ray import ledger, sealed
from gc_ray.errors import StoreError
from gc_ray.merge import merge
from gc_ray.runtime.verify import verify
from gc_ray.store import Entry
from gc_ray.store_format import prepare

HASH = "0" * 16
SCANS = ("s1", "s2", "s3")
NAMES = ("scan_id", "reader", "repeat", "roi", "patient_id", "site", "generation", "feature_set")


class Killed(BaseException):
    """The process is gone."""


class Memory:
    """A store in memory: thousands of small writes take no time."""

    uri = "memory"

    def __init__(self):
        self.objects: dict[str, bytes] = {}

    def put(self, key, data):
        self.objects[key] = data

    def create(self, key, data):
        return self.objects.setdefault(key, data) is data

    def get(self, key):
        try:
            return self.objects[key]
        except KeyError:
            raise FileNotFoundError(key) from None

    def head(self, key, count):
        return self.get(key)[:count]

    def list(self, prefix):
        below = f"{prefix}/" if prefix else ""
        keys = [key for key in list(self.objects) if key == prefix or key.startswith(below)]
        return iter([Entry(key, len(self.objects[key]), "") for key in sorted(keys) if key in self.objects])

    def delete(self, key):
        self.objects.pop(key, None)


class Mortal(Memory):
    """The same store for a process that is killed at its n-th write or delete: before it takes effect, or after."""

    def __init__(self, store: Memory, n: int, after: bool):
        self.objects, self._left, self._after = store.objects, n, after

    def _act(self, call, *arguments):
        self._left -= 1
        if self._left < 0 or (self._left == 0 and not self._after):  # below 0: its other threads
            raise Killed
        found = call(*arguments)
        if self._left == 0:
            raise Killed
        return found

    def put(self, key, data):
        return self._act(super().put, key, data)

    def create(self, key, data):
        return self._act(super().create, key, data)

    def delete(self, key):
        return self._act(super().delete, key)


def extract(store, source: dict[str, float], code: str) -> None:
    """What a run does of scans that are new, of other content or computed by other code; then a compaction."""
    sealed.put(store, f"radiomics/test/{HASH}/settings.json", {"names": ["x"]})
    held = {row["scan_id"]: row for row in ledger.read_ledger(store).to_pylist()}
    for scan, value in source.items():
        before = held.get(scan)
        if before and (before["source_sha256"], before["code_version"]) == (str(value), code):
            continue
        row = {
            "scan_id": scan, "reader": "R1", "repeat": 0, "roi": "", "patient_id": "p", "site": "a", "phase": "pv",
            "generation": before["generation"] + 1 if before else 1, "feature_set": "test", "status": "ok",
            "stage": "done", "reason": "", "notes": [], "missing": "{}", "geometry": "{}", "mask_voxels": 9,
            "source_stamp": "t", "source_sha256": str(value), "settings_hash": HASH, "code_version": code,
            "seconds": 1.0, "peak_mb": 1.0,
        }  # fmt: skip
        staged = ledger.stage_features(store, {name: row[name] for name in NAMES}, HASH, [value + len(code)])
        ledger.commit(store, row | {"object": staged})
    ledger.compact(store)


def values(store) -> dict[str, float]:
    """What readers get."""
    return {row["scan_id"]: row["x"] for row in ledger.read_features(store, "test").to_pylist()}


def source_of(base: float) -> dict[str, float]:
    """Three scans."""
    return {scan: base + i for i, scan in enumerate(SCANS)}


def expected(source: dict[str, float], code: str) -> dict[str, float]:
    """The features of a source by some code."""
    return {scan: value + len(code) for scan, value in source.items()}


def kill(store: Memory, n: int, after: bool, work) -> bool:
    """Whether the work was killed at its n-th write; False when it ended before."""
    try:
        work(Mortal(store, n, after))
    except Killed:
        return True
    return False


@pytest.mark.parametrize("changed", ["nothing", "source", "code", "merged in between"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_run_killed_at_any_write_ends_as_if_it_had_not_been(after, changed):
    """All points of staging, commit and compaction, then the same run again, or one with another source or code."""
    points = 0
    for n in itertools.count(1):
        store, source, code = Memory(), source_of(20 if changed == "source" else 10), "1"
        prepare(store)
        extract(store, {"s1": 1.0}, "1")  # a small shard is there, which is merged
        if not kill(store, n, after, lambda store: extract(store, source_of(10), "1")):
            break
        points += 1
        seen = values(store)
        allowed = {"s1": 2.0} | expected(source_of(10), "1")
        assert all(value in (allowed[scan], 2.0) for scan, value in seen.items()), "killed, not begun again"
        if changed == "code":
            code = "22"
        if changed == "merged in between":
            assert values_or_none(merge_into, store, Memory()) in (None, seen)
        extract(store, source, code)
        assert values(store) == expected(source, code)
        assert n % 5 or verify(store).problems == ()
    assert points >= 15


def merge_into(source, other) -> dict[str, float]:
    """What a merged store gives."""
    merge([source], other)
    return values(other)


def values_or_none(call, *arguments):
    """What a call gives; None when there is nothing of the kind yet."""
    try:
        return call(*arguments)
    except ValueError:
        return None


@pytest.mark.parametrize("changed", ["nothing", "source"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_merge_killed_at_any_write_ends_as_if_it_had_not_been(after, changed):
    """Merged again, also from a store that was computed anew: its values, or refused by name, never others."""
    points = 0
    for n in itertools.count(1):
        site, into = Memory(), Memory()
        extract(site, source_of(10), "1")
        if not kill(into, n, after, lambda store, site=site: merge([site], store)):
            break
        points += 1
        if changed == "source":
            extract(site, source_of(20), "1")
        try:
            merge([site], into)
            assert values(into) == values(site)
            assert n % 5 or verify(into).problems == ()
        except StoreError as error:
            assert changed == "source" and "has different results" in str(error)
            held = {row["scan_id"]: row["source_sha256"] for row in ledger.read_ledger(into).to_pylist()}
            ledger.compact(into)
            assert {scan: value - 1 for scan, value in values(into).items()} == {s: float(v) for s, v in held.items()}
    assert points >= 10
