"""The commands around a study: what is installed, what a store holds, and the demo."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from gc_ray.options import DONE, FAILED, AsJson, faults, run_id
from gc_ray.store import open_store


def doctor(*, as_json: AsJson = False) -> None:
    """Say what is installed, what is missing, and what Ray sees."""
    with faults():
        from gc_ray import console
        from gc_ray.runtime.doctor import diagnose

        found = diagnose()
        (console.show_json if as_json else console.show_diagnosis)(found)
    raise typer.Exit(FAILED if found.problems else DONE)


def show(
    store: Annotated[str, typer.Argument(help="A store: a folder or s3://bucket/prefix.")], *, as_json: AsJson = False
) -> None:
    """Say what is in a store, how complete it is, and what failed and why."""
    with faults():
        from gc_ray import console
        from gc_ray.runtime.show import show as run

        found = run(open_store(store))
        (console.show_json if as_json else console.show_contents)(found)


def demo(*, out: Annotated[Path, typer.Option(help="Where the cohort and its store go.")] = Path("demo")) -> None:
    """Show the main job on a simulated cohort: DICOM in, ledger, features and network inputs out."""
    with faults():
        from gc_ray import console
        from gc_ray.runtime.demo import demo as run

        with console.watching() as watch:
            shown = run(out, watch, console.show_written, run_id("demo"), time.monotonic)
        console.show_summary(shown.summary, str(shown.store))
        console.show_demo(shown)
