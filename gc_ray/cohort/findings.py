"""What is wrong with a table, or worth knowing: one line each, with numbers, whose it is and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SHOWN = 3  # ids, values or findings that a message names; the rest are counted


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong (``error``) or worth knowing (``warning``), and what to do about it."""

    level: str
    text: str


def some(names: Iterable) -> str:
    """The first few of them, and a sign that there are more."""
    names = list(names)
    return ", ".join(map(str, names[:SHOWN])) + (", .." if len(names) > SHOWN else "")


def whose(patients: Iterable) -> str:
    """Patients in brackets, as a finding ends."""
    return f"(patients {some(patients)})"
