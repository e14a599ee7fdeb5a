"""The commands about a store itself: compare all of it, repair it, take away what nothing names."""

from __future__ import annotations

from typing import Annotated

import typer

from gc_ray.exit_codes import DONE, FAILED
from gc_ray.options import AsJson, faults
from gc_ray.store import open_store

StoreGiven = Annotated[str, typer.Argument(help="A store: a folder or s3://bucket/prefix.")]


def verify(store: StoreGiven, *, as_json: AsJson = False) -> None:
    """Read every byte of a store and compare it with what its objects say of each other; nothing is written.

    Exit code 1 with a line for everything that is damaged, gone or contradicts another object.
    """
    with faults():
        from gc_ray import console
        from gc_ray.runtime.store_lines import verified_lines
        from gc_ray.runtime.verify import verify as run

        found = run(open_store(store))
        console.show_json(found) if as_json else console.show_lines(*verified_lines(found))
    raise typer.Exit(FAILED if found.problems else DONE)


def repair(store: StoreGiven, *, as_json: AsJson = False) -> None:
    """Rebuild what can be rebuilt in a store, and mark the rest so that the next run computes it anew.

    Nothing that is whole is deleted: what has to go is moved below set-aside/. A store of version 0.1.0 gets its
    format. Exit code 1 when something is left that only another run, or a copy, brings back.
    """
    with faults():
        from gc_ray import console
        from gc_ray.runtime.repair import repair as run
        from gc_ray.runtime.store_lines import repaired_lines

        done = run(open_store(store))
        console.show_json(done) if as_json else console.show_lines(*repaired_lines(done))
    raise typer.Exit(FAILED if done.left else DONE)


def clean(
    store: StoreGiven,
    *,
    older_than: Annotated[str, typer.Option("--older-than", help="Age such as 7d, 12h or 30m.")] = "7d",
    yes: Annotated[bool, typer.Option("--yes", help="Delete what is listed; without it nothing is deleted.")] = False,
    as_json: AsJson = False,
) -> None:
    """List, and with --yes delete, what no commit, list or card of a store names, and files that were never finished.

    A store in which something is damaged is not cleaned: repair comes first.
    """
    with faults():
        from gc_ray import console
        from gc_ray.probe import store_time
        from gc_ray.runtime.clean import age_seconds
        from gc_ray.runtime.clean import clean as run
        from gc_ray.runtime.store_lines import cleaned_lines

        age, where = age_seconds(older_than), open_store(store)
        found = run(where, store_time(where) - age, yes)
        console.show_json(found) if as_json else console.show_lines(*cleaned_lines(found))
