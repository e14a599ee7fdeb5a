"""Faults in the midst of real runs on two Ray nodes and an S3 server: nothing lost, nothing doubled, equal tables.

    make chaos                                        all of them, some ten minutes; writes docs/faults.md
    python benchmarks/chaos --only worker storm       some of them, to the terminal

A simulated cohort is extracted once in peace and once under each fault. Exit 1 when a fault leaves a trace.
"""

from __future__ import annotations

import argparse
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from cohort import Cohort, simulate
from compare import committed, extracted, half_written
from faults import FAULTS
from place import BUCKET, UP_S, Ended, Place, place, until
from report import Row, page, write_page
from rescoring import two_rescorings

from gc_ray.store import open_store

RESCORE = "rescore"
EXPECTED = f"s3://{BUCKET}/expected"


def in_peace(here: Place, cohort: Cohort) -> Ended:
    """The cohort extracted with no fault."""
    begin = time.monotonic()
    ended = here.wait(here.submit(*cohort.extract(EXPECTED)), begin)
    if ended.code != 0:
        raise RuntimeError(f"the undisturbed run failed: {ended.said}")
    return ended


def under(here: Place, cohort: Cohort, name: str) -> Row:
    """The cohort extracted while a fault strikes, again where that ended the command, and what came of it."""
    fault = FAULTS[name]
    uri = str(here.folder / name) if fault.local else f"s3://{BUCKET}/under-{name}"
    store, ends, half = open_store(uri), [], 0
    here.proxy.forget()
    for _ in fault.codes:
        begin = time.monotonic()
        job = here.submit(*cohort.extract(uri, fault.local))
        if not ends:
            until(lambda: committed(store) >= fault.after, UP_S, f"{fault.after} results are there")
            fault.strike(here, uri, lambda job=job: here.ask(f"api/jobs/{job}")["end_time"] is None)
        ends.append(here.wait(job, begin))
        half += half_written(store)
    codes = tuple(end.code for end in ends)
    # Ray's own tracebacks, of a worker that cannot write its log, stand behind "(raylet)"
    right = codes == fault.codes and not any(re.search("^Traceback", end.said, re.MULTILINE) for end in ends)
    if not right:
        print(*(end.said for end in ends), file=sys.stderr)
    again = "" if fault.local else str(begun_again(here, cohort))
    verdict = extracted(uri, cohort.keys, EXPECTED, half, ("source_stamp",) if fault.local else ())
    seconds = sum(end.seconds for end in ends)
    return Row(fault.name, fault.when, told(ends, uri, here), again, seconds, verdict, right)


def begun_again(here: Place, cohort: Cohort) -> int:
    """How often the first slice of a scan was read beyond once for each outline."""
    outlines = Counter(row.image for row in cohort.rows)
    first = {image: min((cohort.folder / image).iterdir()).name for image in outlines}
    read = (here.proxy.whole[f"/{BUCKET}/cohort/{image}/{first[image]}"] - n for image, n in outlines.items())
    return sum(max(0, n) for n in read)


def told(ends: list[Ended], uri: str, here: Place) -> str:
    """Exit codes, the error in its own words, how much a second command had to do, and what requests met."""
    parts = ["; then ".join("killed" if end.code is None else f"exit {end.code}" for end in ends)]
    if ends[0].code == 1:
        line = next((line for line in ends[0].said.splitlines() if line.startswith("error: ")), "no message")
        parts.append(f"`{re.sub(r'[0-9a-f]{12,}', '…', line.replace(uri, 'STORE'))}`")
    if len(ends) > 1 and (found := re.search(r"(\d+) results? computed", ends[-1].said)):
        parts.append(f"the second computed {found[1]}")
    if here.proxy.faults:
        met = ", ".join(f"{n} x {name}" for name, n in sorted(here.proxy.faults.items()))
        parts.append(f"of {here.proxy.requests} requests: {met}")
    return "; ".join(parts)


def main() -> None:
    """Try the faults that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [RESCORE, *FAULTS]  # the node that is killed does not come back: last
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--patients", type=int, default=6)
    parser.add_argument("--out", type=Path, help="Where the page is written; the terminal when left out.")
    asked = parser.parse_args()
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM")
    )  # through every finally: nothing stays behind
    with tempfile.TemporaryDirectory(prefix="gc-ray-chaos-") as folder, place(Path(folder)) as here:
        cohort = simulate(here.folder, asked.patients)
        peace = in_peace(here, cohort)
        rows = []
        for name in [name for name in names if name in asked.only]:
            rows.append(two_rescorings(here, cohort) if name == RESCORE else under(here, cohort, name))
            print(f"{name}: {'sound' if rows[-1].sound else rows[-1]}", file=sys.stderr, flush=True)
        text = page(rows, peace.seconds, len(cohort.keys))
    if asked.out:
        write_page(asked.out, first=text)
    else:
        print(text)
    sys.exit(not all(row.sound for row in rows))


if __name__ == "__main__":
    main()
