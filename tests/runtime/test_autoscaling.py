"""Ray's own autoscaler, from a head alone: work asks for nodes, nodes come, and what never comes is one line."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gc_ray.runtime.networks import autoencoder_task
from gc_ray.runtime.train import Place, train
from gc_ray.store import open_store
from gc_ray.study import load_study

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SMALL = (
    "autoencoder.input_voxels=16", "autoencoder.latent=4", "autoencoder.channels=8", "autoencoder.epochs=1",
    "clinical.source_label=''",
)  # fmt: skip


@dataclass(frozen=True)
class FromZero:
    """A cluster of a head without CPU slots, and two types of workers, one with a GPU that is none."""

    process: subprocess.Popen
    environment: dict[str, str]

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess:
        """``gc-ray ...`` with this cluster."""
        command = [sys.executable, "-W", "ignore", "-m", "gc_ray", *arguments]
        asked = {"command": command, "env": self.environment | {"RAY_ADDRESS": "127.0.0.1:6379"}}
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return subprocess.CompletedProcess(command, *json.loads(self.process.stdout.readline()))


@pytest.fixture(scope="module")
def from_zero(own_processes) -> Iterator[FromZero]:
    """The cluster, in namespaces of its own."""
    inside = [*own_processes, "--net"]
    if subprocess.run([*inside, "ip", "link", "set", "lo", "up"], capture_output=True, check=False).returncode:
        pytest.skip("this machine gives no network namespaces")
    folder = tempfile.mkdtemp(prefix="gca", dir="/tmp")  # short: Ray puts sockets below it
    environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"} | {"RAY_AUTH_MODE": "disabled"}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    environment["RAY_TMPDIR"] = folder
    process = subprocess.Popen(
        [*inside, sys.executable, str(Path(__file__).with_name("autoscaled.py"))],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout.readline() == "up\n"
        yield FromZero(process, environment)
    finally:
        process.kill()  # and with the first process of the namespace all others
        process.communicate()
        shutil.rmtree(folder, ignore_errors=True)


def test_extraction_begins_with_a_head_alone(from_zero, cohort, quick, tmp_path, tables_of, expected):
    """A worker comes because scans wait, and gives the tables of one worker."""
    store = open_store(str(tmp_path / "store"))
    manifests = [f"--scans={m}" for m in sorted(cohort.glob("scans_site_*.csv"))]
    done = from_zero("extract", *manifests, f"--store={store.uri}", f"--feature-set={quick}", "--workers=2")
    assert done.returncode == 0, done.stdout + done.stderr
    for found, wanted in zip(tables_of(store), expected, strict=True):
        assert found.equals(wanted)


@pytest.fixture(scope="module")
def with_inputs(network_store, tmp_path_factory):
    """A store with network inputs and an autoencoder, and the options that name them."""
    store = network_store()(open_store(str(tmp_path_factory.mktemp("networks") / "store")))
    study = load_study("recurrence", SMALL)
    train(autoencoder_task(store, study), Place(store, study.train), lambda *news: None, "first")
    return [f"--store={store.uri}", "--study=recurrence", *(f"--set={one}" for one in SMALL)]


def test_a_node_with_a_gpu_is_asked_for_and_comes(from_zero, with_inputs):
    """Where torch sees no GPU on it, that is one line which names the node, from the worker, and no node follows."""
    embedded = from_zero("embed", *with_inputs, "--gpu")
    trained = from_zero("train", "autoencoder", *with_inputs, "--set=autoencoder.seed=7", "--gpu")
    for done in (embedded, trained):
        assert done.returncode == 1, done.stdout + done.stderr
        assert ": Ray promises a GPU there, torch sees none" in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr


def test_what_no_type_of_node_has_is_given_up_in_time(from_zero, with_inputs):
    """One line says what was wanted and what there is."""
    done = from_zero(
        "train", "autoencoder", *with_inputs, "--set=autoencoder.seed=8", "--workers=9", "--wait-minutes=0.15"
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "training waits for 9 workers with 1 CPU each: " in done.stderr
    assert "error: training: wanted 9 workers with 1 CPU each, no node had room within 9 s" in done.stderr
    assert "Traceback" not in done.stderr
