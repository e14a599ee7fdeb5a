"""The states of fits that are not finished, kept as whole objects in the store."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from gc_ray.store import Store

KEPT = 2  # a state that was cut off while it was written, or damaged later, is made good by the one before
FOLDER = "checkpoints"


@dataclass(frozen=True)
class StoredCheckpoints:
    """The states of one fit, as ``checkpoints/<folder>/<epoch>-<digest of the content>.safetensors``."""

    store: Store
    folder: str
    every: int

    def load(self) -> bytes | None:
        """The last state that is whole; None when there is none."""
        for name in reversed(self._names()):
            data = self.store.get(name)
            if name.endswith(f"-{_digest(data)}.safetensors"):
                return data
        return None

    def save(self, epoch: int, data: bytes) -> None:
        """Keep the state after ``epoch``, and of the earlier ones the last."""
        self.store.put(f"{FOLDER}/{self.folder}/{epoch:06d}-{_digest(data)}.safetensors", data)
        for name in self._names()[:-KEPT]:
            self.store.delete(name)

    def _names(self) -> list[str]:
        return [entry.key for entry in self.store.list(f"{FOLDER}/{self.folder}")]


def forget(store: Store, model_id: str) -> None:
    """Remove every state of a model that is whole by now."""
    for entry in list(store.list(f"{FOLDER}/{model_id}")):
        store.delete(entry.key)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
