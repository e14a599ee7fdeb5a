"""Object storage: whole objects under a local folder or an ``s3://`` prefix, written entirely or not at all."""

from __future__ import annotations

import errno
import functools
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

from gc_ray.errors import StoreError

TEMPORARY = ".tmp-"  # objects being written; never listed, so that no reader takes them for whole


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


@dataclass(frozen=True)
class S3Store:
    """A store in an S3 bucket. Endpoint, region and credentials come from the usual AWS settings."""

    bucket: str
    prefix: str
    encryption: str = ""  # server-side, asked for with every object: AES256 or aws:kms; empty: the bucket's own
    kms_key: str = ""

    @property
    def uri(self) -> str:
        """The address this store was opened with."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def put(self, key: str, data: bytes) -> None:
        """Write an object, replacing one of the same key."""
        self._call("write", key, "put_object", Body=data, **self._sealed())

    def create(self, key: str, data: bytes) -> bool:
        """Write an object unless the key is taken; True when this call wrote it."""
        try:
            self._call("write", key, "put_object", Body=data, IfNoneMatch="*", **self._sealed())
        except FileExistsError:
            return False
        return True

    def get(self, key: str) -> bytes:
        """The bytes of an object; FileNotFoundError when there is none."""
        return self._call("read", key, "get_object")["Body"].read()

    def head(self, key: str, count: int) -> bytes:
        """The first ``count`` bytes of an object."""
        return self._call("read", key, "get_object", Range=f"bytes=0-{count - 1}")["Body"].read()

    def list(self, prefix: str) -> Iterator[Entry]:
        """All objects below ``prefix`` (a folder, or one object), sorted by key."""
        import botocore.exceptions

        full = self._key(prefix)
        pages = _s3_client().get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=full)
        skip = len(self._key(""))
        try:
            for page in pages:
                for item in page.get("Contents", ()):
                    key = item["Key"]
                    if key.endswith("/"):  # a folder as consoles draw it, no object
                        continue
                    # S3 prefixes are plain text: scan_1 would also list scan_10
                    if not full or key == full or key.startswith(full.rstrip("/") + "/"):
                        yield Entry(key[skip:], item["Size"], item["ETag"].strip('"'))
        except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as error:
            raise _cannot("list", self.uri, prefix, _s3_reason(error)) from error

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens when there is none."""
        self._call("delete", key, "delete_object")

    def _key(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    def _sealed(self) -> dict[str, str]:
        asked = {"ServerSideEncryption": self.encryption, "SSEKMSKeyId": self.kms_key}
        return {name: value for name, value in asked.items() if value}

    def _call(self, verb: str, key: str, operation: str, **arguments):
        import botocore.exceptions

        try:
            call = getattr(_s3_client(), operation)
            return call(Bucket=self.bucket, Key=self._key(key), **arguments)
        except botocore.exceptions.ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            code = error.response.get("Error", {}).get("Code")
            if code in {"NoSuchKey", "404"}:
                raise FileNotFoundError(f"{self.uri}/{key}") from error
            if status == 412:
                raise FileExistsError(f"{self.uri}/{key}") from error
            raise _cannot(verb, self.uri, key, _s3_reason(error)) from error
        except botocore.exceptions.BotoCoreError as error:
            raise _cannot(verb, self.uri, key, _s3_reason(error)) from error


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
    key = f"runs/probe-{secrets.token_hex(8)}"
    store.put(key, b"probe")
    store.get(key)
    store.delete(key)


@functools.lru_cache(maxsize=1)
def _s3_client():
    import boto3
    from botocore.config import Config

    # standard retries cover throttling and the 409 that a racing conditional write may get
    config = Config(retries={"mode": "standard", "max_attempts": 5}, max_pool_connections=32)
    return boto3.client("s3", config=config)


def _s3_reason(error: Exception) -> str:
    response = getattr(error, "response", None)
    if response:
        fault = response.get("Error", {})
        return f"{fault.get('Code', '?')}: {fault.get('Message') or 'no message'}"
    return str(error)


def _cannot(verb: str, root: str, key: str, reason: str) -> StoreError:
    advice = {"write": "check rights, free space and the address", "read": "check rights and the address"}
    return StoreError(f"store {root}: cannot {verb} {key}: {reason}; {advice.get(verb, 'check the address')}")
