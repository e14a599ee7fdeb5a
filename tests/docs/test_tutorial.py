"""The tutorial shows what the program prints: its words are still in the code, its files come from its commands."""

import ast
import re
import shlex
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "tutorial.md").read_text()
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHOWN = [line for kind, body in FENCE.findall(PAGE) if kind == "text" for line in body.splitlines() if line]
FINDINGS = re.findall(r"^\| `([^|]+)` \|", PAGE, re.MULTILINE)
COMMANDS = [
    shlex.split(line, comments=True)
    for kind, body in FENCE.findall(PAGE)
    if not kind
    for line in body.splitlines()
    if line.startswith("gc-ray ")
]
WORD = re.compile(r"(?<![A-Za-z\d])[A-Za-z]{4,}(?![A-Za-z\d])")  # no part of a digest or a name with digits
READS = ("--scans", "--clinical", "--bundle", "--store")  # options that name what an earlier command has written


@cache
def said() -> tuple[tuple[str, ...], frozenset[str]]:
    """(the program's texts of several words, longest first; its single words and those of the study shown)."""
    texts = {
        node.value.strip(" :;,'")
        for path in (ROOT / "gc_ray").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    longer = sorted((text for text in texts if len(text.split()) > 1), key=len, reverse=True)
    single = {text for text in texts if len(text.split()) == 1}
    study = [re.sub(r"#.*", "", body) for kind, body in FENCE.findall(PAGE) if kind in ("", "toml")]
    return tuple(longer), frozenset(WORD.findall(" ".join([*single, *study])))


@pytest.mark.parametrize("line", [*SHOWN, *FINDINGS])
def test_every_line_that_is_shown_is_one_that_the_program_can_print(line):
    """A message whose words changed is shown anew: what is left of a line are names and numbers."""
    longer, single = said()
    of_the_user = set(WORD.findall(" ".join(re.findall(r"'([^']*)'", line))))
    for text in longer:
        line = line.replace(text, " ")
    assert set(WORD.findall(line)) <= single | of_the_user


def test_every_file_that_a_command_reads_was_written_before():
    """A reader who types the commands in their order has every table, store and bundle that the next one wants."""
    there = {"study.toml"}
    for command in COMMANDS:
        given = list(pairwise(command))
        writes = {"--store"} if command[1] in ("extract", "rescore") else set()
        for option, value in given:
            if option in READS and option not in writes:
                assert any(value == name or value.startswith(f"{name}/") for name in there), (command, value)
        there |= {value for option, value in given if option in ("--out", "--store")}


def test_every_command_of_a_study_is_in_the_tutorial():
    """From a cohort to new scans scored."""
    wanted = ["synth", "check", "extract", "split", "train", "embed", "tune", "evaluate", "bundle", "rescore", "show"]
    assert list(dict.fromkeys(command[1] for command in COMMANDS)) == wanted
