"""The commands about scans: simulate them, look at them, extract them, take features made elsewhere, join sites."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gc_ray.commands.operated import Operator, operated
from gc_ray.errors import StudyError
from gc_ray.exit_codes import BAD_INPUT, DONE, OVER_BUDGET, Problem
from gc_ray.options import (
    WAIT_MINUTES,
    AllowMixedCpu,
    AsJson,
    Encoding,
    FeatureSets,
    Overrides,
    Scans,
    StoreUri,
    StudyName,
    Volumes,
    WaitMinutes,
    Workers,
    faults,
    on_cluster,
)
from gc_ray.store import open_store
from gc_ray.study import load_study


class Retry(StrEnum):
    """Results that a run can be asked to compute again."""

    REFUSED = "refused"
    FAILED = "failed"


def synth(
    *,
    out: Annotated[Path, typer.Option(help="A new or empty folder.")],
    patients: Annotated[int, typer.Option(min=1, help="Patients of the outcome studies.")] = 40,
    sites: Annotated[int, typer.Option(min=1, max=4, help="Hospitals with different scanners.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Equal seeds give equal bytes.")] = 0,
    effect: Annotated[
        str, typer.Option(help="What drives the outcomes: size+texture+clinical, texture-only or none.")
    ] = "size+texture+clinical",
    strength: Annotated[float, typer.Option(help="Factor of all log odds ratios; 1 is about as published.")] = 1.0,
    defects: Annotated[float, typer.Option(help="Share of scans with one defect each.")] = 0.0,
    reread_share: Annotated[float, typer.Option(help="Share outlined again by both readers.")] = 0.3,
    source_patients: Annotated[int, typer.Option(help="Further patients with a tumour regression grade.")] = 0,
    matrix: Annotated[int, typer.Option(help="Rows and columns of a slice.")] = 144,
    slices: Annotated[int | None, typer.Option(help="Slices of a scan; the site's own when left out.")] = None,
    slice_mm: Annotated[float | None, typer.Option(help="Slice thickness; the site's own when left out.")] = None,
    recurrence_rate: Annotated[
        float, typer.Option(help="Share with a recurrence; as Cao et al.", show_default="275 of 1774")
    ] = 275 / 1774,
    first: Annotated[int, typer.Option(help="Patients to pass over: new ones of the same hospitals follow.")] = 0,
) -> None:
    """Write a simulated gastric cohort as real DICOM, with SEG and RTSTRUCT outlines, tables and the known truth.

    A cohort that is there already, of the same settings, is left as it is.
    """
    with faults():
        from gc_ray import console
        from gc_ray.cohort.synthetic.spec import CohortSpec
        from gc_ray.cohort.synthetic.write import write_cohort

        try:
            spec = CohortSpec(
                patients, sites, seed, effect, source_patients, reread_share, defects,
                recurrence_rate=recurrence_rate, matrix=matrix, slices=slices, slice_mm=slice_mm, first=first,
                strength=strength,
            )  # fmt: skip
        except ValueError as error:
            raise StudyError(str(error)) from error
        files = write_cohort(out, spec, console.show_written)
        console.show_lines(
            f"{patients} simulated patients in {out}; they say nothing about real ones",
            f"next: gc-ray extract {' '.join(f'--scans {path}' for path in files.site_scans)} --store STORE",
        )


def check(
    *,
    scans: Annotated[
        list[str] | None,
        typer.Option("--scans", help="Scans table: CSV, Excel or Parquet, local or s3://; once per site."),
    ] = None,
    features: Annotated[
        str | None, typer.Option(help="Instead of scans: a table of features made elsewhere, as ingest takes it.")
    ] = None,
    clinical: Annotated[
        str | None, typer.Option(help="Clinical table: CSV, Excel or Parquet, local or s3://.")
    ] = None,
    study: StudyName = None,
    overrides: Overrides = None,
    manifest_only: Annotated[bool, typer.Option("--manifest-only", help="Read the tables and no scan.")] = False,
    workers: Workers = None,
    as_json: AsJson = False,
    encoding: Encoding = None,
    wait_minutes: WaitMinutes = WAIT_MINUTES,
) -> None:
    """Look at a cohort before any pixel is read: a verdict for every outline, and what to fix.

    A scans table has a row for each outline: scan_id, patient_id, site, phase, image, mask and, where they are known,
    roi, reader, repeat and series_uid. With --features no scan is needed: what the table holds, whether its patients
    are in the clinical table, and whether it can serve the study.
    """
    with on_cluster(wait_minutes):
        from gc_ray import console

        if bool(scans) == bool(features):
            got = "both" if scans else "neither"
            raise StudyError(f"check: wanted --scans or --features, got {got}; give one of them, and run it for each")
        settings = load_study(study, tuple(overrides or ()))
        if features:
            from gc_ray.runtime.check_features import check_features

            table = check_features(features, clinical, settings, encoding)
            (console.show_json if as_json else console.show_features_check)(table)
            raise typer.Exit(BAD_INPUT if any(one.level == "error" for one in table.findings) else DONE)
        from gc_ray.runtime.check import check as run

        found = run(tuple(scans), clinical, settings, manifest_only, workers, encoding)
        (console.show_json if as_json else console.show_check)(found)
        refused = sum(v.verdict in ("refused", "failed") for v in found.verdicts)
        over = refused > settings.extract.failure_budget * found.outlines
    if any(finding.level == "error" for finding in found.findings):
        raise typer.Exit(BAD_INPUT)
    raise typer.Exit(OVER_BUDGET if over else DONE)


@operated
def extract(
    *,
    operator: Operator,
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
    encoding: Encoding = None,
    retry: Annotated[
        list[Retry] | None,
        typer.Option("--retry", help="Compute such results again, also where their files are unchanged."),
    ] = None,
    allow_mixed_cpu: AllowMixedCpu = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what would be computed, in what memory, time and nodes; write nothing."),
    ] = False,
    wait_minutes: WaitMinutes = WAIT_MINUTES,
) -> tuple[Problem, ...]:
    """Turn scans and masks into features: a ledger row for every outline, radiomics and volumes in the store.

    What is committed already is left alone, so the same command again resumes a run that was cut off.
    """
    with on_cluster(wait_minutes):
        from gc_ray import console
        from gc_ray.runtime.extract import Request
        from gc_ray.runtime.extract import extract as run
        from gc_ray.runtime.preview_lines import preview_lines

        chosen = {"feature_sets": feature_set, "volumes": volumes, "failure_budget": failure_budget}
        flags = [f"extract.{name}={value}" for name, value in chosen.items() if value is not None]
        flags += ["extract.allow_mixed_cpu=true"] if allow_mixed_cpu else []
        settings = load_study(study, (*(overrides or ()), *flags))
        again = tuple(one.value for one in retry or ())
        request = Request(tuple(scans), open_store(store), settings, workers, limit, verify, encoding, again)
        if dry_run:
            from gc_ray.runtime.preview import preview

            console.show_lines(*preview_lines(preview(request)))
            return ()
        with operator.watching() as watch:
            summary = run(request, watch, operator.run, time.monotonic)
        console.show_summary(summary, store)
    return summary.problems


@operated
def ingest(
    *,
    operator: Operator,
    features: Annotated[
        str,
        typer.Option(help="Features table, CSV, Excel or Parquet: patient_id, and a number in every other column."),
    ],
    feature_set: Annotated[str, typer.Option(help="The name that the study file will call these features by.")],
    store: StoreUri,
    encoding: Encoding = None,
) -> None:
    """Bring a table of features made elsewhere into the store, as if they had been extracted here.

    Also read where they are there: scan_id, site, phase, reader, repeat, roi. The outcome belongs into the clinical
    table: a column of it left here would be taken for a feature.
    """
    with faults():
        from gc_ray import console
        from gc_ray.runtime.ingest import ingest as run

        with operator.watching() as watch:
            done = run(features, feature_set, open_store(store), operator.run, encoding, watch)
        console.show_notes(done.notes)
        console.show_lines(
            f"{done.rows} rows of {len(done.features)} features, {done.features[0]} to {done.features[-1]}, "
            f"{done.gaps} values missing; {done.added - done.changed} rows new, {done.changed} changed in {store}",
            "made elsewhere: this software cannot know how these features were computed",
            f"in the study file: tune.feature_set = {done.feature_set}, extract.feature_sets = []",
        )


@operated
def merge(
    *,
    operator: Operator,
    store: Annotated[list[str], typer.Option("--store", help="A site's store; once per site.")],
    into: Annotated[str, typer.Option(help="The store that takes all of them: a folder or s3://bucket/prefix.")],
    study: StudyName = None,
) -> None:
    """Join the stores of several sites into one.

    A patient id at two sites is refused: two hospitals may give one number. Where patients were referred, name the
    study file that says so by clinical.patient_ids = "shared".
    """
    with faults():
        from gc_ray import console
        from gc_ray.merge import merge as run

        shared = load_study(study).clinical.patient_ids == "shared"
        with operator.watching() as watch:
            merged = run([open_store(uri) for uri in store], open_store(into), shared, operator.run, watch)
        console.show_lines(f"{merged.added} results added to {into}, which held {merged.present}")
