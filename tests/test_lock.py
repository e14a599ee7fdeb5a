"""The lock file: every package of the run time, in the tested version, by the hashes of its files."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}\b")
PYTHONS = ("3.11", "3.12", "3.13")


def locked() -> dict[str, tuple[Requirement, int]]:
    """By name: the requirement and the number of its hashes."""
    text = (ROOT / "requirements.lock").read_text()
    found = {}
    for block in re.split(r"\n(?=[A-Za-z])", "\n".join(x for x in text.splitlines() if not x.startswith("#"))):
        requirement = Requirement(block.split("\\")[0].strip())
        found[canonicalize_name(requirement.name)] = (requirement, len(HASH.findall(block)))
    return found


def pinned() -> dict[str, str]:
    """By name: the version in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().split()
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def needed(name: str) -> set[str]:
    """All packages that a package needs at run time on this machine, itself left out."""
    found: set[str] = set()
    waiting = [(name, frozenset[str]())]
    while waiting:
        owner, extras = waiting.pop()
        for requirement in map(Requirement, metadata.requires(owner) or ()):
            asked = any(
                requirement.marker is None or requirement.marker.evaluate({"extra": e}) for e in extras | {""}
            )
            key = canonicalize_name(requirement.name)
            if asked and key not in found:
                found.add(key)
                waiting.append((key, frozenset(requirement.extras)))
    return found


def test_every_package_of_the_run_time_is_locked_by_hash():
    """pip refuses the whole file when one package has no hash; one that is missing would be fetched unchecked."""
    assert needed("gc-ray") <= set(locked())
    assert all(hashes for _, hashes in locked().values())


def test_the_build_needs_nothing_that_is_not_locked():
    """The project itself is built without isolation, by the setuptools of the lock."""
    assert "setuptools" in locked()


def test_the_lock_has_the_tested_versions():
    """A package in both files has one version; `make lock` writes the lock from the constraints."""
    lock, pins = locked(), pinned()
    versions = {name: str(requirement.specifier) for name, (requirement, _) in lock.items()}
    assert {n: v for n, v in versions.items() if n in pins} == {n: f"=={pins[n]}" for n in versions if n in pins}
    assert len(set(lock) & set(pins)) > 100


@pytest.mark.parametrize("python", PYTHONS)
def test_one_lock_serves_every_supported_python(python):
    """No package of the lock is left out, or comes in another version, on one of the Pythons."""
    linux = {"sys_platform": "linux", "platform_machine": "x86_64", "implementation_name": "cpython"}
    here = linux | {"python_version": python, "python_full_version": f"{python}.9"}
    for requirement, _ in locked().values():
        if requirement.marker and "win32" not in str(requirement.marker):
            assert requirement.marker.evaluate(here), str(requirement)


@pytest.mark.parametrize(
    ("package", "vulnerable"),
    [
        pytest.param("pydicom", "3.0.1", id="CVE-2026-32711: a file set leads out of its folder"),
        pytest.param("torch", "2.9.1", id="CVE-2026-24747: weights_only loading runs code"),
        pytest.param("python-gdcm", "3.2.2", id="CVE-2026-3650: memory is never given back"),
        pytest.param("python-gdcm", "3.2.10", id="a release that took a fix back"),
        pytest.param("jinja2", "3.1.5", id="CVE-2025-27516: a template leaves its sandbox"),
    ],
)
def test_versions_with_known_holes_are_not_allowed(package, vulnerable):
    """The bounds of the project itself keep them out, also without the constraints."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    wanted = next(r for r in map(Requirement, listed) if canonicalize_name(r.name) == package)
    assert not wanted.specifier.contains(vulnerable)
    assert wanted.specifier.contains(pinned()[package])
