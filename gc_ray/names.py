"""Names in paths, object keys, figures and lists: one rule for what becomes a path, short forms of free text."""

from __future__ import annotations

import hashlib
import re

from gc_ray.errors import InputError, TableError, printable

MAX_NAME = 100  # characters; file systems allow 255 bytes, and endings are added
RULE = f"letters a to z, digits, _ . and -, no . or - first, no . last, at most {MAX_NAME} characters"
NAME = re.compile(rf"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{{0,{MAX_NAME - 2}}}[A-Za-z0-9_-])?")
# Windows keeps these for devices, with any ending; a published report may be copied there
DEVICES = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d|conin\$|conout\$)(?:\..*)?", re.IGNORECASE)
MAX_PART = 60  # characters of a part of a file name; the kind of file stands before it
PART = re.compile(rf"[a-z0-9][a-z0-9_-]{{0,{MAX_PART - 1}}}")
MAX_LABEL = 40  # characters of a name in a figure, whose panels are as wide
MAX_WORDS = 300  # characters of a sentence in a figure
DIGITS = 6  # of the digest that tells two shortened names apart
WITH_DIGEST = re.compile(r".*-[0-9a-f]{16}")  # a name that could be taken for one made by ``file_part``


def is_name(text: str) -> bool:
    """Whether a text may be a part of a path or of an object key, on every system."""
    return NAME.fullmatch(text) is not None and DEVICES.fullmatch(text) is None


def check_name(text: str, what: str, error: type[InputError] = TableError) -> str:
    """Return the name itself.

    Parameters
    ----------
    text : str
        The name.
    what : str
        What it names, for the message, such as "feature set".
    error : type of InputError
        What is raised.

    Raises
    ------
    InputError
        The name breaks ``RULE``, or Windows keeps it for a device.
    """
    if is_name(text):
        return text
    shown = text if len(text) <= MAX_NAME else f"{text[:MAX_NAME]}.."
    kept = "; Windows keeps this name for a device" if DEVICES.fullmatch(text) else ""
    raise error(f"{what} '{shown}': wanted {RULE}{kept}; choose another name")


def file_part(text: str) -> str:
    """Return a part of a file name for any text; two texts never have the same.

    Parameters
    ----------
    text : str
        Free text, such as the name of a model in a table of scores made elsewhere.

    Returns
    -------
    str
        The text itself where it has small letters, digits, _ and - alone. Else its first such characters and 16
        digits of its SHA-256: disks that do not tell case apart hold both.
    """
    if PART.fullmatch(text) and not DEVICES.fullmatch(text) and not WITH_DIGEST.fullmatch(text):
        return text
    plain = re.sub(r"[^a-z0-9]+", "-", text[:MAX_PART].lower())[: MAX_PART - 20].strip("-")
    return f"{plain or 'name'}-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def name_of_file(stem: str) -> str:
    """Return the name by which the store knows a file that a user named as he liked.

    Parameters
    ----------
    stem : str
        The file's name without its ending.

    Returns
    -------
    str
        The stem itself where it is a name; else, as for ``CT params v2``, its plain letters and 16 digits of the
        SHA-256 of the whole stem: two stems never have the same name, and one always has the same.
    """
    return stem if is_name(stem) else file_part(stem)


def label(text: str, longest: int = MAX_LABEL) -> str:
    """Return a name as a figure or a table on a terminal has it: one printable line; two names never have the same.

    Parameters
    ----------
    text : str
        A name from a table.
    longest : int
        Characters; a longer name is cut.

    Returns
    -------
    str
        The name itself, or, where it was changed or cut, its beginning and some digits of its SHA-256.
    """
    plain = printable(text)
    if plain == text and len(text) <= longest:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]
    return f"{plain[: longest - DIGITS - 4]}.. #{digest}"
