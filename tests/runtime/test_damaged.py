"""Damaged objects of the store where new scans are scored: each costs its own scan alone, and that not for ever."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from gc_ray import ledger
from gc_ray.runtime import audit
from gc_ray.runtime.rescore import rescore
from gc_ray.runtime.train import unwatched
from gc_ray.store import Store, open_store

Spoil = Callable[[bytes], bytes]


def results(store: Store, bundle_id: str) -> pa.Table:
    """The scores without what a run may differ in."""
    return audit.read_whole_scores(store, bundle_id).drop_columns(["scored_at", "run"])


def killed(frozen, store: Store, scored: int) -> None:
    """A run that ends when so many scans are scored, with nothing compacted; 0: before their features are read."""
    begun, told = [], []

    def watch(totals: dict[str, int]) -> Callable[[str, str], None]:
        begun.append(totals)
        if len(begun) == 2 and not scored:
            raise KeyboardInterrupt
        return tell

    def tell(site: str, status: str) -> None:
        told.append(status)
        if told.count("scored") == scored > 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rescore(frozen.request(store), watch, "rescore-0")


@pytest.fixture(scope="module")
def extracted(frozen, tmp_path_factory) -> tuple[Path, pa.Table]:
    """(a store with the features of all new scans and no score, what an undisturbed run makes of them)."""
    folder, other = tmp_path_factory.mktemp("extracted"), tmp_path_factory.mktemp("expected")
    killed(frozen, open_store(str(folder)), 0)
    shutil.copytree(folder, other, dirs_exist_ok=True)
    found = rescore(frozen.request(open_store(str(other))), unwatched, "rescore-1")
    return folder, results(open_store(str(other)), found.bundle_id)


def half(data: bytes) -> bytes:
    """What a full disk leaves."""
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    """One bit of the stored values, of which the file's own structure knows nothing."""
    at = data.rindex(b"\x40")  # a byte of a positive double
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize(
    ("spoil", "mend"),
    [(half, "left"), (half, "removed"), (flipped, "left"), (flipped, "put back"), (None, "left")],
    ids=["cut", "cut-removed", "flipped", "flipped-put-back", "gone"],
)
def test_damaged_features_cost_their_own_scan_and_are_computed_anew(frozen, extracted, tmp_path, spoil, mend):
    """The scan is failed by its object's name, the others are scored; the next run has it, whatever was done."""
    folder, expected = extracted
    store = open_store(str(shutil.copytree(folder, tmp_path / "store")))
    row = next(
        row for row in ledger.read_ledger(store).to_pylist() if row["scan_id"] == expected["scan_id"][3].as_py()
    )
    data = store.get(row["object"])
    if spoil is None:
        store.delete(row["object"])
    else:
        store.put(row["object"], spoil(data))
    found = rescore(frozen.request(store), unwatched, "rescore-1")
    (failed,) = found.failed
    said = f"quick: its object {row['object']} is gone or damaged; run this again to compute it anew"
    assert (failed.scan_id, failed.reason) == (row["scan_id"], said)
    assert (found.scored + found.refused, found.already, found.waiting) == (7, 0, ())
    assert json.loads(store.get("runs/rescore-1.json"))["exit_code"] == 3
    others = expected.filter(pa.array([scan != row["scan_id"] for scan in expected["scan_id"].to_pylist()]))
    assert results(store, found.bundle_id).equals(others)
    if mend == "removed":
        store.delete(row["object"])
    if mend == "put back":
        store.put(row["object"], data)
    again = rescore(frozen.request(store), unwatched, "rescore-2")
    assert (again.scored + again.refused, again.already, again.failed) == (1, 7, ())
    assert results(store, found.bundle_id).equals(expected)
    last = rescore(frozen.request(store), unwatched, "rescore-3")
    assert (last.scored + last.refused, last.already, last.failed) == (0, 8, ())


def test_a_damaged_result_is_named_and_scored_anew_once_it_is_deleted(frozen, extracted, tmp_path):
    """It was a commit, so nobody writes over it; the scores of the others are read."""
    folder, expected = extracted
    store = open_store(str(shutil.copytree(folder, tmp_path / "store")))
    killed(frozen, store, 3)
    name = next(entry.key for entry in store.list("audit"))
    row = json.loads(store.get(name))
    store.put(name, half(store.get(name)))
    found = rescore(frozen.request(store), unwatched, "rescore-1")
    (failed,) = found.failed
    assert failed.scan_id == row["scan_id"]
    assert failed.reason == f"result {name} is damaged; delete it and run this again, which scores its scan anew"
    assert found.scored + found.refused + found.already == 7
    assert results(store, found.bundle_id).num_rows == 7
    store.delete(name)
    again = rescore(frozen.request(store), unwatched, "rescore-2")
    assert (again.scored + again.refused, again.already, again.failed) == (1, 7, ())
    assert results(store, found.bundle_id).equals(expected)
