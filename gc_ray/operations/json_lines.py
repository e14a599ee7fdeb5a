"""Log lines for machines: one JSON object per line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class JsonLines:
    """Writes what a command says as JSON objects, one a line.

    Parameters
    ----------
    command : str
        Name of the command; a field of every line.
    """

    command: str

    def line(self, message: str, level: str = "info", **fields: object) -> str:
        """Return one line.

        Parameters
        ----------
        message : str
            What a person would read.
        level : {"info", "warning", "error"}
        **fields
            Further fields, such as ``site`` or ``exit_code``; values that JSON can hold.

        Returns
        -------
        str
            ASCII without line breaks: time (UTC, ISO 8601), level, command, message, then the further fields.
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return json.dumps({"time": now, "level": level, "command": self.command, "message": message, **fields})
