"""The scripts, run for real: two nodes with authentication on this machine, and the rescoring that cron submits."""

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
DONE_S = 120  # for a submitted job to end on a loaded machine; 6 s on an idle one


@dataclass(frozen=True)
class Cluster:
    """A cluster as two_nodes.sh left it: the environment that it asks its callers to set."""

    environment: dict[str, str]

    def rescore(self, day: str, *arguments: str, **settings: str) -> subprocess.Popen:
        """Start deploy/rescore.sh with a job that is there in place of the rescoring."""
        extra = {"RESCORE_DAY": day, "RESCORE_JOB": "jobs/doctor.py", **settings}
        return subprocess.Popen(
            [ROOT / "deploy/rescore.sh", *arguments],
            env=self.environment | extra,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def jobs(self, day: str) -> dict[str, str]:
        """Status of every job of a day, by submission id."""
        token = Path(self.environment["RAY_AUTH_TOKEN_PATH"]).read_text()
        headers = {"Authorization": f"Bearer {token}"}
        with urllib.request.urlopen(urllib.request.Request(self.url("api/jobs/"), headers=headers)) as answer:
            found = {job["submission_id"]: job["status"] for job in json.load(answer)}
        return {name: status for name, status in sorted(found.items()) if name.startswith(f"rescore-{day}-")}

    def url(self, path: str) -> str:
        """An address of the job server."""
        return f"{self.environment['RAY_API_SERVER_ADDRESS']}/{path}"

    def wait(self, day: str) -> dict[str, str]:
        """The jobs of a day once all have ended."""
        deadline = time.monotonic() + DONE_S
        while time.monotonic() < deadline:
            if not {"PENDING", "RUNNING"} & set((found := self.jobs(day)).values()):
                return found
            time.sleep(0.3)
        pytest.fail(f"the jobs of {day} did not end within {DONE_S} s")


def two_nodes(*arguments: str, environment: dict) -> subprocess.CompletedProcess:
    """Run deploy/two_nodes.sh."""
    command = [ROOT / "deploy/two_nodes.sh", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)


def alive(folder: Path) -> list[int]:
    """The processes whose command line names this folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(folder).encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return found


@pytest.fixture(scope="module")
def cluster():
    """Two nodes started by the script; stopped by it, and gone, at the end."""
    if not Path("/proc/self/cmdline").exists():
        pytest.skip("processes are counted in /proc")
    kept = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    started = two_nodes("start", environment=kept)
    assert started.returncode == 0, started.stderr
    settings = dict(word.split("=", 1) for word in started.stdout.split()[1:])
    folder = Path(settings["TWO_NODES"])
    yield Cluster(kept | settings)
    assert alive(folder)
    stopped = two_nodes("stop", str(folder), environment=kept)
    assert stopped.returncode == 0, stopped.stderr
    assert not folder.exists()
    assert not alive(folder)


def finish(process: subprocess.Popen) -> tuple[int, str]:
    """(exit code, what it said) of a script."""
    said, complaint = process.communicate(timeout=DONE_S)
    return process.returncode, said + complaint


def test_nobody_without_the_token_is_served(cluster):
    """The job server runs whatever it is sent."""
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(cluster.url("api/jobs/"))


def test_two_callers_at_once_submit_one_job(cluster):
    """The job server refuses the id that it knows; the second caller leaves it at that, and so does a later one."""
    both = Counter(said for code, said in map(finish, [cluster.rescore("a"), cluster.rescore("a")]) if code == 0)
    assert both.pop("rescore-a-1: submitted\n") == 1
    assert sum(both.values()) == 1
    assert cluster.wait("a") == {"rescore-a-1": "SUCCEEDED"}
    assert finish(cluster.rescore("a")) == (0, "rescore-a-1: has succeeded\n")
    assert cluster.jobs("a") == {"rescore-a-1": "SUCCEEDED"}


def test_a_failed_job_is_tried_again_under_the_next_number_until_none_is_left(cluster):
    """Each attempt has an id of its own; after the last the caller, so cron's mail, is told."""
    for attempt in (1, 2):
        assert finish(cluster.rescore("b", "--no-such-option", RESCORE_ATTEMPTS="2")) == (
            0,
            f"rescore-b-{attempt}: submitted\n",
        )
        cluster.wait("b")
    code, said = finish(cluster.rescore("b", "--no-such-option", RESCORE_ATTEMPTS="2"))
    assert code == 1
    assert said == "rescore-b-2: failed, and no attempt is left today; see: ray job logs rescore-b-2\n"
    assert cluster.jobs("b") == {"rescore-b-1": "FAILED", "rescore-b-2": "FAILED"}


def test_a_day_that_failed_once_ends_well(cluster):
    """The second attempt does the work of the first, and a third is not made."""
    finish(cluster.rescore("c", "--no-such-option"))
    cluster.wait("c")
    assert finish(cluster.rescore("c")) == (0, "rescore-c-2: submitted\n")
    assert cluster.wait("c") == {"rescore-c-1": "FAILED", "rescore-c-2": "SUCCEEDED"}
    assert finish(cluster.rescore("c")) == (0, "rescore-c-2: has succeeded\n")


def test_a_job_server_that_does_not_answer_is_an_error_of_one_line(cluster):
    """Nothing is taken for done that nobody has seen."""
    code, said = finish(cluster.rescore("d", RAY_API_SERVER_ADDRESS="http://127.0.0.1:9"))
    assert code == 1
    assert said.startswith("rescore-d-1: could not be submitted to http://127.0.0.1:9: ")
    assert said.count("\n") == 1
