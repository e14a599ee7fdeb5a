"""A store in a folder whose n-th write or delete fails: its process is killed, or its disk is full or faulty."""

from __future__ import annotations

import errno
import json
import os
import signal
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

from gc_ray.errors import StoreError
from gc_ray.store import LocalStore

KILLS = ("killed before", "killed halfway", "killed after")
FULL, FAULTY, FAULTY_AFTER = "disk full", "EIO before", "EIO after"
FAULTS = (*KILLS, FULL, FAULTY, FAULTY_AFTER)


class Struck(LocalStore):
    """A store whose n-th write or delete fails.

    Parameters
    ----------
    n : int
        Counted from 1 over all threads; 0: none fails.
    fault : str
        Of ``FAULTS``. A disk that is full stays full, other faults happen once. ``killed halfway`` leaves half of an
        unfinished file; after ``EIO after`` the object is there, though the call fails.
    """

    def __init__(self, root: str, n: int = 0, fault: str = "") -> None:
        super().__init__(root)
        for name, value in (("n", n), ("fault", fault), ("lock", threading.Lock()), ("count", [0, 0])):
            object.__setattr__(self, f"_{name}", value)

    @property
    def acts(self) -> int:
        """How many writes and deletes there were."""
        return self._count[0]

    @property
    def failed(self) -> int:
        """How many of them failed."""
        return self._count[1]

    def _place(self, key: str, data: bytes, place: Callable) -> None:
        struck = self._turn()

        def placed(temporary: Path, target: Path) -> None:
            if struck == KILLS[1]:
                temporary.write_bytes(data[: len(data) // 2])
            if struck in KILLS[:2]:
                _kill()
            if struck in (FULL, FAULTY):
                self._fails()
                raise OSError(errno.ENOSPC if struck == FULL else errno.EIO, "made up")
            place(temporary, target)
            if struck == KILLS[2]:
                _kill()
            if struck == FAULTY_AFTER:
                self._fails()
                raise OSError(errno.EIO, "made up")

        super()._place(key, data, placed)

    def delete(self, key: str) -> None:
        """As a store."""
        struck = self._turn()
        if struck in KILLS[:2]:
            _kill()
        if struck != FAULTY:
            super().delete(key)
        if struck == KILLS[2]:
            _kill()
        if struck in (FAULTY, FAULTY_AFTER):
            self._fails()
            raise StoreError(f"store {self.root}: cannot delete {key}: made up")

    def _turn(self) -> str:
        """The fault of this write or delete, empty where it succeeds."""
        now = self._counted()
        return self._fault if now == self._n or (self._fault == FULL and now > self._n > 0) else ""

    def _counted(self) -> int:
        """The number of this write or delete."""
        with self._lock:
            self._count[0] += 1
            return self._count[0]

    def _fails(self) -> None:
        """Count one that failed."""
        self._count[1] += 1


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    threading.Event().wait()  # a thread may outlive the call by a moment


def forked(work: Callable[[], dict], folder: Path) -> dict | None:
    """What some work gives in a process of its own; None when it was killed.

    RuntimeError when it ended otherwise.
    """
    answer = folder / "answer.json"
    answer.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            answer.write_text(json.dumps(work()))
            code = 0
        except BaseException:  # noqa: BLE001 - a child that was forked ends here, whatever happened
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return None
    if status:
        raise RuntimeError(f"a process ended with status {status}; its traceback is above")
    return json.loads(answer.read_text())
