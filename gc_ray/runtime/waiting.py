"""How long a run waits for places on a cluster, and the lines that say what it waits for."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar

from gc_ray.runtime.progress import duration

FIRST_S, EVERY_S = 5.0, 15.0  # after which the first line comes, and between two lines
STEP_S = 1.0  # longest pause between two looks
log = logging.getLogger("gc_ray.waiting")  # the command line shows it; Python prints it where nobody does
_patience_s: ContextVar[float] = ContextVar("_patience_s", default=900.0)


@contextlib.contextmanager
def waiting_up_to(minutes: float) -> Iterator[None]:
    """Within it, work on a cluster waits so long for its places."""
    before = _patience_s.set(60 * minutes)
    try:
        yield
    finally:
        _patience_s.reset(before)


def patience_s() -> float:
    """Return the longest wait for places, seconds."""
    return _patience_s.get()


def wait(
    ready: Callable[[float], bool],
    about: Callable[[], str],
    longest_s: float,
    clock: Callable[[], float] = time.monotonic,
) -> bool:
    """Wait, and say for what.

    Parameters
    ----------
    ready : callable
        Given seconds, waits so long at most; True when the wait is over.
    about : callable
        The line, without the time.
    longest_s : float
        Seconds after which the wait is given up.
    clock : callable
        Seconds, monotonic.

    Returns
    -------
    bool
        False when it was given up.
    """
    begin = clock()
    due = begin + FIRST_S
    while not ready(min(STEP_S, max(longest_s, 0.01))):
        now = clock()
        if now - begin >= longest_s:
            return False
        if now >= due:
            due = now + EVERY_S
            log.warning("%s; %s of %s", about(), duration(now - begin), duration(longest_s))
    return True
