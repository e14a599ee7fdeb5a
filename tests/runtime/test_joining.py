"""A real cluster with a token, joined in ways that Ray refuses: one line each, in time, that says what to do."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
RAY = str(Path(sys.executable).with_name("ray"))
LONGEST_S = 15
UP_S = 240  # on a loaded machine
# Joins in each of some ways; a line for each: seconds, and what was said.
JOIN = """
import os, sys, time
import ray
from gc_ray.errors import ClusterError
from gc_ray.runtime import cluster
real = os.environ["RAY_ADDRESS"], ray.__version__
for way in sys.argv[1:]:
    os.environ["RAY_ADDRESS"], ray.__version__ = real
    if way == "version":
        ray.__version__ = "2.1.0"
    elif way == "environment":
        os.environ["RAY_JOB_CONFIG_JSON_ENV_VAR"] = '{"runtime_env": {"env_vars": {"OMP_NUM_THREADS": "4"}}}'
    elif way != "join":
        os.environ["RAY_ADDRESS"] = way
    begin = time.monotonic()
    try:
        with cluster.session(1):
            said = "joined"
    except ClusterError as error:
        said = str(error)
    print(time.monotonic() - begin, said, flush=True)
    os.environ.pop("RAY_JOB_CONFIG_JSON_ENV_VAR", None)
"""


@pytest.fixture(scope="module")
def head():
    """(address, address of the dashboard, environment with the token) of a head that asks for it."""
    folder = tempfile.mkdtemp(prefix="gct", dir="/tmp")  # short: Ray puts sockets below it
    environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"} | {"HOME": folder}
    environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(20), "PYTHONPATH": str(ROOT)}
    gcs, dashboard, *others = free_ports(5)
    names = ("dashboard-agent-listen-port", "dashboard-agent-grpc-port", "metrics-export-port")
    options = [f"--port={gcs}", f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1", "--num-cpus=1"]
    options += ["--node-ip-address=127.0.0.1", f"--temp-dir={folder}", "--object-store-memory=100000000"]
    options += [f"--{name}={port}" for name, port in zip(names, others, strict=True)]
    process = subprocess.Popen(
        [RAY, "start", "--head", "--block", "--disable-usage-stats", *options],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + UP_S
        while not answers(f"http://127.0.0.1:{dashboard}/api/version"):
            assert time.monotonic() < deadline, "the head was not up in time"
            time.sleep(0.3)
        yield f"127.0.0.1:{gcs}", f"127.0.0.1:{dashboard}", environment
    finally:
        process.terminate()
        process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def answers(address: str) -> bool:
    """Whether somebody answers there, also by a refusal."""
    try:
        with urllib.request.urlopen(address, timeout=2):
            return True
    except urllib.error.HTTPError as refusal:
        refusal.close()
        return True
    except OSError:
        return False


def joined(head: tuple, *ways: str, **settings: str | None) -> list[tuple[float, str]]:
    """(seconds, what was said) of each way to join. settings: of the environment, None for none."""
    address, _, environment = head
    environment = {
        name: v for name, v in (environment | {"RAY_ADDRESS": address} | settings).items() if v is not None
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", JOIN, *ways],
        env=environment,
        capture_output=True,
        text=True,
        timeout=UP_S,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(ways), done.stdout + done.stderr
    return [(float(line.partition(" ")[0]), line.partition(" ")[2]) for line in lines]


@pytest.mark.parametrize(
    "settings",
    [{"RAY_AUTH_TOKEN": None}, {"RAY_AUTH_TOKEN": "f" * 40}, {"RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": None}],
    ids=["no token", "a wrong token", "tokens switched off"],
)
def test_a_token_that_does_not_fit_is_one_line(head, settings):
    """It names the mode and the token's file."""
    ((seconds, said),) = joined(head, "join", **settings)
    assert said.startswith(f"wanted to join the Ray cluster at {head[0]} (RAY_ADDRESS), ")
    assert "RAY_AUTH_MODE=token" in said
    assert seconds < LONGEST_S


def test_every_other_way_that_ray_refuses_is_one_line(head):
    """Another version, a clash of runtime environments, the dashboard's address; and who is right joins."""
    fixes = {
        "version": "the same versions of Ray and Python",
        "environment": "leave OMP_NUM_THREADS and its like out of the job's runtime environment",
        head[1]: "a web server answers there; give the port of ray start",
        f"http://{head[1]}": "wanted HOST:PORT of a Ray head",
        "join": "joined",
    }
    for (seconds, said), fix in zip(joined(head, *fixes), fixes.values(), strict=True):
        assert fix in said
        assert seconds < LONGEST_S
