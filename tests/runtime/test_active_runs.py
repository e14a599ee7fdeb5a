"""A run that has begun gives signs of life; one that was cut off is found, reported once and recorded."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gc_ray import sealed
from gc_ray.exit_codes import STUCK_RUN
from gc_ray.run_records import raise_exit_code, write_record
from gc_ray.runtime import active_runs as module
from gc_ray.runtime.active_runs import (
    RUNNING,
    SILENT,
    SILENT_S,
    STALLED,
    STALLED_S,
    ActiveRun,
    SignOfLife,
    active_runs,
    name_of,
    record_cut_off,
)
from gc_ray.runtime.clean import clean
from gc_ray.runtime.show import show
from gc_ray.runtime.show_lines import contents_lines
from gc_ray.runtime.verify import verify
from gc_ray.store import LocalStore
from gc_ray.store_format import prepare


@pytest.fixture
def begun(tmp_path):
    """A store with the sign of another run, and a function that makes that sign older by so many seconds."""
    store = LocalStore(str(tmp_path / "store"))
    prepare(store)
    sealed.put(store, name_of("extract-1"), {"command": "extract", "host": "n1", "results": 7, "idle_s": 5.0})

    def age(seconds: float) -> None:
        then = time.time() - seconds
        os.utime(tmp_path / "store" / name_of("extract-1"), (then, then))

    return store, age


@pytest.mark.parametrize(
    ("age", "idle", "state"),
    [
        (0, 0, RUNNING),
        (SILENT_S - 1, STALLED_S - 1, RUNNING),
        (SILENT_S + 1, 0, SILENT),
        (0, STALLED_S + 1, STALLED),
        (SILENT_S + 1, STALLED_S + 1, SILENT),
    ],
)
def test_the_state_follows_from_the_last_sign_and_the_last_result(age, idle, state):
    """Silence comes first: nobody knows what such a run does."""
    assert ActiveRun("r", "extract", "n", 0, age, idle).state == state


def test_a_run_is_seen_while_it_lasts_and_leaves_nothing(tmp_path, monkeypatch):
    """Signs are repeated; a result is counted; the end deletes the sign."""
    monkeypatch.setattr(module, "SIGN_EVERY_S", 0.02)
    store = LocalStore(str(tmp_path / "store"))
    sign = SignOfLife(store, "tune-1", "tune")
    sign.result()
    end = time.monotonic() + 20
    while not (seen := active_runs(store, time.time())) or seen[0].results == 0:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert (seen[0].run, seen[0].command, seen[0].state) == ("tune-1", "tune", RUNNING)
    sign.stop()
    assert active_runs(store, time.time()) == []


def test_a_run_that_was_cut_off_is_reported_once_and_gets_a_record(begun):
    """The next run finds it, the one after does not; show lists it as cut off."""
    store, age = begun
    age(SILENT_S + 60)
    first = SignOfLife(store, "rescore-2", "rescore")
    (problem,) = first.stuck()
    assert (problem.code, problem.counts) == (STUCK_RUN, {"stuck_runs": 1})
    assert "extract-1 on n1: no sign of life" in problem.message
    assert first.stuck() == ()
    first.stop()
    record = sealed.read(store, "runs/extract-1.json")
    assert (record["cut_off"], record["found_by"], record["results_reported"]) == (True, "rescore-2", 7)
    assert "cut off" in "\n".join(contents_lines(show(store)))


@pytest.mark.parametrize("command", ["rescore", "reproduce", "tune", "ingest", "merge", "split"])
def test_a_store_shows_runs_of_every_command_that_were_cut_off(tmp_path, command):
    """Another run wrote their records: what only they know, such as their bundle, is missing there."""
    store = LocalStore(str(tmp_path / "store"))
    prepare(store)
    record_cut_off(store, ActiveRun(f"{command}-1", command, "n1", 3, SILENT_S + 1, 0), "extract-2")
    (one,) = show(store).runs
    assert (one.run, one.cut_off) == (f"{command}-1", True)
    assert verify(store).problems == ()


def test_a_run_that_brings_no_results_is_reported_by_every_run(begun):
    """It is alive: only its operator can end it."""
    store, _ = begun
    stalled = {"command": "tune", "host": "n2", "results": 3, "idle_s": STALLED_S + 1}
    sealed.put(store, name_of("tune-9"), stalled)
    sign = SignOfLife(store, "rescore-2", "rescore")
    for _ in range(2):
        (problem,) = sign.stuck()
        assert "tune-9 on n2: no result for hours" in problem.message
    sign.stop()
    assert [one.run for one in active_runs(store, time.time())] == ["extract-1", "tune-9"]


def test_a_run_that_is_at_work_is_no_problem(begun):
    """Two commands on one store are common."""
    store, age = begun
    age(SILENT_S - 60)
    sign = SignOfLife(store, "rescore-2", "rescore")
    assert sign.stuck() == ()
    sign.stop()


def test_a_damaged_sign_is_a_run_without_a_name(begun):
    """It must not stop the one that looks."""
    store, age = begun
    store.put(name_of("extract-1"), b"{")
    age(SILENT_S + 60)
    (one,) = active_runs(store, time.time())
    assert (one.run, one.host, one.state) == ("extract-1", "", SILENT)


def test_a_run_that_was_thought_dead_writes_its_own_record(begun):
    """Its result counts, not the guess."""
    store, age = begun
    age(SILENT_S + 60)
    sign = SignOfLife(store, "rescore-2", "rescore")
    sign.stuck()
    sign.stop()
    write_record(store, "extract-1", {"run": "extract-1", "command": "extract", "exit_code": 0})
    assert not show(store).runs[0].cut_off


def test_the_record_carries_the_higher_code(begun):
    """`ray job submit` knows only 1: the record is where schedulers look."""
    store, _ = begun
    write_record(store, "rescore-2", {"run": "rescore-2", "command": "rescore", "exit_code": 4})
    raise_exit_code(store, "rescore-2", STUCK_RUN)
    assert sealed.read(store, "runs/rescore-2.json")["exit_code"] == STUCK_RUN
    raise_exit_code(store, "none", STUCK_RUN)


def test_signs_are_no_damage_and_are_cleaned_when_old(begun):
    """A store with runs at work is whole; an old sign is a leftover."""
    store, age = begun
    write_record(store, "ingest-1", {"run": "ingest-1", "command": "ingest", "exit_code": 0})
    assert not [p for p in verify(store).problems if p.name.startswith("active/")]
    assert "runs that have not ended" in "\n".join(contents_lines(show(store)))
    age(8 * 86400)
    named = {leftover.name for leftover in clean(store, time.time() - 7 * 86400, delete=False).leftovers}
    assert named == {name_of("extract-1")}


KILLED = """
import os, sys, signal
from gc_ray.commands.operated import Operator
operator = Operator("extract", sys.argv[1], None)
with operator.watching() as watch:
    watch({"a": 2})("a", "ok")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_its_sign(tmp_path):
    """Nothing else tells of it."""
    store = LocalStore(str(tmp_path / "store"))
    path = {"PYTHONPATH": str(Path(module.__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, store.uri], env=os.environ | path, capture_output=True, check=False
    )
    assert done.returncode == -9
    (one,) = active_runs(store, time.time() + SILENT_S + 60)
    assert (one.command, one.state) == ("extract", SILENT)
