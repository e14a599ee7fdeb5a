"""Merging stores: nothing is written when they contradict each other."""

import json

import pytest

from gc_ray import ledger
from gc_ray.errors import StoreError
from gc_ray.merge import merge
from gc_ray.store import open_store
from gc_ray.store_format import prepare

HASH = "0" * 16


@pytest.fixture
def site(tmp_path):
    """A function that makes a store with one committed scan."""

    def make(name: str, scan: str, value: float = 1.0, **changes):
        store = open_store(str(tmp_path / name))
        row = {"scan_id": scan, "reader": "R1", "repeat": 0, "roi": "", "patient_id": f"p-{name}", "site": name}
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


def test_one_number_at_two_sites_is_two_patients_unless_ids_are_shared(site, tmp_path):
    """Rows of two hospitals' patients 7 never stand under one id; referred patients do where the caller says so."""
    into = open_store(str(tmp_path / "all"))
    stores = [site("a", "s1", patient_id="7", site="A"), site("b", "s2", patient_id="7", site="B")]
    with pytest.raises(StoreError, match=r"1 are at several: 7 \(A in store .*a, B in store .*b\); correct the site"):
        merge(stores, into)
    assert list(into.list("")) == []
    assert merge(stores, into, shared=True).added == 2


def test_a_store_that_holds_the_number_already_refuses_another_sites(site, tmp_path):
    """Merged one after the other they are no less two patients; a site typed in another way is the same site."""
    into = open_store(str(tmp_path / "all"))
    merge([site("a", "s1", patient_id="7", site="A")], into)
    assert merge([site("a2", "s3", patient_id="7", site="a ")], into).added == 1
    with pytest.raises(StoreError, match=r"7 \(A in store"):
        merge([site("b", "s2", patient_id="7", site="B")], into)


def test_a_scan_that_two_stores_give_to_two_patients_is_refused(site, tmp_path):
    """The one that comes second would be dropped without a word."""
    stores = [site("a", "s1", patient_id="7", site="A"), site("b", "s1", patient_id="8", site="A")]
    with pytest.raises(StoreError, match=r"scan s1 reader R1 \(test\) has patient_id '7' in .* and '8' in"):
        merge(stores, open_store(str(tmp_path / "all")))


def test_a_site_whose_store_is_not_there_is_not_left_out_in_silence(site, tmp_path):
    """A typing error in an address; a store that has begun and holds no row yet is one."""
    into, begun = open_store(str(tmp_path / "all")), open_store(str(tmp_path / "begun"))
    with pytest.raises(StoreError, match=r"nowhere: wanted a site's store, nothing is there; correct the address"):
        merge([site("a", "s1"), open_store(str(tmp_path / "nowhere"))], into)
    assert list(into.list("")) == []
    prepare(begun)
    assert merge([site("a", "s1"), begun], into).added == 1
