"""Writes the reference pages that are made from the code; with --check says which fall behind it.

python docs/generate.py            writes docs/reference/*.md
python docs/generate.py --check    writes nothing; exit code 1 and their names when some differ
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from generators.command_line import commands
from generators.errors import faults_page
from generators.input_tables import input_tables
from generators.inputs import clinical, manifest
from generators.methods import methods
from generators.recipes import feature_sets
from generators.settings import studies, study_file
from generators.stored import stored_tables

REFERENCE = Path(__file__).resolve().parent / "reference"

PAGES: dict[str, Callable[[], str]] = {
    "commands": commands,
    "input-tables": input_tables,
    "manifest": manifest,
    "clinical": clinical,
    "study": study_file,
    "packaged-studies": studies,
    "feature-sets": feature_sets,
    "tables": stored_tables,
    "messages": faults_page,
    "methods": methods,
}


def behind() -> dict[str, str]:
    """The pages that are not as the code has them now: name to the text they should have."""
    made = {name: make() for name, make in PAGES.items()}
    held = {path.stem: path.read_text() for path in REFERENCE.glob("*.md")}
    return {name: text for name, text in made.items() if held.get(name) != text}


def main(arguments: list[str]) -> int:
    """The exit code: 0 when all pages are as the code has them, or are now."""
    stale = behind()
    if arguments == ["--check"]:
        if stale:
            print(f"behind the code: {', '.join(stale)}; run python docs/generate.py")
        return int(bool(stale))
    REFERENCE.mkdir(exist_ok=True)
    for name, text in stale.items():
        (REFERENCE / f"{name}.md").write_text(text)
    print(f"{len(stale)} of {len(PAGES)} pages written")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
