"""How every figure looks and leaves: one style, SVG with a title and a description, PNG for print."""

from __future__ import annotations

import html
import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.text import Text

from gc_ray.errors import printable
from gc_ray.names import MAX_LABEL, MAX_WORDS, label
from gc_ray.report.templates import TAG

# Okabe and Ito's colours, told apart by all kinds of colour vision; yellow left out: too pale on paper
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))  # for a print without colour
GREY = "#666666"
PRINT_DPI = 200  # 7 inches wide: enough for a printed column
SCREEN_DPI = 110  # of pictures that are only looked at on a page
PANEL = (3.4, 3.3)  # inches; three side by side fill a page
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 7.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.4,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text: it can be searched, and scales
    "svg.hashsalt": "gc-ray",  # equal tables give equal bytes
    "text.parse_math": False,  # a $ in a name is shown, not read as a formula
}
SENTENCES = ("step", "reason", "about", "words", "text", "note", "rule", "method", "label", "feature", "axis")
OF_IDS = re.compile(r'(\bid="|url\(#|href="#)')


@dataclass(frozen=True, eq=False)
class Plot:
    """A figure to be: the table it draws, what it shows in words, and how it is drawn."""

    name: str
    section: str
    title: str
    alt: str
    table: pd.DataFrame
    draw: Callable[[pd.DataFrame], Figure]


@dataclass(frozen=True)
class Drawn:
    """A figure as SVG (without the XML header, to be put into a page) and as PNG."""

    svg: str
    png: bytes


def render(plot: Plot) -> Drawn:
    """The figure of a plot's table; names in it are shown as ``label`` has them."""
    with matplotlib.rc_context(STYLE), _any_script():
        figure = plot.draw(_with_labels(plot.table))
        FigureCanvasAgg(figure)
        figure.get_layout_engine().execute(figure)
        figure.set_layout_engine("none")  # laid out once for both files: it takes longer than drawing
        return Drawn(_svg(figure, plot), png(figure, PRINT_DPI))


def png(figure: Figure, dpi: int) -> bytes:
    """The figure as PNG, equal bytes for equal figures."""
    FigureCanvasAgg(figure)  # a canvas of its own: no state shared with other figures, no display needed
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    buffer = io.BytesIO()
    with _any_script():
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def panels(names: list[str], size: tuple[float, float] = PANEL) -> tuple[Figure, list[Axes]]:
    """A figure with a panel for each name, side by side, titled."""
    figure = Figure(figsize=(size[0] * max(len(names), 1), size[1]), layout="constrained")
    axes = list(figure.subplots(1, max(len(names), 1), squeeze=False)[0])
    for name, axis in zip(names, axes, strict=False):
        axis.set_title(name)
    return figure, axes


def line_style(i: int) -> dict:
    """Colour and dashes of the i-th line: told apart without colour as well."""
    return {"color": COLOURS[i % len(COLOURS)], "linestyle": DASHES[i % len(DASHES)]}


def _svg(figure: Figure, plot: Plot) -> str:
    FigureCanvasSVG(figure)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    # several figures stand in one page: what refers to an id must find its own
    text = TAG.sub(lambda tag: OF_IDS.sub(rf"\1{plot.name}-", tag[0]), text)
    head = f'<svg role="img" aria-labelledby="{plot.name}-title {plot.name}-desc" '
    said = f'<title id="{plot.name}-title">{html.escape(printable(plot.title))}</title>'
    said += f'<desc id="{plot.name}-desc">{html.escape(printable(plot.alt))}</desc>'
    opening, _, rest = text.removeprefix("<svg ").partition(">")
    return f"{head}{opening}>{said}{rest}"


def _with_labels(table: pd.DataFrame) -> pd.DataFrame:
    """The table with every text as a figure may have it, so that columns are still told apart by the same rows."""
    shown = table.copy()
    for name in shown.select_dtypes(exclude=("number", "bool")):
        longest = MAX_WORDS if name in SENTENCES else MAX_LABEL
        shown[name] = shown[name].map(lambda value, n=longest: label(value, n) if isinstance(value, str) else value)
    return shown


@contextmanager
def _any_script() -> Iterator[None]:
    """Draw letters that the font does not have as boxes, and names that are too wide, without a warning for each.

    The SVG has the text itself, the page the figure's numbers.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from", category=UserWarning)
        warnings.filterwarnings("ignore", message="constrained_layout not applied", category=UserWarning)
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support", category=UserWarning)
        yield
