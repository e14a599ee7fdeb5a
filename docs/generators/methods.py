"""The page of methods: what follows a publication, and which, from the docstrings that say so."""

from __future__ import annotations

from generators.markdown import code, page, table
from generators.source import publications

INTRO = """
Every function whose docstring names the paper, book, standard or program that it follows. How far the results are
from R's, and how often the intervals cover the truth, is told with [the statistics](../statistics.md); agreement with
the image biomarker standard [on its own page](../ibsi.md).
"""


def methods() -> str:
    """The page, module by module."""
    parts = [INTRO]
    for module, found in publications().items():
        parts.append(f"## {module.removesuffix('.py').replace('/', '.')}")
        parts.append(table(("function", "gives", "follows"), [(code(n), what, source) for n, what, source in found]))
    return page("Methods and their sources", *parts)
