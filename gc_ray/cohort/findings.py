"""What is wrong with a table, or worth knowing: one line each, with numbers, whose it is and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gc_ray.errors import one_line

SHOWN = 3  # ids, values or findings that a message names; the rest are counted


LONGEST = 100  # characters of one of them; longer ones are cut


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong (``error``) or worth knowing (``warning``), and what to do about it.

    A ``note`` is what the reader of a table decided or left out.
    """

    level: str
    text: str


def some(names: Iterable) -> str:
    """The first few of them, and a sign that there are more."""
    names = list(names)
    shown = [text if len(text) <= LONGEST else f"{text[:LONGEST]}.." for text in map(str, names[:SHOWN])]
    return one_line(", ".join(shown)) + (", .." if len(names) > SHOWN else "")


def whose(patients: Iterable) -> str:
    """Patients in brackets, as a finding ends."""
    return f"(patients {some(patients)})"
