"""The reference of the commands, from the command line itself."""

from __future__ import annotations

import inspect
import types
import typing
from enum import StrEnum
from pathlib import Path

import typer

from gc_ray.cli import app
from gc_ray.commands.examples import example
from generators.markdown import code, page, table

INTRO = """
`gc-ray COMMAND --help` prints the same. `gc-ray NAME` and `python jobs/NAME.py` are one thing; the second is what
`ray job submit` starts, and then it joins that cluster. Options that may be *repeated* are given once for each value.

| exit code | meaning |
| --- | --- |
| 0 | done |
| 1 | failed: the store, the cluster, or a bug, which keeps its traceback |
| 2 | bad arguments or input tables: [what a message means](messages.md) |
| 3 | finished, but more results than the failure budget allows were refused or failed |

`ray job submit` turns any code but 0 into 1; the run record in the store keeps the code.
"""

NAMES = {str: "text", int: "whole number", float: "number", Path: "path"}


def commands() -> str:
    """The page: every command in the order of the help, with its arguments, options and an example."""
    parts = [INTRO]
    for name, command in typer.main.get_command(app).commands.items():
        parts += [f"## gc-ray {name}", inspect.cleandoc(command.help), f"```\n{usage(name, command)}\n```"]
        parts.append(table(("option", "value", "default", "meaning"), _rows(command)))
        parts.append(f"```\n{example(name)}\n```")
    return page("Commands", *parts)


def usage(name: str, command) -> str:
    """What must be given: the command with its required arguments and options."""
    needed = [
        f"{p.opts[0]} {p.name.upper()}" if p.param_type_name == "option" else p.name.upper()
        for p in command.params
        if p.required
    ]
    return " ".join(["gc-ray", name, *needed, "[OPTIONS]"])


def _rows(command) -> list[tuple[str, ...]]:
    hints = typing.get_type_hints(command.callback)
    return [(_name(p), _value(hints[p.name]), _default(p), _meaning(p)) for p in command.params]


def _name(param) -> str:
    return code(param.opts[0] if param.param_type_name == "option" else param.name.upper())


def _value(hint: object) -> str:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_value(a) for a in args if a is not types.NoneType)
    if origin is list:
        return f"{_value(args[0])}, repeated"
    if origin is typing.Literal:
        return ", ".join(map(code, args))
    if isinstance(hint, type) and issubclass(hint, StrEnum):  # typer takes no list of a Literal
        return ", ".join(map(code, hint))
    return "" if hint is bool else NAMES[hint]


def _default(param) -> str:
    if param.required:
        return "required"
    if isinstance(param.show_default, str):
        return param.show_default
    return "" if param.default is None or param.default is False else code(param.default)


def _meaning(param) -> str:
    return param.help + (f" Also from {code(param.envvar)}." if param.envvar else "")
