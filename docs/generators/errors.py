"""The page of faults: every error class, who corrects it, the exit code, and the messages that it can carry."""

from __future__ import annotations

import inspect

from gc_ray import errors
from gc_ray.options import BAD_INPUT, FAILED, FAULTS_OF_INPUT, FAULTS_OF_PLACE
from generators.markdown import code, page, table
from generators.source import modules_raising

INTRO = """
A fault of the input is one line that says what was wanted, what came, whose it is and what to do. It comes from
one of these classes, each a `ValueError` of `gc_ray.errors`. Anything else that ends a command is a bug of ours:
it keeps its traceback and ends with 1.
"""

SEARCH = """
The messages below are collected from the source; `<..>` stands for what is filled in, such as a file's name. Search
this page for the words that your message has in common with one of them.
"""


def faults_page() -> str:
    """The page: classes, exit codes, then the messages by class and by the module that raises them."""
    classes = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.InputError)]
    classes.remove(errors.InputError)  # never raised itself
    classes.sort(key=lambda c: inspect.getsourcelines(c)[1])
    rows = [(f"[{c.__name__}](#{c.__name__.lower()})", _first(c), str(exit_code(c))) for c in classes]
    parts = [INTRO, table(("class", "meaning", "exit code"), rows), SEARCH]
    for c in classes:
        parts += [f"## {c.__name__}", inspect.getdoc(c)]
        parts.append(f"When it ends a command, the exit code is {exit_code(c)}.")
        for module, (duty, texts) in modules_raising(c.__name__).items():
            parts.append(f"{code(module)}: {duty}")
            parts.append("\n".join(f"- {code(text)}" for text in texts))
    return page("What a message means", *parts)


def exit_code(error: type[ValueError]) -> int:
    """The code with which a command ends on such an error; LookupError when nothing catches it."""
    if issubclass(error, FAULTS_OF_INPUT):
        return BAD_INPUT
    if issubclass(error, FAULTS_OF_PLACE):
        return FAILED
    raise LookupError(f"{error.__name__} is caught by no command")


def _first(c: type) -> str:
    return inspect.getdoc(c).split("\n\n")[0]
