"""Single bits of every kind of object of a store, and of a bundle, flipped: how many are named or read as good.

    python benchmarks/bitflips.py --flips 10000

Exit 1 when ``gc-ray verify`` does not name an object, or a reader gives another value than before.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "data"))
import every_kind

from gc_ray.errors import BundleError, InputError
from gc_ray.models.bundle import read_bundle
from gc_ray.runtime.verify import verify
from gc_ray.runtime.verify_bytes import look, named_digests
from gc_ray.store import LocalStore, open_store

KEY = b"k" * 32


def flipped(data: bytes, rng: random.Random) -> bytes:
    """The bytes with one bit changed."""
    bit = rng.randrange(8 * len(data))
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def good(store: LocalStore, reader: str, expected: object) -> bool:
    """Whether a reader refuses, or gives what it gave before; of two states of a training the other one may serve."""
    try:
        found = every_kind.READERS[reader](store)
    except (InputError, LookupError):
        return True
    return found == expected or (reader == "states" and found is None)


def bundle_flips(store: LocalStore, rng: random.Random, rounds: int) -> list[bool]:
    """Whether the bundle was read as good, for a flip in each of its files, so many times."""
    every_kind.fill_bundle(store, KEY)
    whole, answers = {entry.key: store.get(entry.key) for entry in store.list("")}, []
    for n in sorted(whole) * rounds:
        place(store, n, flipped(whole[n], rng))
        try:
            read_bundle(store, KEY)
            answers.append(True)
        except BundleError:
            answers.append(False)
        place(store, n, whole[n])
    return answers


def main() -> None:
    """Flip and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flips", type=int, default=10_000)
    parser.add_argument("--folder", help="Where the store is made; the temporary folder when left out.")
    asked = parser.parse_args()
    rng, flips, unnamed, wrong = random.Random(0), Counter(), Counter(), Counter()
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        store = open_store(f"{name}/store")
        every_kind.fill(store, Path(name))
        expected = every_kind.values(store)
        whole = {entry.key: store.get(entry.key) for entry in store.list("") if entry.size}
        named = {n for part in named_digests(look(store, list(whole)).content).values() for n in part}
        while flips.total() < asked.flips:
            for names in (named, whole.keys() - named):
                damaged = {n: flipped(whole[n], rng) for n in sorted(names)}
                for n, data in damaged.items():
                    place(store, n, data)
                    reader = rng.choice(sorted(every_kind.READERS))
                    wrong[n.partition("/")[0]] += not good(store, reader, expected[reader])
                    place(store, n, whole[n])
                for n, data in damaged.items():
                    place(store, n, data)
                said = {problem.name for problem in verify(store).problems}
                for n in names:
                    flips[n.partition("/")[0]] += 1
                    unnamed[n.partition("/")[0]] += n not in said
                    place(store, n, whole[n])
        of_bundle = bundle_flips(open_store(f"{name}/bundle"), rng, max(1, asked.flips // 100))
    flips["bundle"], wrong["bundle"] = len(of_bundle), sum(of_bundle)
    for kind, number in sorted(flips.items()):
        print(f"{kind}: {number} flips, {unnamed[kind]} not named, {wrong[kind]} read as good")
    print(f"{flips.total():,} flips, {unnamed.total()} not named, {wrong.total()} read as good")
    sys.exit(bool(unnamed.total() + wrong.total()))


def place(store: LocalStore, name: str, data: bytes) -> None:
    """Write an object over another, without waiting for the disk."""
    Path(store.root, name).write_bytes(data)


if __name__ == "__main__":
    main()
