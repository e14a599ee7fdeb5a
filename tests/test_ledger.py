"""Commit, read and compact: a row counts once, whole, and whichever way it lies in the store."""

import json

import numpy as np
import pyarrow as pa
import pytest

from gc_ray import ledger, shards, tables
from gc_ray.errors import StoreError, TableError
from gc_ray.store import open_store

NAMES = ("original_shape_MeshVolume", "original_firstorder_Mean")
HASH = "0123456789abcdef"


@pytest.fixture
def store(tmp_path):
    """A local store that knows the feature names of the set ``test``."""
    store = open_store(str(tmp_path))
    store.put(f"radiomics/test/{HASH}/settings.json", json.dumps({"names": NAMES}).encode())
    return store


def identity(scan: int, generation: int = 1) -> dict:
    """The columns that say whose a row is."""
    return {
        "scan_id": f"s{scan:04d}",
        "reader": "R1",
        "repeat": 0,
        "roi": "",
        "patient_id": f"p{scan}",
        "site": "a",
        "generation": generation,
        "feature_set": "test",
    }


def ledger_row(scan: int, generation: int = 1, status: str = "ok", staged: str = "") -> dict:
    """A complete ledger row."""
    return identity(scan, generation) | {
        "phase": "pv",
        "status": status,
        "stage": "done",
        "reason": "",
        "notes": [],
        "missing": "{}",
        "geometry": "{}",
        "mask_voxels": 100,
        "object": staged,
        "source_stamp": "stamp",
        "source_sha256": "sha",
        "settings_hash": HASH,
        "code_version": "1-x",
        "seconds": 1.0,
        "peak_mb": 100.0,
    }


def add(store, scan: int, values=(1.0, 2.0), generation: int = 1) -> bool:
    """Stage and commit one scan's features."""
    staged = ledger.stage_features(store, identity(scan, generation), HASH, values)
    return ledger.commit(store, ledger_row(scan, generation, staged=staged))


@pytest.mark.parametrize("gone", ["a list", "a list and a shard", "a list and every shard"])
def test_a_copy_without_the_list_of_shards_has_every_row_or_is_refused(store, monkeypatch, gone):
    """A copy that was cut off may lack lists and shards: commits give the rows, values that are nowhere are named."""
    monkeypatch.setattr(shards, "SHARD_ROWS", 2)
    for scan in range(5):
        add(store, scan)
    ledger.compact(store)
    expected, values = ledger.read_ledger(store), ledger.read_features(store, "test")
    for folder in ("ledger/shards", f"radiomics/test/{HASH}"):
        shards.delete_all(store, [entry.key for entry in store.list(f"{folder}/lists")])
        held = shards.stored_shards(store, folder)
        shards.delete_all(store, held if "every" in gone else held[:1] if "and" in gone else [])
    assert ledger.read_ledger(store).equals(expected)
    if gone == "a list":
        assert ledger.read_features(store, "test").equals(values)
    else:
        with pytest.raises(TableError, match=r"rows are committed but .* are there"):
            ledger.read_features(store, "test")


def test_a_staged_row_without_its_ledger_row_is_not_there(store):
    """The ledger row commits: a worker killed between the two writes leaves nothing that a reader takes for whole."""
    add(store, 1)
    ledger.stage_features(store, identity(2), HASH, (5.0, 6.0))
    assert ledger.read_features(store, "test").column("scan_id").to_pylist() == ["s0001"]


def test_only_the_object_that_the_commit_names_is_read(store):
    """A worker killed before its commit, then other content: its orphan of the same generation is read by nobody."""
    ledger.stage_features(store, identity(1), HASH, (20836.0, 1.0))
    add(store, 1, (16744.0, 1.0))
    for _ in range(2):
        assert ledger.read_features(store, "test")[NAMES[0]].to_pylist() == [16744.0]
        ledger.compact(store)


@pytest.mark.parametrize("lost", ["shard", "list", "last list"])
def test_a_deleted_ledger_shard_or_list_is_an_error(store, monkeypatch, lost):
    """Rows are never missed in silence: the error names the object and the repair."""
    monkeypatch.setattr(shards, "SMALL_SHARD", 2)
    for scans in ((1, 2, 3), (4, 5)):
        for scan in scans:
            add(store, scan)
        ledger.compact(store)
    names = {
        "shard": "ledger/shards/shard-",
        "list": "ledger/shards/lists/00000001",
        "last list": "ledger/shards/lists/00000002",
    }
    store.delete(next(e.key for e in store.list("ledger/shards") if e.key.startswith(names[lost])))
    if lost == "list":
        assert ledger.read_ledger(store).num_rows == 5, "it was replaced"
    else:
        with pytest.raises(StoreError, match=r"ledger/shards/.* is gone.* gc-ray repair"):
            ledger.read_ledger(store)


def test_of_two_compactions_one_makes_the_next_list(store, monkeypatch):
    """The other reads anew: no row is lost, and each is there once."""
    add(store, 1)
    create, inner = type(store).create, []

    def overtaken(self, key, data):
        if "/shards/lists/" in key and not inner:
            inner.append(key)
            add(store, 2)
            ledger.compact(store)
        return create(self, key, data)

    monkeypatch.setattr(type(store), "create", overtaken)
    ledger.compact(store)
    assert ledger.read_ledger(store)["scan_id"].to_pylist() == ["s0001", "s0002"]
    assert ledger.read_features(store, "test").num_rows == 2
    (shard,) = shards.listed(store, ledger.SHARDS).names
    assert [e.key for e in store.list("ledger/shards") if "shard-" in e.key] == [shard]


def test_a_generation_commits_once(store):
    """Of two commits of one generation the second is dropped, also after the first was compacted."""
    assert add(store, 1, (1.0, 2.0)) is True
    assert add(store, 1, (9.0, 9.0)) is False
    ledger.compact(store)
    assert add(store, 1, (9.0, 9.0)) is False
    ledger.compact(store)
    assert ledger.read_features(store, "test").to_pylist()[0][NAMES[0]] == 1.0


def test_the_last_generation_wins(store):
    """A scan computed anew replaces its older row, staged or in a shard, and a refusal hides older values."""
    add(store, 1, (1.0, 2.0))
    add(store, 2, (1.0, 2.0))
    ledger.compact(store)
    add(store, 1, (3.0, 4.0), generation=2)
    ledger.commit(store, ledger_row(2, generation=2, status="refused"))
    assert [r[NAMES[0]] for r in ledger.read_features(store, "test").to_pylist()] == [3.0]
    ledger.compact(store)
    assert [r[NAMES[0]] for r in ledger.read_features(store, "test").to_pylist()] == [3.0]
    assert ledger.read_ledger(store).column("generation").to_pylist() == [2, 2]


def test_compaction_changes_no_table(store):
    """Readers get equal tables before, between and after compactions, bit for bit, NaN included."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 2))
    values[3, 1] = np.nan
    for scan in rng.permutation(40):
        add(store, int(scan), values[scan])
        if scan % 13 == 0:
            ledger.compact(store)
    before = ledger.read_features(store, "test")
    ledger.compact(store)
    after = ledger.read_features(store, "test")
    np.testing.assert_array_equal(np.column_stack([after.column(n).to_numpy() for n in NAMES]), values)
    assert before.drop_columns(NAMES[1]).equals(after.drop_columns(NAMES[1]))
    assert after.schema.equals(tables.RADIOMICS.schema(NAMES))


def test_small_shards_are_merged_and_staged_rows_are_gone_after_compaction(store):
    """Many small scheduled runs leave one shard, not hundreds."""
    for run in range(4):
        add(store, run)
        ledger.compact(store)
    names = [e.key for e in store.list("radiomics")] + [e.key for e in store.list("ledger/shards")]
    assert sum("shard-" in name for name in names) == 2
    assert not any("/staged/" in name for name in names)


def test_a_crash_within_compaction_loses_and_doubles_nothing(store, monkeypatch):
    """Shards are written before what they replace is deleted; the next compaction tidies up."""
    for scan in range(5):
        add(store, scan)
    expected = ledger.read_features(store, "test")
    with monkeypatch.context() as patch:
        patch.setattr(type(store), "delete", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            ledger.compact(store)
    assert ledger.read_features(store, "test").equals(expected)
    ledger.compact(store)
    assert ledger.read_features(store, "test").equals(expected)
    assert not list(store.list(f"radiomics/test/{HASH}/staged"))


def test_two_settings_in_one_feature_set_must_be_told_apart(store):
    """Rows of different settings are never mixed: the reader must say which it wants."""
    other = "f" * 16
    store.put(f"radiomics/test/{other}/settings.json", json.dumps({"names": NAMES}).encode())
    add(store, 1)
    staged = ledger.stage_features(store, identity(2), other, (7.0, 8.0))
    ledger.commit(store, ledger_row(2, staged=staged) | {"settings_hash": other})
    with pytest.raises(TableError, match=f"wanted one settings hash .* found {HASH}, {other}"):
        ledger.read_features(store, "test")
    assert ledger.read_features(store, "test", other).column("scan_id").to_pylist() == ["s0002"]


def test_rows_of_different_versions_are_never_one_table(store):
    """Half a cohort computed before an upgrade and half after it is an error that says what to run."""
    for scan, version in ((1, "1-old"), (2, "1-new")):
        staged = ledger.stage_features(store, identity(scan), HASH, (1.0, 2.0))
        ledger.commit(store, ledger_row(scan, staged=staged) | {"code_version": version})
    with pytest.raises(TableError, match="test rows come from versions 1-new, 1-old of code or libraries"):
        ledger.read_features(store, "test")


def test_a_deleted_object_is_an_error_and_not_a_missing_row(store):
    """A committed row whose values were removed by hand is named, never silently left out."""
    add(store, 1)
    for entry in list(store.list(f"radiomics/test/{HASH}/staged")):
        store.delete(entry.key)
    with pytest.raises(TableError, match="1 test rows are committed but 0 are there"):
        ledger.read_features(store, "test")


@pytest.mark.parametrize(
    "spoil", [lambda data: data[:-9], lambda data: data.replace(b"\x7f", b"\x3f"), lambda data: b""]
)
def test_a_damaged_object_is_never_taken_for_values(store, spoil):
    """Its digest is in its name: it gets into no shard and no table, its scan is named, and it can be put back."""
    for scan in (1, 2):
        add(store, scan, (float("inf"), 2.0))
    expected = ledger.read_features(store, "test")
    row = ledger.read_ledger(store).to_pylist()[1]
    data = store.get(row["object"])
    store.put(row["object"], spoil(data))
    assert store.get(row["object"]) != data
    assert ledger.read_staged(store, row) is None and not ledger.is_whole(store, row["object"])
    for _ in range(2):
        with pytest.raises(TableError, match="2 test rows are committed but 1 are there, that of scan s0002 is not"):
            ledger.read_features(store, "test")
        ledger.compact(store)
    assert ledger.read_features_of(store, [row]).num_rows == 0
    store.put(row["object"], data)
    assert ledger.read_features(store, "test").equals(expected)


def test_a_damaged_ledger_row_is_named_and_can_be_committed_anew(store):
    """Nobody can tell whose it was, so nothing goes on without it; a copy in a shard serves in its place."""
    add(store, 1)
    name, held = ledger.commit_name(identity(1)), ledger.read_ledger(store).to_pylist()
    whole = store.get(name)
    store.put(name, whole[:99])
    with pytest.raises(TableError, match=f"ledger row {name} is damaged; put it back .* gc-ray repair"):
        ledger.read_ledger(store)
    store.delete(name)
    assert ledger.read_ledger(store).num_rows == 0
    assert add(store, 1)
    ledger.compact(store)
    store.put(name, whole[:99])
    assert ledger.read_commits(store, held) == held
    store.delete(name)
    assert ledger.read_commits(store, held) == held


def test_a_row_that_does_not_fit_the_schema_is_not_committed(store):
    """A wrong type or column is an error at the writer, not a surprise at a reader."""
    with pytest.raises(TableError, match=r"lacks \['status'\]"):
        ledger.commit(store, {k: v for k, v in ledger_row(1).items() if k != "status"})
    with pytest.raises(TableError, match="does not fit"):
        ledger.commit(store, ledger_row(1) | {"seconds": "long"})
    assert list(store.list("ledger")) == []


def test_an_empty_store_has_an_empty_ledger(store):
    """No run yet: an empty table of the right schema, so that the first plan needs no special case."""
    assert ledger.read_ledger(store).equals(
        pa.table([[]] * len(tables.LEDGER.columns), schema=tables.LEDGER.schema())
    )


def test_a_full_shard_is_left_alone(store, monkeypatch):
    """Shards of enough rows are never rewritten, so compaction costs what is new, not what is there."""
    monkeypatch.setattr(shards, "SMALL_SHARD", 3)
    for scan in range(4):
        add(store, scan)
    ledger.compact(store)
    first = {e.key for e in store.list("radiomics") if "shard-" in e.key}
    add(store, 9)
    ledger.compact(store)
    assert first < {e.key for e in store.list("radiomics") if "shard-" in e.key}
