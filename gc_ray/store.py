"""Object storage: whole objects under a local folder or an ``s3://`` prefix, written entirely or not at all."""

from __future__ import annotations

import errno
import functools
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlparse

from gc_ray.errors import StoreError

TEMPORARY = ".tmp-"  # objects being written; never listed, so that no reader takes them for whole
OUTAGE_S = 120.0  # how long S3 may be away or overloaded before a call gives up: a restart takes seconds to a minute
FIRST_S = 10.0  # the same for the first contact of a run, where an address is more likely wrong than away
PAUSES_S = (0.1, 5.0)  # between two tries: the first, and the longest that doubling it leads to
CONNECT_S, ANSWER_S = 5, 30  # after which one try counts as lost; an object of 50 MB comes and goes well within
PASSING = {429, 500, 502, 503, 504}  # HTTP answers that another try may change
PASSING_CODES = {"RequestTimeout", "ConditionalRequestConflict", "OperationAborted"}  # the same, of other answers


@dataclass(frozen=True)
class Entry:
    """One stored object: key below the store's root, size in bytes, and a stamp that changes with its content."""

    key: str
    size: int
    stamp: str


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
        target = Path(self.root, key)
        temporary = target.with_name(f"{TEMPORARY}{secrets.token_hex(8)}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with temporary.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                place(temporary, target)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            # mkdir also raises FileExistsError when a parent is a file: only place() may report a taken key
            if error.errno == errno.EEXIST and target.is_file():
                raise
            raise _cannot("write", self.root, key, error.strerror or type(error).__name__) from error

    def get(self, key: str) -> bytes:
        """The bytes of an object; FileNotFoundError when there is none."""
        try:
            return Path(self.root, key).read_bytes()
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _cannot("read", self.root, key, error.strerror or type(error).__name__) from error

    def head(self, key: str, count: int) -> bytes:
        """The first ``count`` bytes of an object."""
        with Path(self.root, key).open("rb") as file:
            return file.read(count)

    def list(self, prefix: str) -> Iterator[Entry]:
        """All objects below ``prefix`` (a folder, or one object), sorted by key."""
        top = Path(self.root, prefix)
        found = [top] if top.is_file() else sorted(p for p in top.rglob("*") if p.is_file())
        for path in found:
            if not path.name.startswith(TEMPORARY):
                stat = path.stat()
                key = path.relative_to(self.root).as_posix()
                yield Entry(key, stat.st_size, str(stat.st_mtime_ns))

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens when there is none."""
        Path(self.root, key).unlink(missing_ok=True)


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
                    yield Entry(key[skip:], item["Size"], item["ETag"].strip('"'))
            more = {"ContinuationToken": page["NextContinuationToken"]} if page.get("IsTruncated") else None

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens when there is none."""
        self._call("delete", key, "delete_object", Key=self._key(key))

    def _key(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    def _sealed(self) -> dict[str, str]:
        asked = {"ServerSideEncryption": self.encryption, "SSEKMSKeyId": self.kms_key}
        return {name: value for name, value in asked.items() if value}

    def _call(self, verb: str, key: str, operation: str, **arguments) -> dict:
        """The answer, its body read to the end; asked for again as long as a fault may pass and patience lasts."""
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        end, tries, pause = time.monotonic() + self.patience_s, 1, PAUSES_S[0]
        while True:
            try:
                answer = getattr(_s3_client(), operation)(Bucket=self.bucket, **arguments)
                return answer | {"Body": answer["Body"].read()} if "Body" in answer else answer
            except (ClientError, BotoCoreError, ResponseParserError) as error:
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
    parts = urlparse(uri)
    if parts.scheme == "s3":
        if not parts.netloc:
            raise StoreError(f"store {uri}: wanted s3://bucket/prefix, there is no bucket; add one")
        return S3Store(parts.netloc, parts.path.strip("/"))
    if parts.scheme not in {"", "file"}:
        raise StoreError(f"store {uri}: wanted a folder or s3://bucket/prefix, {parts.scheme}:// is not supported")
    return LocalStore(str(Path(parts.path if parts.scheme else uri).expanduser().absolute()))


def probe(store: Store) -> None:
    """Prove that the store can be written and read; raise StoreError, in one line, when it cannot."""
    if isinstance(store, S3Store):
        store = replace(store, patience_s=FIRST_S)
    key = f"runs/probe-{secrets.token_hex(8)}"
    store.put(key, b"probe")
    store.get(key)
    store.delete(key)


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
