"""Every object of a store read once: its digest, the content of sealed ones, and which are damaged."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from gc_ray import sealed
from gc_ray.errors import DamagedError
from gc_ray.store import Store
from gc_ray.store_format import TAKEN_OVER

THREADS = 16  # objects read side by side
EMPTY = ("ledger/loose/", "scores/loose/", "ledger/contents/")  # whose objects hold nothing but their names
PLAIN = ("signatures/", "clinical/")  # whose JSON has its digest in a card
AT_ONCE = 512  # objects handed to the threads at a time: what is read of them does not pile up


@dataclass(frozen=True)
class Seen:
    """What every object of a store holds.

    sha256: of its bytes, by name. content: of sealed objects, and of old ones without seal, by name. damaged: names
    of objects that are not as they were written, where they say so themselves.
    """

    sha256: dict[str, str]
    content: dict[str, dict]
    damaged: frozenset[str]

    @property
    def taken_over(self) -> dict[str, str]:
        """SHA-256 by name of what the store has from version 0.1.0."""
        held = [content["digests"] for name, content in self.content.items() if name.startswith(f"{TAKEN_OVER}/")]
        return {name: digest for digests in held for name, digest in digests.items()}

    @property
    def whole(self) -> set[str]:
        """The names of all objects that are not known to be damaged."""
        return self.sha256.keys() - self.damaged


def look(store: Store, names: list[str], told: Callable[[int, int], None] = lambda done, of: None) -> Seen:
    """Read some objects, each once."""
    digests: dict[str, str] = {}
    content: dict[str, dict] = {}
    damaged = set()
    with ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(names), AT_ONCE):
            part = names[start : start + AT_ONCE]
            for name, found in zip(part, pool.map(lambda name: _read(store, name), part), strict=True):
                if found is None:
                    continue  # deleted since it was listed: joins say whether somebody misses it
                digests[name], held, whole = found
                if held is not None:
                    content[name] = held
                if not whole:
                    damaged.add(name)
            told(len(digests), len(names))
    return Seen(digests, content, frozenset(damaged - _named_elsewhere(content, digests)))


def named_digests(content: dict[str, dict]) -> dict[str, dict[str, str]]:
    """SHA-256 by name of the objects that each sealed object names, by its own name."""
    found = {}
    for name, held in content.items():
        folder = name.rpartition("/")[0]
        files, parts, objects = (held.get(member) for member in ("files", "parts", "objects"))
        named = dict(objects) if isinstance(objects, dict) else {}
        if isinstance(files, dict):
            named |= {f"{folder}/{file}": said["sha256"] for file, said in files.items() if isinstance(said, dict)}
        if isinstance(parts, dict) and name.startswith("models/"):
            named |= {f"{folder}/{part['object']}": part["sha256"] for part in parts.values()}
        if named:
            found[name] = named
    return found


def _read(store: Store, name: str) -> tuple[str, dict | None, bool] | None:
    """(SHA-256, content of JSON, whether it is as its name or seal says) of one object; None when it is gone."""
    try:
        data = store.get(name)
    except FileNotFoundError:
        return None
    digest, wanted = sealed.sha256(data), sealed.digest_in_name(name)
    if wanted is not None:
        return digest, None, digest.startswith(wanted)
    if not name.endswith(".json") or (not data and name.startswith(EMPTY)):
        return digest, None, True
    if name.startswith(PLAIN) and not name.endswith("card.json") and not sealed.is_sealed(name, data):
        return digest, None, True  # compared with what the card says of it
    try:
        return digest, sealed.unseal(store, name, data), True
    except DamagedError:
        return digest, None, False


def _named_elsewhere(content: dict[str, dict], digests: dict[str, str]) -> set[str]:
    """Objects without a digest of their own that another object names, and that are as it says."""
    return {
        name
        for named in named_digests(content).values()
        for name, digest in named.items()
        if digests.get(name) == digest
    }
