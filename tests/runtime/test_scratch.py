"""Fetched files do not outlive the work and are nobody else's, whoever shares the temporary folder."""

import os
import signal
import stat
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

from gc_ray.errors import StoreError
from gc_ray.runtime import scratch as module
from gc_ray.runtime.scratch import scratch
from gc_ray.source import Source, localise

HOLDER = """
import sys
from gc_ray.runtime.scratch import scratch
with scratch() as folder:
    (folder / "ct").write_text("x")
    print(folder.name, flush=True)
    sys.stdin.read()
"""

NEIGHBOUR = """
import time
from gc_ray.runtime.scratch import scratch
lost = 0
for _ in range(40):
    with scratch() as folder:
        (folder / "copy").write_text("x")
        time.sleep(0.02)
        lost += not (folder / "copy").exists()
print(lost)
"""


@pytest.fixture
def root(monkeypatch, tmp_path) -> Path:
    """Where scratch folders lie; the folder itself is not there yet."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path / f"gc-ray-{os.getuid()}"


@pytest.fixture
def holder(root):
    """Another process that holds a scratch folder: (process, the folder)."""
    environment = os.environ | {"TMPDIR": str(root.parent)}
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process, root / process.stdout.readline().strip()
        process.kill()


def made_by_another(monkeypatch, *, host: str = "other", boot: str = "1234", pid: int = 1) -> None:
    """From here on this process looks like one of another machine or container."""
    monkeypatch.setattr(module.socket, "gethostname", lambda: host)
    monkeypatch.setattr(module, "BOOT_ID", SimpleNamespace(read_text=lambda: boot))
    monkeypatch.setattr(module.os, "getpid", lambda: pid)


def aged(path: Path) -> None:
    """Two days old."""
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 2 * module.OLD_S))


def test_a_scratch_folder_is_gone_after_the_work(root):
    """Whether the work ends or raises, nothing is left."""
    with pytest.raises(KeyError), scratch() as folder:
        (folder / "ct").mkdir(parents=True)
        (folder / "ct" / "1.dcm").write_text("x")
        raise KeyError
    assert not list(root.iterdir())


def test_a_folder_is_this_user_s_alone_and_says_who_made_it(root, monkeypatch):
    """Mode 0700, the lock 0600, whatever the umask; the name has host, boot and process."""
    made_by_another(monkeypatch, host="node 1/x", boot="ab-cd", pid=7)
    before = os.umask(0)
    try:
        with scratch() as folder:
            assert folder.name.startswith("node-1-x.abcd.7.")
            assert [stat.S_IMODE(p.stat().st_mode) for p in (root, folder, folder / "lock")] == [0o700, 0o700, 0o600]
    finally:
        os.umask(before)


def test_a_wider_mode_is_narrowed(root):
    """A root of our own that others could enter is closed to them."""
    root.mkdir(mode=0o777)
    root.chmod(0o777)
    with scratch():
        assert stat.S_IMODE(root.stat().st_mode) == 0o700


@pytest.mark.parametrize("what", ["link", "link to nothing", "file"])
def test_a_root_that_is_no_folder_is_refused_and_not_followed(root, tmp_path, what):
    """A link made beforehand must not lead sweeping elsewhere; the line names TMPDIR."""
    victim = tmp_path / "home"
    (victim / "4194304-abc").mkdir(parents=True)
    aged(victim / "4194304-abc")
    if what == "file":
        root.write_text("x")
    else:
        root.symlink_to(victim if what == "link" else tmp_path / "none")
    with (
        pytest.raises(StoreError, match=r"it is a link or a file; remove it, or name another .* TMPDIR") as caught,
        scratch(),
    ):
        pass
    assert str(tmp_path) not in str(caught.value)
    assert [p.name for p in victim.iterdir()] == ["4194304-abc"]


def test_a_root_of_another_user_is_refused(root, monkeypatch):
    """Whoever made it could read what is put into it."""
    root.mkdir()
    real = os.fstat

    def foreign(opened: int) -> os.stat_result:
        mode, inode, device, links, owner, *more = real(opened)
        return os.stat_result((mode, inode, device, links, owner + 1, *more))

    monkeypatch.setattr(module.os, "fstat", foreign)
    with pytest.raises(StoreError, match=r"it belongs to another user; remove it, or name .* TMPDIR"), scratch():
        pass


def test_a_link_inside_the_root_is_never_followed(root, tmp_path):
    """Neither a folder that is a link nor a lock that is one leads out of the root."""
    victim = tmp_path / "home"
    victim.mkdir()
    (victim / "lock").write_text("x")
    aged(victim / "lock")
    root.mkdir(mode=0o700)
    (root / f"{module.machine()}.1.a").symlink_to(victim)
    (root / f"{module.machine()}.1.b").mkdir()
    (root / f"{module.machine()}.1.b" / "lock").symlink_to(victim / "lock")
    with scratch():
        pass
    assert (victim / "lock").read_text() == "x"


def test_a_temporary_folder_that_is_not_there_is_one_line(monkeypatch, tmp_path):
    """The run ends by name, without a path of the machine."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(StoreError, match=r"No such file or directory; .* TMPDIR") as caught, scratch():
        pass
    assert str(tmp_path) not in str(caught.value)


def test_the_folder_of_a_killed_worker_is_removed_and_that_of_a_living_one_is_not(root, holder):
    """A killed worker cannot remove its copies; the next one does. The held lock decides, not the process id."""
    process, folder = holder
    with scratch() as mine:
        assert {p.name for p in root.iterdir()} == {mine.name, folder.name}
    process.send_signal(signal.SIGKILL)
    process.wait()
    with scratch() as mine:
        assert [p.name for p in root.iterdir()] == [mine.name]


@pytest.mark.parametrize("boot", ["same", "other"])
def test_containers_that_share_a_temporary_folder_leave_each_other_s_copies(root, monkeypatch, boot):
    """Process ids of another namespace mean nothing here: two containers, or two hosts, both with process 1."""
    with ExitStack() as both:
        first = both.enter_context(scratch())
        (first / "ct").write_text("x")
        here = module.machine().rpartition(".")[2]
        made_by_another(monkeypatch, host="b", boot=here if boot == "same" else "1234")
        second = both.enter_context(scratch())
        for folder in (first, second):
            with scratch():
                assert (folder / "lock").exists()
        assert (first / "ct").read_text() == "x"


def test_a_folder_of_another_machine_is_removed_only_when_it_is_old(root, monkeypatch):
    """Its lock may not reach this machine; no scan takes a day."""
    root.mkdir(mode=0o700)
    left = root / "other.1234.1.ab"
    left.mkdir()
    (left / "lock").write_text("")
    with scratch():
        assert left.exists()
    aged(left / "lock")
    with scratch():
        assert not left.exists()


def test_folders_without_a_lock_are_removed_when_they_are_old(root):
    """Version 0.1.0 named folders by process id alone; one that is just being made has no lock yet either."""
    new, old = root / "1-ab", root / "2-ab"
    for folder in (new, old):
        folder.mkdir(parents=True)
    aged(old)
    with scratch():
        assert new.exists()
        assert not old.exists()


def test_a_folder_that_is_swept_while_it_is_made_is_made_again(root, monkeypatch):
    """Another process may take the lock file before its maker does."""
    taken = []
    real = module._take

    def take(lock, *, otherwise):
        if otherwise and not taken:
            taken.append(lock)
            return False
        return real(lock, otherwise=otherwise)

    monkeypatch.setattr(module, "_take", take)
    with scratch() as folder:
        assert folder.exists()
    assert taken


def test_copies_are_readable_by_this_user_alone(tmp_path, monkeypatch):
    """Files 0600 and folders 0700 all the way down."""
    from gc_ray.store import Entry

    store = SimpleNamespace(uri="s3://b", get=lambda key: b"x")
    monkeypatch.setattr("gc_ray.source._place", lambda uri: (store, "in/ct"))
    parts = tuple(Entry(f"in/ct/{name}", 1, "") for name in ("1.dcm", "deep/er/2.dcm"))
    before = os.umask(0)
    try:
        into = localise(Source("s3://b/in/ct", parts), tmp_path / "s" / "image")
    finally:
        os.umask(before)
    assert sorted(p.name for p in into.rglob("*.dcm")) == ["1.dcm", "2.dcm"]
    for path in (tmp_path / "s").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


@pytest.mark.slow
def test_two_containers_with_one_temporary_folder_lose_no_copy(own_processes, tmp_path):
    """In process namespaces of their own both are process 1 of one host: 80 copies, 0 deleted by the other."""
    both = [
        subprocess.Popen(
            [*own_processes, sys.executable, "-c", NEIGHBOUR],
            env=os.environ | {"TMPDIR": str(tmp_path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    assert [process.communicate(timeout=60)[0] for process in both] == ["0\n", "0\n"]
    assert not list((tmp_path / f"gc-ray-{os.getuid()}").iterdir())
