"""A store that others wrote, for reading: its objects are files, of bounded size, and unpack to bounded size."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from gc_ray.bounded import MAX_JSON, MAX_OBJECT, check_size, read_file
from gc_ray.bounded_tables import check_parquet
from gc_ray.errors import InputError, StoreError
from gc_ray.store import Entry, LocalStore, Store, stay_inside

# what reading may raise where an object is whole and holds something else than its place in the store wants
FAULTS = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, OSError, RecursionError)
FAULTS += (NotImplementedError, MemoryError)


@dataclass(frozen=True)
class UntrustedStore:
    """Gives the objects of a store, each compared with its limits before it is unpacked.

    Parameters
    ----------
    store : Store
        The store that others wrote.
    """

    store: Store

    @property
    def uri(self) -> str:
        """The address of the store."""
        return self.store.uri

    def list(self, prefix: str) -> Iterator[Entry]:
        """All objects below ``prefix``."""
        return self.store.list(prefix)

    def get(self, key: str) -> bytes:
        """Return the bytes of an object.

        Raises
        ------
        FileNotFoundError
            There is none.
        StoreError
            It is no file, is too large, or its table would take too much memory.
        """
        most = MAX_JSON if key.endswith(".json") else MAX_OBJECT
        try:
            data = self._bytes(key, most)
            check_size(len(data), most)
            if key.endswith(".parquet"):
                check_parquet(data)
        except FileNotFoundError:
            raise
        except (OSError, pa.ArrowException) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise StoreError(
                f"store {self.uri}: {key} is not read: {reason}; that store was changed by hand or is damaged, leave "
                "it out"
            ) from error
        return data

    def _bytes(self, key: str, most: int) -> bytes:
        if isinstance(self.store, LocalStore):
            stay_inside(self.uri, key)
            return read_file(Path(self.store.root, key), most)
        return self.store.get(key)


@contextlib.contextmanager
def reading(store: UntrustedStore) -> Iterator[None]:
    """Within it a store that holds other things than its format wants is one line, whatever they are."""
    try:
        yield
    except InputError:
        raise
    except FAULTS as error:
        raise StoreError(
            f"store {store.uri}: an object holds other things than its name says ({type(error).__name__}); have that "
            "store checked by gc-ray verify where it was made, or leave it out"
        ) from error
