"""The folder of a fitted model: weights, tables and, written last, the card that makes it whole."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa
from torch import Tensor


@dataclass(frozen=True)
class Model:
    """What a program hands back, to be kept as ``models/<model_id>/``.

    weights: in CPU memory. facts: what the card says of the model, as JSON types. tables: by file name, without ending.
    """

    weights: dict[str, Tensor]
    facts: dict
    tables: dict[str, pa.Table] = field(default_factory=dict)
