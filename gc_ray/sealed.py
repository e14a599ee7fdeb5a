"""JSON objects of a store with the SHA-256 of their own bytes as last member, and names that hold a digest.

Every object that is read is compared with its digest: in its name, in its own last member (the seal), or in the
sealed object that names it. The seal is of content and name, so that an object that was copied to another name, or
exchanged with another, is noticed. Objects of version 0.1.0 have no seal; where they were taken over into a store of
format 2, ``format.json`` names the table of their digests.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re

from gc_ray.errors import DamagedError
from gc_ray.store import Store

FORMAT_NAME = "format.json"
FILES_NAME = "files.json"
OPENING, CLOSING = b',\n "sha256": "', b'"\n}'
HEX = b"0123456789abcdef"
DIGITS = 64
NEARLY = 60  # hex digits where a seal should be: what has so many was sealed and is damaged
NAMED = re.compile(r"(?:[-./])([0-9a-f]{12,64})\.(?:parquet|arrow|safetensors)$")
NAMED_BELOW = (
    "ledger/shards/", "ledger/contents/", "radiomics/", "deep/", "volumes/", "views/", "scores/bundles/",
    "checkpoints/", "models/",
)  # fmt: skip


def seal(content: dict, name: str, *, allow_nan: bool = True) -> bytes:
    """JSON with a last member ``sha256``: the SHA-256 of the bytes of the JSON without that member, and of a name.

    Parameters
    ----------
    content : dict
        JSON types, at least one member, none called ``sha256``.
    name : str
        Of the object, under which alone it is whole; the last part of it for what may be copied to any folder.
    allow_nan : bool
        Whether numbers may be NaN or infinite; ValueError where not.
    """
    body = json.dumps(content, indent=1, allow_nan=allow_nan).encode()
    return body[: -len(b"\n}")] + OPENING + sha256(body + name.encode()).encode() + CLOSING


def unseal(store: Store, name: str, data: bytes) -> dict:
    """The content of a sealed object, without the seal.

    Raises
    ------
    DamagedError
        The bytes are not those that were written, or have no seal and are not known from version 0.1.0.
    """
    body = _body(name, data)
    if body is None:
        if _nearly_sealed(data) or not _taken_over(store, name, data):
            raise damaged(store, name)
        body = data
    try:
        content = json.loads(body)
    except ValueError as error:
        raise damaged(store, name) from error
    if not isinstance(content, dict):
        raise damaged(store, name)
    return content


def read(store: Store, name: str) -> dict:
    """The content of a sealed object; FileNotFoundError when there is none, DamagedError as ``unseal``."""
    return unseal(store, name, store.get(name))


def put(store: Store, name: str, content: dict) -> None:
    """Write a sealed object, replacing one of the same name."""
    store.put(name, seal(content, name))


def create(store: Store, name: str, content: dict) -> bool:
    """Write a sealed object unless the name is taken; True when this call wrote it."""
    return store.create(name, seal(content, name))


def is_sealed(name: str, data: bytes) -> bool:
    """Whether the bytes of an object are JSON with a seal that fits."""
    return _body(name, data) is not None


def sha256(data: bytes) -> str:
    """The SHA-256 of some bytes, 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def digest_in_name(name: str) -> str | None:
    """The hex digits that the SHA-256 of an object's bytes must begin with; None where its name has none."""
    found = NAMED.search(name) if name.startswith(NAMED_BELOW) else None
    return found[1] if found else None


def is_whole(name: str, data: bytes) -> bool:
    """Whether some bytes have the digest that their object's name holds; False when it holds none."""
    wanted = digest_in_name(name)
    return wanted is not None and sha256(data).startswith(wanted)


def get_whole(store: Store, name: str) -> bytes:
    """The bytes of an object whose name holds its digest; DamagedError when they differ from it."""
    data = store.get(name)
    if not is_whole(name, data):
        raise damaged(store, name)
    return data


def get_listed(store: Store, name: str, digests: dict[str, str] | None) -> bytes:
    """The bytes of an object whose SHA-256 another, sealed object holds.

    Parameters
    ----------
    digests : dict or None
        SHA-256 by name; None where the sealed object is of version 0.1.0, which kept none.
    """
    data = store.get(name)
    known = _taken_over(store, name, data) if digests is None else digests.get(name) == sha256(data)
    if not known:
        raise damaged(store, name)
    return data


def put_files(store: Store, folder: str, files: dict[str, bytes]) -> None:
    """Write some files of a folder and, last, their digests as ``files.json``."""
    for name, data in files.items():
        store.put(f"{folder}/{name}", data)
    put(store, f"{folder}/{FILES_NAME}", {"files": described(files)})


def described(files: dict[str, bytes]) -> dict[str, dict]:
    """Size in bytes and SHA-256 of each file, by name."""
    return {name: {"bytes": len(data), "sha256": sha256(data)} for name, data in files.items()}


def files_of(store: Store, folder: str) -> dict[str, str] | None:
    """SHA-256 by name of the files that ``put_files`` wrote; None where there are none, or of version 0.1.0."""
    try:
        held = read(store, f"{folder}/{FILES_NAME}")["files"]
    except FileNotFoundError:
        return None
    return {f"{folder}/{name}": file["sha256"] for name, file in held.items()}


def damaged(store: Store, name: str) -> DamagedError:
    """The error for an object whose bytes are not those that were written."""
    return DamagedError(
        f"store {store.uri}: {name} is damaged: its bytes are not those that were written; put it back from a copy, "
        f"or run gc-ray repair {store.uri}"
    )


def taken_over(store: Store) -> dict[str, str] | None:
    """SHA-256 by name of what a store has from version 0.1.0; None for a store that is still of format 1."""
    try:
        return _digests_taken_over(store)
    except FileNotFoundError:
        return None


@functools.lru_cache(maxsize=16)
def _digests_taken_over(store: Store) -> dict[str, str]:
    name = _strictly(store, FORMAT_NAME, store.get(FORMAT_NAME)).get("taken_over")
    if not name:
        return {}
    try:
        return _strictly(store, name, store.get(name))["digests"]
    except FileNotFoundError as error:
        raise damaged(store, name) from error


def _strictly(store: Store, name: str, data: bytes) -> dict:
    """The content of an object that must have a seal."""
    body = _body(name, data)
    if body is None:
        raise damaged(store, name)
    return json.loads(body)


def _body(name: str, data: bytes) -> bytes | None:
    """The bytes that were sealed; None when there is no seal, or it does not fit."""
    start = len(data) - len(OPENING) - DIGITS - len(CLOSING)
    if start < 1 or not data.startswith(OPENING, start) or not data.endswith(CLOSING):
        return None
    body = data[:start] + b"\n}"
    digest = data[start + len(OPENING) : -len(CLOSING)]
    names = (name, name.rpartition("/")[2])
    return body if digest in (sha256(body + of.encode()).encode() for of in names) else None


def _nearly_sealed(data: bytes) -> bool:
    """Whether some bytes without a fitting seal once had one."""
    place = data[-DIGITS - len(CLOSING) : -len(CLOSING)]
    return sum(byte in HEX for byte in place) >= NEARLY


def _taken_over(store: Store, name: str, data: bytes) -> bool:
    known = taken_over(store)
    return known is None or known.get(name) == sha256(data)
