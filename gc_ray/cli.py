"""The command line: parse, call one function of runtime or report, print, and exit with a code that means something.

0 done, 1 failed, 2 bad arguments or input tables, 3 finished but over the failure budget.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Annotated

import typer
from rich.console import Console

from gc_ray.errors import BundleError, MaskError, ScanError, StoreError, StudyError, TableError

DONE, FAILED, BAD_INPUT, OVER_BUDGET = 0, 1, 2, 3
REDRAW_S = 0.2  # on a terminal
LINE_EVERY_S = 10.0  # in a log, where every show is a new line

app = typer.Typer(
    help="CT outcome studies on Ray: scans and a clinical table in, features, signatures and reports out. Research use only.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Scans = Annotated[list[str], typer.Option("--scans", help="Scans table, CSV or Parquet, local or s3://; repeat for more sites.")]
StoreUri = Annotated[str, typer.Option("--store", help="Where tables are kept: a folder or s3://bucket/prefix.")]
StudyName = Annotated[str | None, typer.Option("--study", help="Packaged study name or path of a TOML file.")]
Overrides = Annotated[list[str], typer.Option("--set", help="Override one setting: section.key=value.")]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="Scans at a time; default all CPUs.")]


def main(arguments: list[str] | None = None) -> None:
    """Run one command with ``arguments`` (default: the process's own) and exit."""
    app(arguments, prog_name="gc-ray")


@app.callback()
def _root() -> None:
    """CT outcome studies on Ray: scans and a clinical table in, features, signatures and reports out."""


@app.command()
def extract(
    scans: Scans,
    store: StoreUri,
    feature_set: Annotated[
        list[str], typer.Option("--feature-set", help="Feature set by name, or a PyRadiomics YAML; repeatable.")
    ] = [],  # noqa: B006 - typer wants a list
    volumes: Annotated[list[str], typer.Option("--volumes", help="Network input by recipe; repeatable.")] = [],  # noqa: B006
    study: StudyName = None,
    overrides: Overrides = [],  # noqa: B006
    workers: Workers = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the first N outlines, for a try-out.")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Hash every source, also where names, sizes and times are equal.")] = False,
    failure_budget: Annotated[
        float | None, typer.Option("--failure-budget", help="Share of refused or failed results that ends with 3.")
    ] = None,
) -> None:
    """Scans to features: decode, check, resample and compute on all CPUs; ledger, radiomics and volumes in the store.

    Everything already committed is left alone, so the same command resumes a run that was cut off.
    """
    with _faults():
        from gc_ray.runtime.extract import Request
        from gc_ray.runtime.extract import extract as run_extract
        from gc_ray.store import open_store
        from gc_ray.study import load_study

        chosen = [f"extract.feature_sets={list(feature_set)}"] if feature_set else []
        chosen += [f"extract.volumes={list(volumes)}"] if volumes else []
        chosen += [f"extract.failure_budget={failure_budget}"] if failure_budget is not None else []
        settings = load_study(study, (*overrides, *chosen))
        request = Request(tuple(scans), open_store(store), settings, workers, limit, verify)
        with _watching() as watch:
            summary = run_extract(request, watch, _run_id("extract"), time.monotonic)
        _print_summary(summary, store)
        code = OVER_BUDGET if summary.over_budget else DONE
    raise typer.Exit(code)


@contextlib.contextmanager
def _faults() -> Iterator[None]:
    """Turn faults of the input into one line on stderr and an exit code; bugs keep their traceback."""
    try:
        yield
    except (TableError, StudyError, ScanError, MaskError, BundleError) as error:
        _say_error(error)
        raise typer.Exit(BAD_INPUT) from error
    except StoreError as error:
        _say_error(error)
        raise typer.Exit(FAILED) from error


def _say_error(error: Exception) -> None:
    Console(stderr=True, soft_wrap=True).print(f"error: {error}", style="red", markup=False, highlight=False)


@contextlib.contextmanager
def _watching() -> Iterator:
    """A function that shows progress per site: redrawn in place on a terminal, a line now and then in a log."""
    from rich.live import Live
    from rich.text import Text

    from gc_ray.runtime.progress import Progress

    console = Console(stderr=True, soft_wrap=True)
    if console.is_terminal:
        with Live(console=console, auto_refresh=False) as live:
            yield lambda totals: Progress(totals, lambda lines: live.update(Text("\n".join(lines)), refresh=True), REDRAW_S).add
    else:
        yield lambda totals: Progress(totals, lambda lines: print("\n".join(lines), file=sys.stderr, flush=True), LINE_EVERY_S).add  # noqa: T201


def _run_id(command: str) -> str:
    return f"{command}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{token_hex(3)}"


def _print_summary(summary, store: str) -> None:
    from rich.table import Table

    from gc_ray.runtime.progress import duration

    console = Console(soft_wrap=True)
    table = Table("site", *(status for status in STATUSES), "all", title=None)
    for site in sorted({site for site, _ in summary.counts}):
        numbers = [summary.counts.get((site, status), 0) for status in STATUSES]
        table.add_row(site, *map(str, numbers), str(sum(numbers)))
    console.print(table)
    for reason, n in summary.reasons[:10]:
        console.print(f"  {n} x {reason}", markup=False, highlight=False)
    if len(summary.reasons) > 10:
        console.print(f"  and {len(summary.reasons) - 10} more reasons, all in the ledger", highlight=False)
    console.print(
        f"{summary.computed} results computed in {duration(summary.seconds)}; ledger, features and run record are in {store}",
        markup=False, highlight=False,
    )
    if summary.over_budget:
        console.print("over the failure budget: look at the reasons above, mend the scans and run again", style="yellow")


STATUSES = ("ok", "repaired", "refused", "failed")
