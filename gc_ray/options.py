"""What commands have in common: their options, exit codes, names of runs, and faults turned into one line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Annotated

import typer

from gc_ray.errors import BundleError, ClusterError, MaskError, ScanError, StoreError, StudyError, TableError

DONE, FAILED, BAD_INPUT, OVER_BUDGET = 0, 1, 2, 3
FAULTS_OF_INPUT = (TableError, StudyError, ScanError, MaskError, BundleError)  # end with BAD_INPUT
FAULTS_OF_PLACE = (StoreError, ClusterError)  # end with FAILED: the input may be as it should be

Scans = Annotated[
    list[str], typer.Option("--scans", help="Scans table: CSV or Parquet, local or s3://; once per site.")
]
StoreUri = Annotated[str, typer.Option("--store", help="Where tables are kept: a folder or s3://bucket/prefix.")]
StudyName = Annotated[str | None, typer.Option("--study", help="Packaged study name, or path of a TOML file.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="Override one setting: section.key=value.")]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="Scans at a time; all CPUs when left out.")]
FeatureSets = Annotated[
    list[str] | None,
    typer.Option("--feature-set", help="pyradiomics-ct, guo2025, ibsi-ct, or a PyRadiomics YAML; repeatable."),
]
Volumes = Annotated[
    list[str] | None, typer.Option("--volumes", help="Network input: guo2025 or cao2024; repeatable.")
]
SealKey = Annotated[
    Path | None, typer.Option(envvar="GC_RAY_SEAL_KEY_FILE", help="File with the secret that seals bundles (HMAC).")
]
SiteKey = Annotated[
    Path | None, typer.Option(envvar="GC_RAY_SITE_KEY_FILE", help="File with the secret that names new series.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


@contextlib.contextmanager
def faults() -> Iterator[None]:
    """Turn faults of the input into one line on stderr and an exit code; bugs keep their traceback."""
    try:
        yield
    except FAULTS_OF_INPUT as error:
        _end(error, BAD_INPUT)
    except FAULTS_OF_PLACE as error:
        _end(error, FAILED)


def _end(error: Exception, code: int) -> None:
    from gc_ray import console

    console.show_error(error)
    raise typer.Exit(code) from error


def run_id(command: str) -> str:
    """A name for a run that no other run has: command, time (UTC) and chance."""
    return f"{command}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{token_hex(3)}"
