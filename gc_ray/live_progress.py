"""How a run goes while it lasts: lines redrawn on a terminal, or a line now and then in a log."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.live import Live
from rich.text import Text

from gc_ray.runtime.progress import Epochs, Progress
from gc_ray.terminal import json_lines, say_lines, shown, terminal
from gc_ray.watch import Watch

REDRAW_S = 0.2  # on a terminal, where lines are redrawn in place
LINE_EVERY_S = 20.0  # in a log, where every show is new lines


@contextlib.contextmanager
def watching() -> Iterator[Watch]:
    """What ``extract`` wants as ``watch``: progress per site, redrawn on a terminal, a line now and then in a log."""
    with _showing() as (show, every_s):
        yield lambda totals: Progress(totals, show, every_s).add


@contextlib.contextmanager
def training() -> Iterator[tuple[Callable, Watch]]:
    """What ``train`` wants as ``tell`` and ``watch``: how the fit goes that is running, shown in the same way."""
    with _showing() as (show, every_s):
        yield Epochs(show, every_s).tell, lambda totals: Progress(totals, show, every_s).add


@contextlib.contextmanager
def _showing() -> Iterator[tuple[Callable[[list[str]], None], float]]:
    """(what takes the lines that are to be seen, least seconds between two calls)."""
    console = terminal(stderr=True)
    if not console.is_terminal or json_lines() is not None:
        said: set[str] = set()  # a site that is complete says so once

        def append(lines: list[str]) -> None:
            say_lines(console, [line for line in lines if line not in said])
            said.update(lines)

        yield append, LINE_EVERY_S
        return
    # what is redrawn is wrapped where the terminal ends: cut off there, it would lose the time left
    with Live(console=Console(stderr=True), auto_refresh=False) as live:

        def redraw(lines: list[str]) -> None:
            live.update(Text("\n".join(shown(line, live.console) for line in lines)), refresh=True)

        yield redraw, REDRAW_S
