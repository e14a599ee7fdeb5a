"""The tutorials show what the program prints: its words are still in the code, its files come from its commands."""

import ast
import re
import shlex
import subprocess
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from gc_ray.runtime.check_features import check_features
from gc_ray.runtime.check_lines import features_lines
from gc_ray.study import load_study

ROOT = Path(__file__).resolve().parents[2]
PAGES = {name: (ROOT / "docs" / f"{name}.md").read_text() for name in ("tutorial", "features_elsewhere")}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = {name: FENCE.findall(page) for name, page in PAGES.items()}
SHOWN = [
    (name, line)
    for name, page in PAGES.items()
    for line in [
        *(line for kind, body in BLOCKS[name] if kind == "text" for line in body.splitlines() if line),
        *re.findall(r"^\| `([^|]+)` \|", page.partition("| finding |")[2].partition("\n\n")[0], re.MULTILINE),
    ]
]
COMMANDS = {
    name: [
        shlex.split(line, comments=True)
        for kind, body in blocks
        if not kind
        for line in body.splitlines()
        if line.startswith("gc-ray ")
    ]
    for name, blocks in BLOCKS.items()
}
WORD = re.compile(r"(?<![A-Za-z\d])[A-Za-z]{4,}(?![A-Za-z\d])")  # no part of a digest or a name with digits
READS = ("--scans", "--features", "--clinical", "--bundle", "--store")  # options that name what was written before
WRITES = ("extract", "ingest", "rescore")  # commands that begin a store
STEPS = {
    "tutorial": "synth check extract split train embed tune evaluate bundle rescore show",
    "features_elsewhere": "check ingest split tune evaluate bundle rescore show",
}


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
    every = [block for blocks in BLOCKS.values() for block in blocks]
    study = [re.sub(r"#.*", "", body) for kind, body in every if kind in ("", "toml", "python")]
    return tuple(longer), frozenset(WORD.findall(" ".join([*single, *study])))


@pytest.mark.parametrize(("page", "line"), SHOWN)
def test_every_line_that_is_shown_is_one_that_the_program_can_print(page, line):
    """A message whose words changed is shown anew: what is left of a line are names and numbers."""
    longer, single = said()
    of_the_user = set(WORD.findall(" ".join(re.findall(r"'([^']*)'", line))))
    for text in longer:
        line = line.replace(text, " ")
    assert set(WORD.findall(line)) <= single | of_the_user


@pytest.fixture(scope="module")
def simulated(tmp_path_factory) -> Path:
    """What the script of the page on features made elsewhere writes, beside the study file that it shows."""
    folder = tmp_path_factory.mktemp("simulated")
    blocks = {kind: body for kind, body in BLOCKS["features_elsewhere"] if kind in ("python", "toml")}
    subprocess.run([sys.executable, "-c", blocks["python"]], cwd=folder, check=True)
    (folder / "study.toml").write_text(blocks["toml"])
    return folder


def test_every_file_that_a_command_reads_was_written_before(simulated):
    """A reader who types the commands in their order has every table, store and bundle that the next one wants."""
    for page, commands in COMMANDS.items():
        there = {"study.toml"} if page == "tutorial" else {path.name for path in simulated.iterdir()}
        for command in commands:
            given = list(pairwise(command))
            writes = {"--store"} if command[1] in WRITES else set()
            for option, value in given:
                if option in READS and option not in writes:
                    assert any(value == name or value.startswith(f"{name}/") for name in there), (command, value)
            there |= {value for option, value in given if option in ("--out", "--store")}


def test_every_command_of_a_study_is_on_its_page():
    """From a cohort, or from a table of features, to new patients scored."""
    for page, steps in STEPS.items():
        assert list(dict.fromkeys(command[1] for command in COMMANDS[page])) == steps.split()


def test_what_check_prints_of_the_simulated_tables_is_what_the_page_shows(simulated):
    """Line by line: the script, the study file and the numbers on the page belong together."""
    tables = (str(simulated / "features.csv"), str(simulated / "clinical.csv"))
    found = check_features(*tables, load_study(str(simulated / "study.toml")))
    shown = next(body for kind, body in BLOCKS["features_elsewhere"] if kind == "text")
    noted = [f"{finding.level:<8}  {finding.text}" for finding in found.findings]
    assert shown.splitlines()[:-1] == [*features_lines(found), *noted]
    assert {finding.level for finding in found.findings} == {"note"}
