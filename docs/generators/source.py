"""What the source says of itself: the messages that it can raise, and the publications that it follows."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "gc_ray"


def messages_of(module: str, error: str) -> list[str]:
    """The messages with which a module raises an error, in the order of the source."""
    return [text for name, text in _raised(PACKAGE / module) if name == error]


def modules_raising(error: str) -> dict[str, tuple[str, list[str]]]:
    """What raises an error: by module (path below gc_ray), the module's duty and its messages."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        module = path.relative_to(PACKAGE).as_posix()
        texts = list(dict.fromkeys(messages_of(module, error)))
        if texts:
            found[module] = (ast.get_docstring(_tree(path)).split("\n\n")[0].replace("\n", " "), texts)
    return found


def publications() -> dict[str, list[tuple[str, str, str]]]:
    """(name, what it gives, what it follows) of everything whose docstring names its source, by module."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(_tree(path)):
            text = ast.get_docstring(node) if isinstance(node, ast.FunctionDef | ast.ClassDef) else None
            if text and "Source:" in text and not node.name.startswith("_"):
                source = re.split(r"\.\s+(?:Raises|TableError)\b", text.split("Source:", 1)[1])[0].rstrip(".").strip()
                module = path.relative_to(PACKAGE).as_posix()
                found.setdefault(module, []).append((node.name, text.split("\n\n")[0], source))
    return found


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _raised(path: Path) -> list[tuple[str, str]]:
    """(class, message) of each ``raise Class("..")`` whose message stands there as text."""
    raises = [n for n in ast.walk(_tree(path)) if isinstance(n, ast.Raise) and isinstance(n.exc, ast.Call)]
    found = []
    for node in sorted(raises, key=lambda n: n.lineno):
        if isinstance(node.exc.func, ast.Name) and node.exc.args:
            text = _text(node.exc.args[0])
            if text is not None:
                found.append((node.exc.func.id, " ".join(text.split())))
    return found


def _text(node: ast.expr) -> str | None:
    """A string expression as text, what is filled in as <name>; None when it is no string or says nothing itself."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if not isinstance(node, ast.JoinedStr):
        return None
    parts = [str(p.value) if isinstance(p, ast.Constant) else f"<{_filled(p.value)}>" for p in node.values]
    said = "".join(str(p.value) for p in node.values if isinstance(p, ast.Constant))
    return "".join(parts) if any(c.isalpha() for c in said) else None


def _filled(node: ast.expr) -> str:
    """A word for what is filled in: the last name of a variable or attribute, else two dots."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return node.attr
    return ".."
