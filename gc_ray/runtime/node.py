"""The machine that this process runs on, as ledgers and messages name it."""

from __future__ import annotations

import platform
import re
import socket

LONGEST = 60  # characters of a node's name
# What compilers call the levels of x86-64, and the features that each adds to the one before, as LLVM names them.
LEVELS = (
    ("x86-64-v2", {"cx16", "sahf", "popcnt", "sse3", "sse4.1", "sse4.2", "ssse3"}),
    ("x86-64-v3", {"avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "xsave"}),
    ("x86-64-v4", {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}),
)


def this_node() -> str:
    """The host's name (in a container: the container's), of letters, digits, ``.``, ``_`` and ``-``."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", socket.gethostname())[:LONGEST] or "unnamed"


def instruction_set() -> str:
    """The processor's instruction set: a level of x86-64, or what the system calls the machine."""
    import llvmlite.binding  # late: the driver of a command that computes nothing does without

    features = {name for name, there in llvmlite.binding.get_host_cpu_features().items() if there}
    return level_of(platform.machine(), features)


def level_of(machine: str, features: set[str]) -> str:
    """The highest level of x86-64 whose features are all there; another machine's own name."""
    if machine.lower() not in ("x86_64", "amd64"):
        return machine.lower()
    level = "x86-64"
    for name, added in LEVELS:
        if not added <= features:
            break
        level = name
    return level
