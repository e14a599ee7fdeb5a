"""What a person sees while work goes on: outcomes per site or epochs of a fit, and the time left."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from gc_ray.names import label

if TYPE_CHECKING:  # console.py is loaded by every command, torch only by those that train
    from gc_ray.models.fit import FitSettings

STATUSES = ("ok", "repaired", "refused", "failed", "unchanged", "scored")  # in this order; those that came


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
        self._shown = clock()
        self._first = math.nan  # when the first outcome came: what workers take to start says nothing of the rest
        self._counts: dict[str, Counter] = {site: Counter() for site in totals}
        show(self.lines())

    def add(self, site: str, status: str) -> None:
        """Count one outcome; the lines are shown at the start, when it is time, and after the last outcome."""
        self._counts[site][status] += 1
        now = self._clock()
        if math.isnan(self._first):
            self._first = now
        if now - self._shown >= self._every_s or self._left_in_all() == 0:
            self._shown = now
            self._show(self.lines())

    def lines(self) -> list[str]:
        """A line per site: ``centre_a  12/20  ok 10  repaired 1  refused 1  about 40 s left``."""
        labels = {site: label(site) for site in self._totals}
        wide = max(map(len, labels.values()), default=0)
        return [f"{shown:<{wide}}  {self._line(site)}" for site, shown in labels.items()]

    def _line(self, site: str) -> str:
        counts, total = self._counts[site], self._totals[site]
        shown = [f"{status} {counts[status]}" for status in STATUSES if counts[status]]
        return "  ".join([f"{counts.total()}/{total}", *shown, self._time_left(total - counts.total())])

    def _time_left(self, open_here: int) -> str:
        done = sum(c.total() for c in self._counts.values())
        if open_here == 0:
            return "complete"
        if done < 2:
            return "starting"
        # sites share the workers and are worked through together: each lasts as long as all that is planned
        return f"about {duration((self._clock() - self._first) / (done - 1) * self._left_in_all())} left"

    def _left_in_all(self) -> int:
        return sum(self._totals.values()) - sum(c.total() for c in self._counts.values())


class Epochs:
    """One line for the fit that is running, with the most time that it may still take.

    show, every_s, clock: as for ``Progress``.
    """

    def __init__(
        self, show: Callable[[list[str]], None], every_s: float, clock: Callable[[], float] = time.monotonic
    ):
        self._show, self._every_s, self._clock = show, every_s, clock
        self._name, self._shown = "", -math.inf

    def tell(self, name: str, settings: FitSettings, point: tuple[int, float, float]) -> None:
        """Take the news of an epoch: (number, training loss, monitored value)."""
        epoch, loss, monitored = point
        now = self._clock()
        if name != self._name:
            self._name, self._first, self._begin, self._best = name, epoch, now, (math.inf, 0)
        self._best = min(self._best, (monitored, epoch))
        patience_over = settings.patience is not None and epoch - self._best[1] >= settings.patience
        last = epoch >= settings.epochs or patience_over
        if not last and now - self._shown < self._every_s:
            return
        self._shown = now
        seen = epoch - self._first
        left = "complete" if last else "starting"
        if seen and not last:
            left = f"at most {duration((now - self._begin) / seen * (settings.epochs - epoch))} left"
        best = f"(best {self._best[0]:.4g} in epoch {self._best[1]})"
        self._show(
            [f"{name}  epoch {epoch}/{settings.epochs}  loss {loss:.4g}  watched {monitored:.4g} {best}  {left}"]
        )


def duration(seconds: float) -> str:
    """Seconds as people say them: 40 s, 12 min, 3.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
