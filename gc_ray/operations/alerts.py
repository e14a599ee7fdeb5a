"""Alerts: a command of the operator's own is started for each problem of a run."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from collections.abc import Iterable

from gc_ray.errors import StudyError
from gc_ray.exit_codes import Problem

TIMEOUT_S = 60.0  # a mail server that does not answer must not hold a run


def alert_command(text: str) -> tuple[str, ...]:
    """Split a command line as a POSIX shell does, without starting a shell.

    Parameters
    ----------
    text : str
        A program and its arguments, for example ``/opt/notify --to oncall``.

    Returns
    -------
    tuple of str
        The program and its arguments.

    Raises
    ------
    StudyError
        When a quotation mark is not closed, or there is no such program: before the run, not after it.
    """
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise StudyError(f"alert command {text!r}: {error}; close the quotation mark in --on-alert") from error
    if not words or shutil.which(words[0]) is None:
        program = words[0] if words else ""
        raise StudyError(
            f"alert command: wanted a program that can be started, got {program!r}; give its full path in --on-alert"
        )
    return words


def send_alerts(command: tuple[str, ...], run: str, store: str, problems: Iterable[Problem]) -> list[str]:
    """Start the command once for each problem, with the problem as JSON on its standard input.

    Parameters
    ----------
    command : tuple of str
        As ``alert_command`` returns it.
    run, store : str
        The run's id and the store's address, repeated in the JSON; empty where there is none.
    problems : iterable of Problem

    Returns
    -------
    list of str
        A line for each alert that could not be delivered. Alerts never change the outcome of a run.
    """
    return [line for problem in problems if (line := _send(command, run, store, problem))]


def _send(command: tuple[str, ...], run: str, store: str, problem: Problem) -> str:
    about = {"kind": problem.kind, "run": run, "store": store, "counts": problem.counts, "message": problem.message}
    text = json.dumps(about, ensure_ascii=True) + "\n"
    try:
        done = subprocess.run(
            command, input=text.encode(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=TIMEOUT_S,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"alert {problem.kind}: the alert command did not end within {TIMEOUT_S:g} s and was stopped"
    except OSError as error:
        return f"alert {problem.kind}: the alert command could not be started: {error.strerror}"
    if done.returncode == 0:
        return ""
    words = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
    return f"alert {problem.kind}: the alert command ended with {done.returncode}" + "".join(f": {w}" for w in words)
