"""The ranks that train together: who I am, and the two ways in which tensors meet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

CPU = torch.device("cpu")


def _itself(tensor: Tensor) -> Tensor:
    return tensor


@dataclass(frozen=True)
class World:
    """One rank's view of all ranks.

    sum: the sum of every rank's tensor, in place, on each of them. first: rank 0's tensor, in place, on each of them.
    Both must be called by every rank, in the same order.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = CPU
    sum: Callable[[Tensor], Tensor] = _itself
    first: Callable[[Tensor], Tensor] = _itself

    def share(self, data: bytes | None) -> bytes | None:
        """Rank 0's ``data`` on every rank; what the others pass is ignored."""
        if self.size == 1:
            return data
        length = torch.tensor([-1 if data is None else len(data)], device=self.device)
        if self.first(length).item() < 0:
            return None
        buffer = torch.zeros(int(length.item()), dtype=torch.uint8, device=self.device)
        if self.rank == 0:
            buffer.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
        return self.first(buffer).cpu().numpy().tobytes()


ALONE = World()


def process_group(device: torch.device) -> World:
    """The world of torch's default process group, which must be initialised."""
    from torch import distributed

    def total(tensor: Tensor) -> Tensor:
        distributed.all_reduce(tensor)
        return tensor

    def first(tensor: Tensor) -> Tensor:
        distributed.broadcast(tensor, src=0)
        return tensor

    return World(distributed.get_rank(), distributed.get_world_size(), device, total, first)


@contextmanager
def repeatable(threads: int) -> Iterator[None]:
    """Torch as equal bits need it: this many threads, and of cuDNN what repeats itself; as before afterwards."""
    before = torch.get_num_threads(), torch.backends.cudnn.deterministic
    torch.set_num_threads(threads)
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.backends.cudnn.deterministic = before[1]
