"""The commands of the service: freeze a signature, score new scans."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from gc_ray.commands.operated import Operator, operated
from gc_ray.exit_codes import Problem
from gc_ray.options import (
    WAIT_MINUTES,
    AllowMixedCpu,
    Encoding,
    Overrides,
    SealKey,
    SiteKey,
    StoreUri,
    StudyGiven,
    WaitMinutes,
    faults,
    on_cluster,
)
from gc_ray.store import open_store
from gc_ray.study import load_study


@operated
def bundle(
    *,
    operator: Operator,
    study: StudyGiven,
    store: StoreUri,
    model: Annotated[str, typer.Option("--model", help="The signature, as tune prints it.")],
    out: Annotated[str, typer.Option("--out", help="An empty place: a folder or s3://bucket/prefix.")],
    overrides: Overrides = None,
    seal_key: SealKey = None,
) -> None:
    """Freeze a signature with everything that scoring a new scan takes; nothing in it can be executed."""
    with faults():
        from gc_ray import console
        from gc_ray.runtime.bundle import bundle as run
        from gc_ray.runtime.secret import read_key

        settings, key = load_study(study, tuple(overrides or ())), read_key(seal_key)
        bundle_id, made = run(open_store(store), settings, model, open_store(out), key, operator.run)
        console.show_bundle(bundle_id, made, out)


@operated
def rescore(
    *,
    operator: Operator,
    bundle: Annotated[str, typer.Option("--bundle", help="Where the bundle is: a folder or s3://bucket/prefix.")],
    store: StoreUri,
    scans: Annotated[
        list[str] | None,
        typer.Option("--scans", help="Scans table, or a prefix searched for series; repeatable."),
    ] = None,
    features: Annotated[
        str | None,
        typer.Option("--features", help="Instead: a features table, for a bundle of features made elsewhere."),
    ] = None,
    clinical: Annotated[
        str | None, typer.Option(help="Clinical table: CSV, Excel or Parquet, local or s3://.")
    ] = None,
    site_key: SiteKey = None,
    site: Annotated[
        str, typer.Option(help="Site of the series below prefixes, or of rows without one; one run for each site.")
    ] = "",
    seal_key: SealKey = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Scans at a time; 0 = in this process; all CPUs when left out.")
    ] = None,
    failure_budget: Annotated[
        float, typer.Option(min=0, max=1, help="Share of new scans that may be refused; above it the exit code is 3.")
    ] = 0.05,
    encoding: Encoding = None,
    allow_mixed_cpu: AllowMixedCpu = False,
    wait_minutes: WaitMinutes = WAIT_MINUTES,
) -> tuple[Problem, ...]:
    """Score new scans with a bundle: risk, group, interval and a domain verdict, each scan once for its content."""
    with on_cluster(wait_minutes):
        from gc_ray import console
        from gc_ray.models.bundle import read_bundle
        from gc_ray.runtime.rescore import Request
        from gc_ray.runtime.rescore import rescore as run
        from gc_ray.runtime.secret import read_key

        request = Request(
            read_bundle(open_store(bundle), read_key(seal_key)), tuple(scans or ()), open_store(store),
            datetime.now(UTC).isoformat(timespec="seconds"), clinical, read_key(site_key), workers, site, encoding,
            features, failure_budget, allow_mixed_cpu,
        )  # fmt: skip
        with operator.watching() as watch:
            found = run(request, watch, operator.run)
        console.show_rescored(found, store)
    return found.problems
