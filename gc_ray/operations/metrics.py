"""Metrics of one run for Prometheus, as a file for the node exporter or over HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server, write_to_textfile

from gc_ray import __version__
from gc_ray.errors import StudyError
from gc_ray.exit_codes import KINDS, Problem
from gc_ray.names import label

WRITE_EVERY_S = 15.0  # as often as Prometheus commonly scrapes
LOCAL = "127.0.0.1"


class Metrics:
    """Counts what a run does. Labels are site names and statuses, never a patient or a scan.

    Parameters
    ----------
    command : str
        Name of the command, a label of ``gc_ray_run_info``.
    file : Path or None
        Rewritten as a whole at most every 15 s and at the end; None for no file.
    """

    def __init__(self, command: str, file: Path | None = None):
        self.registry = CollectorRegistry()
        self._file, self._written = file, float("-inf")

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"gc_ray_{name}", text, labels, registry=self.registry)

        self._started = gauge("run_start_time_seconds", "When the run began (Unix time)")
        self._latest = gauge("run_last_result_time_seconds", "When the latest result came, or the run began")
        self._ended = gauge("run_end_time_seconds", "When the run ended; 0 while it goes on")
        self._code = gauge("run_exit_code", "Exit code of the run; -1 while it goes on")
        self._expected = gauge("results_expected", "Results that the run will bring", "site")
        self._problems = gauge("problem", "1 for each kind of problem that the run ended with", "kind")
        self._counts = gauge("problem_count", "What was counted of a problem", "kind", "what")
        self._results = Counter(
            "gc_ray_results", "Results so far, what was there before included", ("site", "status"),
            registry=self.registry,
        )  # fmt: skip
        info = gauge("run_info", "The run: its command and the version of gc_ray", "command", "version")
        info.labels(command, __version__).set(1)
        for kind in KINDS.values():
            self._problems.labels(kind).set(0)
        now = time.time()
        self._started.set(now)
        self._latest.set(now)
        self._code.set(-1)
        self._write()

    def watching(self, watch: Callable) -> Callable:
        """Return ``watch``, as commands hand it to runs, that counts beside showing."""

        def counted(totals: dict[str, int]) -> Callable[[str, str], None]:
            tell = watch(totals)
            for site, number in totals.items():
                self._expected.labels(label(site)).inc(number)  # a run may have several parts

            def add(site: str, status: str) -> None:
                tell(site, status)
                self._results.labels(label(site), status).inc()
                self._latest.set(time.time())
                if time.monotonic() - self._written >= WRITE_EVERY_S:
                    self._write()

            return add

        return counted

    def end(self, code: int, problems: tuple[Problem, ...]) -> None:
        """Take down how the run ended, and write the file a last time."""
        for problem in problems:
            self._problems.labels(problem.kind).set(1)
            for what, number in problem.counts.items():
                self._counts.labels(problem.kind, what).set(number)
        self._code.set(code)
        self._ended.set(time.time())
        self._write()

    def _write(self) -> None:
        if self._file is None:
            return
        try:
            write_to_textfile(str(self._file), self.registry)
        except OSError as error:
            raise StudyError(
                f"metrics file {self._file.name} cannot be written: {error.strerror}; correct --metrics-file"
            ) from error
        self._written = time.monotonic()


@dataclass(frozen=True)
class Endpoint:
    """Where metrics are served."""

    host: str
    port: int


def endpoint(text: str) -> Endpoint:
    """Read ``PORT`` or ``HOST:PORT``; without a host only this machine can ask.

    Raises
    ------
    StudyError
        When the port is no number from 1 to 65535.
    """
    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise StudyError(
            f"metrics: wanted PORT or HOST:PORT with a port from 1 to 65535, got {text!r}; correct --metrics-port"
        )
    return Endpoint(host.strip("[]") or LOCAL, int(port))


def serve(metrics: Metrics, where: Endpoint) -> Callable[[], None]:
    """Serve metrics over HTTP until the returned function is called.

    Raises
    ------
    StudyError
        When the port is taken or may not be used.
    """
    try:
        server, thread = start_http_server(where.port, where.host, metrics.registry)
    except OSError as error:
        raise StudyError(
            f"metrics: {where.host}:{where.port} cannot be opened: {error.strerror}; choose another --metrics-port"
        ) from error

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop
