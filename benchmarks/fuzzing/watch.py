"""Inputs tried in a process of their own, which a watchdog ends when it hangs and replaces when it dies."""

from __future__ import annotations

import json
import os
import resource
import selectors
import subprocess
import sys
import tempfile
import time
import traceback
import unicodedata
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

SECONDS = 10.0  # of CPU that an input may take
HANG_S = 60.0  # of wall time after which a process is ended; other work may share the machine
START_S = 240.0  # of wall time until it tries the first input; libraries are loaded and all seeds read
MB = 1 << 20
MEMORY_MB = 1024  # above what the process holds before the input
MESSAGE = 2000  # characters that one line may have


@dataclass(frozen=True)
class Outcome:
    """What became of one input: accepted, refused or a finding, which ``detail`` describes."""

    number: int
    verdict: str
    detail: str
    seconds: float
    peak_mb: float


def judge(name: str, number: int, folder: Path) -> Outcome:
    """The outcome of the parser's input of this number, which is written to an empty folder."""
    from fuzzing.parsers import PARSERS, build, write

    write(build(name, number), folder)
    _reset_peak()
    before, began = _memory_mb("VmRSS"), time.process_time()
    verdict, detail = _tried(PARSERS[name], folder)
    seconds, peak = time.process_time() - began, _memory_mb("VmHWM") - before
    if seconds > SECONDS:
        verdict, detail = "finding", f"took {seconds:.1f} s; {detail}"
    if peak > MEMORY_MB:
        verdict, detail = "finding", f"took {peak:.0f} MB; {detail}"
    return Outcome(number, verdict, detail, seconds, max(0.0, peak))


def _tried(parser, folder: Path) -> tuple[str, str]:
    """(verdict, what there is to say) of reading a folder."""
    from gc_ray.errors import InputError

    try:
        notes = parser.read(folder)
    except InputError as error:
        fault = _unfit(str(error), folder, parser.personal)
        return ("finding", f"{fault}: {str(error)[:300]!r}") if fault else ("refused", str(error)[:300])
    except BaseException as error:  # noqa: BLE001 - whatever comes out is what is looked for
        where = traceback.extract_tb(error.__traceback__)
        ours = next((f for f in reversed(where) if "gc_ray" in f.filename), where[-1])
        return "finding", f"{type(error).__name__} at {Path(ours.filename).name}:{ours.lineno}: {str(error)[:200]!r}"
    for note in (*notes.repairs, *notes.remarks):
        if fault := _unfit(note, folder, parser.personal):
            return "finding", f"note {fault}: {note[:300]!r}"
    return "accepted", ""


def _unfit(message: str, folder: Path, personal: bool) -> str:
    """Why a message may not be shown, empty when it may."""
    from fuzzing.mutate import SECRET

    if personal and SECRET in message:
        return "repeats a planted identifier"
    if str(folder) in message:
        return "holds an absolute path"
    if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in message):
        return "is not one plain line"
    return f"has {len(message)} characters" if len(message) > MESSAGE or not message else ""


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _memory_mb(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024


def child(name: str, first: int, last: int) -> None:
    """Try the inputs first..last-1 and print each one's number, then its outcome, as lines of JSON."""
    report = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # libraries may print
    with tempfile.TemporaryDirectory() as scratch:
        _try_out(name, Path(scratch))
        limit = int((_memory_mb("VmSize") + MEMORY_MB) * MB)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        for number in range(first, last):
            print(number, file=report, flush=True)
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                print(json.dumps(asdict(judge(name, number, Path(folder)))), file=report, flush=True)


def _try_out(name: str, scratch: Path) -> None:
    """All seeds read once, so that libraries are loaded before memory is limited."""
    from fuzzing.parsers import DATA, PARSERS, write

    for i, files in enumerate(PARSERS[name].seeds(DATA)):
        folder = scratch / f"seed{i}"
        folder.mkdir()
        write(files, folder)
        _tried(PARSERS[name], folder)


def watch(name: str, first: int, last: int) -> Iterator[Outcome]:
    """The outcomes of a parser's inputs first..last-1, in order, whatever happens to the process that tries them."""
    while first < last:
        with _start(name, first, last) as process:
            try:
                for outcome in _followed(process, first):
                    yield outcome
                    first = outcome.number + 1
            finally:
                process.kill()


def _start(name: str, first: int, last: int) -> subprocess.Popen:
    here = Path(__file__).resolve().parent
    code = "import sys; from fuzzing.watch import child; child(sys.argv[1], *map(int, sys.argv[2:]))"
    places = [str(here.parent), str(here.parents[1]), os.environ.get("PYTHONPATH", "")]
    settings = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places)), "OMP_NUM_THREADS": "1"}
    # plain malloc: arenas that reserve gigabytes of addresses would meet the limit
    settings |= {"ARROW_DEFAULT_MEMORY_POOL": "system", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
    command = [sys.executable, "-W", "ignore", "-c", code, name, str(first), str(last)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=settings, bufsize=0)


def _followed(process: subprocess.Popen, first: int) -> Iterator[Outcome]:
    """The outcomes that a process reports, and one more for the input that it hung or died on."""
    current, began = first, False
    for line in _lines(process):
        if line is None:
            yield Outcome(current, "finding", f"hung for {HANG_S:g} s", HANG_S, 0.0)
            return
        if line.startswith(b"{"):
            yield Outcome(**json.loads(line))
            current += 1
        else:
            current, began = int(line), True
    if process.wait():
        if not began:
            raise RuntimeError("the process that tries inputs ended before the first one")
        yield Outcome(current, "finding", f"killed the process (exit {process.returncode})", 0.0, 0.0)


def _lines(process: subprocess.Popen) -> Iterator[bytes | None]:
    """Lines as they come; None when none came in time."""
    held, patience = b"", START_S
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(patience):
                yield None
                return
            data = os.read(process.stdout.fileno(), 1 << 16)
            if not data:
                return
            *lines, held = (held + data).split(b"\n")
            yield from lines
            patience = HANG_S
