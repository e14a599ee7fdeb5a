"""The scripts, run for real: two nodes with authentication on this machine, and the rescoring that cron submits."""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import dcmread

from gc_ray.cohort.synthetic.spec import CohortSpec
from gc_ray.cohort.synthetic.write import write_cohort
from gc_ray.models.bundle import read_bundle
from gc_ray.runtime import audit
from gc_ray.runtime.incoming import pseudonym
from gc_ray.store import open_store

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


STUDY = """
name = "cron"
[extract]
feature_sets = ["{features}"]
[clinical]
outcome = "recurrence"
[split]
train_share = 1
folds = 2
[[signature]]
name = "image"
families = ["radiomics"]
steps = [{{ step = "strongest", number = 1 }}]
[tune]
inner_folds = 2
samples = 0
"""
FEATURES = """
imageType: {Original: {}}
featureClass: {shape: [Sphericity], firstorder: [Mean, Entropy]}
setting: {resampledPixelSpacing: [3, 3, 3]}
"""
SITE_KEY = "a key of this site alone"


def gc_ray(*arguments: str | Path) -> None:
    """Run a command in a process of its own."""
    command = [sys.executable, "-c", "from gc_ray.cli import main; main()", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=240, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def service(tmp_path_factory) -> Path:
    """A home with the checkout, the keys, a bundle that the commands made of 20 patients, and 2 new series."""
    home = tmp_path_factory.mktemp("home")
    (home / "gc_ray").symlink_to(ROOT)
    (home / "keys").mkdir(mode=0o700)
    (home / "keys" / "site.key").write_text(SITE_KEY)
    (home / "keys" / "seal.key").write_text("a key of whoever seals")
    files = write_cohort(home / "seen", CohortSpec(patients=20, matrix=64, slices=30, reread_share=0, seed=1))
    write_cohort(home / "new", CohortSpec(patients=2, matrix=64, slices=30, reread_share=0, seed=2))
    (home / "quick.yaml").write_text(FEATURES)
    (home / "cron.toml").write_text(STUDY.format(features=home / "quick.yaml"))
    here = ("--study", home / "cron.toml", "--store", home / "training")
    gc_ray("extract", "--scans", files.scans, *here, "--workers", "2")
    gc_ray("split", "--clinical", files.clinical, *here)
    gc_ray("tune", *here, "--workers", "0")
    gc_ray("bundle", *here, "--model", "image", "--out", home / "bundle", "--seal-key", home / "keys" / "seal.key")
    return home


def test_the_cron_line_scores_new_series_with_a_sealed_bundle_and_the_site_key(cluster, service):
    """As cron runs it: in its user's home, with the little that cron sets, through Ray, to one effect."""
    settings = {name: cluster.environment[name] for name in ("PATH", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_TOKEN_PATH")}
    settings |= {"RAY_AUTH_MODE": "token", "RESCORE_DAY": "cron"}
    profile = "".join(f"export {name}='{value}'\n" for name, value in settings.items())
    (service / ".profile").write_text(profile)
    (line,) = [line for line in (ROOT / "deploy/crontab").read_text().splitlines() if not line.startswith("#")]
    command = line.split(None, 5)[5]
    places = {"study/bundles/BUNDLE": "bundle", "new/": "new", "clinical.csv": "new/clinical.csv"}
    for uri, place in (places | {"study/results": "results"}).items():
        command, n = re.subn(rf"s3://\w+_BUCKET/{uri}(?=[ '])", str(service / place), command)
        assert n == 1
    cron = {"HOME": str(service), "PATH": "/usr/bin:/bin", "SHELL": "/bin/sh"}
    for _ in range(2):
        ran = subprocess.run(
            ["/bin/sh", "-c", command], cwd=service, env=cron, capture_output=True, timeout=DONE_S, check=False
        )
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")
        assert cluster.wait("cron") == {"rescore-cron-1": "SUCCEEDED"}
    results, held = open_store(str(service / "results")), read_bundle(open_store(str(service / "bundle")))
    rows = audit.read_scores(results, held.bundle_id).to_pylist()
    headers = [dcmread(next(folder.glob("*.dcm"))) for folder in sorted((service / "new").rglob("ct"))]
    names = {pseudonym(SITE_KEY.encode(), str(header.SeriesInstanceUID)) for header in headers}
    assert {row["scan_id"] for row in rows} == names and len(rows) == 2
    assert {row["status"] for row in rows} <= {"scored", "refused"} and all(row["predictors"] != "{}" for row in rows)
    assert [entry.key for entry in results.list("runs")] == [f"runs/{rows[0]['run']}.json"]
