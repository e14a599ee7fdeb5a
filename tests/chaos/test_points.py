"""Runs that fail at one of their writes or deletes: what fails, what is left, and that no value is lost or wrong."""

import itertools
import os
import subprocess
import sys
from collections import Counter
from copy import deepcopy
from pathlib import Path

import pytest

from gc_ray.errors import StoreError

CHAOS = Path(__file__).resolve().parents[2] / "benchmarks" / "chaos"


@pytest.fixture
def struck(monkeypatch):
    """The store that fails, from the folder of the benchmark."""
    monkeypatch.syspath_prepend(str(CHAOS))
    import struck

    yield struck
    sys.modules.pop("struck", None)


@pytest.mark.parametrize(("fault", "there"), [("disk full", False), ("EIO before", False), ("EIO after", True)])
def test_a_faulty_disk_is_an_error_at_its_write_alone(struck, tmp_path, fault, there):
    """A full disk stays full; after another fault the next write succeeds. Nothing half is left."""
    store = struck.Struck(str(tmp_path), 2, fault)
    store.put("a", b"1")
    with pytest.raises(StoreError, match="cannot write b"):
        store.create("b", b"2")
    assert [entry.key for entry in store.list("")] == ["a", "b"][: 1 + there]
    assert list(store.unfinished()) == []
    if fault == "disk full":
        with pytest.raises(StoreError):
            store.put("c", b"3")
        store.delete("a")
    else:
        store.put("c", b"3")
    assert store.failed == (2 if fault == "disk full" else 1)


KILLED = """
import sys
sys.path.insert(0, {chaos!r})
from pathlib import Path
from struck import Struck, forked
store = Struck({folder!r}, 2, {fault!r})
def work():
    store.put("a", b"1")
    store.put("b", b"22")
    return {{}}
print(forked(work, Path({folder!r}).parent))
"""


@pytest.mark.parametrize(
    ("fault", "there", "half"),
    [("killed before", ["a"], [b"22"]), ("killed halfway", ["a"], [b"2"]), ("killed after", ["a", "b"], [])],
)
def test_a_killed_process_leaves_what_it_wrote(tmp_path, fault, there, half):
    """Nothing, half of an unfinished file, or the object."""
    folder = tmp_path / "store"
    code = KILLED.format(chaos=str(CHAOS), folder=str(folder), fault=fault)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "None\n"
    assert sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) == there
    assert [path.read_bytes() for path in folder.iterdir() if path.name.startswith(".tmp-")] == half


@pytest.mark.slow
def test_no_value_is_lost_or_wrong_wherever_a_run_is_cut_off():
    """Forty points of extract, compact, merge and rescore; ``make chaos`` has all."""
    command = [sys.executable, CHAOS / "points.py", "--points", "40"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "40 points" in done.stdout and ", 0 wrong" in done.stdout


@pytest.fixture
def on_ray(monkeypatch):
    """The points on Ray, from the folder of the benchmark."""
    monkeypatch.syspath_prepend(str(CHAOS))
    monkeypatch.setattr(os, "environ", os.environ.copy())  # the module asks Ray for tokens
    before = set(sys.modules)
    import on_ray

    yield on_ray
    for name in set(sys.modules) - before:
        if str(CHAOS) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def test_a_store_that_processes_share_fails_at_a_write_of_one_role(on_ray, tmp_path, monkeypatch):
    """Writes are counted over all copies of the store, by role; a fault strikes one role alone."""
    store = on_ray.StruckTogether(str(tmp_path / "store"), 2, "EIO before", str(tmp_path), "head")
    copy = deepcopy(store)
    for name in "abc":
        copy.put(name, b"1")
    monkeypatch.setenv(on_ray.ray_runs.ROLE, "head")
    worker = deepcopy(store)
    worker.put("d", b"1")
    with pytest.raises(StoreError, match="cannot write e"):
        deepcopy(store).put("e", b"1")
    worker.put("f", b"1")
    assert on_ray.counted(tmp_path) == {"driver": 3, "head": 3}
    assert (store.acts, store.failed) == (6, 1)
    assert [entry.key for entry in store.list("")] == ["a", "b", "c", "d", "f"]


def test_the_points_on_ray_are_at_least_fifty_and_meet_every_fault_and_change(on_ray, monkeypatch):
    """Each command with every change; every fault of a role that has enough points."""
    chaos = on_ray.Chaos(None, None, None, None, list(on_ray.WHO))
    monkeypatch.setattr(on_ray.Chaos, "acts", lambda *_: 20)
    found = chaos.all_points()
    assert len(found) == len(set(found)) == sum(on_ray.NUMBERS.values()) >= 50
    changes = {(point.command, point.change) for point in found}
    assert changes == set(itertools.product(on_ray.points.COMMANDS, on_ray.points.CHANGES))
    for role, faults in on_ray.FAULTS_OF.items():
        assert {point.fault for point in found if point.role == role} == set(faults)
    assert all(1 <= point.n <= 20 for point in found)


def test_an_even_spread_meets_every_fault_with_every_change_of_each_command(on_ray):
    """Also where the number of points divides that of all; every write is met."""
    points = on_ray.points
    matrix = points.Matrix(None, {"extract": 33, "compact": 18, "merge": 37, "rescore": 38}, {}, {}, {}, {})
    everything = matrix.points()
    assert len(everything) == len(set(everything)) == 126 * 24
    for count in (1000, 1008, 1024):
        some = points.spread(everything, count)
        assert len({(point.command, point.n) for point in some}) == 126
        met = Counter((point.command, point.fault, point.change) for point in some)
        assert len(met) == 4 * 24 and min(met.values()) >= 5
