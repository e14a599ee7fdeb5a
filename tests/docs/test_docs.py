"""The README and the documentation say what the code does: commands, settings, links, names and references."""

import importlib
import re
import shlex
import subprocess
import sys
import tomllib
import typing
from pathlib import Path

import pytest
import typer
from pydantic import BaseModel

from gc_ray.cli import app
from gc_ray.features.feature_set import PRESETS
from gc_ray.features.ibsi_sets import IBSI_SETS
from gc_ray.imaging.voi import RECIPES
from gc_ray.study import Study, load_study
from gc_ray.study_file import packaged_studies

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])
COMMANDS = typer.main.get_command(app).commands
OPTIONS = {name for command in COMMANDS.values() for p in command.params for name in p.opts if name.startswith("--")}
# options of other programs that the pages name by themselves
FOREIGN = {"--address", "--working-dir", "--runtime-env-json", "--entrypoint-num-cpus", "--num-gpus"}  # of Ray
FOREIGN |= {"--help", "--jobs", "--memory", "--object-store-memory"}

FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"(?<!\\)\[[^\]]*\]\(([^)\s]+)\)")
PLACES = "benchmarks|deploy|docs|gc_ray|jobs|tests"


def page_id(path: Path) -> str:
    """A page as a test's name shows it."""
    return path.relative_to(ROOT).as_posix()


def blocks(text: str, *kinds: str) -> list[str]:
    """The fenced blocks of these languages."""
    return [body for kind, body in FENCE.findall(text) if kind in kinds]


def prose(text: str) -> str:
    """The page without its fenced blocks."""
    return FENCE.sub("", text)


def command_lines(text: str) -> list[list[str]]:
    """The words of every line in a block that runs gc-ray, or a job of ours, after the program's name."""
    found = []
    for body in blocks(text, "", "bash", "sh", "console"):
        for line in body.replace("\\\n", " ").splitlines():
            line = re.sub(r"\s#.*", "", line).strip().removeprefix("$ ")
            if match := re.search(r"(?:^|\s|/)gc-ray (?=[a-z])(.*)$", line):
                if re.match(r"(\S*/)?gc-ray ", line):
                    found.append(shlex.split(match[1]))
            elif match := re.search(r"python jobs/(\w+)\.py(.*)$", line):
                found.append([match[1], *shlex.split(match[2])])
    return found


def slug(heading: str) -> str:
    """The anchor that the site and GitHub give a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", text).strip().lower())


def anchors(path: Path) -> set[str]:
    """The anchors of a page."""
    return {slug(line.lstrip("#")) for line in prose(path.read_text()).splitlines() if re.match(r"#{1,6} ", line)}


def field(model: type, names: list[str]) -> bool:
    """Whether a dotted name leads to a setting of the study's models."""
    for i, name in enumerate(names):
        fields = getattr(model, "model_fields", {})
        if name not in fields:
            return False
        model = fields[name].annotation
        if typing.get_origin(model) is dict:
            return i + 2 <= len(names)  # below it names are the user's own
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            return i + 1 == len(names)
    return False


def test_the_reference_pages_are_as_the_code_has_them():
    """What is generated is committed as it would be generated now: `python docs/generate.py` brings it up to date."""
    done = subprocess.run(
        [sys.executable, str(DOCS / "generate.py"), "--check"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_every_link_and_anchor_leads_somewhere(path: Path):
    """A link of our own leads to a file that is there, and to a heading of it."""
    for target in LINK.findall(prose(path.read_text())):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        assert there.exists(), f"{target} leads nowhere"
        assert not anchor or anchor in anchors(there), f"{target}: no such heading"


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_every_command_line_shown_is_one_that_the_program_takes(path: Path):
    """A reader can type what stands there: command, options and choices exist, and what is required is given."""
    for words in command_lines(path.read_text()):
        assert words[0] in COMMANDS, f"no command {words[0]}"
        if "[OPTIONS]" in words or words[1:] == []:
            continue  # a form to fill in, or the bare name of a command
        COMMANDS[words[0]].make_context(words[0], words[1:])


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_every_command_and_option_named_in_the_text_exists(path: Path):
    """Also in running text: `gc-ray NAME --option` and `--option` are ours, or of a program that is known."""
    for span in SPAN.findall(prose(path.read_text())):
        words = span.split()
        if words[:1] == ["gc-ray"] and len(words) > 1:
            assert words[1] in COMMANDS or words[1].isupper(), span
            known = {o for p in COMMANDS[words[1]].params for o in p.opts} if words[1] in COMMANDS else OPTIONS
            assert {w.partition("=")[0] for w in words if w.startswith("--")} <= known | {"--help"}, span
        elif words[0].startswith("--"):
            assert words[0].partition("=")[0] in OPTIONS | FOREIGN, span


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_every_setting_named_exists(path: Path):
    """The key of every `--set section.key=value` leads to a field of the study's models."""
    for key in re.findall(r"--set[ =]'?\"?([\w.]+)=", path.read_text()):
        assert key == "section.key" or field(Study, key.split(".")), f"no setting {key}"


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_every_study_file_shown_is_one(path: Path, tmp_path):
    """A TOML block is a study, or a part of one, that loads."""
    for i, body in enumerate(blocks(path.read_text(), "toml")):
        tomllib.loads(body)
        (tmp_path / f"{i}.toml").write_text(body)
        assert load_study(str(tmp_path / f"{i}.toml"))


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_every_study_and_feature_set_named_exists(path: Path):
    """What follows --study, --feature-set and --volumes is packaged, a file, or plainly a placeholder."""
    sets = {*PRESETS, *IBSI_SETS}
    known = {
        "--study": set(packaged_studies()),
        "--feature-set": sets,
        "--volumes": {recipe.name for recipe in RECIPES},
    }
    text = re.sub(r"gc-ray ingest .*", "", path.read_text())  # which names a feature set of one's own
    for option, name in re.findall(r"(--study|--feature-set|--volumes)[ =]([\w.\-/]+)", text):
        placeholder = name.isupper() or name.endswith((".toml", ".yaml", ".json"))
        assert placeholder or name in known[option], f"{option} {name}"


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_every_file_of_the_repository_that_is_named_exists(path: Path):
    """A path such as jobs/extract.py or deploy/kuberay is there."""
    for name in re.findall(rf"(?<![\w/.:-])((?:{PLACES})/[\w./*-]*\w)", path.read_text()):
        assert "NAME" in name or list(ROOT.glob(name)), f"no {name} in the repository"


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_every_function_named_exists(path: Path):
    """A dotted name of ours, such as gc_ray.ledger.read_features, can be imported."""
    for name in set(re.findall(r"\bgc_ray(?:\.[a-zA-Z_]\w*)+", path.read_text())):
        parts, found = name.split("."), None
        for i in range(len(parts), 0, -1):
            try:
                found = importlib.import_module(".".join(parts[:i]))
            except ModuleNotFoundError:
                continue
            for part in parts[i:]:
                found = getattr(found, part)
            break
        assert found is not None, name


@pytest.mark.parametrize("path", [*PAGES, ROOT / "mkdocs.yml"], ids=page_id)
def test_no_path_of_a_machine_stands_in_the_docs(path: Path):
    """What was run on somebody's machine is shown as a reader would run it."""
    assert not re.search(r"(?<![\w.])/(?:work|tmp|root|home|Users)/\w", path.read_text())


def test_every_page_is_on_the_site():
    """A page that the navigation leaves out is never found; one that it names in vain breaks the build."""
    nav = (ROOT / "mkdocs.yml").read_text().split("\nnav:")[1]
    named = set(re.findall(r"^ *- .*?([\w/-]+\.md)$", nav, re.MULTILINE))
    assert named == {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}


def test_nothing_that_users_set_goes_unexplained():
    """Every command has an example, every option a help text and every field of the study file a description."""
    for name, command in COMMANDS.items():
        assert command.help, name
        assert f"gc-ray {name} " in f"{command.epilog} ", f"{name}: no example"
        assert max(map(len, command.epilog.splitlines())) <= 76, f"{name}: the example is wider than a terminal"
        assert all(p.help for p in command.params), f"{name}: {[p.name for p in command.params if not p.help]}"
    rows = re.findall(r"^\| `\S+` \|.*\|\s*\|$", (DOCS / "reference" / "study.md").read_text(), re.MULTILINE)
    assert not rows, rows
