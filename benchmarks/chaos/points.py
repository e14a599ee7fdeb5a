"""Every write and delete of extract, compact, merge and rescore x killed, full and faulty disks, in forked processes.

    python benchmarks/chaos/points.py                 all points
    python benchmarks/chaos/points.py --points 40     so many of them, evenly spread

After the fault a source or the code changes, or the store is merged into another; then the command runs again. At
each point: readers give what was there before or what the run computes, and nothing that was there is missing; the
second run ends as one that was never disturbed; ``gc-ray verify`` finds nothing. Exit 1 otherwise. Without Ray; the
store is a folder.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import SimpleITK as sitk
import small_runs as runs
from struck import FAULTS, Struck, forked

from gc_ray import ledger
from gc_ray.errors import InputError
from gc_ray.merge import merge
from gc_ray.runtime import audit
from gc_ray.runtime.verify import verify
from gc_ray.store import LocalStore, Store

COMMANDS = ("extract", "compact", "merge", "rescore")
CHANGES = ("nothing", "source", "code", "merge")
SCANS = {"s1": 1, "s2": 2, "s3": 3}
OTHER_SCANS = {"o1": 7}  # of another site
OTHER_SEED = 11  # of the scan that changes
OLD, NEW = runs.Code(), runs.Code("2.0", 2.0)
Perform = Callable[[str, Path, Store, runs.Code, str], dict]
REFUSALS = ("has different results in", "was computed with different settings or library versions")


@dataclass(frozen=True)
class Point:
    """A command, its write or delete that fails and how, and what changes before the command runs again."""

    command: str
    n: int
    fault: str
    change: str


def prepare(place: Path) -> None:
    """A folder for each command, as it is before the command: some results are there, others are not."""
    place.mkdir()
    (place / "quick.yaml").write_text(runs.QUICK)
    runs.write_scans(place / "scans", SCANS)
    runs.write_scans(place / "other", OTHER_SCANS)
    runs.freeze(place)
    shutil.rmtree(place / "training")
    shutil.rmtree(place / "made")
    for command in COMMANDS:
        own = place.with_name(command)
        shutil.copytree(place, own)
        store, first = LocalStore(str(own / "store")), str(own / "scans" / "first.csv")
        runs.extract(LocalStore(str(own / "other-site")), str(own / "other" / "scans.csv"), OLD, "extract-1")
        if command == "merge":
            runs.extract(LocalStore(str(own / "site")), str(own / "scans" / "scans.csv"), OLD, "extract-1")
            runs.merged([str(own / "other-site")], store)
        elif command == "extract":
            runs.extract(store, first, OLD, "extract-1")
        else:
            runs.rescored(store, own, first, OLD, "rescore-1")


def loosen(own: Path) -> dict:
    """Results of all scans that nothing has compacted."""
    ledger.compact = audit.compact = lambda *_: 0
    runs.rescored(LocalStore(str(own / "store")), own, str(own / "scans" / "scans.csv"), OLD, "rescore-2")
    return {}


def perform(command: str, own: Path, store: Store, code: runs.Code, run: str) -> dict:
    """Run a command: why it refused (empty: it did not), how many writes and deletes it made, and how many failed."""
    scans = str(own / "scans" / "scans.csv")
    refusal = ""
    try:
        if command == "extract":
            runs.extract(store, scans, code, run)
        elif command == "compact":
            runs.compact(store)
        elif command == "merge":
            runs.merged([str(own / "site"), str(own / "other-site")], store)
        else:
            runs.rescored(store, own, scans, code, run)
    except InputError as error:
        refusal = str(error)
    return {"refusal": refusal, "acts": getattr(store, "acts", 0), "failed": getattr(store, "failed", 0)}


def read(own: Path, store: Store | None = None) -> dict:
    """What readers get, and what ``gc-ray verify`` says. store: left out where it is a folder of this place."""
    store = store or LocalStore(str(own / "store"))
    problems = [f"{problem.name}: {problem.what}" for problem in verify(store).problems]
    return {"contents": runs.contents(store), "scores": runs.scores(store), "problems": problems}


def again(point: Point, own: Path, do: Perform = perform, store: Store | None = None) -> dict:
    """Change what is to change, run the command again by ``do``, and read."""
    store, code = store or LocalStore(str(own / "store")), NEW if point.change == "code" else OLD
    wrong = []
    if point.change == "source":
        runs.write_scan(own / "scans", "s2", OTHER_SEED)
    if point.change == "merge":
        wrong += _merge_between(point, own, store)
    if point.command == "merge" and point.change in ("source", "code"):
        runs.extract(LocalStore(str(own / "site")), str(own / "scans" / "scans.csv"), code, "extract-2")
    done = do(point.command, own, store, code, "again-2")
    if point.command == "compact":  # which is no more than a part of the others
        done = do("extract", own, store, code, "again-3")
    return read(own, store) | done | {"wrong": wrong}


def _merge_between(point: Point, own: Path, store: Store) -> list[str]:
    """Merge the store into an empty one, which then holds the same; into the store of a merge another site."""
    if point.command == "merge":
        runs.merged([str(own / "other-site")], store)
        return []
    into = LocalStore(str(own / "into"))
    merge([store], into)
    return [] if runs.contents(into) == runs.contents(store) else ["a merge of what was cut off has other values"]


@dataclass
class Matrix:
    """The points, and what a run without any fault gives."""

    folder: Path
    acts: dict[str, int]
    before: dict[str, dict]
    after: dict[str, dict]
    wanted: dict[tuple[str, str], dict]
    unbegun: dict[tuple[str, str], dict]  # as ``wanted``, where the first run did nothing

    @classmethod
    def made(cls, folder: Path) -> Matrix:
        """Templates and peaceful runs."""
        sitk.ProcessObject.SetGlobalDefaultThreader("Platform")  # threads that wait for work would not be there ..
        prepare(folder / "base")  # .. after a fork; here, so that no child has to load libraries
        forked(partial(loosen, folder / "compact"), folder)
        matrix = cls(folder, {}, {}, {}, {}, {})
        for command in COMMANDS:
            matrix.before[command] = forked(partial(read, folder / command), folder)
            for change in CHANGES:
                own = matrix.copy(command)
                done = forked(partial(matrix.strike, Point(command, 0, "", change), own), folder)
                matrix.acts[command] = done["acts"]
                matrix.after[command] = forked(partial(read, own), folder)
                matrix.wanted[command, change] = forked(partial(again, Point(command, 0, "", change), own), folder)
                own = matrix.copy(command)
                matrix.unbegun[command, change] = forked(partial(again, Point(command, 0, "", change), own), folder)
        return matrix

    def copy(self, command: str) -> Path:
        """A fresh folder as it is before a command."""
        own = self.folder / "point"
        shutil.rmtree(own, ignore_errors=True)
        return Path(shutil.copytree(self.folder / command, own))

    def points(self) -> list[Point]:
        """All of them, so ordered that an even spread meets every fault with every change at as many places."""
        return [
            Point(command, (n + 7 * turn) % self.acts[command] + 1, fault, change)
            for command in COMMANDS
            for turn, (fault, change) in enumerate(itertools.product(FAULTS, CHANGES))
            for n in range(self.acts[command])
        ]

    def strike(self, point: Point, own: Path) -> dict:
        """The command with its fault."""
        return perform(point.command, own, Struck(str(own / "store"), point.n, point.fault), OLD, "run-1")

    def faults(self, point: Point) -> Iterator[str]:
        """What is wrong at a point; nothing, where all is right."""
        own = self.copy(point.command)
        done = forked(partial(self.strike, point, own), self.folder)
        killed = point.fault.startswith("killed")  # a name that is taken is not written: there is no after
        if (done is None) != killed and not (killed and done["acts"] >= point.n):
            yield f"the run ended otherwise: {done}"
        if done and done["failed"] and " cannot " not in done["refusal"]:
            yield f"the run went on over a fault of the disk: {done['refusal']}"
        yield from self.left(point, forked(partial(read, own), self.folder))
        yield from self.ended(point, forked(partial(again, point, own), self.folder))

    def left(self, point: Point, seen: dict) -> Iterator[str]:
        """What is wrong with what readers get after the fault."""
        for what in ("contents", "scores"):
            yield from _allowed(seen[what], self.before[point.command][what], self.after[point.command][what])

    def ended(self, point: Point, found: dict) -> Iterator[str]:
        """What is wrong after the second run."""
        yield from found["wrong"]
        yield from (f"verify: {problem}" for problem in found["problems"])
        wanted = self.wanted[point.command, point.change]
        values, unbegun = found["contents"], self.unbegun[point.command, point.change]
        if found["refusal"]:  # half of an old merge is there, and its site changed: old values stay
            if not wanted["refusal"] or not any(refusal in found["refusal"] for refusal in REFUSALS):
                yield f"the second run refused: {found['refusal']}"
            yield from _allowed(values, self.before[point.command]["contents"], self.after[point.command]["contents"])
        elif values != unbegun["contents"] and (wanted["refusal"] or values != wanted["contents"]):
            yield f"other values than without the fault: {_difference(values, wanted['contents'])}"
        yield from _allowed(found["scores"], {}, wanted["scores"], unbegun["scores"])
        if missing := unbegun["scores"].keys() - found["scores"].keys():
            yield f"results of rescoring are missing: {sorted(missing)}"


def _allowed(seen: dict, before: dict, *after: dict) -> Iterator[str]:
    """What is neither as before nor as after, and what was there before and is missing."""
    for key, value in seen.items():
        if value not in (before.get(key), *(some.get(key) for some in after)):
            yield f"{key} has a value that no run computed: {str(value)[:100]}"
    if lost := before.keys() - seen.keys():
        yield f"lost: {sorted(lost)}"


def _difference(found: dict, wanted: dict) -> str:
    return ", ".join(sorted(key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key)))


def spread(points: list[Point], count: int | None) -> list[Point]:
    """So many of the points, evenly spread over all."""
    if count is None or count >= len(points):
        return points
    return [points[i * len(points) // count] for i in range(count)]


def run(folder: Path, count: int | None, part: tuple[int, int], tell: Callable[[str], None]) -> int:
    """Try the points, or the ``part[0]``-th of ``part[1]`` parts of them; how many had something wrong."""
    matrix, begin, wrong = Matrix.made(folder), time.monotonic(), 0
    tried: Counter[str] = Counter()
    for point in spread(matrix.points(), count)[part[0] - 1 :: part[1]]:
        found = list(matrix.faults(point))
        tried[point.command] += 1
        wrong += bool(found)
        for line in found:
            tell(f"{point}: {line}")
        if tried.total() % 50 == 0:
            tell(f"{tried.total()} points in {time.monotonic() - begin:.0f} s, {wrong} wrong")
    for command in COMMANDS:
        tell(f"{command}: {matrix.acts[command]} writes and deletes, {tried[command]} points")
    tell(f"{tried.total():,} points in {time.monotonic() - begin:.0f} s, {wrong} wrong")
    return wrong


def main() -> None:
    """Try the points; exit 1 when one is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, help="So many, evenly spread; all when left out.")
    parser.add_argument("--folder", help="Where stores are made; the temporary folder when left out.")
    parser.add_argument("--part", default="1/1", help="Such as 2/3: the second of three processes that share them.")
    asked = parser.parse_args()
    part, of = map(int, asked.part.split("/"))
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        sys.exit(bool(run(Path(folder), asked.points, (part, of), lambda line: print(line, flush=True))))


if __name__ == "__main__":
    main()
