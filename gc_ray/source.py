"""Where scans come from: a local or ``s3://`` file or folder, listed, stamped, hashed and brought to local disk."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gc_ray.bounded import read_pipe
from gc_ray.errors import StoreError
from gc_ray.imaging.detached import HEADER_BYTES, beside, files_of, voxel_files
from gc_ray.store import TEMPORARY, Entry, LocalStore, Store, open_store

DETACHED = (".nhdr", ".mhd", ".hdr")  # headers whose voxels lie in other files beside them
ATTACHED = (".nrrd", ".mha")  # headers before their voxels, which may yet lie in other files
FETCHES = 8  # slices fetched side by side for one scan: latency is what they cost; eight are in memory at a time
CHUNK = 1 << 20  # bytes hashed at a time; keeps memory flat for a file of any size


@dataclass(frozen=True)
class Source:
    """One file or folder at ``uri`` and what a listing tells of its parts, sorted by key."""

    uri: str
    parts: tuple[Entry, ...]

    @property
    def bytes(self) -> int:
        """Size of all parts together."""
        return sum(part.size for part in self.parts)

    @property
    def stamp(self) -> str:
        """A digest of names, sizes and times (or ETags); the empty text when nothing is there."""
        if not self.parts:
            return ""
        digest = hashlib.sha256()
        for part in self.parts:
            digest.update(f"{part.key}\x1f{part.size}\x1f{part.stamp}\x1e".encode())
        return digest.hexdigest()[:32]


def list_source(uri: str) -> Source:
    """What is at ``uri`` now, with the files that hold its voxels; a source without parts when nothing is there.

    OSError when a folder cannot be listed or a link leads nowhere, StoreError when a server refuses: what cannot be
    seen must not be taken for what is not there.
    """
    store, key = _place(uri)
    parts = tuple(_parts(store, key, _raise))
    if key.lower().endswith(".img") and parts:
        stem = key.rpartition(".")[0]
        parts += tuple(part for ending in (".hdr", ".HDR") for part in _parts(store, stem + ending, _raise))
    elif key.lower().endswith(DETACHED) and parts:
        folder, _, _ = key.rpartition("/")
        stem = key.rpartition(".")[0] + "."
        named = {f"{folder}/{other}" if folder else other for other in _voxel_files(store, key)}
        parts = tuple(
            part for part in _parts(store, folder, _ignore) if part.key.startswith(stem) or part.key in named
        )
    return Source(uri, tuple(sorted(parts, key=lambda part: part.key)))


def search_source(uri: str) -> tuple[Source, list[OSError]]:
    """(what can be seen below ``uri``, the faults of the folders and files that cannot)."""
    store, key = _place(uri)
    faults: list[OSError] = []
    return Source(uri, tuple(sorted(_parts(store, key, faults.append), key=lambda part: part.key))), faults


def _parts(store: Store, key: str, fault: Callable[[OSError], None]) -> Iterable[Entry]:
    """All files below a key; fault: takes what cannot be listed. Links to folders are not followed."""
    if not isinstance(store, LocalStore):
        return store.list(key)
    top = Path(store.root, key)
    names = (
        Path(folder, name)
        for folder, _, held in os.walk(top, onerror=fault)
        for name in held
        if not name.startswith(TEMPORARY)
    )
    found = (_entry(store, path, fault) for path in (names if os.path.isdir(top) else [top]))  # noqa: PTH112 - never raises
    return [entry for entry in found if entry is not None]


def _entry(store: LocalStore, path: Path, fault: Callable[[OSError], None]) -> Entry | None:
    """A file as it is listed; None where there is no file, as when it was moved away meanwhile."""
    try:
        known = path.stat()
    except FileNotFoundError as error:
        if path.is_symlink():
            fault(error)
        return None
    except OSError as error:
        fault(error)
        return None
    except ValueError:  # a zero byte, or a character that no file system encodes
        fault(OSError(errno.EINVAL, os.strerror(errno.EINVAL)))
        return None
    if not stat.S_ISREG(known.st_mode):
        return None
    return Entry(path.relative_to(store.root).as_posix(), known.st_size, str(known.st_mtime_ns))


def _raise(error: OSError) -> None:
    raise error


def _ignore(error: OSError) -> None:
    """A neighbour of a file that is asked for is no part of it."""


def _voxel_files(store: Store, key: str) -> list[str]:
    """Bare names of the files that a detached header names beside itself; what is wrong with it its reader says."""
    try:
        names = voxel_files(store.head(key, HEADER_BYTES))
    except (OSError, ValueError):
        return []
    return [bare for name in names if (bare := beside(name)) is not None]


def joint_stamp(sources: list[Source]) -> str:
    """One stamp for an image and its mask; a source that was absent and appears later changes it."""
    return hashlib.sha256("\x1e".join(source.stamp for source in sources).encode()).hexdigest()[:32]


def read_bytes(uri: str) -> bytes:
    """The content of one file; FileNotFoundError when there is none."""
    store, key = _place(uri)
    if isinstance(store, LocalStore) and (path := Path(store.root, key)).is_fifo():
        return read_pipe(path)
    return store.get(key)


def head_bytes(uri: str, part: Entry, count: int) -> bytes:
    """The first ``count`` bytes of one part; of an empty one none, for which some servers refuse to answer."""
    return b"" if not part.size else _place(uri)[0].head(part.key, count)


def localise(source: Source, into: Path) -> Path:
    """A local path with the source's content: the path itself when it is local, a copy below ``into`` otherwise."""
    store, key = _place(source.uri)
    if isinstance(store, LocalStore):
        return Path(store.root, key)
    top = PurePosixPath(key).parent
    for part in source.parts:
        if ".." in PurePosixPath(part.key).parts:
            raise StoreError(f"store {store.uri}: an object's name climbs out of its folder by '..'; rename it")

    def fetch(part: Entry) -> None:
        _write_private(into / PurePosixPath(part.key).relative_to(top), store.get(part.key))

    with ThreadPoolExecutor(FETCHES) as pool:
        for _ in pool.map(fetch, source.parts):  # in order: of several faults the first part's is raised
            pass
    return into / PurePosixPath(key).name


def _write_private(path: Path, data: bytes) -> None:
    """Write a copy of a patient's file, and its folders, readable by this user alone; a link there is refused."""
    for folder in reversed([folder for folder in path.parents if not folder.exists()]):
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
        file.write(data)


def content_sha256(paths: list[Path]) -> str:
    """A digest of the content of files and folders; names and order do not matter, so that a moved copy is equal.

    A volume file whose voxels lie in other files counts with them.
    """
    digests = []
    for path in paths:
        files = _with_voxels(path) if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
        digests.append(sorted(_file_sha256(file) for file in files))
    return hashlib.sha256(repr(digests).encode()).hexdigest()


def _with_voxels(path: Path) -> list[Path]:
    """A file and those that hold its voxels."""
    if path.suffix.lower() in (".hdr", ".img"):
        return sorted({path, *(part for part in files_of(path) if part.is_file())})
    if not path.name.lower().endswith((*DETACHED, *ATTACHED)):
        return [path]
    store, key = LocalStore(str(path.parent)), path.name
    return [path, *(other for name in _voxel_files(store, key) if (other := path.parent / name).is_file())]


def parent_of(uri: str) -> tuple[str, str]:
    """(folder address, file name) of a file's address."""
    folder, _, name = uri.rpartition("/")
    return folder, name


def _file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _place(uri: str) -> tuple[Store, str]:
    if uri.startswith("s3://"):
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return open_store(f"s3://{bucket}"), key.strip("/")
    try:
        path = Path(uri).expanduser().absolute()
    except RuntimeError:  # the home of a user that this machine does not have
        path = Path(uri).absolute()
    if path.name == "..":
        path = path.resolve()
    return LocalStore(str(path.parent)), path.name
