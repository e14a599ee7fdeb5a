"""Library messages are collected, and the process is left as it was found."""

from __future__ import annotations

import logging
import warnings

from gc_ray.features.messages import LONGEST_MESSAGE, collected_messages, one_line


def test_warnings_and_log_lines_are_collected_in_order_and_not_printed(capfd):
    """One line each; developers' deprecations are left out."""
    with collected_messages() as messages:
        logging.getLogger("radiomics.glcm").warning("symmetrical,\n so %s", "what")
        warnings.warn("divided by\nzero", RuntimeWarning, stacklevel=1)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        logging.getLogger("radiomics").info("not worth a word")
    assert messages == ["symmetrical, so what", "RuntimeWarning: divided by zero"]
    assert capfd.readouterr() == ("", "")


def test_loggers_and_filters_are_as_before():
    """Handlers, propagation and warning filters come back, after an exception too."""
    logger = logging.getLogger("radiomics")
    before = list(logger.handlers), logger.propagate, list(warnings.filters), warnings.showwarning
    try:
        with collected_messages():
            raise KeyError("x")
    except KeyError:
        pass
    assert (list(logger.handlers), logger.propagate, list(warnings.filters), warnings.showwarning) == before


def test_exceptions_become_one_short_line():
    """The kind of the exception comes first; long texts are cut."""
    assert one_line(ValueError("a\n  b")) == "ValueError: a b"
    assert len(one_line(ValueError("a" * 1000))) == LONGEST_MESSAGE
