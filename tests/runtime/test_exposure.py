"""Nobody joins a cluster on which strangers could run code, unless told that this is meant."""

import http.server
import threading

import pytest

from gc_ray.errors import ClusterError
from gc_ray.runtime import exposure
from gc_ray.runtime.cluster import task_memory
from gc_ray.runtime.exposure import ACCEPT, check_dashboard, is_loopback, reachable


@pytest.mark.parametrize(
    ("address", "alone"),
    [
        ("127.0.0.1:8265", True), ("127.8.0.1:1", True), ("localhost:8265", True), ("[::1]:8265", True),
        ("0.0.0.0:8265", False), ("10.0.0.7:8265", False), ("head.cluster.local:8265", False), ("[::]:8265", False),
    ],
)  # fmt: skip
def test_only_loopback_counts_as_closed(address, alone):
    """Private networks hold other people too; a name may be anywhere."""
    assert is_loopback(address) is alone


def test_a_loopback_name_is_looked_for_on_the_machines_other_addresses():
    """A head at 127.0.0.1 started with --dashboard-host=0.0.0.0 says 127.0.0.1 and serves everybody."""
    assert reachable("127.0.0.1:8265", ["10.0.0.7", "fd00::2"]) == ["10.0.0.7:8265", "[fd00::2]:8265"]
    assert reachable("10.0.0.9:8265", ["10.0.0.7"]) == ["10.0.0.9:8265"]


class Answers(http.server.BaseHTTPRequestHandler):
    """A job server that answers everybody with one status."""

    def do_GET(self):
        """Answer."""
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def dashboard(monkeypatch):
    """A function that starts a job server which answers with a status, taken for one that others reach."""
    servers = []

    def start(status: int) -> str:
        server = http.server.HTTPServer(("127.0.0.1", 0), Answers)
        server.status = status
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"127.0.0.1:{server.server_port}"

    monkeypatch.setattr(exposure, "reachable", lambda address, _: [address])
    monkeypatch.delenv(ACCEPT, raising=False)
    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_job_server_that_answers_everybody_is_refused_with_what_to_do(dashboard):
    """Its own answer decides, not this process's environment: a client's token proves nothing of the server."""
    with pytest.raises(
        ClusterError, match=r"asks for no token.*RAY_AUTH_MODE=token.*GC_RAY_OPEN_DASHBOARD=1"
    ) as told:
        check_dashboard(dashboard(200))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("status", [401, 403])
def test_a_job_server_behind_a_token_is_joined(dashboard, status):
    """As on Kubernetes, where it listens within the network and asks for the token."""
    assert check_dashboard(dashboard(status)) is None


def test_none_or_a_silent_one_is_joined(dashboard):
    """No dashboard, or one that even the driver cannot reach, serves nobody."""
    for address in (None, "", "127.0.0.1:9"):
        assert check_dashboard(address) is None


def test_who_says_so_joins_all_the_same(dashboard, monkeypatch):
    """The setting is for closed networks and stands in the docs."""
    monkeypatch.setenv(ACCEPT, "1")
    assert check_dashboard(dashboard(200)) is None


def test_memory_is_planned_by_nodes_that_take_tasks():
    """A large head without slots, and a node that is gone, promise nothing."""
    head = {"Alive": True, "Resources": {"memory": 64e9}}
    worker = {"Alive": True, "Resources": {"memory": 16e9, "CPU": 8.0}}
    gone = {"Alive": False, "Resources": {"memory": 32e9, "CPU": 8.0}}
    assert task_memory([head, worker, gone]) == 16_000_000_000
    assert task_memory([head, gone]) == 0
