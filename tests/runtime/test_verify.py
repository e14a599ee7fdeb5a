"""Damage of a store: never read as good, named by verify, and repaired, or computed anew by the next run."""

import random
import shutil
import sys
from pathlib import Path

import pytest

from gc_ray import ledger, sealed
from gc_ray.errors import InputError, StoreError
from gc_ray.run_records import write_record
from gc_ray.runtime.clean import age_seconds, clean
from gc_ray.runtime.repair import repair
from gc_ray.runtime.verify import verify
from gc_ray.runtime.verify_bytes import look, named_digests
from gc_ray.store import LocalStore, open_store

DATA = Path(__file__).parents[1] / "data"
FLIPS = 200
REFUSED = "refused"


@pytest.fixture(scope="module")
def kinds():
    """The module that makes a store with every kind of object."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DATA))
        import every_kind

        yield every_kind
    for name in ("every_kind", "make_store_0_1_0"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def everything(kinds, tmp_path_factory) -> Path:
    """A store with every kind of object."""
    folder = tmp_path_factory.mktemp("everything")
    kinds.fill(open_store(str(folder / "store")), folder)
    return folder / "store"


@pytest.fixture
def store(everything, tmp_path) -> LocalStore:
    """A copy of it."""
    return open_store(str(shutil.copytree(everything, tmp_path / "store")))


def test_a_store_of_every_kind_is_whole(store):
    """Nothing is wrong, and nothing is left over but what a probe or a killed worker leaves."""
    found = verify(store)
    assert found.problems == ()
    assert found.objects == len(list(store.list(""))) > 80
    assert clean(store, 1e12, False).leftovers == ()


def flipped(data: bytes, rng: random.Random) -> bytes:
    """The bytes with one bit changed."""
    bit = rng.randrange(8 * len(data))
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_every_object_with_a_flipped_bit_is_named(store):
    """One bit of every object at once, three times: first of those that a card names, then of all others."""
    rng = random.Random(3)
    whole = {entry.key: store.get(entry.key) for entry in store.list("") if entry.size}
    named = {name for part in named_digests(look(store, list(whole)).content).values() for name in part}
    for names in (named, whole.keys() - named) * 3:
        for name in names:
            store.put(name, flipped(whole[name], rng))
        assert names <= {problem.name for problem in verify(store).problems}
        for name in names:
            store.put(name, whole[name])
    assert verify(store).problems == ()


def test_no_flipped_bit_is_read_as_good(everything, kinds):
    """One bit of one object, of each kind of object alike: readers give what they gave before, or refuse."""
    store, rng = open_store(str(everything)), random.Random(4)
    expected = kinds.values(store)
    kept = kinds_of(store)
    for flip in range(FLIPS):
        name = rng.choice(kept[sorted(kept)[flip % len(kept)]])
        data = store.get(name)
        store.put(name, flipped(data, rng))
        try:
            for each in rng.sample(sorted(kinds.READERS), 3):
                found = read_by(kinds.READERS[each], store)
                # of two states of a training that was cut off the one before stands for a damaged one
                assert found in (REFUSED, expected[each]) or (each, found) == ("states", None), (name, each)
        finally:
            store.put(name, data)


def kinds_of(store) -> dict[str, list[str]]:
    """Names of objects with content, by their folder without ids and their ending."""
    found: dict[str, list[str]] = {}
    for entry in store.list(""):
        folder, _, name = entry.key.rpartition("/")
        if entry.size:
            found.setdefault(f"{folder}/{name.rpartition('.')[2]}", []).append(entry.key)
    return found


def read_by(reader, store):
    """What a reader gives, or that it refuses."""
    try:
        return reader(store)
    except (InputError, LookupError):
        return REFUSED


def test_any_object_that_is_deleted_is_named_or_made_again(everything, kinds):
    """Verify names it; else the next run makes it again, or it was nothing that a reader needs."""
    store = open_store(str(everything))
    expected, unnamed = kinds.values(store), []
    for name in (names[len(names) // 2] for names in kinds_of(store).values()):
        data = store.get(name)
        store.delete(name)
        if not verify(store).problems:
            unnamed.append(name)
        store.put(name, data)
    # caches, and commits that no shard holds yet with their marks: the next run computes those scans
    again = ("views/", "incoming/", "checkpoints/", "tune/", "controls/", "ledger/contents/", "ledger/loose/")
    loose = {name.replace("loose", "commits") for name in (e.key for e in store.list("ledger/loose"))}
    scored = {f"audit/{e.key.removeprefix('scores/loose/')}" for e in store.list("scores/loose")}
    assert [n for n in unnamed if not n.startswith((*again, "scores/loose/")) and n not in loose | scored] == []
    assert kinds.values(store) == expected


def test_an_object_under_the_name_of_another_is_named(store):
    """Each object has the content of the one before it, of those that a card names and then of all others."""
    whole = {entry.key: store.get(entry.key) for entry in store.list("") if entry.size}
    named = {name for part in named_digests(look(store, list(whole)).content).values() for name in part}
    for names in (sorted(named), sorted(whole.keys() - named)):
        for ending in {name.rpartition(".")[2] for name in names}:
            mine = [name for name in names if name.endswith(f".{ending}")]
            pairs = list(zip(mine, mine[-1:] + mine[:-1], strict=True))
            for name, before in pairs:
                store.put(name, whole[before])
            moved = {name for name, before in pairs if whole[name] != whole[before]}
            assert moved <= {problem.name for problem in verify(store).problems}
            for name in mine:
                store.put(name, whole[name])
    assert verify(store).problems == ()


@pytest.mark.parametrize("damage", ["flipped", "deleted"])
@pytest.mark.parametrize(
    "what",
    [
        "ledger/shards/shard-", "ledger/shards/lists/", "ledger/commits/", "scores/bundles/bundle/shard-", "audit/",
        "scores/bundles/bundle/lists/", "radiomics/ours/*/lists/", "radiomics/ours/*/settings.json", "format.json",
        "latest-run.json", "runs/", "views/", "controls/", "ledger/contents/",
    ],
)  # fmt: skip
def test_what_can_be_rebuilt_is_rebuilt_with_the_same_values(store, kinds, what, damage):
    """Shards and lists from commits, commits from shards, names from shards; every value is as before."""
    expected = kinds.values(store)
    begin, _, end = what.partition("*")
    name = next(e.key for e in store.list("") if e.key.startswith(begin) and e.key.partition(begin)[2].count(end))
    damaged(store, name, damage)
    done = repair(store)
    assert done.left == ()
    found = kinds.values(store)
    held = {table: rows for table, rows in found.items() if table != "ledger"}
    assert held == {table: rows for table, rows in expected.items() if table != "ledger"}
    assert found["ledger"] == expected["ledger"]
    assert verify(store).problems == ()


@pytest.mark.parametrize("damage", ["flipped", "deleted"])
@pytest.mark.parametrize("what", ["volumes/", "radiomics/quick/", "radiomics/ours/"])
def test_rows_whose_values_are_gone_are_marked_to_be_computed_anew(store, kinds, what, damage):
    """Each gets a next generation that failed, with the reason; the others stay; a second repair does nothing."""
    name = next(e.key for e in store.list(what) if "/shard-" in e.key or "/staged/" in e.key or what == "volumes/")
    before = {tuple(row[n] for n in ledger.KEY): row for row in ledger.read_ledger(store).to_pylist()}
    damaged(store, name, damage)
    assert repair(store).left == ()
    after = {tuple(row[n] for n in ledger.KEY): row for row in ledger.read_ledger(store).to_pylist()}
    changed = {key for key in after if after[key] != before[key]}
    assert len(changed) == (36 if "ours" in what else 1)
    for key in changed:
        row = after[key]
        assert (row["status"], row["stage"], row["generation"]) == ("failed", "store", 2)
        assert row["reason"].endswith("is gone or damaged; run this again to compute it anew")
    assert repair(store).done == ()
    assert verify(store).problems == ()


def damaged(store: LocalStore, name: str, damage: str) -> None:
    """Flip a bit of an object, or delete it."""
    data = store.get(name)
    if damage == "deleted" or not data:
        store.delete(name)
    else:
        store.put(name, data[:-20] + bytes([data[-20] ^ 1]) + data[-19:])


def test_a_whole_object_is_never_deleted_by_a_repair(store):
    """Of a store that is whole nothing changes; what has to go is kept below set-aside/."""
    before = {entry.key: entry.stamp for entry in store.list("")}
    done = repair(store)
    assert (done.done, done.left) == ((), ())
    assert {entry.key: entry.stamp for entry in store.list("")} == before
    card = next(e.key for e in store.list("signatures") if e.key.endswith("card.json"))
    table = next(e.key for e in store.list("scores/old"))
    whole = store.get(card)
    damaged(store, table, "flipped")
    left = {problem.name for problem in repair(store).left}
    assert left == {card}
    assert store.get(f"set-aside/{card}") == whole


def test_what_nothing_names_is_listed_and_deleted_only_when_asked(store):
    """An orphan of a killed worker, a shard no list names, a probe's object, a file that was never finished."""
    row = {**ledger.read_ledger(store).to_pylist()[0], "scan_id": "orphan", "feature_set": "quick"}
    names = ("scan_id", "reader", "repeat", "roi", "patient_id", "site", "generation", "feature_set")
    folder = next(e.key for e in store.list("radiomics/quick") if "/staged/" in e.key).split("/")[2]
    orphan = ledger.stage_features(store, {name: row[name] for name in names}, folder, [1.0] * 5)
    store.put("ledger/loose/" + "0" * 32 + ".g0001.json", b"")
    store.put("runs/probe-0", b"probe")
    shard = next(e.key for e in store.list("ledger/shards") if "shard-" in e.key)
    other = shard.replace("/shards/shard-0036-", "/shards/shard-0036-a")
    store.put(other, store.get(shard))
    Path(store.root, "ledger", ".tmp-0123").write_bytes(b"half")
    before = {entry.key for entry in store.list("")}
    wanted = {orphan, "runs/probe-0", "ledger/loose/" + "0" * 32 + ".g0001.json", "ledger/.tmp-0123", other}
    assert clean(store, 0.0, True).leftovers == (), "all of it is younger"
    assert {leftover.name for leftover in clean(store, 1e12, False).leftovers} == wanted
    assert {entry.key for entry in store.list("")} == before
    assert {leftover.name for leftover in clean(store, 1e12, True).leftovers} == wanted
    assert {entry.key for entry in store.list("")} == before - wanted
    assert verify(store).problems == ()


def test_a_damaged_store_is_not_cleaned(store):
    """What is damaged may name what would be deleted."""
    store.delete(next(e.key for e in store.list("ledger/shards") if "shard-" in e.key))
    with pytest.raises(InputError, match=r"problems, the first is ledger/.* run gc-ray repair"):
        clean(store, 1e12, True)


@pytest.mark.parametrize(("text", "seconds"), [("7d", 604800), ("12h", 43200), ("30m", 1800)])
def test_ages(text, seconds):
    """Days, hours, minutes."""
    assert age_seconds(text) == seconds
    with pytest.raises(InputError, match="wanted a number with d, h or m"):
        age_seconds(f"-{text}")


def test_a_deleted_run_record_is_named_by_the_one_after_it(store):
    """The chain of records, and the object that names the last."""
    names = [entry.key for entry in store.list("runs")]
    for name in names:
        data = store.get(name)
        store.delete(name)
        assert name in {problem.name for problem in verify(store).problems}
        store.put(name, data)
    assert sealed.read(store, "latest-run.json")["run"] == "tune-1"


def test_a_commit_that_is_deleted_before_it_is_compacted_is_named_by_the_record_of_its_run(store):
    """A repair then says in the record what is lost; nothing is wrong any more, and the next run computes it."""
    row = {**ledger.read_ledger(store).to_pylist()[0], "scan_id": "new", "status": "refused", "object": ""}
    before = ledger.read_ledger(store, ())
    ledger.commit(store, row)
    commit = ledger.commit_name(row)
    assert ledger.commits_since(store, before) == [commit]
    write_record(store, "extract-9", {"run": "extract-9"}, [commit])
    assert verify(store).problems == ()
    store.delete(commit)
    assert {problem.name for problem in verify(store).problems} == {commit}
    assert repair(store).left == ()
    assert sealed.read(store, "runs/extract-9.json")["lost_commits"] == [commit]
    assert ledger.commit(store, row) and verify(store).problems == ()


def test_a_record_that_is_written_again_keeps_its_place(tmp_path):
    """A run that others had given up writes its own record: all records stay named by another."""
    store = open_store(str(tmp_path))
    for run in ("a", "b", "c", "b"):
        write_record(store, run, {"run": run})
    assert [sealed.read(store, f"runs/{run}.json")["before"] for run in "abc"] == ["", "a", "b"]
    assert sealed.read(store, "latest-run.json")["run"] == "c"


@pytest.mark.parametrize("files", [(), ("scan/1.dcm", "notes.json")])
def test_a_place_without_a_store_is_no_store_that_is_whole(tmp_path, files):
    """A typing error in the address of a nightly check."""
    store = open_store(str(tmp_path / "other"))
    for name in files:
        store.put(name, b"x")
    with pytest.raises(StoreError, match=rf"wanted what gc-ray wrote, found {len(files)} other objects; check the"):
        verify(store)
