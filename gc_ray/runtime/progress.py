"""What a person sees while scans are computed: done, repaired, refused, failed and the time left, per site."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

STATUSES = ("ok", "repaired", "refused", "failed", "unchanged")


class Progress:
    """Counts outcomes per site and shows one line for each site.

    totals: how many outcomes to expect per site. show: takes the lines. every_s: least seconds between two shows.
    clock: seconds, monotonic.
    """

    def __init__(
        self,
        totals: dict[str, int],
        show: Callable[[list[str]], None],
        every_s: float,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._totals = totals
        self._show = show
        self._every_s = every_s
        self._clock = clock
        self._begin = self._shown = clock()
        self._counts: dict[str, Counter] = {site: Counter() for site in totals}
        show(self.lines())

    def add(self, site: str, status: str) -> None:
        """Count one outcome; the lines are shown at the start, when it is time, and after the last outcome."""
        self._counts[site][status] += 1
        now = self._clock()
        if now - self._shown >= self._every_s or self._left_in_all() == 0:
            self._shown = now
            self._show(self.lines())

    def lines(self) -> list[str]:
        """A line per site: ``centre_a  12/20  ok 10  repaired 1  refused 1  failed 0  about 40 s left``."""
        wide = max(map(len, self._totals), default=0)
        return [f"{site:<{wide}}  {self._line(site)}" for site in self._totals]

    def _line(self, site: str) -> str:
        counts, total = self._counts[site], self._totals[site]
        shown = "  ".join(f"{s} {counts[s]}" for s in STATUSES if s != "unchanged" or counts[s])
        return f"{counts.total()}/{total}  {shown}  {self._time_left(total - counts.total())}"

    def _time_left(self, open_here: int) -> str:
        done = sum(c.total() for c in self._counts.values())
        if open_here == 0:
            return "complete"
        if done == 0:
            return "starting"
        # sites share the workers and are worked through together: each lasts as long as all that is planned
        return f"about {duration((self._clock() - self._begin) / done * self._left_in_all())} left"

    def _left_in_all(self) -> int:
        return sum(self._totals.values()) - sum(c.total() for c in self._counts.values())


def duration(seconds: float) -> str:
    """Seconds as people say them: 40 s, 12 min, 3.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
