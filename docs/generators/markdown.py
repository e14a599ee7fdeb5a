"""The few Markdown forms that generated pages are made of."""

from __future__ import annotations

import re
from collections.abc import Iterable

MADE = "<!-- made by docs/generate.py from the code; edit the code, then run `make docs` -->"


def page(title: str, *parts: str) -> str:
    """A whole page: title, the note that it is generated, and its parts with blank lines between them."""
    return "\n\n".join([f"# {title}", MADE, *(part.strip("\n") for part in parts if part)]) + "\n"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table; a bar within a cell is escaped."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def code(text: object) -> str:
    """Text as code, empty when there is none; what it holds of backticks does not end it."""
    text = str(text)
    if not text:
        return ""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    blank = " " if longest else ""
    return f"{fence}{blank}{text}{blank}{fence}"


def _cell(text: str) -> str:
    """Text within a table's line; what looks like a tag outside code stays text."""
    parts = re.split(r"(`+[^`]+`+)", " ".join(text.split()).replace("|", "\\|"))
    return "".join(part if part.startswith("`") else part.replace("<", "&lt;") for part in parts)
