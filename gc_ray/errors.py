"""The causes for which input is turned down, one class each.

Each message is one line: what was wanted, what came, whose it is and what to do. Every class is a ``ValueError``:
the input is at fault, not the program. Messages name files by their path relative to the scan's folder or the
manifest and never repeat a DICOM header value other than a UID or an ROI name.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

SHOWN = 3  # ids, values or findings that a message names; the rest are counted
LONGEST_NAME = 100  # characters of one of them; longer ones are cut
LONGEST = 2000  # characters of a message; a list of a foreign file's names could fill a terminal
# Unicode's controls, marks of the writing direction and of no width, lone surrogates, line and paragraph separators
UNPRINTABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")
NO_CHARACTERS = range(0xFDD0, 0xFDF0)  # of Unicode, beside the last two of each plane; no XML file may hold them


def printable(text: str) -> str:
    """Text that is safe on a terminal, in a page and in a table: what breaks or steers a line is replaced.

    Parameters
    ----------
    text : str
        Any text, such as a name in a file from elsewhere.

    Returns
    -------
    str
        As many characters, on one line; U+FFFD stands for line breaks, control characters (terminal escapes), marks
        of the writing direction, characters without width and lone surrogates. Letters of every script stay.
    """
    if text.isprintable():
        return text
    return "".join("\N{REPLACEMENT CHARACTER}" if _steers(c) else c for c in text)


def _steers(c: str) -> bool:
    place = ord(c)
    return unicodedata.category(c) in UNPRINTABLE or place & 0xFFFE == 0xFFFE or place in NO_CHARACTERS


def one_line(text: str) -> str:
    """Text that is safe to print and store: what breaks or steers a line replaced, the middle left out if long."""
    if len(text) > LONGEST:
        text = f"{text[: LONGEST * 3 // 4]} ... {text[-LONGEST // 5 :]}"  # the end says what to do
    return printable(text)


def some(names: Iterable) -> str:
    """The first few of them, and a sign that there are more."""
    names = list(names)
    texts = map(str, names[:SHOWN])
    shown = [text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}.." for text in texts]
    return one_line(", ".join(shown)) + (", .." if len(names) > SHOWN else "")


class InputError(ValueError):
    """Input that is turned down; the message is one printable line whatever of the input it repeats."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class ScanError(InputError):
    """The CT cannot be used as it is: geometry, pixels or files.

    Within a run it costs this scan alone: the ledger says refused and holds the message. Fixed by whoever exported
    the scan, from the file that is named; the next run takes it up, since its source has changed.
    """


class MaskError(InputError):
    """The region of interest cannot be used on this scan: missing, empty, off the grid or ambiguous.

    Within a run it costs this outline alone: the ledger says refused and holds the message. Fixed by whoever drew
    the region, or in the manifest (mask, roi); the next run takes it up.
    """


class TableError(InputError):
    """A table does not have the columns, types, keys or values that its schema asks for.

    Raised before any work. Fixed in the file that is named; where a table of the store is named, by
    running the command that writes it.
    """


class LeakError(TableError):
    """An out-of-fold score was asked for a patient on whom the signature was fitted.

    A guard against optimistic numbers. Fixed by asking for scores of patients who were left out of the fit.
    """


class StudyError(InputError):
    """A study file or a setting is unknown, of the wrong type or contradicts another.

    Raised before any work. Fixed in the TOML file, in ``--set``, or in the option that is named.
    """


class BundleError(InputError):
    """A frozen model's parts are missing, changed or of another schema.

    Nothing is scored. Fixed by copying the bundle again from where it was made, or by making it anew with these
    versions; a changed part is never corrected by hand.
    """


class StoreError(InputError):
    """The store cannot be read or written: address, rights, space or a conflicting object.

    The run ends; what was committed stays, and the same command resumes. Fixed by whoever runs the storage.
    """


class DamagedError(StoreError):
    """An object of the store does not hold the bytes that were written.

    It is never taken for values. Fixed by putting it back from a copy, or by ``gc-ray repair``, which rebuilds what
    can be rebuilt and marks the rest to be computed anew.
    """


class ClusterError(InputError):
    """The Ray cluster that was named cannot be reached, or this machine cannot start one.

    Nothing was computed. Fixed in ``RAY_ADDRESS``, in the token, or by starting the cluster.
    """
