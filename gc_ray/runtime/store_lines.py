"""What is said of a store that was verified, repaired or cleaned, as lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # they load what a message does not need
    from gc_ray.runtime.clean import Cleaned
    from gc_ray.runtime.repair import Repaired
    from gc_ray.runtime.verify import Problem, Verified

SHOWN = 200  # lines of a kind; --json has all of them


def verified_lines(found: Verified) -> list[str]:
    """A line for each problem, then how much was compared."""
    size = f"{found.objects:,} objects, {found.bytes / 1e6:,.1f} MB"
    end = f"{len(found.problems)} problems" if found.problems else "nothing is damaged or missing"
    return [*_problems(found.problems), f"{found.store}: {size} read; {end}"]


def repaired_lines(done: Repaired) -> list[str]:
    """A line for each thing that was done, then for each that is left."""
    end = f"{len(done.done)} things done"
    end += (
        f"; {len(done.left)} left, which only another run or a copy brings back" if done.left else "; nothing is left"
    )
    return [*_first(done.done), *_problems(done.left), f"{done.store}: {end}"]


def cleaned_lines(found: Cleaned) -> list[str]:
    """A line for each leftover, then what was done."""
    lines = [f"{leftover.name}: {leftover.why} ({leftover.bytes / 1e6:.2f} MB)" for leftover in found.leftovers]
    size = f"{len(lines):,} objects, {sum(leftover.bytes for leftover in found.leftovers) / 1e6:,.1f} MB"
    end = "deleted" if found.deleted else "would be deleted by --yes"
    return [*_first(lines), f"{found.store}: {size} {end}"]


def _problems(problems: Sequence[Problem]) -> list[str]:
    return _first([f"{problem.name}: {problem.what}; {problem.fix}" for problem in problems])


def _first(lines: Sequence[str]) -> list[str]:
    more = [f".. and {len(lines) - SHOWN:,} more; --json has all of them"] if len(lines) > SHOWN else []
    return [*lines[:SHOWN], *more]
