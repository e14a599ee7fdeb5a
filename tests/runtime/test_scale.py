"""A large cohort costs few requests: shards are read, commits are not listed, and rows do not become objects."""

from collections import Counter
from types import SimpleNamespace

import pyarrow as pa
import pytest

from gc_ray import ledger, shards, tables
from gc_ray.cohort.manifest import ScanRow, Scans
from gc_ray.runtime import audit, rescore, rescore_input
from gc_ray.runtime.plan import plan_waves, read_history
from gc_ray.runtime.scan_work import Job
from gc_ray.runtime.survey import Survey
from gc_ray.runtime.waves import WAVES_AT_A_TIME, Way, run_waves
from gc_ray.store import LocalStore
from gc_ray.study import digest

PRODUCT = SimpleNamespace(name="quick", settings={"a": 1})


class Counted(LocalStore):
    """A store that counts what is asked of it, by call and folder."""

    def __init__(self, root: str):
        super().__init__(root)
        object.__setattr__(self, "asked", Counter())

    def get(self, key: str) -> bytes:
        """As ever."""
        self.asked["get", key.rpartition("/")[0]] += 1
        return super().get(key)

    def list(self, prefix: str):
        """As ever."""
        self.asked["list", prefix] += 1
        return super().list(prefix)


def cohort(rows: int) -> Scans:
    """So many scans."""
    return Scans.of(
        ScanRow(f"s{i:06d}", "R1", 0, "", f"p{i}", "a", "pv", "i", "m", "", "i", "m") for i in range(rows)
    )


def filled(folder, scans: Scans) -> Counted:
    """A store whose ledger and scores hold every scan, compacted; three commits beside them stand for all."""
    store = Counted(str(folder))
    more = {
        "feature_set": "quick", "phase": "pv", "status": "ok", "stage": "done", "reason": "", "notes": [],
        "missing": "{}", "geometry": "{}", "mask_voxels": 9, "object": "", "source_stamp": "stamp",
        "source_sha256": "sha", "settings_hash": digest(PRODUCT.settings), "code_version": "1", "generation": 1,
        "seconds": 1.0, "peak_mb": 1.0,
    }  # fmt: skip
    score = {
        "bundle_id": "b", "study_id": "s", "model_id": "m", "input_hash": digest(["sha", {}, "pv"]), "phase": "pv",
        "status": "scored", "score": 0.5, "linear_predictor": 0.0, "lower": 0.4, "upper": 0.6, "interval": "",
        "risk_group": "low", "verdict": "in-domain", "reasons": [], "predictors": "{}", "scored_at": "", "run": "r",
    }  # fmt: skip
    whose = [{n: getattr(row, n) for n in (*tables.SCAN_KEY, "patient_id", "site")} for row in scans]
    for kind, place, columns in (
        (tables.LEDGER, "ledger/shards", more),
        (tables.RESCORES, "scores/bundles/b", score),
    ):
        shards.add_rows(store, kind, place, tables.build(kind, [{**row, **columns} for row in whose]))
    for i in range(3):
        store.put(f"ledger/commits/{i}.json", b"none of these is read")
        store.put(f"audit/b/{i}.json", b"none of these is read")
    store.asked.clear()
    return store


def plan(store: Counted, scans: Scans) -> tuple[int, int]:
    """(scans to compute, products unchanged) of a run that finds every source as it was."""
    unchanged: Counter = Counter()
    job = Job(store, {"quick": PRODUCT}, "1", 60.0)
    waves = plan_waves(
        read_history(store, scans, job),
        job,
        lambda asked: [Survey(settled, 0) for _, settled in asked],
        lambda site, status: unchanged.update([status]),
        size=1000,
        verify=False,
    )
    return sum(len(wave) for wave in waves), unchanged["unchanged"]


def test_a_resumed_run_asks_the_store_for_shards_and_for_nothing_else(tmp_path):
    """20,000 scans: a GET for each shard, list and format, three listings, no commit; compaction reads no shard."""
    scans = cohort(20_000)
    store = filled(tmp_path, scans)
    assert plan(store, scans) == (0, 20_000)
    assert store.asked == {
        ("get", ""): 1,  # of format.json
        ("get", "ledger/shards"): 10,
        ("list", "ledger/shards/lists"): 1,
        ("get", "ledger/shards/lists"): 1,
        ("list", "ledger/loose"): 1,
        ("list", "ledger/contents"): 1,
    }
    store.asked.clear()
    assert ledger.compact(store) == 0
    assert not any(place in ("ledger/shards", "ledger/commits") for _, place in store.asked)


def test_a_rescoring_with_nothing_to_do_lists_no_result(tmp_path):
    """20,000 scored scans: the scores' shards tell, the audit folder is not looked at."""
    scans = cohort(20_000)
    store = filled(tmp_path, scans)
    ready = rescore_input.Ready(scans, ["stamp"] * len(scans), None, ())
    request = SimpleNamespace(bundle=SimpleNamespace(bundle_id="b", harmonisation={}), store=store)
    job = Job(store, {"quick": PRODUCT}, "1", 60.0)
    assert rescore_input._plans(store, ready, job) == []
    assert rescore._unscored(request, ready, tuple(job.products)) == ([], [], 20_000)
    assert sum(n for (call, _), n in store.asked.items() if call == "get") == 35
    assert not any(place.startswith(("ledger/commits", "audit")) for _, place in store.asked)
    assert audit.compact(store, "b") == 0


def test_a_wave_that_has_ended_is_compacted_for_what_it_brought(tmp_path):
    """Beside 10 full shards a commit costs its own GET and those of the list; no full shard is read or written."""
    store = filled(tmp_path, cohort(20_000))
    row = ledger.read_ledger(store).slice(0, 1).to_pylist()[0] | {"scan_id": "new", "status": "refused"}
    assert ledger.commit(store, row)
    store.asked.clear()
    assert ledger.compact(store) == 1
    asked = {place: n for (call, place), n in store.asked.items() if call == "get"}
    assert asked == {"ledger/commits": 1, "ledger/shards/lists": 3}
    assert list(store.list("ledger/loose")) == []
    assert ledger.read_ledger(store, ()).num_rows == 20_001


def test_a_commit_without_its_shards_is_found_again(tmp_path):
    """Shards may be lost: where there is none, every commit is read."""
    store = filled(tmp_path / "full", cohort(3))
    rows = ledger.read_ledger(store).to_pylist()
    fresh = Counted(str(tmp_path / "new"))
    for row in rows:
        ledger.commit(fresh, row)
    ledger.compact(fresh)
    for entry in list(fresh.list("ledger/shards")):
        fresh.delete(entry.key)
    assert ledger.read_ledger(fresh).equals(pa.Table.from_pylist(rows, schema=tables.LEDGER.schema()))


class Clockless:
    """An executor that ends every task at once, and remembers what it was given."""

    def __init__(self):
        self.waves: list[tuple[int, int]] = []
        self.most = 0
        self._open: dict[int, list[dict]] = {}

    def memory(self) -> int:
        """Of a worker."""
        return 16 << 30

    def begin(self, tasks: dict, promised: int) -> int:
        """Take a wave."""
        self.waves.append((len(tasks), promised))
        self._open[len(self.waves)] = [
            {"scan": i, "product": "quick", "status": "larger", "memory": 3 << 30}
            if task.row.scan_id.endswith("7") and task.memory and task.memory < 3 << 30
            else {"scan": i, "product": "quick", "status": "ok"}
            for i, task in tasks.items()
        ]
        self.most = max(self.most, len(self._open))
        return len(self.waves)

    def news(self):
        """The oldest wave's next outcome."""
        wave = next(iter(self._open))
        if self._open[wave]:
            return wave, self._open[wave].pop()
        del self._open[wave]
        return wave, None


@pytest.mark.parametrize("workers", [None, 2])
def test_waves_are_of_one_memory_class_and_of_1000_scans_at_most(tmp_path, workers):
    """Each scan ends once, larger ones in the class that fits; with a number of workers waves go one by one."""
    scans = cohort(3500)
    job = Job(LocalStore(str(tmp_path)), {"quick": PRODUCT}, "1", 60.0)
    planned = plan_waves(
        read_history(job.store, scans, job),
        job,
        lambda asked: [Survey("stamp", (1 + int(row.scan_id[1:]) % 3) << 29) for row, _ in asked],
        lambda *_: None,
        size=1000,
        verify=False,
    )
    executor = Clockless()
    done = [each for each, _ in run_waves(planned, Way(job, None, 3, workers), executor, 1000, lambda: None)]
    assert sorted(each.task.row.scan_id for each in done) == [row.scan_id for row in scans]
    assert max(n for n, _ in executor.waves) <= 1000
    assert {promised >> 30 for _, promised in executor.waves} == {1, 2, 4}
    assert sum(n for n, promised in executor.waves if promised >> 30 == 4) == 350
    assert executor.most == (WAVES_AT_A_TIME if workers is None else 1)
