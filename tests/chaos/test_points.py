"""Runs that fail at one of their writes or deletes: what fails, what is left, and that no value is lost or wrong."""

import subprocess
import sys
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
