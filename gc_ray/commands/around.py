"""The commands around a study: what is installed, what a store holds, and the demo."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from gc_ray.exit_codes import DONE, FAILED
from gc_ray.options import AsJson, faults
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
        from gc_ray.runtime.show_lines import contents_lines

        found = run(open_store(store))
        console.show_json(found) if as_json else console.show_lines(*contents_lines(found))


def demo(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Where the cohort, the store and everything else go.")] = Path("demo"),
) -> None:
    """Show the whole way on a simulated cohort: both studies from DICOM to report, frozen model and new scans.

    The same command again goes on where it was cut off; every step is a command that you can repeat by itself.
    """
    program = context.find_root().command

    def call(command: tuple[str, ...]) -> int:
        return program.main(list(command), prog_name="gc-ray", standalone_mode=False) or DONE

    with faults():
        from gc_ray import console
        from gc_ray.runtime.cluster import session
        from gc_ray.runtime.demo import Step, results_of, steps_of, walk

        steps, failed, begin = steps_of(out), False, time.monotonic()
        console.show_lines(
            f"{len(steps)} steps, three to six minutes on 2 cores; each is a command that resumes and can be repeated"
        )
        with session(None):
            for told in walk(steps, call):
                if isinstance(told, Step):
                    console.show_step(steps.index(told) + 1, len(steps), told)
                    begin = time.monotonic()
                else:
                    console.show_step_ended(told, time.monotonic() - begin)
                    failed = failed or told.failed
        console.show_demo(results_of(out), str(out))
    raise typer.Exit(FAILED if failed else DONE)
