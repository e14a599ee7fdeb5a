"""Where the faults happen: a real S3 server behind a proxy, and a real Ray of two nodes, all ended by their ids."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from proxy import Proxy, proxy_to
from seaweed import Seaweed

ROOT = Path(__file__).resolve().parents[2]
BUCKET = "gc-ray-chaos"
UP_S = 300.0  # for a first result to come, on a loaded machine; 5-20 s on an idle one
DONE_S = 900.0  # for a command to end
LOOK_S = 0.05  # between two looks at what is awaited


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit code (None: killed), seconds, and what it said."""

    code: int | None
    seconds: float
    said: str


@dataclass(frozen=True)
class Place:
    """A running cluster and its object store. environment: of the nodes, with S3 through the proxy."""

    folder: Path
    s3: Seaweed
    proxy: Proxy
    environment: dict[str, str]

    def submit(self, *command: object) -> str:
        """Start a command as a job of the cluster; its id."""
        asked = {"entrypoint": shlex.join(["gc-ray", *map(str, command)]), "submission_id": secrets.token_hex(6)}
        return self.ask("api/jobs/", asked)["submission_id"]

    def wait(self, job: str, since: float) -> Ended:
        """How a job ended, once it has; ``since``: when it was started, on the monotonic clock."""
        until(lambda: self.ask(f"api/jobs/{job}")["end_time"], DONE_S, "the command ends")
        seconds = time.monotonic() - since
        code = self.ask(f"api/jobs/{job}")["driver_exit_code"]
        return Ended(None if code is None or code < 0 else code, seconds, self.ask(f"api/jobs/{job}/logs")["logs"])

    def ask(self, path: str, content: dict | None = None) -> dict:
        """The job server's answer."""
        token = Path(self.environment["RAY_AUTH_TOKEN_PATH"]).read_text()
        request = urllib.request.Request(
            f"{self.environment['RAY_API_SERVER_ADDRESS']}/{path}",
            data=None if content is None else json.dumps(content).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def processes(self, node: str) -> list[psutil.Process]:
        """A node's processes, head or second: what ``ray start`` started, itself first."""
        top = psutil.Process(int((Path(self.environment["TWO_NODES"]) / f"{node}.pid").read_text()))
        return [top, *top.children(recursive=True)]

    def workers(self, node: str) -> list[psutil.Process]:
        """A node's processes that have a scan in hand or wait for one."""
        titles = {process: _title(process) for process in self.processes(node)}
        return [p for p, title in titles.items() if title.startswith("ray::") and "JobSupervisor" not in title]


def until(there: Callable[[], object], limit_s: float, what: str) -> None:
    """Return once ``there()`` is true; TimeoutError after ``limit_s``."""
    end = time.monotonic() + limit_s
    while not there():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {limit_s:g} s until {what}")
        time.sleep(LOOK_S)


@contextmanager
def place(folder: Path) -> Iterator[Place]:
    """S3, proxy and two nodes; this process's AWS settings lead to S3 itself, the cluster's through the proxy."""
    with ExitStack() as stack:
        s3 = Seaweed(folder / "s3")
        s3.folder.mkdir(parents=True)
        stack.callback(s3.kill)
        s3.start()
        os.environ.update(s3.settings)
        import boto3

        boto3.client("s3").create_bucket(Bucket=BUCKET)
        proxy = stack.enter_context(proxy_to(s3.port))
        nodes = stack.enter_context(_two_nodes(s3.keys | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}"}))
        yield Place(folder, s3, proxy, nodes)


@contextmanager
def _two_nodes(settings: dict[str, str]) -> Iterator[dict[str, str]]:
    """The environment of a two-node cluster, as ``deploy/two_nodes.sh`` starts it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "AWS_"))} | settings
    kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    kept["PYTHONPATH"] = str(ROOT)
    script = ROOT / "deploy/two_nodes.sh"
    started = subprocess.run([script, "start"], env=kept, capture_output=True, text=True, check=False)
    if started.returncode:
        raise RuntimeError(started.stderr)
    told = dict(word.split("=", 1) for word in started.stdout.split()[1:])
    try:
        yield kept | told
    finally:
        subprocess.run([script, "stop", told["TWO_NODES"]], env=kept, check=True)


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
