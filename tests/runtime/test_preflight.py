"""Nodes that would compute other values, or do not reach store or scans, get no work and are named."""

from dataclasses import replace

import pytest

from gc_ray.cohort.manifest import ScanRow
from gc_ray.errors import ClusterError
from gc_ray.runtime import places, preflight
from gc_ray.runtime.node_facts import NodeFacts
from gc_ray.runtime.plan import Planned
from gc_ray.runtime.preflight import (
    CONTENT,
    Answer,
    Expected,
    RefusedNodes,
    checked_nodes,
    describe_here,
    judge,
    why_not_here,
)
from gc_ray.runtime.scan_places import ScanPlace
from gc_ray.runtime.scan_work import ScanTask, Wanted
from gc_ray.runtime.waves import WRONG_NODE, Way, run_waves
from gc_ray.store import LocalStore

DRIVER = NodeFacts("head", (("SimpleITK", "2.5.0"),), "s", "v3")
OTHER = replace(DRIVER, node="b", libraries=(("SimpleITK", "2.4.0"),))
PLACES = (ScanPlace("A", ("/data/a/1",)), ScanPlace("B", ("/data/b/1",)))


@pytest.fixture
def driver_sees(monkeypatch):
    """A function that sets which addresses the driver sees."""

    def sees(paths: set[str]) -> None:
        monkeypatch.setattr("os.path.exists", lambda path: path in paths)

    return sees


def judged(answers: dict, *, mixed_cpu: bool = False) -> dict[str, str]:
    """The refused nodes."""
    return judge(DRIVER, answers, PLACES, mixed_cpu=mixed_cpu)[1]


def test_equal_nodes_work():
    """Other names are no difference."""
    assert judged({"n1": Answer(DRIVER, "", ()), "n2": Answer(replace(DRIVER, node="b"), "", ())}) == {}


def test_a_node_with_another_library_is_named_with_both_versions():
    """The line says the host, Ray's name for it, the library and both versions."""
    found = judged({"n1": Answer(DRIVER, "", ()), "0123456789": Answer(OTHER, "", ())})
    assert found == {"0123456789": "b (Ray node 01234567): SimpleITK 2.4.0 instead of 2.5.0"}


def test_a_node_that_cannot_use_the_store_is_refused():
    """A local store on separate disks would lose its results."""
    (reason,) = judged({"n1": Answer(DRIVER, "it cannot be used from there")}).values()
    assert reason.endswith("the store: it cannot be used from there")


@pytest.mark.parametrize(
    ("here", "others", "refused"),
    [({"/data/a/1", "/data/b/1"}, (), 1), ({"/data/a/1"}, (), 1), ({"/data/a/1"}, PLACES[1:], 0)],
)
def test_a_node_without_a_mount_that_somebody_has_is_refused(driver_sees, here, others, refused):
    """Where nobody sees the folder the scans are refused one by one: it is the manifest that is wrong."""
    driver_sees(here)
    found = judged({"n1": Answer(DRIVER, "", others), "n2": Answer(DRIVER, "", PLACES[1:])})
    assert list(found) == ["n2"][:refused]
    assert all(reason.endswith("the scans of B are not mounted there") for reason in found.values())


def test_a_node_that_does_not_answer_is_refused():
    """Its reason is what was said instead."""
    assert judged({"n1": "(Ray node n1): no answer within 120 s"}) == {"n1": "(Ray node n1): no answer within 120 s"}


def test_nodes_of_another_processor_work_only_when_that_is_allowed():
    """The majority counts, among nodes that are otherwise equal."""
    new = replace(DRIVER, cpu="v4")
    answers = {"n1": Answer(DRIVER, "", ()), "n2": Answer(new, "", ()), "n3": Answer(new, "", ())}
    assert list(judged(answers)) == ["n1"]
    assert judged(answers, mixed_cpu=True) == {}
    different = replace(OTHER, cpu="v4")
    answers = {"n1": Answer(DRIVER, "", ()), "n2": Answer(different, "", ()), "n3": Answer(different, "", ())}
    assert list(judged(answers)) == ["n2", "n3"]


def test_the_last_node_ends_the_run(monkeypatch):
    """With a line that names every node and its difference."""
    monkeypatch.setattr(preflight.cluster, "working_nodes", lambda each: {"n1", "n2"})
    refused = RefusedNodes()
    refused.add("n1", "a (Ray node n1): SimpleITK 2.4 instead of 2.5")
    assert refused.others == {"ray.io/node-id": "!in(n1)"}
    assert refused.notes == ("node a (Ray node n1): SimpleITK 2.4 instead of 2.5; it got no work",)
    with pytest.raises(ClusterError, match=r"there is none: a .* 2\.4 instead of 2\.5; b"):
        refused.add("n2", "b")


def test_a_node_reads_what_the_driver_wrote_and_writes_itself(tmp_path):
    """Another disk at the same address has no such object; a folder that cannot be written says so."""
    store = LocalStore(str(tmp_path / "s"))
    places = (ScanPlace("A", (str(tmp_path),)), ScanPlace("B", ("/no/such", "\0")))
    assert describe_here(store, "runs/b", places).store_fault.startswith("what the driver writes")
    store.put("runs/b", CONTENT)
    answer = describe_here(store, "runs/b", places)
    assert (answer.store_fault, answer.unseen) == ("", places[1:])
    assert [entry.key for entry in store.list("runs")] == ["runs/b"]
    fault = describe_here(LocalStore("/proc/gc_ray"), "b", ()).store_fault
    assert fault.startswith("it cannot be used from there: ")
    assert "/proc" not in fault
    assert describe_here(None, "", ()).store_fault == ""


def test_a_node_whose_store_does_not_create_once_is_refused(tmp_path):
    """Two nodes could commit one result: the node says what its store cannot do."""

    class Replacing(LocalStore):
        def create(self, key, data):
            self.put(key, data)
            return True

    store = Replacing(str(tmp_path))
    store.put("runs/b", CONTENT)
    assert "an object that was created once was replaced" in describe_here(store, "runs/b", ()).store_fault


def test_a_late_worker_compares_itself_before_its_first_scan(tmp_path):
    """Code, the store and the scans; with the words that the check before the run has."""
    store, facts = LocalStore(str(tmp_path / "s")), preflight.own_facts()
    assert why_not_here(Expected(facts)) == ""
    assert "the store: what the driver writes" in why_not_here(Expected(facts, store, "runs/b"))
    assert "gc_ray (" in why_not_here(Expected(replace(facts, sources="x")))
    assert "of B are not mounted there" in why_not_here(Expected(facts, places=PLACES[1:]))


def test_what_only_a_refused_node_has_is_not_counted(monkeypatch):
    """A task that is promised it, or an actor for it, would wait for ever."""
    nodes = [
        {"NodeID": name, "Alive": True, "Resources": {"CPU": 2.0, "memory": gb << 30}}
        for name, gb in (("small", 4), ("large", 64))
    ]
    monkeypatch.setattr(preflight.cluster.ray, "nodes", lambda: nodes)
    assert places.node_memory({}) == 64 << 30
    assert places.node_memory({}, without={"large": "other code"}) == 4 << 30
    assert preflight.cluster.resources() == {"CPU": 4.0, "memory": 68 << 30}
    assert preflight.cluster.resources(without={"large": "other code"}) == {"CPU": 2.0, "memory": 4 << 30}


def test_the_beacon_is_gone_after_the_run_and_after_a_fault(tmp_path, monkeypatch):
    """Also when no node is left to work."""
    store = LocalStore(str(tmp_path / "s"))
    monkeypatch.setattr(preflight.cluster, "is_private", lambda: False)
    monkeypatch.setattr(preflight.cluster, "working_nodes", lambda each: {"n1"})
    monkeypatch.setattr(preflight, "wait_for", lambda *asked: None)
    monkeypatch.setattr(preflight.cluster, "ask_nodes", lambda ask: {"n1": ask()})
    with checked_nodes(RefusedNodes(), store) as expected:
        assert [entry.key for entry in store.list("runs")] == [expected.beacon]
    monkeypatch.setattr(preflight.cluster, "ask_nodes", lambda ask: {"n1": "(Ray node n1): no answer"})
    with pytest.raises(ClusterError, match="no answer"), checked_nodes(RefusedNodes(), store):
        pass
    assert not list(store.list("runs"))


class Mixed:
    """An executor with a node that refuses, until it gets no more work."""

    def __init__(self):
        self.refused: list[dict] = []
        self._waves: list[list[dict]] = []

    def memory(self) -> int:
        """Of a worker."""
        return 16 << 30

    def begin(self, tasks: dict, promised: int) -> int:
        """Every second scan goes to the other node, if it is not refused."""
        there = [] if self.refused else [i for i in tasks if i % 2]
        self._waves.append(
            [
                {"scan": i, "product": "", "status": WRONG_NODE, "stage": "n2", "reason": "b: differs"}
                if i in there
                else {"scan": i, "product": "quick", "status": "ok", "stage": "done", "reason": ""}
                for i in tasks
            ]
        )
        return len(self._waves) - 1

    def news(self):
        """The oldest wave's next outcome."""
        wave = next(i for i, found in enumerate(self._waves) if found is not None)
        if self._waves[wave]:
            return wave, self._waves[wave].pop()
        self._waves[wave] = None
        return wave, None

    def refuse(self, found: dict) -> None:
        """Hear of it."""
        self.refused.append(found)


def test_scans_of_a_node_that_refuses_are_computed_elsewhere():
    """Each scan ends once, none is lost, and the node is named."""
    row = ScanRow("1", "R1", 0, "", "p", "A", "", "i", "m", "", "i", "m")
    planned = [Planned(ScanTask(replace(row, scan_id=str(i)), "", (Wanted("quick", 1),)), 1 << 20) for i in range(9)]
    executor = Mixed()
    done = [each for each, _ in run_waves([planned], Way(None, None, 3, None), executor, 100, lambda: None)]
    assert sorted(each.task.row.scan_id for each in done) == [str(i) for i in range(9)]
    assert {found["stage"] for found in executor.refused} == {"n2"}
