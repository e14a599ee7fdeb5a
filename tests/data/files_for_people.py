"""What files for people may hold, whatever names are in them: pages, figures, tables and JSON."""

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

from gc_ray.errors import printable
from gc_ray.escaping import FORMULA
from gc_ray.report.templates import policy

SAFE_PATH = re.compile(r"[A-Za-z0-9_./=-]+")
SVG = "{http://www.w3.org/2000/svg}"
ELEMENTS = """
html head meta link title style body main h1 h2 h3 p b span ul ol li nav a section figure figcaption img div table
caption thead tbody tr th td details summary script dl dt dd label input select option output
svg g path defs use text rect clippath image desc tspan
"""
OURS = frozenset(ELEMENTS.split())  # every element of our pages
NO_HANDLERS = re.compile(r"on|style$|srcdoc$|formaction$|action$")


class Page(HTMLParser):
    """What a browser reads: elements with their attributes, and the text of cells."""

    def __init__(self, html: str):
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        """Take down an element."""
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        """Take down a text."""
        self.texts.append(data)


def check_page(html: str, scripts: int | None = None) -> Page:
    """A page with our elements alone, without handlers and style attributes, and with a policy by hashes."""
    page = Page(html)
    assert {tag for tag, _ in page.elements} <= OURS
    assert [tag for tag, _ in page.elements].count("style") == 1
    found = sum(tag == "script" and "type" not in about for tag, about in page.elements)
    assert found <= 1 if scripts is None else found == scripts
    for _, about in page.elements:
        assert not [name for name in about if NO_HANDLERS.match(name)]
        assert not str(about.get("href", "")).lower().startswith("javascript")
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)[1]
    code = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    stated = next(about["content"] for _, about in page.elements if "content" in about and "http-equiv" in about)
    assert stated == policy([style], code)
    assert "unsafe" not in stated
    assert printable(html.replace("\n", "")) == html.replace("\n", "")
    return page


def check_svg(data: bytes) -> ET.Element:
    """Well-formed, with our elements alone and without handlers."""
    tree = ET.fromstring(data)
    assert {element.tag.removeprefix(SVG) for element in tree.iter()} <= {*OURS, "clipPath"}
    assert not [name for element in tree.iter() for name in element.keys() if name.startswith("on")]  # noqa: SIM118
    return tree


def check_csv(data: bytes) -> None:
    """Printable cells, of which a spreadsheet takes none for a formula."""
    rows = csv.reader(io.StringIO(data.decode(), newline=""))
    for cell in {cell for row in rows for cell in row}:
        number = re.fullmatch(r"-?[\d.]+(e-?\d+)?|-inf", cell)
        assert number or not cell.startswith(FORMULA), cell
        assert printable(cell) == cell


def check_files(folder: Path) -> dict[str, int]:
    """Search all files below a folder by their kind; how many there are of each."""
    found: dict[str, int] = {}
    for path in folder.rglob("*"):
        assert SAFE_PATH.fullmatch(path.relative_to(folder).as_posix()), path
        assert len(path.name) < 120
        if path.is_file():
            _check_file(path)
            found[path.suffix] = found.get(path.suffix, 0) + 1
    return found


def _check_file(path: Path) -> None:
    data = path.read_bytes()
    if path.suffix == ".html":
        check_page(data.decode())
    elif path.suffix == ".svg":
        check_svg(data)
    elif path.suffix == ".csv":
        check_csv(data)
    elif path.suffix == ".json":
        assert data.isascii(), path
        json.loads(data)
