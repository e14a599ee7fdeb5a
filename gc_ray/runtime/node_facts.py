"""What a process is, and whether it may compute beside the driver's.

Values of one store must come from one code, one set of libraries and, unless that is waived, one kind of processor.
"""

from __future__ import annotations

import functools
import platform
import time
from collections import Counter
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import gc_ray
from gc_ray.code_versions import EXTRACTION, STEPS, Step, code_version, source_digest
from gc_ray.runtime.node import instruction_set, this_node

PAUSE_S, READINGS = 0.3, 40  # Ray takes half a second to unpack the package of a job


@dataclass(frozen=True)
class NodeFacts:
    """What a process says of itself.

    node: the machine's name. libraries: (name, version) of those that decide values, with Python and this package.
    sources: a digest of the package's files. cpu: the instruction set, such as x86-64-v3.
    """

    node: str
    libraries: tuple[tuple[str, str], ...]
    sources: str
    cpu: str


@functools.cache
def own_facts() -> NodeFacts:
    """The facts of this process, found once."""
    libraries = {name: _installed(name) for step in STEPS.values() for name in step.libraries}
    libraries |= {"Python": platform.python_version(), "gc-ray": gc_ray.__version__}
    return NodeFacts(this_node(), tuple(sorted(libraries.items())), package_digest(), instruction_set())


def facts_for(*steps: Step) -> NodeFacts:
    """The facts of this process, with the libraries of some steps alone: what a process for these must equal."""
    names = {"Python", "gc-ray", *(name for step in steps for name in step.libraries)}
    return replace(own_facts(), libraries=tuple(one for one in own_facts().libraries if one[0] in names))


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"


@functools.cache
def computed_here() -> dict[str, str]:
    """What a ledger row says of the process that computed it: ``code_version``, ``node`` and ``cpu``."""
    return {"code_version": code_version(EXTRACTION), "node": this_node(), "cpu": instruction_set()}


def package_digest(folder: Path | None = None) -> str:
    """A digest of the names and contents of the package's files.

    They are read until two readings agree: where two nodes share a machine, one may unpack the package again while
    the other reads it.
    """
    top, before = folder or Path(gc_ray.__file__).parent, ""
    for _ in range(READINGS):
        try:
            found = source_digest(top)
        except FileNotFoundError:
            found = ""
        if found and found == before:
            break
        before = found
        time.sleep(PAUSE_S)
    return before


def difference(wanted: NodeFacts, found: NodeFacts) -> str:
    """What of a node would make its values others than the driver's, in words; empty where nothing would."""
    theirs = dict(found.libraries)
    lines = [
        f"{name} {theirs.get(name, 'none')} instead of {version}"
        for name, version in wanted.libraries
        if theirs.get(name) != version
    ]
    if found.sources != wanted.sources:
        lines.append(f"other files of gc_ray ({found.sources} instead of {wanted.sources})")
    if found.cpu != wanted.cpu and wanted.cpu:
        lines.append(f"processor {found.cpu} instead of {wanted.cpu}")
    return ", ".join(lines)


def wanted_cpu(driver: str, found: list[str]) -> str:
    """The instruction set that most nodes have; the driver's where several are as frequent."""
    counts = Counter(found)
    return max(counts, key=lambda cpu: (counts[cpu], cpu == driver, cpu)) if counts else driver
