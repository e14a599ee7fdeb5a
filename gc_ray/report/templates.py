"""Pages from templates: every text escaped, every style and script allowed by its hash and nothing else."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterable
from importlib import resources

import jinja2
from markupsafe import Markup

from gc_ray.errors import printable

# a page fetches nothing, sends nothing, runs its own script and no other, and takes no style from an attribute
POLICY = "default-src 'none'; {style}; {script}; img-src data:; base-uri 'none'; form-action 'none'"
TAG = re.compile(r"<[^>]*>")  # of matplotlib's SVG, which writes < and > of texts and attributes as entities
STYLE = re.compile(r'\sstyle="([^"]*)"')
STYLE_ELEMENT = re.compile(r"<style[^>]*>(.*?)</style>", re.DOTALL)
CLASS = "s"  # begins the names of the classes that stand for style attributes


def rendered(name: str, script: str = "", style: str = "style.css", **about: object) -> str:
    """Return a page.

    Parameters
    ----------
    name : str
        The template; what it refers to and nobody gave is an error.
    script, style : str
        Files of the page's script (none where it is empty) and style.
    **about
        What the template shows. Figures are SVG of matplotlib, put in by the filter ``drawn``.

    Returns
    -------
    str
        HTML with a content security policy that names the SHA-256 of the style and of the script.
    """
    classes = Classes()
    made = jinja2.Environment(
        loader=jinja2.FunctionLoader(page_file), autoescape=True, undefined=jinja2.StrictUndefined, finalize=_shown
    )
    classes, code, own = Classes(), page_file(script) if script else "", page_file(style)
    made.filters["drawn"] = lambda svg: Markup(classes.instead(svg))
    return made.get_template(name).render(
        **about,
        script=Markup(code),
        styles=lambda: Markup(own + classes.rules()),  # both asked for once all figures are in the page
        policy=lambda: Markup(policy([own + classes.rules()], [code] if code else [])),
    )


def policy(styles: Iterable[str], scripts: Iterable[str]) -> str:
    """Return a content security policy that allows these contents of style and script elements alone."""
    named = {"style": styles, "script": scripts}
    allowed = {kind: " ".join(map(_source, found)) or "'none'" for kind, found in named.items()}
    return POLICY.format(style=f"style-src {allowed['style']}", script=f"script-src {allowed['script']}")


def page_file(name: str) -> str:
    """Return the text of a file that pages are made from."""
    return resources.files("gc_ray.report.page_files").joinpath(name).read_text(encoding="utf-8")


class Classes:
    """Style attributes of figures, collected as classes: a policy cannot allow attributes one by one."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._general: dict[str, None] = {}

    def instead(self, svg: str) -> str:
        """Return a figure with a class for each style attribute, and without style elements."""
        for general in STYLE_ELEMENT.findall(svg):
            self._general[general] = None
        return TAG.sub(lambda tag: STYLE.sub(self._class, tag[0]), STYLE_ELEMENT.sub("", svg))

    def rules(self) -> str:
        """Return the style rules of all figures so far."""
        rules = [f"figure svg {general}" for general in self._general]
        rules += [f"figure svg .{name} {{{html.unescape(text)}}}" for text, name in self._names.items()]
        return "".join(f"\n{rule}" for rule in rules) + ("\n" if rules else "")

    def _class(self, style: re.Match[str]) -> str:
        return f' class="{self._names.setdefault(style[1], f"{CLASS}{len(self._names)}")}"'


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _shown(value: object) -> object:
    """What a template shows: text without characters that steer or hide others."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else printable(value)
