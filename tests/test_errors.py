"""Every refusal is one printable line of bounded length, whatever of the input it repeats."""

import pytest

from gc_ray import errors
from gc_ray.errors import LONGEST, ScanError, one_line


@pytest.mark.parametrize("odd", ["\n", "\r", "\t", "\0", "\x1b[2J", "\x85", "\u2028", "\u2029", "\ud800"])
def test_what_breaks_or_steers_a_line_is_replaced(odd):
    """Line breaks, terminal escapes and lone surrogates of a foreign file never reach a terminal or a table."""
    told = one_line(f"a{odd}b")
    assert told.startswith("a\N{REPLACEMENT CHARACTER}")
    assert told.isprintable()
    told.encode()


def test_plain_text_of_any_script_stays():
    """Names of regions are written in many languages."""
    assert one_line("Tumeur gastrique, Ösophagus, 胃がん: 3 mm²") == "Tumeur gastrique, Ösophagus, 胃がん: 3 mm²"


def test_a_long_message_keeps_its_beginning_and_its_end():
    """Whose it is stands first, what to do stands last."""
    told = one_line("a.csv: " + "x" * 10**6 + "; rename them")
    assert len(told) <= LONGEST
    assert told.startswith("a.csv: xxx")
    assert told.endswith("xxx; rename them")


@pytest.mark.parametrize(
    "kind", [e for e in vars(errors).values() if isinstance(e, type) and e.__module__ == errors.__name__]
)
def test_every_refusal_is_one_line_by_construction(kind):
    """Nobody who raises has to think of it."""
    assert str(kind("a\nb")) == "a\N{REPLACEMENT CHARACTER}b"
    assert issubclass(kind, ValueError)
    assert "\n" not in str(ScanError("x" * 5000 + "\n"))
