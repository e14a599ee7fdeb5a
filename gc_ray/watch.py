"""How runs report single results: a function of the expected numbers gives one that is called for each result."""

from __future__ import annotations

from collections.abc import Callable

# results that will come, by site (or other name) -> called with that name and the status of each
Watch = Callable[[dict[str, int]], Callable[[str, str], None]]


def unwatched(totals: dict[str, int]) -> Callable[[str, str], None]:
    """For ``watch`` where nobody looks."""
    return lambda name, status: None
