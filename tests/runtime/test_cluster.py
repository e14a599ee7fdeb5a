"""Two real Ray nodes on one machine, and the job as a user submits it."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from gc_ray import ledger
from gc_ray.errors import ClusterError
from gc_ray.runtime import cluster
from gc_ray.runtime.exposure import own_addresses
from gc_ray.store import open_store

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
RAY = str(Path(sys.executable).with_name("ray"))
UP_S = 240  # for a node to come up on a loaded machine; 10 s on an idle one
PORTS = ("dashboard-agent-listen-port", "dashboard-agent-grpc-port", "metrics-export-port")


@dataclass(frozen=True)
class Nodes:
    """Addresses of a running cluster: of its control store and of its job server, with the environment to use."""

    gcs: str
    jobs: str
    environment: dict[str, str]

    def submit(self, *arguments: str) -> subprocess.CompletedProcess:
        """``ray job submit --working-dir . -- python jobs/extract.py ...``, as the README shows it."""
        command = ["--working-dir=.", "--", sys.executable, "jobs/extract.py", *arguments]
        return self._submit(ROOT, command)

    def submit_from(self, folder: Path, *command: str) -> subprocess.CompletedProcess:
        """``ray job submit -- COMMAND`` from any folder: nothing is uploaded."""
        return self._submit(folder, ["--", *command])

    def _submit(self, folder: Path, options: list[str]) -> subprocess.CompletedProcess:
        return subprocess.run(
            [RAY, "job", "submit", f"--address={self.jobs}", *options],
            cwd=folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def alive(self) -> int:
        """How many nodes the dashboard sees alive."""
        with urllib.request.urlopen(f"{self.jobs}/nodes?view=summary", timeout=2) as answer:
            summary = json.load(answer)["data"]["summary"]
        return sum(node["raylet"]["state"] == "ALIVE" for node in summary)

    def that_computed(self) -> set[str]:
        """The nodes on which extraction tasks ran, as the cluster's own state tells."""
        code = (
            "import ray; from ray.util.state import list_tasks; ray.init(logging_level='ERROR');"
            "print(*{t.node_id for t in list_tasks(limit=1000, detail=True) if 'MapBatches' in t.name})"
        )
        environment = self.environment | {"RAY_ADDRESS": self.gcs}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        return set(done.stdout.split())


@pytest.fixture(scope="module")
def two_nodes():
    """A head and a second node with a CPU each, as processes of their own."""
    folder = tempfile.mkdtemp(prefix="gcr", dir="/tmp")  # short: Ray puts sockets below it
    environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"} | {"RAY_AUTH_MODE": "disabled"}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    gcs, jobs = free_port(), free_port()
    nodes = Nodes(f"127.0.0.1:{gcs}", f"http://127.0.0.1:{jobs}", environment)
    dashboard = [f"--dashboard-port={jobs}", "--dashboard-host=127.0.0.1"]
    started = [start(environment, "--head", f"--port={gcs}", f"--temp-dir={folder}", *dashboard)]
    try:
        wait_for(lambda: nodes.alive() == 1)
        started.append(start(environment, f"--address={nodes.gcs}"))
        wait_for(lambda: nodes.alive() == 2)
        yield nodes
    finally:
        for node in reversed(started):
            stop(node)
        shutil.rmtree(folder, ignore_errors=True)


def start(
    environment: dict, *options: str, cpus: int = 1, ip: str = "127.0.0.1", within: tuple[str, ...] = ()
) -> subprocess.Popen:
    """One Ray node in the foreground of its own process group, with ports that clash with no other.

    within: what its command begins with.
    """
    common = [
        f"--node-ip-address={ip}",
        f"--num-cpus={cpus}",
        "--object-store-memory=100000000",
        "--disable-usage-stats",
    ]
    return subprocess.Popen(
        [*within, RAY, "start", "--block", *options, *common] + [f"--{name}={free_port()}" for name in PORTS],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def stop(node: subprocess.Popen) -> None:
    """End a node and, through Ray's reaper, all that it started."""
    node.terminate()
    try:
        node.wait(5)
    except subprocess.TimeoutExpired:
        os.killpg(node.pid, signal.SIGKILL)
        node.wait()


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(ready: Callable[[], bool]) -> None:
    """Until ``ready()`` is true; an OSError means not yet."""
    deadline = time.monotonic() + UP_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if ready():
                return
        time.sleep(0.3)
    pytest.fail(f"the Ray nodes were not up within {UP_S} s")


def test_a_submitted_job_on_two_nodes_gives_the_tables_of_one_worker(
    two_nodes, cohort, quick, tmp_path, tables_of, expected
):
    """The job joins the cluster, both nodes compute, and the tables are Arrow-equal."""
    store = open_store(str(tmp_path / "store"))
    manifests = [f"--scans={m}" for m in sorted(cohort.glob("scans_site_*.csv"))]
    done = two_nodes.submit(*manifests, f"--store={store.uri}", f"--feature-set={quick}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "14 results computed" in done.stdout
    for found, wanted in zip(tables_of(store), expected, strict=True):
        assert found.equals(wanted)
    assert len(two_nodes.that_computed()) == 2


def test_the_command_itself_is_submitted_from_any_folder(two_nodes, cohort, quick, tmp_path, tables_of, expected):
    """Without a working folder nothing is uploaded; a store below that folder is refused, with the fix."""
    gc_ray, store = str(Path(sys.executable).with_name("gc-ray")), open_store(str(tmp_path / "store"))
    options = [*(f"--scans={m}" for m in sorted(cohort.glob("scans_site_*.csv"))), f"--feature-set={quick}"]
    done = two_nodes.submit_from(tmp_path, gc_ray, "extract", *options, f"--store={store.uri}")
    assert done.returncode == 0, done.stdout + done.stderr
    for found, wanted in zip(tables_of(store), expected, strict=True):
        assert found.equals(wanted)
    relative = two_nodes.submit_from(tmp_path, gc_ray, "extract", *options, "--store=results")
    assert relative.returncode == 1
    assert "a relative folder of a submitted job lies in Ray's copy" in relative.stdout
    assert not (tmp_path / "results").exists()


FULL = """
import ray
from ray.util.placement_group import placement_group
from gc_ray.errors import ClusterError
from gc_ray.runtime import cluster, places, waiting
with cluster.session(None):
    assert placement_group([{"CPU": 1}] * 2).wait(60)
    try:
        with waiting.waiting_up_to(0.15):
            places.wait_for(places.Demand("check"), {})
    except ClusterError as error:
        print(error)
"""


def test_a_cluster_whose_cpus_are_all_held_is_said_to_be(two_nodes):
    """By other work, or by the driver itself: a line while it waits, and one at the end."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FULL],
        env=two_nodes.environment | {"RAY_ADDRESS": two_nodes.gcs},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    said = "0 of 2 CPU are free; other work holds them, or this job's own driver"
    assert f"check waits for 1 CPU: {said}" in done.stderr, done.stderr
    assert done.stdout.startswith("check: wanted 1 CPU, no node had room within 9 s: 0 of 2 CPU are free; ")


def test_a_bad_argument_fails_the_submitted_job_with_one_line(two_nodes, tmp_path):
    """What the command line says reaches whoever submitted it; nothing is written."""
    done = two_nodes.submit(f"--scans={tmp_path / 'none.csv'}", f"--store={tmp_path / 'store'}")
    assert done.returncode == 1
    assert "error: none.csv: wanted a scans table, there is no such file; correct --scans" in done.stdout
    assert not list(tmp_path.iterdir())


JOIN = """
from gc_ray.errors import ClusterError
from gc_ray.runtime import cluster, places, waiting
try:
    with cluster.session(None):
        print("joined")
        with waiting.waiting_up_to(float({patience}) / 60):
            print("memory", places.node_memory({{}}))
except ClusterError as error:
    print("refused:", error)
"""


@pytest.fixture
def open_head():
    """A head without CPU slots whose dashboard listens to other machines and asks for no token."""
    ip = next((found for found in own_addresses() if "." in found), None)
    if ip is None:
        pytest.skip("this machine has no address but loopback")
    folder = tempfile.mkdtemp(prefix="gco", dir="/tmp")
    environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"} | {"RAY_AUTH_MODE": "disabled"}
    gcs, jobs = free_port(), free_port()
    nodes = Nodes(f"{ip}:{gcs}", f"http://{ip}:{jobs}", environment | {"RAY_ADDRESS": f"{ip}:{gcs}"})
    dashboard = [f"--dashboard-port={jobs}", "--dashboard-host=0.0.0.0", "--memory=9000000000"]
    head = start(environment, "--head", f"--port={gcs}", f"--temp-dir={folder}", *dashboard, cpus=0, ip=ip)
    try:
        wait_for(lambda: nodes.alive() == 1)
        yield nodes, ip
    finally:
        stop(head)
        shutil.rmtree(folder, ignore_errors=True)


def join(nodes: Nodes, patience_s: float, **settings: str) -> subprocess.Popen:
    """A driver that joins and asks for how much memory to plan with."""
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", JOIN.format(patience=patience_s)],
        env=nodes.environment | settings,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_an_open_dashboard_is_refused_and_a_head_alone_is_no_place_to_plan_by(open_head):
    """Nobody joins by accident; who does knowingly waits for the first worker, and for no longer than was said."""
    nodes, ip = open_head
    assert join(nodes, 1).communicate(timeout=120)[0].startswith("refused: the Ray dashboard listens on ")
    accepted = {"GC_RAY_OPEN_DASHBOARD": "1"}
    alone = join(nodes, 1, **accepted).communicate(timeout=120)[0]
    assert alone.startswith("joined\nrefused: work: wanted 1 CPU, no node had room within 1 s: 0 of 0 CPU are free")
    driver = join(nodes, UP_S, **accepted)
    assert driver.stdout.readline() == "joined\n"
    plain = {k: v for k, v in nodes.environment.items() if k != "RAY_ADDRESS"}
    worker = start(plain, f"--address={nodes.gcs}", "--memory=2000000000", ip=ip)
    try:
        assert driver.communicate(timeout=2 * UP_S)[0] == "memory 2000000000\n"
    finally:
        driver.kill()
        stop(worker)


def test_a_machine_too_busy_to_start_ray_is_one_line(monkeypatch):
    """Ray's parts get 30 s, fixed in its code: the message says what to do, any other fault keeps its traceback."""

    def late(**settings: object) -> None:
        raise Exception("The current node timed out during startup. This could happen because ..")

    monkeypatch.setattr(cluster.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(cluster.ray, "init", late)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(ClusterError, match="did not answer within the 30 s"), cluster.session(1):
        pass


OLD_LIBRARY = """
from importlib import metadata
real = metadata.version
metadata.version = lambda name: "0.0.1" if name in ("SimpleITK", "monai", "numba") else real(name)
"""
NO_MOUNT = """
import os
def hide(real):
    def call(path=".", *arguments, **options):
        if not isinstance(path, int) and os.fspath(path).startswith({hidden!r}):
            raise FileNotFoundError(2, "No such file or directory", path)
        return real(path, *arguments, **options)
    return call
os.stat, os.scandir = hide(os.stat), hide(os.scandir)
"""
# The driver as it is when the other node has not joined yet while nodes are checked.
UNASKED = """
import sys
from gc_ray.cli import main
from gc_ray.runtime import cluster
cluster.ask_nodes = lambda function: {}
main(sys.argv[1:])
"""
# The driver as it is when a mount goes away during the run.
UNCHECKED = """
import contextlib, sys
from gc_ray.cli import main
from gc_ray.runtime import extract_scans
extract_scans.checked_nodes = lambda *arguments, **options: contextlib.nullcontext()
main(sys.argv[1:])
"""
ASKED = "import sys; from gc_ray.cli import main; main(sys.argv[1:])"


@pytest.fixture
def beside(tmp_path):
    """A function that starts a head, and a second node whose Python runs some code first: the head's addresses.

    more: of the environment of both. within: what the second node's command begins with.
    """
    folder, started = tempfile.mkdtemp(prefix="gcn", dir="/tmp"), []  # short: Ray puts sockets below it
    environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"} | {"RAY_AUTH_MODE": "disabled"}
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment["PYTHONPATH"] = path

    def begin(code: str, within: tuple[str, ...] = (), **more: str) -> Nodes:
        environment.update(more)
        (tmp_path / "first").mkdir()
        (tmp_path / "first" / "sitecustomize.py").write_text(code)
        gcs, jobs = free_port(), free_port()
        nodes = Nodes(f"127.0.0.1:{gcs}", f"http://127.0.0.1:{jobs}", environment)
        dashboard = [f"--dashboard-port={jobs}", "--dashboard-host=127.0.0.1"]
        started.append(start(environment, "--head", f"--port={gcs}", f"--temp-dir={folder}", *dashboard))
        wait_for(lambda: nodes.alive() == 1)
        other = environment | {"PYTHONPATH": f"{tmp_path / 'first'}{os.pathsep}{path}"}
        started.append(start(other, f"--address={nodes.gcs}", within=within))
        wait_for(lambda: nodes.alive() == 2)
        return nodes

    yield begin
    for node in reversed(started):
        stop(node)
    shutil.rmtree(folder, ignore_errors=True)


def extract(nodes: Nodes, code: str, manifests: list[Path], store: str, quick: str) -> subprocess.CompletedProcess:
    """``gc-ray extract`` on the cluster."""
    options = [*(f"--scans={m}" for m in manifests), f"--store={store}", f"--feature-set={quick}"]
    return command(nodes, code, "extract", *options, "--failure-budget=1")


def command(nodes: Nodes, code: str, *arguments: str) -> subprocess.CompletedProcess:
    """``gc-ray ...`` on the cluster."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *arguments],
        env=nodes.environment | {"RAY_ADDRESS": nodes.gcs},
        capture_output=True,
        text=True,
        timeout=6 * UP_S,
        check=False,
    )


@pytest.mark.parametrize("code", [ASKED, UNASKED], ids=["there before the run", "joined during the run"])
def test_a_node_with_another_library_computes_nothing(beside, code, cohort, quick, tmp_path, tables_of, expected):
    """All rows are the driver's, equal to the bit; the run names the node, the library and both versions."""
    manifests = sorted(cohort.glob("scans_site_*.csv"))
    done = extract(beside(OLD_LIBRARY), code, manifests, str(tmp_path / "store"), quick)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SimpleITK 0.0.1 instead of" in done.stdout + done.stderr
    assert "got no work" in done.stdout + done.stderr
    for found, wanted in zip(tables_of(open_store(str(tmp_path / "store"))), expected, strict=True):
        assert found.equals(wanted)


def test_a_node_with_another_library_gets_no_trial_and_no_rank(beside, frozen, network_store, tmp_path):
    """Tuning is that of the driver's libraries alone and names the other node; ranks are placed nowhere else."""
    nodes, tuned = beside(OLD_LIBRARY), tmp_path / "tuned"
    shutil.copytree(frozen.training.root, tuned)
    for folder in ("signatures", "tune", "scores", "coefficients", "selection", "resampling"):
        shutil.rmtree(tuned / folder, ignore_errors=True)
    done = command(nodes, ASKED, "tune", f"--study={frozen.study}", f"--store={tuned}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "numba 0.0.1 instead of" in done.stdout
    scores = "scores/**/*.parquet"
    (found,), (wanted,) = tuned.glob(scores), Path(frozen.training.root).glob(scores)
    assert found.read_bytes() == wanted.read_bytes()
    trained = network_store()(open_store(str(tmp_path / "trained")))
    small = (f"--set=autoencoder.{one}" for one in ("input_voxels=16", "latent=4", "epochs=1"))
    train = ["train", "autoencoder", "--study=recurrence", f"--store={trained.uri}", *small, "--wait-minutes=0.2"]
    # there before the run; then found by the process in the second place, as when the node joins during the run
    for code in (ASKED, UNASKED):
        done = command(nodes, code, *train, "--workers=2")
        assert done.returncode == 1, done.stdout + done.stderr
        assert "error: training: wanted 2 workers with 1 CPU each, no node had room within 12 s: " in done.stderr
        assert "monai 0.0.1 instead of" in done.stderr
    assert not list(trained.list("models"))


def test_a_node_without_the_mount_loses_no_scan(beside, cohort, quick, tmp_path, tables_of, expected):
    """Unchecked, what it was given is failed or not there yet; checked, it gets no work. In the end all are there."""
    manifests, store = sorted(cohort.glob("scans_site_*.csv")), str(tmp_path / "store")
    nodes = beside(NO_MOUNT.format(hidden=str(cohort / "site_")))
    first = extract(nodes, UNCHECKED, manifests, store, quick)
    assert first.returncode == 0, first.stdout + first.stderr
    rows = ledger.read_ledger(open_store(store))
    lost = rows.filter(pc.is_in(rows["status"], pa.array(["refused", "failed"])))
    assert set(lost["stage"].to_pylist()) <= {"source"}
    assert "Traceback" not in first.stdout + first.stderr
    second = extract(nodes, ASKED, manifests, store, quick)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "are not mounted there; it got no work" in second.stdout + second.stderr
    (found, features), (wanted, wanted_features) = tables_of(open_store(store)), expected
    differ = ["generation"]
    assert found.drop_columns([*differ, "object"]).equals(wanted.drop_columns([*differ, "object"]))
    assert features.drop_columns(differ).equals(wanted_features.drop_columns(differ))


def test_two_nodes_with_one_temporary_folder_lose_no_scan(
    s3_store, own_processes, beside, cohort, quick, tmp_path, tables_of, expected
):
    """The second node is a container: process ids and a host name of its own, one TMPDIR. All scans are computed."""
    bucket = open_store(s3_store.uri)
    for path in cohort.rglob("*"):
        if path.is_file():
            bucket.put(str(path.relative_to(cohort)), path.read_bytes())
    (tmp_path / "tmp").mkdir()
    inside = (*own_processes, "sh", "-c", 'hostname container && exec "$@"', "sh")
    nodes = beside("", inside, TMPDIR=str(tmp_path / "tmp"))
    manifests = [f"{bucket.uri}/{m.name}" for m in sorted(cohort.glob("scans_site_*.csv"))]
    done = extract(nodes, ASKED, manifests, str(tmp_path / "store"), quick)
    assert done.returncode == 0, done.stdout + done.stderr
    (rows, features), (wanted_rows, wanted_features) = tables_of(open_store(str(tmp_path / "store"))), expected
    computed_on = ledger.read_ledger(open_store(str(tmp_path / "store")))["node"].unique().to_pylist()
    assert len(computed_on) == 2
    assert "container" in computed_on
    assert rows["status"].equals(wanted_rows["status"])
    assert features.equals(wanted_features)
    assert not list((tmp_path / "tmp" / f"gc-ray-{os.getuid()}").iterdir())
