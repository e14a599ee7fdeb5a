"""Exit codes of commands, and the problems that they stand for; the highest code of a run is its exit code."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

DONE, FAILED, BAD_INPUT, OVER_BUDGET, SCANS_WAIT, DRIFT, STUCK_RUN = range(7)
KINDS = {
    FAILED: "failed",
    BAD_INPUT: "bad_input",
    OVER_BUDGET: "over_budget",
    SCANS_WAIT: "scans_wait",
    DRIFT: "drift",
    STUCK_RUN: "stuck_run",
}


@dataclass(frozen=True)
class Problem:
    """Something that an operator must know of a run.

    Parameters
    ----------
    code : int
        The exit code for it, 1 to 6.
    message : str
        One line for a person.
    counts : dict of str to int
        What was counted, for example ``{"refused": 3}``.
    """

    code: int
    message: str
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The name of the code, as alerts and metrics use it."""
        return KINDS[self.code]


def exit_code(problems: Iterable[Problem]) -> int:
    """Return the highest code of the problems, 0 without any."""
    return max((problem.code for problem in problems), default=DONE)
