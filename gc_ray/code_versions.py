"""One rule for versions of code: a number of our own for each step, and the versions of the libraries that it uses.

Raise a step's number when its code changes a value. Libraries are watched by their versions.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from gc_ray.study import digest

SOURCES = (".py", ".csv", ".css", ".j2", ".js", ".toml", ".yaml")  # what the package consists of


@dataclass(frozen=True)
class Step:
    """Code whose values belong together. libraries: those that decide its values."""

    number: str
    libraries: tuple[str, ...]


EXTRACTION = Step("1", ("numpy", "scipy", "SimpleITK", "pyradiomics-bhklab", "PyWavelets", "trimesh"))
NETWORKS = Step("1", ("torch", "monai", "numpy", "scipy"))
SIGNATURES = Step("3", ("numpy", "scipy", "numba", "pandas"))
STEPS = {"extract": EXTRACTION, "networks": NETWORKS, "tune": SIGNATURES}


def code_version(step: Step) -> str:
    """The version of a step's code: its number and a digest of the versions of its libraries."""
    return f"{step.number}-{digest(library_versions(step.libraries))[:8]}"


def library_versions(libraries: tuple[str, ...]) -> dict[str, str]:
    """The installed version of each library, by name."""
    return {name: metadata.version(name) for name in libraries}


def source_digest(folder: Path) -> str:
    """A digest of the names and contents of a package's files."""
    content = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.suffix in SOURCES):
        name = path.relative_to(folder).as_posix()
        content.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return content.hexdigest()[:16]
