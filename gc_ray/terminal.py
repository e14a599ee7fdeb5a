"""Where lines go: a terminal, a log for people, or a log of JSON objects."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterable, Iterator
from contextvars import ContextVar

from rich.console import Console

from gc_ray.errors import one_line
from gc_ray.operations.json_lines import JsonLines

LEVELS = {"red": "error", "yellow": "warning"}  # of a JSON line, by the colour of the line
_as_json: ContextVar[JsonLines | None] = ContextVar("_as_json", default=None)


@contextlib.contextmanager
def lines_as(log_format: str, command: str) -> Iterator[None]:
    """Within it lines are for people (``text``), or a JSON object each (``json``) that names the command."""
    before = _as_json.set(JsonLines(command) if log_format == "json" else None)
    try:
        yield
    finally:
        _as_json.reset(before)


def json_lines() -> JsonLines | None:
    """Return what makes JSON lines, None where lines are for people."""
    return _as_json.get()


def say(console: Console, line: str, style: str | None = None) -> None:
    """Print one line, in colour on a terminal only; what the text holds is shown, never obeyed.

    Parameters
    ----------
    console : rich.console.Console
    line : str
        Any text: line breaks and control characters are replaced, markup and emoji codes are printed as they are.
    style : str, optional
        Colour of the line; also the level of a JSON line (``LEVELS``).
    """
    if (as_json := json_lines()) is not None:
        if line.strip():
            console.out(as_json.line(line.strip(), LEVELS.get(style, "info")), highlight=False)
        return
    console.print(shown(line, console), style=style, markup=False, highlight=False, emoji=False)


def shown(line: str, console: Console) -> str:
    """Return the line as a terminal may have it: nothing that steers, nothing that its encoding does not have."""
    return one_line(line).encode(console.encoding, "backslashreplace").decode(console.encoding)


def say_lines(console: Console, lines: Iterable[str]) -> None:
    """Print lines, one by one."""
    for line in lines:
        say(console, line)


class _Waits(logging.Handler):
    """Prints what a run waits for on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        console = terminal(stderr=True)
        if json_lines() is not None:
            say(console, record.getMessage(), "yellow")
        else:  # by print, since progress that is redrawn takes the place of standard error
            print(shown(record.getMessage(), console), file=sys.stderr)  # noqa: T201


@contextlib.contextmanager
def waits_shown() -> Iterator[None]:
    """Within it the lines that say what a run waits for are printed."""
    logger, handler = logging.getLogger("gc_ray.waiting"), _Waits()
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = True


def terminal(stderr: bool = False) -> Console:
    """Return where lines go: standard output, or standard error."""
    # soft wrap: a line of a log stays a line, however narrow the terminal that rich imagines
    return Console(stderr=stderr, soft_wrap=True)
