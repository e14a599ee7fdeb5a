"""The text of a study file: found, decoded, parsed as TOML, laid over the study that it is like."""

from __future__ import annotations

import codecs
import re
import tomllib
from importlib import resources
from pathlib import Path

from gc_ray.errors import StudyError

MAX_STUDY_BYTES = 1 << 20  # the packaged studies have 10 KB
KEY_PARTS = 32  # of a dotted key; the parser's time grows with the square of them
_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')"""
LONG_KEY = re.compile(rf"(?<![\w-]){_PART}(?:[ \t]*\.[ \t]*{_PART}){{{KEY_PARTS - 1}}}")


def packaged_studies() -> tuple[str, ...]:
    """The names of the study files that come with the package."""
    files = resources.files("gc_ray.studies").iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml")))


def read_study_file(name: str) -> dict:
    """The tables of a packaged study or of a TOML file; StudyError, in one line, when there is no such study."""
    if name in packaged_studies():
        return _parsed(name, _packaged(name))
    path = Path(name)
    if not _is_file(path):
        known = ", ".join(packaged_studies())
        raise StudyError(f"study {name}: wanted a packaged study ({known}) or the path of a TOML file, found neither")
    return _parsed(name, _text(path, name))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # longer than a name can be, or with a NUL
        return False


def _packaged(name: str) -> str:
    return resources.files("gc_ray.studies").joinpath(f"{name}.toml").read_text()


def _parsed(name: str, text: str) -> dict:
    """The tables of a study file, laid over those of the packaged study that its ``like`` names."""
    if LONG_KEY.search(text):
        raise StudyError(
            f"study {name}: wanted keys of one or two parts, found one of {KEY_PARTS} or more; correct it"
        )
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # beside TOML's own: a number of thousands of digits, deep nesting
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise StudyError(f"study {name}: wanted TOML, it cannot be read: {reason}") from error
    if "like" not in raw:
        return raw
    model = raw.pop("like")
    if model not in packaged_studies() or model == name:
        known, got = ", ".join(packaged_studies()), model if isinstance(model, str) else "no text"
        raise StudyError(f"study {name}: like: wanted a packaged study ({known}), got {got}")
    return _laid_over(_parsed(model, _packaged(model)), raw)


def _laid_over(below: dict, above: dict) -> dict:
    """Sections merged key by key; any other value, arrays too, is the upper one's."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(below.get(key), dict)
        merged[key] = _laid_over(below[key], value) if both else value
    return merged


def _text(path: Path, name: str) -> str:
    if path.stat().st_size > MAX_STUDY_BYTES:
        raise StudyError(f"study {name}: wanted a study file, it has more than {MAX_STUDY_BYTES >> 20} MiB")
    try:
        with path.open("rb") as file:
            head = file.read(2)
        if head in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) or b"\0" in head:
            raise StudyError(f"study {name}: wanted TOML in UTF-8, it is in UTF-16; save it as UTF-8")
        return path.read_text(encoding="utf-8-sig")  # editors on Windows write a mark before UTF-8
    except UnicodeDecodeError as error:
        raise StudyError(
            f"study {name}: wanted TOML in UTF-8, it is in another encoding; save it as UTF-8"
        ) from error


def apply_override(raw: dict, override: str) -> None:
    """Set one ``section.key=value`` in the tables of a study; StudyError when it has another form."""
    path, equals, value = override.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise StudyError(f"--set {override}: wanted section.key=value, such as extract.timeout_s=600.0")
    for key in keys[:-1]:
        raw = raw.setdefault(key, {})
        if not isinstance(raw, dict):
            raise StudyError(f"--set {override}: {key} is a value, not a section")
    try:
        raw[keys[-1]] = tomllib.loads(f"value = {value.strip()}")["value"]
    except (ValueError, RecursionError):
        raw[keys[-1]] = value.strip()  # a bare word is text: --set name=pilot
