"""Fitting a network: epochs over a seeded order of items, early stopping, and a state that can be taken up again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import isfinite
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from gc_ray.errors import StudyError
from gc_ray.models.world import ALONE, World

Weights = dict[str, Tensor]
Point = tuple[int, float, float]  # epoch (from 1), mean training loss, monitored value

ORDER, NOISE = 0, 1  # what a seed is drawn for: the order of items, or the noise inside a network (dropout)
HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class FitSettings:
    """How a network is fitted.

    batch: items a step, over all ranks together. patience: epochs without a better monitored value after which fitting
    ends; None for exactly ``epochs`` epochs and the weights of the last. precision: of the training steps; weights,
    their updates and the monitored value are always fp32.
    """

    batch: int
    learning_rate: float
    weight_decay: float
    epochs: int
    patience: int | None
    seed: int
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"


class Objective(Protocol):
    """What is fitted, on what. Items are the indices 0..size-1 of the sorted ids; every random number comes from
    (seed, epoch, item), never from a running state, so that a fit that is taken up again repeats itself."""

    size: int

    def network(self, seed: int) -> nn.Module:
        """A network with fresh weights, the same for the same seed."""

    def batch(self, items: np.ndarray, epoch: int) -> dict[str, Tensor]:
        """The inputs of some items in CPU memory, augmented for this epoch; called from a thread of its own."""

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """The mean loss over the batch's items; ``batch`` lies on the network's device."""

    def monitor(self, network: nn.Module) -> float:
        """What early stopping watches, lower is better; the network is in evaluation mode, on its own device."""


@dataclass(frozen=True)
class State:
    """A fit after a whole epoch: all that is needed to go on, or, when it has ended, to hand over its result.

    moments: the optimiser's tensors by ``<parameter number>.<name>``. scale: state of the fp16 loss scaling.
    """

    weights: Weights
    moments: Weights
    best: Weights
    best_epoch: int
    curve: tuple[Point, ...]
    scale: dict


class Checkpoints(Protocol):
    """Where states are kept; used by rank 0 alone."""

    def load(self) -> bytes | None:
        """The last whole state; None when there is none."""

    def due(self, epoch: int) -> bool:
        """Whether the state after this epoch is to be kept; the last epoch's always is."""

    def save(self, epoch: int, data: bytes) -> None:
        """Keep the state after ``epoch``."""


@dataclass(frozen=True)
class Fitted:
    """A fitted network: the weights of its best epoch in CPU memory, how many epochs were run, and the curve."""

    weights: Weights
    best_epoch: int
    epochs: int
    curve: tuple[Point, ...]


Fit = Callable[[str, Objective, FitSettings], Fitted]


def fit(
    objective: Objective,
    settings: FitSettings,
    world: World = ALONE,
    checkpoints: Checkpoints | None = None,
    tell: Callable[[Point], None] = lambda point: None,
) -> Fitted:
    """The network fitted by AdamW (Loshchilov & Hutter 2019); every rank gets the same.

    checkpoints: where to take up and to keep states. tell: called by every rank after each epoch.
    StudyError when the loss or the monitored value is not finite, or when the device lacks the precision.
    """
    raise NotImplementedError
