"""The Dockerfile, read as text: what can be known of an image without building it."""

import fnmatch
import re
import shlex
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def instructions(text: str) -> list[tuple[str, list[str]]]:
    """(instruction, words) of a Dockerfile, continued lines joined and comments dropped."""
    lines = re.sub(r"\\\n", " ", re.sub(r"(?m)^\s*#.*\n", "", text)).splitlines()
    return [(line.split()[0], shlex.split(line)[1:]) for line in lines if line.strip()]


def faults(text: str) -> list[str]:
    """What is not pinned, not there, or runs as root."""
    steps = instructions(text)
    found = [f"{words[0]} is not pinned" for name, words in steps if name == "FROM" and not pinned(words[0])]
    for name, words in steps:
        sources = [w for w in words[:-1] if name == "COPY" and not words[0].startswith("--from=")]
        found += [f"{source} is not there or is ignored" for source in sources if not sent(source)]
        installs = [part.split() for part in " ".join(words).split("&&") if "pip install" in part]
        found += ["pip installs without hashes" for part in installs if not checked(part)]
    users = [words[0] for name, words in steps if name == "USER"]
    return found if users and users[-1].isdigit() and int(users[-1]) else [*found, "runs as root"]


def pinned(image: str) -> bool:
    """Whether an image is named to the patch version."""
    return re.fullmatch(r"python:3\.1[123]\.\d+-slim-\w+", image) is not None


def checked(install: list[str]) -> bool:
    """Whether pip takes only files of the lock, or builds the project alone with what is installed."""
    return "--require-hashes" in install or {"--no-deps", "--no-build-isolation"} <= set(install)


def sent(source: str) -> bool:
    """Whether a file exists and .dockerignore, which lists what is let through, lets it through."""
    rules = (ROOT / ".dockerignore").read_text().split()
    return (ROOT / source).exists() and any(fnmatch.fnmatch(source, r[1:]) for r in rules if r.startswith("!"))


def test_the_image_is_pinned_complete_and_not_root():
    """Every base to its patch version, every copied file there, every package by its hash."""
    assert faults((ROOT / "Dockerfile").read_text()) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (r"python:3\.11\.\d+-slim-\w+$", "python:3-slim", "python:3-slim is not pinned"),
        ("COPY gc_ray", "COPY gcray", "gcray is not there or is ignored"),
        ("COPY gc_ray", "COPY tests", "tests is not there or is ignored"),
        ("--require-hashes", "", "pip installs without hashes"),
        ("--no-build-isolation", "", "pip installs without hashes"),
        ("USER 1000", "", "runs as root"),
    ],
)
def test_a_fault_of_the_image_is_caught(old, new, fault):
    """Each of them by name."""
    assert fault in faults(re.sub(old, new, (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE))


def test_the_image_holds_what_the_package_is_built_from():
    """pyproject.toml refers to a readme and a licence; without them the build fails."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    copied = {w for name, words in instructions((ROOT / "Dockerfile").read_text()) if name == "COPY" for w in words}
    assert copied >= {"gc_ray", "pyproject.toml", "requirements.lock", project["readme"], *project["license-files"]}
