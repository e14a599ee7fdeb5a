"""What every command that runs unattended offers its operators: log format, alerts, metrics and exit codes."""

from __future__ import annotations

import contextlib
import functools
import inspect
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gc_ray.errors import StoreError, one_line
from gc_ray.exit_codes import FAILED, Problem, exit_code
from gc_ray.options import faults, run_id

if TYPE_CHECKING:  # a shell that completes a command must not wait for them
    from gc_ray.operations.metrics import Metrics
    from gc_ray.runtime.active_runs import SignOfLife

PANEL = "For operators"
LogFormat = Annotated[
    Literal["text", "json"],
    typer.Option(
        "--log-format",
        envvar="GC_RAY_LOG_FORMAT",
        help="Lines for people, or one JSON object per line.",
        rich_help_panel=PANEL,
    ),
]
OnAlert = Annotated[
    str | None,
    typer.Option(
        "--on-alert",
        envvar="GC_RAY_ON_ALERT",
        help="Command started (without a shell) for each problem, with JSON on its standard input.",
        rich_help_panel=PANEL,
    ),
]
MetricsFile = Annotated[
    Path | None,
    typer.Option("--metrics-file", help="Prometheus metrics, rewritten as the run goes.", rich_help_panel=PANEL),
]
MetricsPort = Annotated[
    str | None,
    typer.Option(
        "--metrics-port",
        metavar="[HOST:]PORT",
        help="Serve the metrics while the run lasts; to this machine alone without a host.",
        rich_help_panel=PANEL,
    ),
]
OPTIONS = {
    "log_format": (LogFormat, "text"),
    "on_alert": (OnAlert, None),
    "metrics_file": (MetricsFile, None),
    "metrics_port": (MetricsPort, None),
}


class Operator:
    """Whom a run reports to.

    Parameters
    ----------
    command : str
        The command's name.
    store : str
        The address of its store as it was given, empty without one.
    metrics : Metrics or None
        What counts the run's results.
    """

    def __init__(self, command: str, store: str, metrics: Metrics | None):
        self.run, self.store = run_id(command), store
        self._command, self._metrics = command, metrics
        self._sign: SignOfLife | None = None

    @contextlib.contextmanager
    def watching(self) -> Iterator[Callable]:
        """Progress per site, shown and counted: what runs take as ``watch``."""
        from gc_ray.live_progress import watching

        with watching() as watch:
            yield self._seen(watch if self._metrics is None else self._metrics.watching(watch))

    @contextlib.contextmanager
    def training(self) -> Iterator[tuple[Callable, Callable]]:
        """Progress of a fit, and per site: what ``train`` takes as ``tell`` and ``watch``."""
        from gc_ray.live_progress import training

        with training() as (tell, watch):

            def tell_alive(*news: object) -> None:
                self._alive().result()
                tell(*news)

            yield tell_alive, self._seen(watch if self._metrics is None else self._metrics.watching(watch))

    @contextlib.contextmanager
    def step(self, number: int, of: int, what: str) -> Iterator[tuple[Callable, Callable]]:
        """A line for a step of several, then as ``training``: what ``reproduce`` takes as ``step``."""
        from gc_ray import console

        console.show_lines(f"step {number} of {of}: {what}")
        if number > 1:  # by then the run has looked at its store
            self._alive().result()
        with self.training() as shown:
            yield shown

    def end(self) -> tuple[Problem, ...]:
        """End the signs of life; the problem of other runs on the store that do not end."""
        if self._sign is None:
            return ()
        found = self._sign.stuck()
        if found:
            from gc_ray.run_records import raise_exit_code
            from gc_ray.store import open_store

            with contextlib.suppress(StoreError, OSError):  # the exit code says it all the same
                raise_exit_code(open_store(self.store), self.run, exit_code(found))
        self.break_off()
        return found

    def break_off(self) -> None:
        """End the signs of life of a run that did not come to its end, but could say so."""
        if self._sign is not None:
            self._sign.stop()
            self._sign = None

    def _seen(self, watch: Callable) -> Callable:
        def seen(totals: dict[str, int]) -> Callable[[str, str], None]:
            add, sign = watch(totals), self._alive()

            def add_alive(site: str, status: str) -> None:
                sign.result()
                add(site, status)

            return add_alive

        return seen

    def _alive(self) -> SignOfLife:
        """The sign of life, which begins with the first news: by then the run has looked at its store."""
        if self._sign is None:
            from gc_ray.runtime.active_runs import SignOfLife
            from gc_ray.store import open_store

            self._sign = SignOfLife(open_store(self.store), self.run, self._command)
        return self._sign


def operated(command: Callable[..., tuple[Problem, ...] | None]) -> Callable[..., None]:
    """Give a command the options for operators.

    Parameters
    ----------
    command : callable
        Takes ``operator`` (Operator) beside its own options, and returns the problems of its run. Faults of the input
        end it as ``options.faults`` says.

    Returns
    -------
    callable
        The command as Typer takes it. It ends with the highest code of its problems; each problem is sent to the
        alert command, also those of a run that broke off.
    """
    asked = inspect.signature(command, eval_str=True)
    own = [p for name, p in asked.parameters.items() if name != "operator"]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in OPTIONS.items()
    ]

    @functools.wraps(command)
    def call(*, log_format: str, on_alert: str | None, metrics_file: Path | None, metrics_port: str | None, **given):
        store = given["into"] if "into" in given else given.get("store", "")
        with _outside(command.__name__, log_format, on_alert, metrics_file, metrics_port) as (metrics, report):
            operator = Operator(command.__name__, store if isinstance(store, str) else "", metrics)
            begin = time.monotonic()
            try:
                problems, error = _problems(command, operator, given)
                problems += operator.end() if error is None else ()
            finally:
                operator.break_off()
            report(operator, problems, time.monotonic() - begin)
        if error is not None and not isinstance(error, typer.Exit):
            raise error
        raise typer.Exit(error.exit_code if error is not None else exit_code(problems)) from error

    call.__signature__ = inspect.Signature([*own, *added])
    call.__annotations__ = {p.name: p.annotation for p in (*own, *added)}
    del call.__wrapped__  # else the command's own signature would be found
    return call


def _problems(command: Callable, operator: Operator, given: dict) -> tuple[tuple[Problem, ...], BaseException | None]:
    """(problems of the run, what broke it off)."""
    try:
        return command(operator=operator, **given) or (), None
    except typer.Exit as ended:
        cause = ended.__cause__
        about = one_line(str(cause)) if cause else f"ended with {ended.exit_code}"
        return ((Problem(ended.exit_code, about),) if ended.exit_code else ()), ended
    except KeyboardInterrupt as error:
        return (Problem(FAILED, "the run was interrupted; the same command again resumes it"),), error
    except Exception as error:  # noqa: BLE001 - a bug: its text could quote a header, the alert names its kind alone
        return (Problem(FAILED, f"unforeseen {type(error).__name__}; the log has the traceback"),), error


@contextlib.contextmanager
def _outside(
    command: str, log_format: str, on_alert: str | None, metrics_file: Path | None, metrics_port: str | None
) -> Iterator[tuple[Metrics | None, Callable]]:
    """(metrics, what is called when the run has ended): set up before the run, so that mistakes show at once."""
    from gc_ray import console
    from gc_ray.operations.alerts import alert_command, send_alerts
    from gc_ray.terminal import lines_as

    metrics, stop, alert = None, lambda: None, ()
    with lines_as(log_format, command):
        with faults():
            if on_alert:
                alert = alert_command(on_alert)
            if metrics_file is not None or metrics_port is not None:
                from gc_ray.operations.metrics import Metrics, endpoint, serve

                metrics = Metrics(command, metrics_file)
                if metrics_port is not None:
                    stop = serve(metrics, endpoint(metrics_port))

        def report(operator: Operator, problems: tuple[Problem, ...], seconds: float) -> None:
            with faults():
                if metrics is not None:
                    metrics.end(exit_code(problems), problems)
            console.show_problems(problems, exit_code(problems), operator.run, seconds)
            if alert:
                console.show_warnings(send_alerts(alert, operator.run, operator.store, problems))

        try:
            yield metrics, report
        finally:
            stop()
