"""Merging stores: nothing is written when they contradict each other."""

import json

import pytest

from gc_ray import ledger
from gc_ray.errors import StoreError
from gc_ray.merge import merge
from gc_ray.store import open_store

HASH = "0" * 16


@pytest.fixture
def site(tmp_path):
    """A function that makes a store with one committed scan."""

    def make(name: str, scan: str, value: float = 1.0, **changes):
        store = open_store(str(tmp_path / name))
        row = {"scan_id": scan, "reader": "R1", "repeat": 0, "roi": "", "patient_id": "p", "site": name}
        row |= {"generation": 1, "feature_set": "test"}
        folder = ledger.settings_folder("test", changes.get("settings_hash", HASH))
        store.put(f"{folder}/settings.json", json.dumps({"names": ["x"]}).encode())
        staged = ledger.stage_features(store, row, changes.get("settings_hash", HASH), [value])
        row |= {"status": "ok", "stage": "done", "reason": "", "notes": [], "missing": "{}", "geometry": "{}"}
        row |= {"mask_voxels": 9, "object": staged, "source_stamp": "t", "source_sha256": f"sha{value}"}
        row |= {"phase": "pv", "settings_hash": HASH, "code_version": "1", "seconds": 1.0, "peak_mb": 1.0}
        ledger.commit(store, row | changes)
        return store

    return make


def test_two_sites_become_one_table(site, tmp_path):
    """Rows of both, values kept; a second merge adds nothing."""
    into = open_store(str(tmp_path / "all"))
    stores = [site("a", "s1", 1.0), site("b", "s2", 2.0)]
    assert merge(stores, into).added == 2
    assert ledger.read_features(into, "test").column("x").to_pylist() == [1.0, 2.0]
    again = merge(stores, into)
    assert (again.added, again.present) == (0, 2)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"scan": "s1", "value": 2.0}, "scan s1 reader R1 .* has different results in .*a and .*b; scan ids must be"),
        ({"scan": "s2", "settings_hash": "1" * 16}, "computed with different settings or library versions"),
        ({"scan": "s2", "code_version": "2"}, "computed with different settings or library versions"),
    ],
)
def test_contradicting_stores_are_refused_before_anything_is_written(site, tmp_path, other, message):
    """One key with two results, or one feature set with two recipes, never stand in one table."""
    into = open_store(str(tmp_path / "all"))
    with pytest.raises(StoreError, match=message):
        merge([site("a", "s1"), site("b", **other)], into)
    assert list(into.list("")) == []


@pytest.mark.parametrize(
    "name",
    [
        "../../outside.arrow", "/etc/passwd", "radiomics/test/0000000000000000/../../../x",
        "ledger/commits/a.json", "radiomics/test/0000000000000000/settings.json",
    ],
)  # fmt: skip
def test_a_store_that_names_objects_elsewhere_is_refused(site, tmp_path, name):
    """A foreign store cannot make this one read or write outside its own folders; nothing is committed."""
    into = open_store(str(tmp_path / "all" / "deeper"))
    with pytest.raises(StoreError, match=r"scan s1 .* names an object outside its own folder"):
        merge([site("a", "s1", object=name)], into)
    assert ledger.read_ledger(into).num_rows == 0
    assert {path.name for path in (tmp_path / "all").iterdir()} == {"deeper"}


def test_values_that_are_damaged_at_the_site_are_not_taken(site, tmp_path):
    """The site repairs its store first."""
    store = site("a", "s1")
    name = ledger.read_ledger(store)["object"][0].as_py()
    store.put(name, store.get(name)[:-1] + b"x")
    with pytest.raises(StoreError, match="the values of 1 test rows are gone or damaged; run gc-ray repair"):
        merge([store], open_store(str(tmp_path / "all")))
