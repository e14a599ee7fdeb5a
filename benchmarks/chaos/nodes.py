"""A Ray that stays up over many runs: a head with one CPU, sometimes a second node, and a driver to be killed."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import ray

from gc_ray import store as stores

ROOT = Path(__file__).resolve().parents[2]
ROLE = "GC_RAY_CHAOS_NODE"  # in the environment of a node's processes: which one it is
HEAD, SECOND = "head", "second"
UP_S = 180.0  # for a node to come up on a loaded machine; 5 s on an idle one
LOOK_S = 0.1
QUIET = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}


@dataclass
class Nodes:
    """Nodes on this machine, each a ``ray start`` that is ended by its process id."""

    folder: Path
    settings: dict[str, str]
    port: int = field(default_factory=lambda: _free_ports(1)[0])
    running: dict[str, subprocess.Popen] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Where drivers and nodes find the head."""
        return f"127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """Of drivers; of Ray's settings those that ask for a token, without which nobody is let in."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        token = {name: value for name, value in os.environ.items() if name.startswith("RAY_AUTH_")}
        paths = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"}
        paths["PYTHONPATH"] = f"{ROOT}{os.pathsep}{Path(__file__).parent}"
        # by default Ray's workers give way to everything else on the machine
        return kept | paths | token | {"OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0"} | self.settings

    def start(self, name: str) -> None:
        """Start a node with one CPU: the head, which has to be first, or the second."""
        where = ["--head", f"--port={self.port}", "--include-dashboard=false", f"--temp-dir={self.folder / 'ray'}"]
        ports = dict(zip(("listen-port", "grpc-port"), _free_ports(2), strict=True))
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [
                    *("ray", "start", "--block", "--node-ip-address=127.0.0.1", "--num-cpus=1"),
                    *("--object-store-memory=100000000", "--disable-usage-stats"),
                    *(f"--dashboard-agent-{what}={port}" for what, port in ports.items()),
                    *(where if name == HEAD else [f"--address={self.address}"]),
                ],
                env=self.environment | {ROLE: name}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def stop(self, name: str) -> None:
        """End a node and all that it started, also what a kill left behind."""
        process = self.running.pop(name, None)
        if process is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            kill_all(psutil.Process(process.pid))
        process.wait()


class Driver:
    """A process that is connected to Ray and does work, one piece after the other; begun again when it was killed.

    It is forked from this process, which must not be connected itself.
    """

    def __init__(self, nodes: Nodes):
        self._nodes, self._process, self._pipe = nodes, None, None

    def call(self, work: Callable[[], dict]) -> dict | None:
        """What a piece of work gives, which can be pickled; None when the process was killed.

        RuntimeError when the work raised.
        """
        if self._process is None:
            self._begin()
        self._pipe.send(work)
        try:
            found = self._pipe.recv()
        except (EOFError, ConnectionResetError):
            self.stop()
            return None
        if isinstance(found, str):
            raise RuntimeError(f"a run ended otherwise:\n{found}")
        return found

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
            self._process = None

    def _begin(self) -> None:
        context = multiprocessing.get_context("fork")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_drive, args=(self._nodes, theirs), daemon=True)
        self._process.start()
        theirs.close()


@contextmanager
def one_node(folder: Path, settings: dict[str, str]) -> Iterator[tuple[Nodes, Driver]]:
    """A head and a driver, both ended afterwards. settings: environment of all processes, such as AWS settings."""
    nodes = Nodes(folder, settings)
    with ExitStack() as stack:
        stack.callback(nodes.stop, HEAD)
        stack.callback(nodes.stop, SECOND)
        nodes.start(HEAD)
        driver = Driver(nodes)
        stack.callback(driver.stop)
        yield nodes, driver


def wait_for_nodes(count: int) -> dict:
    """Work of a driver: wait until so many nodes are alive, and no more."""
    end = time.monotonic() + UP_S
    while sum(node["Alive"] for node in ray.nodes()) != count:
        if time.monotonic() > end:
            raise TimeoutError(f"waited {UP_S:g} s for {count} nodes")
        time.sleep(LOOK_S)
    return {}


def kill_all(top: psutil.Process) -> None:
    """SIGKILL for a process and all that it started, this process last if it is one of them."""
    found = [top, *top.children(recursive=True)]
    for process in sorted(found, key=lambda one: one.pid == os.getpid()):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _drive(nodes: Nodes, pipe) -> None:
    """Connect to Ray and answer, until there is nothing more to do."""
    with (nodes.folder / "driver.log").open("ab") as log:  # Ray's own news of processes that die
        for stream in (sys.stdout, sys.stderr):
            os.dup2(log.fileno(), stream.fileno())
    environment = nodes.environment
    os.environ.clear()
    os.environ.update(environment)
    stores._s3_client.cache_clear()  # its connections are the parent's
    end = time.monotonic() + UP_S
    while True:
        try:
            ray.init(address=nodes.address, **QUIET)
            break
        except Exception:  # whatever a head that is coming up answers
            if time.monotonic() > end:
                raise
            time.sleep(LOOK_S)
    while True:
        try:
            work = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(work())
        except BaseException:  # noqa: BLE001 - told to who asked
            pipe.send(traceback.format_exc())


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
