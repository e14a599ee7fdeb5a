"""Fetched files do not outlive the work: not when it ends, not when it raises, not when its worker was killed."""

import os
import subprocess
import sys

import pytest

from gc_ray.runtime.scratch import scratch


def test_a_scratch_folder_is_gone_after_the_work(monkeypatch, tmp_path):
    """Whether the work ends or raises, nothing is left."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(KeyError), scratch() as folder:
        (folder / "ct").mkdir(parents=True)
        (folder / "ct" / "1.dcm").write_text("x")
        raise KeyError
    assert not list((tmp_path / f"gc-ray-{os.getuid()}").iterdir())


def test_folders_of_killed_workers_are_swept_and_living_ones_stay(monkeypatch, tmp_path):
    """A killed worker cannot tidy up; the next one does, without touching a neighbour's files."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    root = tmp_path / f"gc-ray-{os.getuid()}"
    with subprocess.Popen([sys.executable, "-c", "pass"]) as dead:
        dead.wait()
    for owner in (dead.pid, os.getppid()):
        (root / f"{owner}-abc").mkdir(parents=True)
    with scratch():
        assert [p.name for p in root.iterdir()] == [f"{os.getppid()}-abc"]
