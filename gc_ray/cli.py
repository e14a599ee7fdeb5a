"""The command line: parse, call one function of runtime or report, print, and exit with a code that means something.

0 done, 1 failed, 2 bad arguments or input tables, 3 finished but over the failure budget.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from gc_ray.errors import StudyError
from gc_ray.options import (
    BAD_INPUT,
    DONE,
    FAILED,
    OVER_BUDGET,
    AsJson,
    FeatureSets,
    Overrides,
    Scans,
    SealKey,
    SiteKey,
    StoreUri,
    StudyName,
    Volumes,
    Workers,
    faults,
    run_id,
)
from gc_ray.store import open_store
from gc_ray.study import load_study

app = typer.Typer(
    help="CT outcome studies on Ray: scans in, features and signatures out. For research use only.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def main(arguments: list[str] | None = None) -> None:
    """Run one command with ``arguments`` (the process's own when None) and exit."""
    app(arguments, prog_name="gc-ray")


@app.command()
def extract(
    *,
    scans: Scans,
    store: StoreUri,
    feature_set: FeatureSets = None,
    volumes: Volumes = None,
    study: StudyName = None,
    overrides: Overrides = None,
    workers: Workers = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N outlines, for a try-out.")] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Hash every source, also where its stamp is equal.")
    ] = False,
    failure_budget: Annotated[
        float | None, typer.Option(help="Share of refused or failed results above which the exit code is 3.")
    ] = None,
) -> None:
    """Turn scans and masks into features: a ledger row for every outline, radiomics and volumes in the store.

    What is committed already is left alone, so the same command again resumes a run that was cut off.
    """
    with faults():
        from gc_ray import console
        from gc_ray.runtime.extract import Request
        from gc_ray.runtime.extract import extract as run

        chosen = {"feature_sets": feature_set, "volumes": volumes, "failure_budget": failure_budget}
        flags = [f"extract.{name}={value}" for name, value in chosen.items() if value is not None]
        settings = load_study(study, (*(overrides or ()), *flags))
        request = Request(tuple(scans), open_store(store), settings, workers, limit, verify)
        with console.watching() as watch:
            summary = run(request, watch, run_id("extract"), time.monotonic)
        console.show_summary(summary, store)
    raise typer.Exit(OVER_BUDGET if summary.over_budget else DONE)


@app.command()
def check(
    *,
    scans: Scans,
    clinical: Annotated[str | None, typer.Option(help="Clinical table, CSV or Parquet, local or s3://.")] = None,
    study: StudyName = None,
    overrides: Overrides = None,
    manifest_only: Annotated[bool, typer.Option("--manifest-only", help="Read the tables and no scan.")] = False,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Look at a cohort before any pixel is read: a verdict for every outline, and what to mend."""
    with faults():
        from gc_ray import console
        from gc_ray.runtime.check import check as run

        settings = load_study(study, tuple(overrides or ()))
        found = run(tuple(scans), clinical, settings, manifest_only, workers)
        (console.show_json if as_json else console.show_check)(found)
        refused = sum(v.verdict == "refused" for v in found.verdicts)
        over = refused > settings.extract.failure_budget * found.outlines
    if any(finding.level == "error" for finding in found.findings):
        raise typer.Exit(BAD_INPUT)
    raise typer.Exit(OVER_BUDGET if over else DONE)


@app.command()
def split(
    *,
    study: Annotated[str, typer.Option("--study", help="Packaged study name, or path of a TOML file.")],
    clinical: Annotated[str, typer.Option(help="Clinical table, CSV or Parquet, local or s3://.")],
    store: StoreUri,
    overrides: Overrides = None,
) -> None:
    """Check the clinical table, count who is eligible, and store cohorts and folds: once, for every later command."""
    with faults():
        from gc_ray import console
        from gc_ray.runtime.split import split as run

        settings = load_study(study, tuple(overrides or ()))
        console.show_split(run(clinical, settings, open_store(store), run_id("split")), store)


@app.command()
def train(
    *,
    kind: Annotated[Literal["autoencoder", "backbone", "head"], typer.Argument(help="Which network.")],
    study: Annotated[str, typer.Option("--study", help="Packaged study name, or path of a TOML file.")],
    store: StoreUri,
    overrides: Overrides = None,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Ranks that train together; 0 = in this process; train.workers if not given."),
    ] = None,
    gpu: Annotated[bool, typer.Option("--gpu", help="One GPU for each rank.")] = False,
) -> None:
    """Train a network of a study, by Ray Train when there are workers; a model that is whole is not trained again.

    The same command again takes up a run that was cut off.
    """
    with faults():
        from gc_ray import console
        from gc_ray.models.model_folder import read_model
        from gc_ray.report.curve import curve_png
        from gc_ray.runtime.networks import TASKS
        from gc_ray.runtime.train import Place
        from gc_ray.runtime.train import train as run

        flags = [*([f"train.workers={workers}"] if workers is not None else []), *(["train.gpu=true"] if gpu else [])]
        settings, where = load_study(study, (*(overrides or ()), *flags)), open_store(store)
        with console.training() as (tell, watch):
            card, new = run(TASKS[kind](where, settings), Place(where, settings.train), tell, run_id("train"), watch)
        curve = read_model(where, card["model_id"])[0].tables["curve"]
        if curve.num_rows:
            where.put(f"models/{card['model_id']}/curve.png", curve_png(curve.to_pandas(), card["model_id"]))
        console.show_model(card, new, store)
        if kind == "head":
            from gc_ray.runtime.heatmaps import draw_heatmaps

            console.show_heatmaps(draw_heatmaps(where, settings, card["model_id"]), card["model_id"], store)


@app.command()
def embed(
    *,
    model: Annotated[str, typer.Option("--model", help="The id of an autoencoder, as train prints it.")],
    store: StoreUri,
    study: StudyName = None,
    overrides: Overrides = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Actors; 0 = in this process; all CPUs when left out.")
    ] = None,
    gpu: Annotated[bool, typer.Option("--gpu", help="One GPU for each actor.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N scans, for a try-out.")] = None,
) -> None:
    """Turn network inputs into latent vectors: the deep table, a row for every scan, what is there left alone."""
    with faults():
        from gc_ray import console
        from gc_ray.runtime.embed import Request
        from gc_ray.runtime.embed import embed as run

        flags = [*([f"embed.workers={workers}"] if workers is not None else []), *(["embed.gpu=true"] if gpu else [])]
        settings = load_study(study, (*(overrides or ()), *flags))
        with console.watching() as watch:
            summary = run(Request(model, settings, open_store(store), limit), watch, run_id("embed"), time.monotonic)
        console.show_summary(summary, store)
    raise typer.Exit(OVER_BUDGET if summary.over_budget else DONE)


@app.command()
def evaluate(
    *,
    store: StoreUri,
    study: StudyName = None,
    scores: Annotated[
        str | None, typer.Option(help="Scores made anywhere, CSV or Parquet; the store's own when left out.")
    ] = None,
    clinical: Annotated[str | None, typer.Option(help="Clinical table with the outcome of --scores.")] = None,
    tune: Annotated[str | None, typer.Option("--tune", help="Which tuning, where the store has several.")] = None,
    publish: Annotated[str | None, typer.Option(help="Where else the report goes: s3://bucket/prefix.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Compute, say what would be written, write nothing.")
    ] = False,
    overrides: Overrides = None,
) -> None:
    """Judge scores: metrics with intervals, figures, checklists, and a report of one page that needs no network."""
    with faults():
        from gc_ray import console
        from gc_ray.report.evaluate import Request
        from gc_ray.report.evaluate import evaluate as run

        if study is None and scores is None:
            raise StudyError("evaluate: wanted --study, whose scores the store has, or --scores; name one of them")
        settings = load_study(study, tuple(overrides or ()))
        request = Request(settings, open_store(store), scores, clinical, tune, publish, dry_run)
        console.show_report(run(request, run_id("evaluate"), console.show_figures), dry_run)


@app.command()
def tune(
    *,
    study: Annotated[str, typer.Option("--study", help="Packaged study name, or path of a TOML file.")],
    store: StoreUri,
    overrides: Overrides = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Trials at a time; 0 = in this process; all CPUs when left out.")
    ] = None,
    control: Annotated[
        Literal["shuffled-outcome", "shuffled-features", "planted-leak"] | None,
        typer.Option(help="A negative control instead of the study: what it finds is kept apart."),
    ] = None,
) -> None:
    """Select, fuse and search a study's signatures on Ray Tune, in nested cross-validation.

    The same command again takes up a run that was cut off.
    """
    with faults():
        from gc_ray import console
        from gc_ray.runtime.tune import tune as run

        settings = load_study(study, tuple(overrides or ()))
        if control is not None:
            from gc_ray.runtime.controls import control as run_control

            with console.watching() as watch:
                checked = run_control(open_store(store), settings, control, workers, watch)
            console.show_control(checked)
            raise typer.Exit(DONE if checked.passed else FAILED)
        with console.watching() as watch:
            done = run(open_store(store), settings, workers, watch, run_id("tune"))
        console.show_tuned(done, store)
    raise typer.Exit(OVER_BUDGET if done.failed else DONE)


@app.command()
def bundle(
    *,
    study: Annotated[str, typer.Option("--study", help="Packaged study name, or path of a TOML file.")],
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
        bundle_id, made = run(open_store(store), settings, model, open_store(out), key)
        console.show_bundle(bundle_id, made, out)


@app.command()
def rescore(
    *,
    bundle: Annotated[str, typer.Option("--bundle", help="Where the bundle is: a folder or s3://bucket/prefix.")],
    scans: Annotated[
        list[str], typer.Option("--scans", help="Scans table, or a prefix searched for new series; repeatable.")
    ],
    store: StoreUri,
    clinical: Annotated[str | None, typer.Option(help="Clinical table, CSV or Parquet, local or s3://.")] = None,
    site_key: SiteKey = None,
    seal_key: SealKey = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Scans at a time; 0 = in this process; all CPUs when left out.")
    ] = None,
) -> None:
    """Score new scans with a bundle: risk, group, interval and a domain verdict, each scan once for its content."""
    with faults():
        from gc_ray import console
        from gc_ray.models.bundle import read_bundle
        from gc_ray.runtime.rescore import Request
        from gc_ray.runtime.rescore import rescore as run
        from gc_ray.runtime.secret import read_key

        request = Request(
            read_bundle(open_store(bundle), read_key(seal_key)), tuple(scans), open_store(store),
            datetime.now(UTC).isoformat(timespec="seconds"), clinical, read_key(site_key), workers,
        )  # fmt: skip
        with console.watching() as watch:
            found = run(request, watch, run_id("rescore"))
        console.show_rescored(found, store)
    raise typer.Exit(OVER_BUDGET if found.failed else DONE)


@app.command()
def doctor(*, as_json: AsJson = False) -> None:
    """Say what is installed, what is missing, and what Ray sees."""
    with faults():
        from gc_ray import console
        from gc_ray.runtime.doctor import diagnose

        found = diagnose()
        (console.show_json if as_json else console.show_diagnosis)(found)
    raise typer.Exit(FAILED if found.problems else DONE)


@app.command()
def merge(
    *,
    store: Annotated[list[str], typer.Option("--store", help="A site's store; once per site.")],
    into: Annotated[str, typer.Option(help="The store that takes all of them: a folder or s3://bucket/prefix.")],
) -> None:
    """Join the stores of several sites into one."""
    with faults():
        from gc_ray import console
        from gc_ray.merge import merge as run

        merged = run([open_store(uri) for uri in store], open_store(into))
        console.show_lines(f"{merged.added} results added to {into}, which held {merged.present}")


@app.command()
def synth(
    *,
    out: Annotated[Path, typer.Option(help="A new or empty folder.")],
    patients: Annotated[int, typer.Option(min=1, help="Patients of the outcome studies.")] = 40,
    sites: Annotated[int, typer.Option(min=1, max=4, help="Hospitals with different scanners.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Equal seeds give equal bytes.")] = 0,
    effect: Annotated[
        str, typer.Option(help="What drives the outcomes: size+texture+clinical, texture-only or none.")
    ] = "size+texture+clinical",
    defects: Annotated[float, typer.Option(help="Share of scans with one defect each.")] = 0.0,
    reread_share: Annotated[float, typer.Option(help="Share outlined again by both readers.")] = 0.3,
    source_patients: Annotated[int, typer.Option(help="Further patients with a tumour regression grade.")] = 0,
    matrix: Annotated[int, typer.Option(help="Rows and columns of a slice.")] = 144,
    slices: Annotated[int | None, typer.Option(help="Slices of a scan; the site's own when left out.")] = None,
    slice_mm: Annotated[float | None, typer.Option(help="Slice thickness; the site's own when left out.")] = None,
) -> None:
    """Write a simulated gastric cohort as real DICOM, with SEG and RTSTRUCT outlines, tables and the known truth."""
    with faults():
        from gc_ray import console
        from gc_ray.cohort.synthetic.spec import CohortSpec
        from gc_ray.cohort.synthetic.write import write_cohort

        try:
            spec = CohortSpec(
                patients, sites, seed, effect, source_patients, reread_share, defects,
                matrix=matrix, slices=slices, slice_mm=slice_mm,
            )  # fmt: skip
        except ValueError as error:
            raise StudyError(str(error)) from error
        files = write_cohort(out, spec, console.show_written)
        console.show_lines(
            f"{patients} simulated patients in {out}; they say nothing about real ones",
            f"next: gc-ray extract {' '.join(f'--scans {path}' for path in files.site_scans)} --store STORE",
        )


@app.command()
def demo(*, out: Annotated[Path, typer.Option(help="Where the cohort and its store go.")] = Path("demo")) -> None:
    """Show the main job on a simulated cohort: DICOM in, ledger, features and network inputs out."""
    with faults():
        from gc_ray import console
        from gc_ray.runtime.demo import demo as run

        with console.watching() as watch:
            shown = run(out, watch, console.show_written, run_id("demo"), time.monotonic)
        console.show_summary(shown.summary, str(shown.store))
        console.show_demo(shown)
