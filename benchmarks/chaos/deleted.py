"""Every single object of a store deleted: verify names it, or the next run makes it again with the same values.

    python benchmarks/chaos/deleted.py

First of stores that extraction and rescoring made, compacted and not: where ``gc-ray verify`` finds nothing the same
commands run again, and where it names something ``gc-ray repair`` runs before; then values and scores are those of
before, and verify finds nothing new. Then of a store with every kind of object, where verify names what is gone, or
it is a cache or a result that no shard holds yet, which the first part computes again. Exit 1 otherwise.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "data"))
import every_kind
import points
import SimpleITK as sitk
from struck import forked

from gc_ray.runtime.repair import repair
from gc_ray.runtime.verify import verify
from gc_ray.store import LocalStore

MADE_AGAIN = ("views/", "incoming/", "checkpoints/", "tune/", "controls/", "ledger/contents/")
MARKS = {"ledger/loose/": "ledger/commits/", "scores/loose/": "audit/"}


def without(name: str, own: Path) -> dict:
    """Delete an object, repair where verify says so, run the commands again, and read."""
    store = LocalStore(str(own / "store"))
    store.delete(name)
    problems = verify(store).problems
    if problems:
        repair(store)
    for command in ("extract", "rescore"):
        points.perform(command, own, store, points.OLD, f"{command}-again")
    return points.read(own) | {"named": [f"{problem.name}: {problem.what}" for problem in problems]}


def of_runs(folder: Path) -> Iterator[tuple[str, str, list[str]]]:
    """(kind of the object, ``named`` or ``made again``, what is wrong) of each object that small runs make."""
    sitk.ProcessObject.SetGlobalDefaultThreader("Platform")
    points.prepare(folder / "base")
    forked(partial(points.loosen, folder / "compact"), folder)
    for state in ("compact", "rescore"):
        matrix = points.Matrix(folder, {}, {}, {}, {}, {})
        if state == "rescore":
            store = LocalStore(str(folder / state / "store"))
            forked(partial(points.perform, state, folder / state, store, points.OLD, "rescore-2"), folder)
        wanted = forked(partial(without, "none", matrix.copy(state)), folder)
        for name in [entry.key for entry in LocalStore(str(folder / state / "store")).list("")]:
            found = forked(partial(without, name, matrix.copy(state)), folder)
            wrong = [f"{name}: {problem}" for problem in found["problems"] if problem not in found["named"]]
            wrong += [f"{name}: other {what}" for what in ("contents", "scores") if found[what] != wanted[what]]
            yield name.partition("/")[0], "named" if found["named"] else "made again", wrong


def of_every_kind(folder: Path) -> Iterator[tuple[str, str, list[str]]]:
    """The same of a store with every kind of object."""
    store = LocalStore(str(folder / "store"))
    every_kind.fill(store, folder)
    names = {entry.key for entry in store.list("")}
    loose = {f"{commits}{n.removeprefix(m)}" for m, commits in MARKS.items() for n in names if n.startswith(m)}
    for name in sorted(names):
        data = store.get(name)
        store.delete(name)
        named = bool(verify(store).problems)
        store.put(name, data)
        again = name.startswith((*MADE_AGAIN, *MARKS)) or name in loose
        wrong = [] if named or again else [f"{name}: not named"]
        yield name.partition("/")[0], "named" if named else "made again", wrong


def main() -> None:
    """Delete and count; exit 1 when something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", help="Where stores are made; the temporary folder when left out.")
    asked = parser.parse_args()
    bad = 0
    for title, part in (("of runs", of_runs), ("of every kind", of_every_kind)):
        counts: Counter[tuple[str, str]] = Counter()
        folder = Path(tempfile.mkdtemp(dir=asked.folder))
        for kind, how, wrong in part(folder):
            counts[kind, how] += 1
            bad += bool(wrong)
            for line in wrong:
                print(line, flush=True)
        shutil.rmtree(folder)
        for (kind, how), number in sorted(counts.items()):
            print(f"{title}, {kind}: {number} {how}")
        print(
            f"{title}: {counts.total()} objects deleted, one at a time; {bad} neither named nor made again",
            flush=True,
        )
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
