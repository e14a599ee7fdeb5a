"""The Slurm script: one node for real, with Slurm's own commands imitated by what they would do there."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gc_ray import ledger
from gc_ray.cohort.synthetic.spec import CohortSpec
from gc_ray.cohort.synthetic.write import write_cohort
from gc_ray.store import LocalStore

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = str(ROOT / "deploy/slurm.sbatch")
# srun starts its command once on a node; scontrol prints the names of nodes
FAKES = {"srun": 'while [[ $1 == --* ]]; do shift; done; exec "$@"', "scontrol": "hostname"}
# `ray stop`, with which symmetric-run ends, stops every Ray that it sees: here it sees its own processes alone
ALONE = ("unshare", "--fork", "--pid", "--mount-proc", "--kill-child")
QUICK = "imageType:\n  Original: {}\nfeatureClass:\n  firstorder: [Mean]\nsetting:\n  binWidth: 25\n"


def node(folder: Path) -> dict[str, str]:
    """The environment of a job on this machine."""
    programs = folder / "programs"
    programs.mkdir()
    for name, text in FAKES.items():
        (programs / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (programs / name).chmod(stat.S_IRWXU)
    path = f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    home = folder / "home"
    (home / ".ray").mkdir(parents=True)
    (home / ".ray/auth_token").write_text("a-token-of-this-test-alone-0123456789\n")
    job = {"SLURM_JOB_NODELIST": "n[1]", "SLURM_JOB_NUM_NODES": "1", "SLURM_CPUS_ON_NODE": "2", "RAY_PORT": "6391"}
    return {**os.environ, "PATH": path, "HOME": str(home), "PYTHONPATH": str(ROOT), **job}


@pytest.mark.parametrize(("arguments", "token", "about"), [((), True, "a command"), (("true",), False, "a token")])
def test_what_is_missing_is_said_before_a_cluster_starts(tmp_path, arguments, token, about):
    """A job that waited hours in the queue must not fail for it later."""
    settings = node(tmp_path)
    if not token:
        (tmp_path / "home/.ray/auth_token").unlink()
    done = subprocess.run(["bash", SCRIPT, *arguments], env=settings, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"wanted {about}" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("unshare") is None or os.geteuid() != 0,
    reason="a process namespace of its own needs root and unshare",
)
def test_one_node_extracts_and_keeps_the_exit_code(tmp_path, tmp_path_factory):
    """Every result is committed; 3, over the failure budget, is the job's exit code, where `ray job submit` has 1."""
    write_cohort(tmp_path / "c", CohortSpec(patients=2, sites=1, seed=3, matrix=48, reread_share=0))
    (tmp_path / "quick.yaml").write_text(QUICK)
    shutil.rmtree(next((tmp_path / "c").glob("site_*/*")))  # a patient without files
    store = str(tmp_path / "store")
    command = [*ALONE, "bash", SCRIPT, sys.executable, "-m", "gc_ray", "extract", "--store", store]
    command += ["--scans", str(tmp_path / "c/scans.csv"), "--feature-set", str(tmp_path / "quick.yaml")]
    settings = node(tmp_path) | {"SCRATCH_DIR": str(tmp_path_factory.mktemp("s"))}
    done = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 3, done.stdout[-2000:] + done.stderr[-2000:]
    statuses = ledger.read_ledger(LocalStore(store))["status"].to_pylist()
    assert len(statuses) == 2
    assert "refused" in statuses
