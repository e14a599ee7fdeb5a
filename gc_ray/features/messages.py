"""What PyRadiomics, NumPy and SciPy say during a computation, collected instead of printed."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

SPEAKERS = ("radiomics", "pykwalify")

# Longer messages are cut: a reason goes into one cell of a table.
LONGEST_MESSAGE = 300


def one_line(message: object) -> str:
    """The text of a message or exception in one line of at most ``LONGEST_MESSAGE`` characters."""
    text = " ".join(str(message).split())
    if isinstance(message, Exception):
        text = f"{type(message).__name__}: {text}"
    return text[:LONGEST_MESSAGE]


class _Collector(logging.Handler):
    def __init__(self, into: list[str]) -> None:
        super().__init__(logging.WARNING)
        self.into = into

    def emit(self, record: logging.LogRecord) -> None:
        self.into.append(one_line(record.getMessage()))


@contextmanager
def _logger_redirected(name: str, into: list[str]) -> Iterator[None]:
    logger = logging.getLogger(name)
    kept = logger.handlers, logger.propagate
    logger.handlers, logger.propagate = [_Collector(into)], False
    try:
        yield
    finally:
        logger.handlers, logger.propagate = kept


@contextmanager
def collected_messages() -> Iterator[list[str]]:
    """A list that fills with the warnings and log lines given inside the ``with`` block, one line each, as they come.

    Nothing of them is printed or raised. DeprecationWarnings are left out: they speak to developers. Loggers and
    warning filters are as before on leaving. Not for use in several threads at once, since Python's warning filters
    belong to the process.
    """
    collected: list[str] = []

    def collect(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        collected.append(f"{category.__name__}: {one_line(str(message))}")

    with ExitStack() as stack:
        for name in SPEAKERS:
            stack.enter_context(_logger_redirected(name, collected))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("default")
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.showwarning = collect
        yield collected
