"""A private folder for files fetched from elsewhere, removed after the work that it was made for.

Several machines and containers may share one temporary folder: a folder belongs to whoever holds its lock.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

import psutil

from gc_ray.errors import StoreError

LOCK = "lock"  # the file inside a folder that its worker keeps locked
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# A folder of another machine, whose lock this one may not see, or one without a lock file: removed only after a day.
OLD_S = 86_400.0
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}  # of a file system without locks: nothing is swept there
TRIES = 20  # names that are tried; a second one is needed only where another process removes the first as left over


@contextmanager
def scratch() -> Iterator[Path]:
    """A new folder below the system's temporary folder, readable by this user alone, and gone afterwards.

    Folders of workers that were killed are removed on the way: they hold copies of patients' scans.

    Raises
    ------
    StoreError
        When the temporary folder cannot be written, or its ``gc-ray-<user>`` is a link or another user's.
    """
    try:
        root = _private_root()
        _sweep(root)
        folder, lock = _locked_folder(root)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        raise StoreError(
            f"the temporary folder: wanted to make a folder for copies of scans there: {reason}; free space, or name "
            "another disk with TMPDIR"
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def machine() -> str:
    """The host's name and an identifier of its last start, which all containers on it share: ``host.boot``."""
    host = re.sub(r"[^A-Za-z0-9-]+", "-", socket.gethostname())[:40] or "host"
    try:
        boot = BOOT_ID.read_text().strip().replace("-", "")[:16]
    except OSError:
        boot = f"{int(psutil.boot_time())}"
    return f"{host}.{boot}"


def _private_root() -> Path:
    """``gc-ray-<user>`` in the temporary folder, made when it is not there; StoreError when it is not ours alone."""
    root = Path(tempfile.gettempdir(), f"gc-ray-{os.getuid()}")
    with contextlib.suppress(FileExistsError):
        root.mkdir(mode=0o700)
    try:
        opened = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise _refused(root, "it is a link or a file") from error
        if error.errno == errno.EACCES:
            raise _refused(root, "it cannot be opened") from error
        raise
    try:
        found = os.fstat(opened)
        if found.st_uid != os.getuid():
            raise _refused(root, "it belongs to another user")
        if stat.S_IMODE(found.st_mode) != 0o700:
            os.fchmod(opened, 0o700)
    finally:
        os.close(opened)
    return root


def _refused(root: Path, found: str) -> StoreError:
    return StoreError(
        f"the temporary folder: wanted {root.name} there as a folder of this user alone, {found}; remove it, or name "
        "another temporary folder with TMPDIR"
    )


def _locked_folder(root: Path) -> tuple[Path, int]:
    """(a new folder of this process, the open lock file that keeps it from being swept)."""
    for _ in range(TRIES):
        folder = root / f"{machine()}.{os.getpid()}.{token_hex(6)}"
        folder.mkdir(mode=0o700)
        try:
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except FileNotFoundError:  # swept in between
            continue
        if _take(lock, otherwise=True) and _is_there(folder / LOCK, lock):
            return folder, lock
        os.close(lock)
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))


def _sweep(root: Path) -> None:
    """Remove the folders whose worker is gone."""
    for left in root.iterdir():
        try:
            lock = os.open(left / LOCK, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            if _is_old(left) and not left.is_symlink():  # a killed worker of version 0.1.0, or one just beginning
                shutil.rmtree(left, ignore_errors=True)
            continue
        try:
            here = left.name.split(".")[1:2] == machine().split(".")[1:2]
            if (here or _is_old(left / LOCK)) and not left.is_symlink() and _take(lock, otherwise=False):
                shutil.rmtree(left, ignore_errors=True)
        finally:
            os.close(lock)


def _take(lock: int, *, otherwise: bool) -> bool:
    """Whether the lock was free and is held now; ``otherwise`` where the file system has no locks."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return otherwise and error.errno in NO_LOCKS
    return True


def _is_there(path: Path, opened: int) -> bool:
    """Whether the file that is open still has its name."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(opened))
    except FileNotFoundError:
        return False


def _is_old(path: Path) -> bool:
    try:
        return time.time() - os.lstat(path).st_mtime > OLD_S
    except OSError:
        return False
