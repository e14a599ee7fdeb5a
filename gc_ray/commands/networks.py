"""The commands about networks: train one, run one over all scans."""

from __future__ import annotations

import time
from typing import Annotated, Literal

import typer

from gc_ray.commands.operated import Operator, operated
from gc_ray.exit_codes import Problem
from gc_ray.options import (
    WAIT_MINUTES,
    AllowMixedCpu,
    Overrides,
    StoreUri,
    StudyGiven,
    StudyName,
    WaitMinutes,
    on_cluster,
)
from gc_ray.store import open_store
from gc_ray.study import load_study


@operated
def train(
    *,
    operator: Operator,
    kind: Annotated[Literal["autoencoder", "backbone", "head"], typer.Argument(help="Which network.")],
    study: StudyGiven,
    store: StoreUri,
    overrides: Overrides = None,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Ranks that train together; 0 = in this process; train.workers if not given."),
    ] = None,
    gpu: Annotated[bool, typer.Option("--gpu", help="One GPU for each rank.")] = False,
    allow_mixed_cpu: AllowMixedCpu = False,
    wait_minutes: WaitMinutes = WAIT_MINUTES,
) -> None:
    """Train a network of a study, by Ray Train when there are workers; a model that is whole is not trained again.

    The same command again takes up a run that was cut off.
    """
    with on_cluster(wait_minutes):
        from gc_ray import console
        from gc_ray.runtime.train_network import train_network

        flags = [*([f"train.workers={workers}"] if workers is not None else []), *(["train.gpu=true"] if gpu else [])]
        flags += ["train.allow_mixed_cpu=true"] if allow_mixed_cpu else []
        settings, where = load_study(study, (*(overrides or ()), *flags)), open_store(store)
        with operator.training() as (tell, watch):
            found = train_network(kind, where, settings, tell, operator.run, watch)
        console.show_model(found.card, found.new, store)
        console.show_heatmaps(found.heatmaps, found.card["model_id"], store)


@operated
def embed(
    *,
    operator: Operator,
    store: StoreUri,
    study: StudyName = None,
    model: Annotated[
        str | None, typer.Option("--model", help="The id of an autoencoder; the study's own when left out.")
    ] = None,
    overrides: Overrides = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Actors; 0 = in this process; all CPUs when left out.")
    ] = None,
    gpu: Annotated[bool, typer.Option("--gpu", help="One GPU for each actor.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N scans, for a try-out.")] = None,
    allow_mixed_cpu: AllowMixedCpu = False,
    wait_minutes: WaitMinutes = WAIT_MINUTES,
) -> tuple[Problem, ...]:
    """Turn network inputs into latent vectors: the deep table, a row for every scan, what is there left alone."""
    with on_cluster(wait_minutes):
        from gc_ray import console
        from gc_ray.runtime.embed import Request
        from gc_ray.runtime.embed import embed as run

        flags = [*([f"embed.workers={workers}"] if workers is not None else []), *(["embed.gpu=true"] if gpu else [])]
        flags += ["embed.allow_mixed_cpu=true"] if allow_mixed_cpu else []
        settings, where = load_study(study, (*(overrides or ()), *flags)), open_store(store)
        if model is None:
            from gc_ray.runtime.networks import autoencoder_task

            model = autoencoder_task(where, settings).model_id
        with operator.watching() as watch:
            summary = run(Request(model, settings, where, limit), watch, operator.run, time.monotonic)
        console.show_summary(summary, store)
    return summary.problems
