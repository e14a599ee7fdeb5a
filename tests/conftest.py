"""Fixtures shared by all tests: the reference data beside the repository, and single-threaded libraries."""

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


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
