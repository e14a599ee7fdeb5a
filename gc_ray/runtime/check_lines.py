"""What a check of a features table found, in lines that a person reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # these lines are loaded by every command
    from gc_ray.runtime.check_features import FeaturesCheck

SHOWN = 4  # features, readers or sites that a line names; all are in the JSON
WIDE = 10  # of the first column


def features_lines(found: FeaturesCheck) -> Iterator[str]:
    """What the table holds, a line each; findings are printed beside them by the console."""
    facts, names = found.facts, found.facts.features
    yield f"{found.table}: {facts.rows} rows, {facts.patients} patients, {len(names)} features"
    about = {
        "features": f"{names[0]} to {names[-1]}" if len(names) > 1 else names[0],
        "gaps": f"{sum(facts.gaps.values())} values, in {_few(facts.gaps)}" if facts.gaps else "none",
        "constant": _few(facts.constant),
        "copies": _few(f"{name} = {of}" for name, of in facts.copies.items()),
        "readers": _few(f"{outline}: {n}" for outline, n in facts.outlines.items()),
        "sites": _few(f"{site or 'none named'}: {n}" for site, n in facts.sites.items()),
        "patients": found.meeting,
        **found.designs,
        "made": "elsewhere: this software cannot know how these features were computed",
        "study": f"reads feature set {found.feature_set}" if found.feature_set else "",
    }
    yield from (f"  {name:<{WIDE}} {text}" for name, text in about.items() if text)


def _few(names: Iterable[str]) -> str:
    """The first few, and how many more there are; ``none`` without any."""
    held = list(names)
    more = f" and {len(held) - SHOWN} more" if len(held) > SHOWN else ""
    return ", ".join(held[:SHOWN]) + more or "none"
