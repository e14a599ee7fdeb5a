"""The version of a store: one of version 0.1.0 gives the same values, and is taken over by whoever writes first."""

import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from gc_ray import ledger, sealed, shards
from gc_ray.errors import DamagedError, StoreError
from gc_ray.merge import merge
from gc_ray.runtime import audit
from gc_ray.store import LocalStore, open_store
from gc_ray.store_format import FORMAT, prepare, refuse_newer

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def recipe():
    """The module that made the kept store, whose readers are those of today."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DATA))
        import make_store_0_1_0

        yield make_store_0_1_0
    sys.modules.pop("make_store_0_1_0", None)


@pytest.fixture
def old(tmp_path) -> LocalStore:
    """A copy of the store that version 0.1.0 wrote."""
    return open_store(str(shutil.copytree(DATA / "store-0.1.0", tmp_path / "old")))


def contents(store: LocalStore) -> dict[str, bytes]:
    """Every object."""
    return {entry.key: store.get(entry.key) for entry in store.list("")}


@pytest.mark.parametrize("state", ["as it is", "taken over", "compacted"])
def test_every_reader_gives_the_values_that_version_0_1_0_gave(old, recipe, state):
    """Before, after its format was set, and after its loose rows went into shards beside the old ones."""
    if state != "as it is":
        prepare(old)
    if state == "compacted":
        assert ledger.compact(old) == 2
        assert [entry.key for entry in old.list("ledger/loose")] == []
    for name, found in recipe.read(old).items():
        expected = pq.read_table(DATA / "store-0.1.0-read" / f"{name}.parquet")
        found = found.select(expected.column_names)  # what came later is empty
        assert found.replace_schema_metadata().equals(expected.replace_schema_metadata()), name


def test_taking_over_only_adds_and_can_be_cut_off_anywhere(old):
    """No object of the old store is changed; a second call, or one after a kill at any write, ends the same."""
    before = contents(old)
    prepare(old)
    after = contents(old)
    assert before.items() < after.items()
    added = sorted({name.rpartition("/")[0] for name in after.keys() - before.keys()})
    lists = [f"{name.rpartition('/')[0]}/lists" for name in before if "/shard-" in name]
    assert added == sorted(["", "taken-over", *lists])
    prepare(old)
    assert contents(old) == after


@pytest.mark.parametrize("writes", range(6))
def test_a_taking_over_that_was_cut_off_is_taken_up(tmp_path, writes):
    """Killed after so many writes: readers see the same, and the next call ends it."""

    class Dying(LocalStore):
        left = writes

        def create(self, key, data):
            if Dying.left == 0:
                raise KeyboardInterrupt
            Dying.left -= 1
            return super().create(key, data)

    folder = str(shutil.copytree(DATA / "store-0.1.0", tmp_path / "old"))
    expected = ledger.read_ledger(open_store(folder))
    try:
        prepare(Dying(folder))
    except KeyboardInterrupt:
        assert ledger.read_ledger(open_store(folder)).equals(expected)
    prepare(open_store(folder))
    assert refuse_newer(open_store(folder)) == FORMAT
    assert ledger.read_ledger(open_store(folder)).equals(expected)


def planned(old, recipe, tmp_path, features=None):
    """(plans, job) of the scans of the store of 0.1.0, written anew; features: other than today's code would ask."""
    from gc_ray.cohort.synthetic.spec import CohortSpec
    from gc_ray.cohort.synthetic.write import write_cohort
    from gc_ray.runtime.manifests import read_manifests
    from gc_ray.runtime.plan import plan_scan, read_history
    from gc_ray.runtime.products import Radiomics
    from gc_ray.runtime.survey import survey_scan

    manifest = tmp_path / "cohort" / "scans.csv"
    if not manifest.exists():
        write_cohort(manifest.parent, CohortSpec(**recipe.COHORT))
    scans, job = read_manifests((str(manifest),)), recipe.job_of(old, tmp_path)
    job = replace(job, products={"quick": Radiomics(features)}) if features else job
    history = read_history(old, scans, job).part(0, 2)
    return [plan_scan(row, survey_scan(row), history, job, False) for row in scans], job


def test_an_extraction_over_a_store_of_0_1_0_does_nothing_twice(old, recipe, tmp_path):
    """The same scans, copied, and the same settings: contents are hashed, found equal, and nothing is computed."""
    from gc_ray.features.feature_set import FeatureSet
    from gc_ray.runtime.scan_work import process_scan

    prepare(old)
    commits = [entry.key for entry in old.list("ledger/commits")]
    (name,) = (entry.key for entry in old.list("radiomics/quick") if entry.key.endswith("/settings.json"))
    told = sealed.read(old, name)
    features = FeatureSet("quick", told["settings"], tuple(told["names"]))
    plans, job = planned(old, recipe, tmp_path, features)
    outcomes = [outcome["status"] for plan in plans for outcome in process_scan(plan.task, job)]
    assert outcomes == ["unchanged", "unchanged"]
    assert [entry.key for entry in old.list("ledger/commits")] == commits
    assert planned(old, recipe, tmp_path, features)[0] == [None, None]


def test_code_of_another_version_computes_the_rows_of_0_1_0_anew(old, recipe, tmp_path):
    """As the next generation of the same outlines; the rows of 0.1.0 are not lost before."""
    prepare(old)
    plans, _ = planned(old, recipe, tmp_path)
    assert [wanted.generation for plan in plans for wanted in plan.task.wanted] == [2, 2]


def test_an_object_of_0_1_0_that_changes_after_it_was_taken_over_is_refused(old):
    """It has no seal of its own: its digest was kept."""
    prepare(old)
    name = next(entry.key for entry in old.list("ledger/loose")).replace("loose", "commits")
    old.put(name, old.get(name).replace(b'"peak_mb"', b'"peak_Mb"'))
    with pytest.raises(DamagedError, match=f"{name} is damaged"):
        sealed.read(old, name)


def test_an_object_without_seal_is_refused_in_a_store_of_format_2(tmp_path):
    """A bit that destroys the seal's own name must not make an old object of a new one."""
    store = open_store(str(tmp_path))
    prepare(store)
    store.put("runs/a.json", b'{\n "run": "a"\n}')
    with pytest.raises(DamagedError):
        sealed.read(store, "runs/a.json")


@pytest.mark.parametrize("found", [FORMAT + 1, 99, "3", 2.5, 0, None, [2]])
def test_a_store_of_a_newer_format_is_refused(tmp_path, found):
    """By name, with the fix, before anything is read or written; so is whatever no version wrote until now."""
    store = open_store(str(tmp_path))
    sealed.put(store, "format.json", {"format": found})
    into = open_store(f"{tmp_path}-b")
    for call in (prepare, refuse_newer, ledger.read_ledger, lambda store: merge([store], into)):
        with pytest.raises(StoreError, match=f"it is of format {re.escape(str(found))}, .* install the version"):
            call(store)
    with pytest.raises(StoreError, match="it is of format"):
        merge([open_store(f"{tmp_path}-c")], store)
    assert [entry.key for entry in store.list("")] == ["format.json"]
    store.put("format.json", b'{"format": 2}')
    with pytest.raises(DamagedError):
        prepare(store)


@pytest.mark.parametrize(("name", "wanted"), [("create", "replaced"), ("delete", "deleted"), ("list", "not listed")])
def test_whoever_prepares_a_store_that_would_lose_results_is_stopped(tmp_path, name, wanted):
    """A server that ignores If-None-Match, keeps what is deleted, or lists late: before the first result."""

    class Unfit(LocalStore):
        def create(self, key, data):
            return self.put(key, data) or True if name == "create" else super().create(key, data)

        def delete(self, key):
            return None if name == "delete" else super().delete(key)

        def list(self, prefix):
            return iter(()) if name == "list" else super().list(prefix)

    with pytest.raises(StoreError, match=f"{wanted}.*results would be lost"):
        prepare(Unfit(str(tmp_path)))
    assert not (tmp_path / "format.json").exists()


def test_a_result_of_0_1_0_that_was_copied_to_another_name_is_not_read(old):
    """Its rows have no seal; the name says whose result it is."""
    names = [entry.key for entry in old.list("audit/bundle")]
    shutil.rmtree(Path(old.root, "scores", "bundles"))
    expected = audit.read_scores(old, "bundle").num_rows
    old.put(names[0], old.get(names[1]))
    assert audit.read_whole_scores(old, "bundle").num_rows == expected - 1
    with pytest.raises(DamagedError, match=names[0]):
        audit.read_scores(old, "bundle")


def test_ledger_rows_of_an_older_version_get_what_it_did_not_write(old):
    """A column that came later is empty, in a commit and in a shard."""
    name = next(entry.key for entry in old.list("ledger/loose")).replace("loose", "commits")
    row = json.loads(old.get(name))
    for lost in ("phase", "notes", "missing", "mask_voxels", "peak_mb"):
        del row[lost]
    old.put(name, json.dumps(row).encode())
    held = {r["scan_id"]: r for r in ledger.read_ledger(old).to_pylist()}[row["scan_id"]]
    assert [held[n] for n in ("phase", "notes", "missing", "mask_voxels", "peak_mb")] == ["", [], "{}", None, 0.0]
    ledger.compact(old)
    (shard,) = shards.listed(old, ledger.SHARDS).names
    assert shards.rows_in(shard) == 38
