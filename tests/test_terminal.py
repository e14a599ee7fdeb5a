"""What reaches a terminal or a log: one line each, nothing that steers it, nothing read as markup."""

import io
import json
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from gc_ray import console
from gc_ray.cohort.findings import Finding
from gc_ray.errors import LONGEST, TableError, printable
from gc_ray.runtime.summary import Summary
from gc_ray.terminal import lines_as, say

HOSTILE = json.loads((Path(__file__).parent / "data" / "hostile.json").read_text(encoding="utf-8"))
hostile = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
STEERING = ("Cc", "Cf", "Cs", "Zl", "Zp")


def steering(text: str) -> set[str]:
    """The characters of a text that steer a terminal; those of rich's own colours are none of a name's."""
    return {c for c in text if unicodedata.category(c) in STEERING} - {"\n"}


def said(line: str, **console_settings) -> str:
    """What a console prints of a line."""
    out = io.StringIO()
    say(Console(file=out, soft_wrap=True, width=80, **console_settings), line)
    return out.getvalue()


@hostile
@pytest.mark.parametrize("terminal", [True, False])
def test_a_line_is_one_line_and_nothing_in_it_steers(text, terminal):
    """Neither on a terminal, where rich could read markup, nor in a log."""
    shown = said(f"scan {text}: refused", force_terminal=terminal, no_color=True)
    assert steering(shown) == set()
    assert shown.count("\n") == 1
    if len(text) < LONGEST - 100:
        assert shown == f"scan {printable(text)}: refused\n"
    else:
        assert len(shown) <= LONGEST + 1


@hostile
def test_a_json_line_is_ascii_and_holds_the_text_itself(text, capsys):
    """Whoever reads it gets the name as it is in the table."""
    with lines_as("json", "check"):
        console.show_lines(f"scan {text}")
    line = capsys.readouterr().out
    assert line.isascii()
    assert line.count("\n") == 1
    assert json.loads(line)["message"] == f"scan {text}".strip()


class Latin(io.TextIOWrapper):
    """A terminal of Western Europe."""


def test_letters_that_the_terminal_does_not_have_are_escaped_not_a_traceback():
    """An id in Chinese on a terminal of another encoding."""
    out = Latin(io.BytesIO(), encoding="latin-1")
    say(Console(file=out, soft_wrap=True), "scan 胃癌-é")
    out.flush()
    assert out.buffer.getvalue() == b"scan \\u80c3\\u764c-\xe9\n"


def summary_of(text: str) -> Summary:
    """A run in which every free text is ``text``."""
    lost = ((text, (text, text, text, text)),)
    known = {"counts": {(text, "ok"): 1, (text, "refused"): 2}, "lost": lost, "notes": (text,)}
    fields = {name: known.get(name, 0) for name in Summary.__dataclass_fields__}
    return SimpleNamespace(**fields | {"seconds": 1.0})


def check_of(text: str) -> SimpleNamespace:
    """A check in which every free text is ``text``."""
    verdict = SimpleNamespace(
        scan_id=text, reader=text, repeat=1, site=text, text=text, verdict="refused", level="error"
    )
    return SimpleNamespace(verdicts=[verdict], findings=[Finding("error", text)], outlines=1)


def split_of(text: str) -> SimpleNamespace:
    """A split in which every free text is ``text``."""
    step = SimpleNamespace(n_removed=1, n_left=2, step=text, reason=text)
    group = SimpleNamespace(name=text, n=3, events=1)
    return SimpleNamespace(
        notes=[text], findings=[Finding("warning", text)], flow=[step], groups=[group], new=True, study_id=text,
        hash="0",
    )  # fmt: skip


def tuned_of(text: str) -> SimpleNamespace:
    """A tuning in which every free text is ``text``."""
    lost = SimpleNamespace(patients=1, cohorts={text: (1, 2)}, reason=text)
    unscored = SimpleNamespace(patients=1, of=2, cohort=text, model_id=text, reason=text)
    line = SimpleNamespace(
        model_id=text, auc=0.5, pooled=0.5, n=1, events=1, features=1, chosen=text, warnings=[text]
    )
    return SimpleNamespace(
        left_out=[lost], unscored=[unscored], notes=[text], lines=[line], failed={text: text}, new=True,
        study_id=text, tune_id=text,
    )  # fmt: skip


def rescored_of(text: str) -> SimpleNamespace:
    """A rescoring in which every free text is ``text``."""
    scan = SimpleNamespace(scan_id=text, reason=text)
    return SimpleNamespace(
        notes=[text], waiting=[scan], failed=[scan], scored=1, refused=1, already=0, drift="stable", bundle_id="0",
        run=text,
    )  # fmt: skip


def evaluated_of(text: str) -> SimpleNamespace:
    """An evaluation in which every free text is ``text``."""
    numbers = [{"what": text, "value": text, "about": text}]
    return SimpleNamespace(notes=[text], numbers=numbers, sentences=[text], report_id="0", files={text: 1}, new=True)


@hostile
def test_what_commands_print_of_names_ids_and_reasons_is_safe(text, capsys):
    """Tables, notes, findings, verdicts, warnings and errors of every command, each line on its own."""
    console.show_summary(summary_of(text), "store")
    console.show_check(check_of(text))
    console.show_split(split_of(text), "store")
    console.show_tuned(tuned_of(text), "store")
    console.show_rescored(rescored_of(text), "store")
    console.show_report(evaluated_of(text), True, "store", text)
    console.show_error(TableError(text))
    console.show_warnings([text])
    shown = capsys.readouterr()
    assert steering(shown.out + shown.err) == set()
    assert shown.err.count("\n") == 2


def test_a_site_in_a_table_is_shown_as_it_is_written(capsys):
    """Rich would read colours and pictures into it."""
    console.show_summary(summary_of("[red]A[/red] :warning:"), "store")
    assert "[red]A[/red] :warning:" in capsys.readouterr().out
