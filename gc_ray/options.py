"""What commands have in common: their options, exit codes, names of runs, and faults turned into one line."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Annotated

import typer

from gc_ray.errors import BundleError, ClusterError, MaskError, ScanError, StoreError, StudyError, TableError
from gc_ray.exit_codes import BAD_INPUT, FAILED
from gc_ray.study_file import packaged_studies

FAULTS_OF_INPUT = (TableError, StudyError, ScanError, MaskError, BundleError)  # end with BAD_INPUT
FAULTS_OF_PLACE = (StoreError, ClusterError)  # end with FAILED: the input may be as it should be
# names as the modules that compute them have them: those load libraries that a shell must not wait for
FEATURE_SET_NAMES = ("pyradiomics-ct", "guo2025", "ibsi-digital", *(f"ibsi-{one}" for one in "abcde"), "ibsi-ct")
VOLUME_NAMES = ("guo2025", "cao2024")


def offered(names: Callable[[], tuple[str, ...]]) -> Callable[[str], list[str]]:
    """The values that a shell offers for an option; where no name fits, the shell offers files."""
    return lambda incomplete: [name for name in names() if name.startswith(incomplete)]


Scans = Annotated[
    list[str], typer.Option("--scans", help="Scans table: CSV, Excel or Parquet, local or s3://; once per site.")
]
Encoding = Annotated[
    str | None,
    typer.Option(
        "--encoding",
        help="Encoding of tables that are not UTF-8 or UTF-16: gb18030, big5, shift_jis, euc-kr, windows-1252, ..",
    ),
]
StoreUri = Annotated[str, typer.Option("--store", help="Where tables are kept: a folder or s3://bucket/prefix.")]
_STUDY = typer.Option(
    "--study",
    help="Packaged study (liver_metastasis, recurrence), or path of a TOML file.",
    autocompletion=offered(packaged_studies),
)
StudyName = Annotated[str | None, _STUDY]
StudyGiven = Annotated[str, _STUDY]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="Override one setting: section.key=value.")]
AllowMixedCpu = Annotated[
    bool, typer.Option("--allow-mixed-cpu", help="Let nodes of several processor instruction sets compute.")
]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="Scans at a time; all CPUs when left out.")]
FeatureSets = Annotated[
    list[str] | None,
    typer.Option(
        "--feature-set",
        help="pyradiomics-ct, guo2025, ibsi-ct, or a PyRadiomics YAML; repeatable.",
        autocompletion=offered(lambda: FEATURE_SET_NAMES),
    ),
]
Volumes = Annotated[
    list[str] | None,
    typer.Option(
        "--volumes",
        help="Network input: guo2025 or cao2024; repeatable.",
        autocompletion=offered(lambda: VOLUME_NAMES),
    ),
]
SealKey = Annotated[
    Path | None, typer.Option(envvar="GC_RAY_SEAL_KEY_FILE", help="File with the secret that seals bundles (HMAC).")
]
SiteKey = Annotated[
    Path | None, typer.Option(envvar="GC_RAY_SITE_KEY_FILE", help="File with the secret that names new series.")
]
WaitMinutes = Annotated[
    float,
    typer.Option(
        "--wait-minutes",
        envvar="GC_RAY_WAIT_MINUTES",
        min=0,
        help="How long a run on a cluster waits for its places, such as nodes that an autoscaler starts.",
    ),
]
WAIT_MINUTES = 15.0  # a machine boots and installs in some minutes
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


@contextlib.contextmanager
def on_cluster(wait_minutes: float) -> Iterator[None]:
    """Faults as ``faults`` ends them; what the run waits for is shown, and waited for as long as that."""
    from gc_ray.runtime.waiting import waiting_up_to
    from gc_ray.terminal import waits_shown

    with faults(), waits_shown(), waiting_up_to(wait_minutes):
        yield


def _end(error: Exception, code: int) -> None:
    from gc_ray import console

    console.show_error(error)
    raise typer.Exit(code) from error


def run_id(command: str) -> str:
    """A name for a run that no other run has: command, time (UTC) and chance."""
    return f"{command}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{token_hex(3)}"
