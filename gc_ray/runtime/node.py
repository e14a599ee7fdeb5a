"""The machine that this process runs on, as ledgers and messages name it."""

from __future__ import annotations

import re
import socket

LONGEST = 60  # characters of a node's name


def this_node() -> str:
    """The host's name (in a container: the container's), of letters, digits, ``.``, ``_`` and ``-``."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", socket.gethostname())[:LONGEST] or "unnamed"
