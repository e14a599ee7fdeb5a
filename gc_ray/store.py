"""Object storage: whole objects under a local folder or an ``s3://`` prefix, written entirely or not at all."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gc_ray.bounded import MAX_OBJECT, read_body, read_file
from gc_ray.errors import StoreError

BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}|arn:[^/\s]+")
SUBMITTED = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # in the environment of what `ray job submit` started
TEMPORARY = ".tmp-"  # objects being written; never listed, so that no reader takes them for whole
OUTAGE_S = 120.0  # how long S3 may be away or overloaded before a call gives up: a restart takes seconds to a minute
FIRST_S = 10.0  # the same for the first contact of a run, where an address is more likely wrong than away
PAUSES_S = (0.1, 5.0)  # between two tries: the first, and the longest that doubling it leads to
CONNECT_S, ANSWER_S = 5, 30  # after which one try counts as lost; an object of 50 MB comes and goes well within
NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}  # of a file system without hard links
PASSING = {429, 500, 502, 503, 504}  # HTTP answers that another try may change
PASSING_CODES = {"RequestTimeout", "ConditionalRequestConflict", "OperationAborted"}  # the same, of other answers


@dataclass(frozen=True)
class Entry:
    """One stored object: key below the store's root, size in bytes, and a stamp that changes with its content.

    modified: when it was written, seconds since 1970.
    """

    key: str
    size: int
    stamp: str
    modified: float = 0.0


@dataclass(frozen=True)
class LocalStore:
    """A store in a folder. An object appears by an atomic link or rename of a file that is already complete."""

    root: str

    @property
    def uri(self) -> str:
        """The address this store was opened with."""
        return self.root

    def put(self, key: str, data: bytes) -> None:
        """Write an object, replacing one of the same key."""
        self._place(key, data, os.replace)

    def create(self, key: str, data: bytes) -> bool:
        """Write an object unless the key is taken; True when this call wrote it."""
        try:
            self._place(key, data, os.link)
        except FileExistsError:
            return False
        return True

    def _place(self, key: str, data: bytes, place) -> None:
        target = self._path(key)
        temporary = target.with_name(f"{TEMPORARY}{secrets.token_hex(8)}")
        try:
            _make_folder(target.parent)
            try:
                with temporary.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                place(temporary, target)
                _keep_names(target.parent)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            # mkdir also raises FileExistsError when a parent is a file: only place() may report a taken key
            if error.errno == errno.EEXIST and target.is_file():
                raise
            if place is os.link and error.errno in NO_LINKS and target.parent.is_dir():
                raise StoreError(
                    f"store {self.root}: this disk has no hard links, by which an object is created once; use a disk "
                    "of Linux or macOS, or s3://bucket/prefix"
                ) from error
            raise _cannot("write", self.root, key, error.strerror or type(error).__name__) from error

    def _path(self, key: str) -> Path:
        stay_inside(self.root, key)
        return Path(self.root, key)

    def get(self, key: str) -> bytes:
        """The bytes of an object; FileNotFoundError when there is none."""
        try:
            return read_file(self._path(key), MAX_OBJECT)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _cannot("read", self.root, key, error.strerror or type(error).__name__) from error

    def head(self, key: str, count: int) -> bytes:
        """The first ``count`` bytes of an object."""
        try:
            with self._path(key).open("rb") as file:
                return file.read(count)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _cannot("read", self.root, key, error.strerror or type(error).__name__) from error

    def unfinished(self) -> Iterator[Entry]:
        """Files that were being written when their writer was killed, or are being written now."""
        for path in Path(self.root).rglob(f"{TEMPORARY}*"):
            with contextlib.suppress(FileNotFoundError):
                yield _entry(path.relative_to(self.root).as_posix(), path.stat())

    def list(self, prefix: str) -> Iterator[Entry]:
        """All objects below ``prefix`` (a folder, or one object), sorted by key."""
        top, start = self._path(prefix), prefix.strip("/")
        if top.is_file():
            yield _entry(start, top.stat())
        else:
            yield from sorted(_below(top, f"{start}/" if start else ""), key=lambda entry: entry.key.split("/"))

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens when there is none."""
        try:
            self._path(key).unlink(missing_ok=True)
        except OSError as error:
            raise _cannot("delete", self.root, key, error.strerror or type(error).__name__) from error


class _PerhapsOursError(FileExistsError):
    """The key is taken, it may be by an earlier try of the same call whose answer was lost."""


@dataclass(frozen=True)
class S3Store:
    """A store in an S3 bucket. Endpoint, region and credentials come from the usual AWS settings."""

    bucket: str
    prefix: str
    encryption: str = ""  # server-side, asked for with every object: AES256 or aws:kms; empty: the bucket's own
    kms_key: str = ""
    patience_s: float = OUTAGE_S

    @property
    def uri(self) -> str:
        """The address this store was opened with."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def put(self, key: str, data: bytes) -> None:
        """Write an object, replacing one of the same key."""
        self._call("write", key, "put_object", Key=self._key(key), Body=data, **self._sealed())

    def create(self, key: str, data: bytes) -> bool:
        """Write an object unless the key is taken; True when this call wrote it."""
        once = {"Key": self._key(key), "Body": data, "IfNoneMatch": "*"}
        try:
            self._call("write", key, "put_object", **once, **self._sealed())
        except _PerhapsOursError:
            return self.get(key) == data
        except FileExistsError:
            return False
        return True

    def get(self, key: str) -> bytes:
        """The bytes of an object; FileNotFoundError when there is none."""
        return self._call("read", key, "get_object", Key=self._key(key))["Body"]

    def head(self, key: str, count: int) -> bytes:
        """The first ``count`` bytes of an object."""
        return self._call("read", key, "get_object", Key=self._key(key), Range=f"bytes=0-{count - 1}")["Body"]

    def list(self, prefix: str) -> Iterator[Entry]:
        """All objects below ``prefix`` (a folder, or one object), sorted by key."""
        full, skip, more = self._key(prefix), len(self._key("")), {}
        while more is not None:
            page = self._call("list", prefix, "list_objects_v2", Prefix=full, **more)
            for item in page.get("Contents", ()):
                key = item["Key"]
                if key.endswith("/"):  # a folder as consoles draw it, no object
                    continue
                # S3 prefixes are plain text: scan_1 would also list scan_10
                if not full or key == full or key.startswith(full.rstrip("/") + "/"):
                    modified = item["LastModified"].timestamp()
                    yield Entry(key[skip:], item["Size"], item["ETag"].strip('"'), modified)
            more = {"ContinuationToken": page["NextContinuationToken"]} if page.get("IsTruncated") else None

    def unfinished(self) -> Iterator[Entry]:
        """Nothing: on S3 an object is there when it is whole."""
        return iter(())

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens when there is none."""
        self._call("delete", key, "delete_object", Key=self._key(key))

    def _key(self, key: str) -> str:
        stay_inside(self.uri, key)
        return f"{self.prefix}/{key}" if self.prefix else key

    def _sealed(self) -> dict[str, str]:
        asked = {"ServerSideEncryption": self.encryption, "SSEKMSKeyId": self.kms_key}
        return {name: value for name, value in asked.items() if value}

    def _call(self, verb: str, key: str, operation: str, **arguments) -> dict:
        """The answer, its body read to the end; asked for again as long as a fault may pass and patience lasts."""
        from botocore import exceptions, parsers

        end, tries, pause = time.monotonic() + self.patience_s, 1, PAUSES_S[0]
        while True:
            try:
                answer = getattr(_s3_client(), operation)(Bucket=self.bucket, **arguments)
                return answer | {"Body": read_body(answer)} if "Body" in answer else answer
            except (exceptions.ClientError, exceptions.BotoCoreError, parsers.ResponseParserError, OSError) as error:
                if not _may_pass(error) or time.monotonic() + pause > end:
                    raise self._fault(error, verb, key, tries) from error
            time.sleep(pause * (1 + secrets.randbelow(100) / 100) / 2)  # so that workers do not come back in step
            tries, pause = tries + 1, min(2 * pause, PAUSES_S[1])

    def _fault(self, error: Exception, verb: str, key: str, tries: int) -> Exception:
        if _code(error) in {"NoSuchKey", "404"}:
            return FileNotFoundError(f"{self.uri}/{key}")
        if _status(error) == 412:
            return (FileExistsError if tries == 1 else _PerhapsOursError)(f"{self.uri}/{key}")
        return _cannot(verb, self.uri, key, _s3_reason(error))


Store = LocalStore | S3Store


def open_store(uri: str) -> Store:
    """The store at ``uri``: a local folder (made when first written to) or ``s3://bucket/prefix``."""
    scheme, separator, rest = uri.partition("://")  # not by a parser of URLs: `#` and `?` are part of names here
    scheme = scheme.lower() if separator else ""
    if scheme == "s3":
        bucket, _, prefix = rest.partition("/")
        if not BUCKET.fullmatch(bucket):
            got = f"{bucket!r} is no name of a bucket; correct it" if bucket else "there is no bucket; add one"
            raise StoreError(f"store {uri}: wanted s3://bucket/prefix, {got}")
        return S3Store(bucket, prefix.strip("/"))
    if scheme not in {"", "file"}:
        raise StoreError(f"store {uri}: wanted a folder or s3://bucket/prefix, {scheme}:// is not supported")
    folder = Path(rest if scheme else uri).expanduser()
    if not folder.is_absolute() and SUBMITTED in os.environ:
        raise StoreError(
            f"store {uri}: a relative folder of a submitted job lies in Ray's copy of the working folder and is "
            "deleted with it; give a folder that every node mounts, by its whole path, or s3://bucket/prefix"
        )
    return LocalStore(str(folder.absolute()))


def stay_inside(root: str, key: str) -> None:
    """StoreError when a key would lead out of the store: absolute, with a step ``..``, or with a zero byte."""
    if key.startswith(("/", "\\")) or "\0" in key or ".." in key.replace("\\", "/").split("/"):
        raise StoreError(
            f"store {root}: {key!r} is no name of an object: it leads out of the store; the table or store that "
            "names it was changed by hand, leave it out"
        )


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, so that they are there after a loss of power."""
    new = []
    for path in (folder, *folder.parents):
        if path.is_dir():
            break
        new.append(path)
    folder.mkdir(parents=True, exist_ok=True)
    for path in new:
        _keep_names(path.parent)


def _keep_names(folder: Path) -> None:
    """Bring the names in a folder to the disk: an object that was reported as written stays after a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _below(folder: Path, start: str) -> Iterator[Entry]:
    """All files below a folder, none that is still being written; links to folders are not followed.

    start: the folder's key with a slash. What vanishes meanwhile is left out, as is a folder that may not be read.
    """
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _below(Path(entry.path), f"{start}{entry.name}/")
        elif entry.is_file() and not entry.name.startswith(TEMPORARY):
            with contextlib.suppress(FileNotFoundError):
                yield _entry(f"{start}{entry.name}", entry.stat())


def _entry(key: str, stat: os.stat_result) -> Entry:
    return Entry(key, stat.st_size, str(stat.st_mtime_ns), stat.st_mtime)


@functools.lru_cache(maxsize=1)
def _s3_client():
    import boto3
    from botocore.config import Config

    # tries are counted in S3Store: botocore's own end after seconds, and do not tell a lost answer from a taken key
    once = {"mode": "standard", "total_max_attempts": 1}
    config = Config(retries=once, max_pool_connections=32, connect_timeout=CONNECT_S, read_timeout=ANSWER_S)
    return boto3.client("s3", config=config)


def _may_pass(error: Exception) -> bool:
    """Whether the same call may succeed later: the server is away, overloaded, or its answer was cut off."""
    from botocore import exceptions as faults
    from botocore.parsers import ResponseParserError

    if isinstance(error, faults.ClientError):
        return _status(error) in PASSING or _code(error) in PASSING_CODES
    lost = (faults.HTTPClientError, faults.ConnectionError, faults.IncompleteReadError, faults.FlexibleChecksumError)
    return isinstance(error, (*lost, ResponseParserError)) and not isinstance(error, faults.SSLError)


def _status(error: Exception) -> int | None:
    return _response(error).get("ResponseMetadata", {}).get("HTTPStatusCode")


def _code(error: Exception) -> str | None:
    return _response(error).get("Error", {}).get("Code")


def _response(error: Exception) -> dict:
    return getattr(error, "response", None) or {}  # a lost connection has the attribute, and None in it


def _s3_reason(error: Exception) -> str:
    fault = _response(error).get("Error")
    return f"{fault.get('Code', '?')}: {fault.get('Message') or 'no message'}" if fault else str(error)


def _cannot(verb: str, root: str, key: str, reason: str) -> StoreError:
    advice = {"write": "check rights, free space and the address", "read": "check rights and the address"}
    return StoreError(f"store {root}: cannot {verb} {key}: {reason}; {advice.get(verb, 'check the address')}")
