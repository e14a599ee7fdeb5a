"""The commands of a study: cohorts and folds, signatures, the report, and a paper's whole way."""

from __future__ import annotations

import time
from typing import Annotated, Literal

import typer

from gc_ray.commands.operated import Operator, operated
from gc_ray.errors import StudyError
from gc_ray.exit_codes import Problem
from gc_ray.options import (
    WAIT_MINUTES,
    AllowMixedCpu,
    Encoding,
    Overrides,
    Scans,
    StoreUri,
    StudyGiven,
    StudyName,
    WaitMinutes,
    Workers,
    faults,
    on_cluster,
    run_id,
)
from gc_ray.store import open_store
from gc_ray.study import load_study


@operated
def split(
    *,
    operator: Operator,
    study: StudyGiven,
    clinical: Annotated[str, typer.Option(help="Clinical table: CSV, Excel or Parquet, local or s3://.")],
    store: StoreUri,
    overrides: Overrides = None,
    encoding: Encoding = None,
) -> None:
    """Check the clinical table, count who is eligible, and store cohorts and folds: once, for every later command."""
    with faults():
        from gc_ray import console
        from gc_ray.runtime.split import split as run

        settings = load_study(study, tuple(overrides or ()))
        console.show_split(run(clinical, settings, open_store(store), operator.run, encoding), store)


@operated
def tune(
    *,
    operator: Operator,
    study: StudyGiven,
    store: StoreUri,
    overrides: Overrides = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Trials at a time; 0 = in this process; all CPUs when left out.")
    ] = None,
    control: Annotated[
        Literal["shuffled-outcome", "shuffled-features", "planted-leak"] | None,
        typer.Option(help="A negative control instead of the study: what it finds is kept apart."),
    ] = None,
    allow_mixed_cpu: AllowMixedCpu = False,
    wait_minutes: WaitMinutes = WAIT_MINUTES,
) -> tuple[Problem, ...]:
    """Select, fuse and search a study's signatures on Ray Tune, in nested cross-validation.

    The same command again takes up a run that was cut off.
    """
    with on_cluster(wait_minutes):
        from gc_ray import console
        from gc_ray.runtime.tune import tune as run

        settings = load_study(study, tuple(overrides or ()))
        if control is not None:
            from gc_ray.runtime.controls import control as run_control

            with operator.watching() as watch:
                checked = run_control(open_store(store), settings, control, workers, watch, operator.run)
            console.show_control(checked)
            return checked.problems
        with operator.watching() as watch:
            done = run(open_store(store), settings, workers, watch, operator.run, allow_mixed_cpu=allow_mixed_cpu)
        console.show_tuned(done, store)
    return done.problems


@operated
def evaluate(
    *,
    operator: Operator,
    store: StoreUri,
    study: StudyName = None,
    scores: Annotated[
        str | None, typer.Option(help="Scores made anywhere: CSV, Excel or Parquet; the store's own when left out.")
    ] = None,
    clinical: Annotated[str | None, typer.Option(help="Clinical table with the outcome of --scores.")] = None,
    tune: Annotated[
        str | None,
        typer.Option(
            "--tune", help="Which tuning, where the store has several; that of these settings when left out."
        ),
    ] = None,
    publish: Annotated[str | None, typer.Option(help="Where else the report goes: s3://bucket/prefix.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Compute, say what would be written, write nothing.")
    ] = False,
    overrides: Overrides = None,
    encoding: Encoding = None,
) -> None:
    """Judge scores: metrics with intervals, figures, checklists, and a report of one page that needs no network."""
    with faults():
        from gc_ray import console
        from gc_ray.report.evaluate import Request
        from gc_ray.report.evaluate import evaluate as run

        if study is None and scores is None:
            raise StudyError("evaluate: wanted --study, whose scores the store has, or --scores; name one of them")
        settings, where = load_study(study, tuple(overrides or ())), open_store(store)
        doubts = ()
        if scores is None:
            from gc_ray.runtime.fresh import tuning_to_judge

            tune, doubts = tuning_to_judge(where, settings, tune)
        request = Request(settings, where, scores, clinical, tune, publish, dry_run, encoding, doubts)
        console.show_report(run(request, operator.run, console.show_figures), dry_run, store, publish)


@operated
def reproduce(
    *,
    operator: Operator,
    paper: Annotated[Literal["recurrence", "liver_metastasis"], typer.Argument(help="The study whose paper it is.")],
    scans: Scans,
    clinical: Annotated[str, typer.Option(help="Clinical table: CSV, Excel or Parquet, local or s3://.")],
    store: StoreUri,
    study: StudyName = None,
    overrides: Overrides = None,
    workers: Workers = None,
    encoding: Encoding = None,
    wait_minutes: WaitMinutes = WAIT_MINUTES,
) -> tuple[Problem, ...]:
    """Run a paper's study on your cohort, each table and figure beside the paper's.

    A comparison of methods, never a reproduction of the paper's data. The same
    command again takes up a run that was cut off.

    recurrence trains its backbone on further patients: rows of the clinical
    table with a regression grade (trg) and recurrence left empty, whose scans
    are one more --scans. Without such patients: --set backbone.weights=FILE, or
    --set clinical.source_label= (an untrained backbone; the report says so).

    To try it on few patients: --study demo_recurrence, or --study
    demo_liver_metastasis: small networks, and steps that few patients can bear.
    """
    with on_cluster(wait_minutes):
        from gc_ray import console
        from gc_ray.runtime.reproduce import Request, Way
        from gc_ray.runtime.reproduce import reproduce as run

        settings = load_study(study or paper, tuple(overrides or ()))
        request = Request(paper, settings, open_store(store), tuple(scans), clinical, workers, encoding)
        way = Way(operator.run, operator.step, console.show_figures, run_id, time.monotonic)
        found = run(request, way)
        console.show_reproduced(found)
    return found.problems
