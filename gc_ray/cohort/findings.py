"""What is wrong with a table, or worth knowing: one line each, with numbers, whose it is and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gc_ray.errors import SHOWN, some

__all__ = ["SHOWN", "Finding", "some", "whose"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong (``error``) or worth knowing (``warning``), and what to do about it.

    A ``note`` is what the reader of a table decided or left out.
    """

    level: str
    text: str


def whose(patients: Iterable) -> str:
    """Patients in brackets, as a finding ends."""
    return f"(patients {some(patients)})"
