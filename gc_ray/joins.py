"""Rows of Arrow tables matched by their key, without a Python object for any of them."""

from __future__ import annotations

import functools

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def first_of_each(found: pa.Table, key: tuple[str, ...]) -> pa.Table:
    """Of rows sorted by ``key`` the first of each key."""
    if found.num_rows < 2:
        return found
    new = functools.reduce(pc.or_, (pc.not_equal(found[name][1:], found[name][:-1]) for name in key))
    if pc.all(new).as_py():
        return found  # as it mostly is: no copy
    return found.filter(pa.chunked_array([pa.array([True]), *new.chunks]))


def places(wanted: pa.Table, found: pa.Table, key: tuple[str, ...]) -> pa.Array:
    """For each row of ``wanted`` the number of the row of ``found`` with an equal key, null where there is none.

    A key stands in ``found`` once at most.
    """
    left = wanted.select(key).append_column("asked", pa.array(np.arange(wanted.num_rows)))
    right = found.select(key).append_column("place", pa.array(np.arange(found.num_rows)))
    joined = left.join(right, list(key), join_type="left outer").sort_by("asked")
    return joined["place"].combine_chunks()


def first_places(wanted: pa.Table, numbered: pa.Table, key: tuple[str, ...]) -> pa.Array:
    """As ``places``, of rows that have their number in a column ``place`` and whose key may stand more than once."""
    ordered = numbered.select([*key, "place"]).sort_by([(name, "ascending") for name in (*key, "place")])
    left = wanted.select(key).append_column("asked", pa.array(np.arange(wanted.num_rows)))
    joined = left.join(first_of_each(ordered, key), list(key), join_type="left outer").sort_by("asked")
    return joined["place"].combine_chunks()
