"""Fitting a network: epochs over a seeded order of items, early stopping, and a state that can be taken up again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from math import isfinite
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from gc_ray.errors import StudyError
from gc_ray.models.tensors import pack, unpack
from gc_ray.models.world import ALONE, World
from gc_ray.study import AutoencoderSettings, BackboneSettings, HeadSettings

Weights = dict[str, Tensor]
Point = tuple[int, float, float]  # epoch (from 1), mean training loss, monitored value

ORDER, NOISE = 0, 1  # what a seed is drawn for: the order of items, or the noise inside a network (dropout)
HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class FitSettings:
    """How a network is fitted.

    batch: items a step, over all ranks. patience: epochs without a better monitored value after which fitting
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


def fit_settings(section: AutoencoderSettings | BackboneSettings | HeadSettings) -> FitSettings:
    """How a network's section of the study file says that it is fitted."""
    return FitSettings(**{field.name: getattr(section, field.name) for field in fields(FitSettings)})


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


class Checkpoints(Protocol):
    """Where states are kept; used by rank 0 alone."""

    every: int  # epochs from one kept state to the next

    def load(self) -> bytes | None:
        """The last whole state; None when there is none."""

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
    """The network fitted by AdamW (Loshchilov & Hutter 2019); every rank gets the same, bit for bit.

    checkpoints: where to take up and to keep states. tell: called by every rank after each epoch.
    StudyError when the loss or the monitored value is not finite, or when the device lacks the precision.
    """
    run = _start(objective, settings, world)
    kept = world.share(checkpoints.load() if checkpoints and world.rank == 0 else None)
    so_far = _taken_up(run, kept) if kept is not None else _SoFar()
    while not so_far.ended(settings):
        epoch = len(so_far.curve) + 1
        point = (epoch, _epoch(run, objective, settings, world, epoch), _monitored(run, objective, world))
        _check_finite(point, settings)
        so_far = so_far.after(point, run, settings)
        if checkpoints and world.rank == 0 and (epoch % checkpoints.every == 0 or so_far.ended(settings)):
            checkpoints.save(epoch, _packed(run, so_far))
        tell(point)
    epochs = len(so_far.curve)
    if settings.patience is None:
        return Fitted(_copied(run.network.state_dict()), epochs, epochs, so_far.curve)
    return Fitted(so_far.best, so_far.best_epoch, epochs, so_far.curve)


@dataclass(frozen=True)
class _Run:
    """The parts that change with every step."""

    network: nn.Module
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler


@dataclass(frozen=True)
class _SoFar:
    """What is known after some epochs; ``best`` stays empty where the last weights are wanted."""

    curve: tuple[Point, ...] = ()
    best_epoch: int = 0
    best: Weights = field(default_factory=dict)

    def ended(self, settings: FitSettings) -> bool:
        epochs = len(self.curve)
        patient = settings.patience is None or epochs - self.best_epoch < settings.patience
        return epochs >= settings.epochs or not patient

    def after(self, point: Point, run: _Run, settings: FitSettings) -> _SoFar:
        curve = (*self.curve, point)
        better = self.best_epoch == 0 or point[2] < self.curve[self.best_epoch - 1][2]
        if settings.patience is None or not better:
            return replace(self, curve=curve)
        return _SoFar(curve, point[0], _copied(run.network.state_dict()))


def _start(objective: Objective, settings: FitSettings, world: World) -> _Run:
    kind = world.device.type
    able = {"fp32": True, "bf16": kind == "cpu" or torch.cuda.is_bf16_supported(), "fp16": kind == "cuda"}
    if not able[settings.precision]:
        raise StudyError(f"precision {settings.precision}: this device ({kind}) cannot fit with it; use fp32")
    network = objective.network(settings.seed).to(world.device)
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    return _Run(network, optimiser, torch.amp.GradScaler(kind, enabled=settings.precision == "fp16"))


def _epoch(run: _Run, objective: Objective, settings: FitSettings, world: World, epoch: int) -> float:
    """One pass over all items; their mean loss."""
    run.network.train()
    total = torch.zeros((), dtype=torch.float64, device=world.device)
    with torch.random.fork_rng([world.device] if world.device.type == "cuda" else []):
        torch.manual_seed(_seed(settings.seed, NOISE, epoch, world.rank))
        for batch, items, share in _batches(objective, settings, world, epoch):
            on_device = {name: tensor.to(world.device, non_blocking=True) for name, tensor in batch.items()}
            with torch.autocast(world.device.type, HALF.get(settings.precision), settings.precision in HALF):
                loss = objective.loss(run.network, on_device) * share
            _step(run, loss, world)
            total += loss.detach() * items
    return float(world.sum(total)) / objective.size


def _step(run: _Run, loss: Tensor, world: World) -> None:
    """Move the weights along the mean gradient of every rank's items.

    One sum over all gradients, in the order of the parameters: buckets that form as gradients arrive, as in torch's
    DistributedDataParallel, would add in another order after a restart.
    """
    run.optimiser.zero_grad()
    run.scaler.scale(loss).backward()
    if world.size > 1:
        parameters = [p for group in run.optimiser.param_groups for p in group["params"]]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = world.sum(torch.cat([g.flatten() for g in gradients]))
        for p, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
            p.grad = part.view_as(p)
    run.scaler.step(run.optimiser)
    run.scaler.update()


def _batches(
    objective: Objective, settings: FitSettings, world: World, epoch: int
) -> Iterator[tuple[dict[str, Tensor], int, float]]:
    """(this rank's inputs, items of the whole batch, this rank's share of them), one batch prepared ahead."""
    order = np.random.default_rng([settings.seed, ORDER, epoch]).permutation(objective.size)
    wholes = [order[start : start + settings.batch] for start in range(0, objective.size, settings.batch)]
    with ThreadPoolExecutor(1) as ahead:

        def prepare(whole: np.ndarray) -> Future:
            mine = whole[world.rank :: world.size]
            # a rank without an item of a small last batch takes part with one that weighs nothing
            return ahead.submit(objective.batch, mine if len(mine) else whole[:1], epoch)

        coming = prepare(wholes[0])
        for whole, following in zip(wholes, [*wholes[1:], None], strict=True):
            ready, coming = coming.result(), None if following is None else prepare(following)
            yield ready, len(whole), len(whole[world.rank :: world.size]) / len(whole)


def _monitored(run: _Run, objective: Objective, world: World) -> float:
    """The watched value, computed by rank 0 and known to all, so that every rank ends at the same epoch."""
    for buffer in run.network.buffers():
        world.first(buffer)
    run.network.eval()
    value = torch.zeros((), dtype=torch.float64, device=world.device)
    if world.rank == 0:
        with torch.no_grad():
            value.fill_(objective.monitor(run.network))
    return float(world.first(value))


def _check_finite(point: Point, settings: FitSettings) -> None:
    for what, value in zip(("training loss", "monitored value"), point[1:], strict=True):
        if not isfinite(value):
            raise StudyError(
                f"epoch {point[0]}: wanted a finite {what}, got {value}; lower learning_rate "
                f"({settings.learning_rate:g}), use precision fp32, or look for inputs that are not finite"
            )


def _packed(run: _Run, so_far: _SoFar) -> bytes:
    moments = {
        f"{number}.{name}": tensor
        for number, tensors in run.optimiser.state_dict()["state"].items()
        for name, tensor in tensors.items()
    }
    groups = {"weights": _copied(run.network.state_dict()), "moments": _copied(moments), "best": so_far.best}
    facts = {"best_epoch": so_far.best_epoch, "curve": so_far.curve, "scale": run.scaler.state_dict()}
    return pack(groups, facts)


def _taken_up(run: _Run, data: bytes) -> _SoFar:
    groups, facts = unpack(data)
    moments: dict[int, Weights] = {}
    for name, tensor in groups["moments"].items():
        number, _, what = name.partition(".")
        moments.setdefault(int(number), {})[what] = tensor
    run.network.load_state_dict(groups["weights"])
    run.optimiser.load_state_dict({**run.optimiser.state_dict(), "state": moments})
    run.scaler.load_state_dict(facts["scale"])
    return _SoFar(tuple(tuple(point) for point in facts["curve"]), facts["best_epoch"], groups["best"])


def _copied(tensors: Weights) -> Weights:
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
