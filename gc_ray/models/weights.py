"""Weights from elsewhere: read without running what they hold, matched name by name, refused when they do not fit."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from gc_ray.errors import BundleError

LEAST_MATCHED = 0.9  # share of the network's tensors; a shallower or deeper ResNet of the same make shares up to 0.6
PARALLEL = "module."  # what torch's DataParallel puts before every name
COUNTER = "num_batches_tracked"  # of batch normalisation; older files lack it and inference does not use it
PICKLES = (b"PK\x03\x04", b"\x80")  # how torch.save's files begin: a zip archive, or, before torch 1.6, a pickle
NAMED = 5  # names that a message holds; the report holds all

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Match:
    """How the names and shapes of given weights meet those of a network; all names are in the network's spelling.

    matched: same name and shape. missing: the network's alone. unexpected: the file's alone. wrong_shape: same name,
    another shape, as "name: given instead of wanted".
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    wrong_shape: tuple[str, ...]

    def facts(self) -> dict[str, list[str]]:
        """The four lists, for a card."""
        return {name: list(getattr(self, name)) for name in ("matched", "missing", "unexpected", "wrong_shape")}


def read_weights(data: bytes, name: str) -> Weights:
    """The tensors of a ``.pth`` or safetensors file by name, in CPU memory and without the prefix of DataParallel.

    name: of the file, for messages. A ``.pth`` is read by torch's restricted unpickler (``weights_only``); tensors
    lie at its top or under "state_dict". BundleError when it is truncated, holds anything that would run code, holds
    no tensor, or a tensor that is not finite.
    """
    held = _unpickled(data, name) if data.startswith(PICKLES) else _from_safetensors(data, name)
    held = held.get("state_dict", held)
    tensors = {str(k): v for k, v in held.items() if isinstance(v, Tensor)} if isinstance(held, dict) else {}
    if not tensors:
        raise BundleError(f"weights {name}: wanted tensors by name, found none; give a state_dict or safetensors")
    weights = {key.removeprefix(PARALLEL): tensor.detach().contiguous() for key, tensor in tensors.items()}
    for key, tensor in weights.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise BundleError(f"weights {name}: wanted finite numbers, {key} has NaN or infinity; get another copy")
    return weights


def match(weights: Weights, network: nn.Module) -> Match:
    """How the weights meet the network, each list sorted."""
    wanted = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    given = {key: tuple(tensor.shape) for key, tensor in weights.items()}
    both = sorted(set(wanted) & set(given))
    return Match(
        matched=tuple(key for key in both if wanted[key] == given[key]),
        missing=tuple(sorted(set(wanted) - set(given))),
        unexpected=tuple(sorted(set(given) - set(wanted))),
        wrong_shape=tuple(f"{k}: {given[k]} instead of {wanted[k]}" for k in both if wanted[k] != given[k]),
    )


def load_given(weights: Weights, network: nn.Module, name: str) -> Match:
    """Put the weights into the network, in place, and say how they matched; what is missing stays as it was.

    BundleError for those of another architecture: a tensor of another shape, further layers within the network's own
    stages, or fewer than 90 % of its tensors matched.
    """
    found = match(weights, network)
    stages = {stage for stage, _ in network.named_children()}
    deeper = [key for key in found.unexpected if key.partition(".")[0] in stages]
    weighed = [key for key in network.state_dict() if not key.endswith(COUNTER)]
    matched = len(set(weighed) & set(found.matched))
    if found.wrong_shape or deeper or matched < LEAST_MATCHED * len(weighed):
        raise BundleError(
            f"weights {name}: wanted those of this backbone, matched {matched} of {len(weighed)} tensors"
            f"{_some('missing', found.missing)}{_some('of another shape', found.wrong_shape)}"
            f"{_some('not in this backbone', tuple(deeper))}; set the depth that these weights have"
        )
    network.load_state_dict({key: weights[key] for key in found.matched}, strict=False)
    return found


def _unpickled(data: bytes, name: str) -> dict:
    if data.startswith(PICKLES[0]) and not zipfile.is_zipfile(io.BytesIO(data)):
        raise BundleError(f"weights {name}: wanted a whole file, it is cut off at {len(data)} bytes; copy it again")
    try:
        held = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or hostile file may make the unpickler raise anything
        raise BundleError(
            f"weights {name}: wanted tensors alone, the file is damaged or holds objects that would run code; "
            "get it from its authors again, or convert it to safetensors where you trust it"
        ) from error
    return held if isinstance(held, dict) else {}


def _from_safetensors(data: bytes, name: str) -> dict:
    try:
        return safetensors.torch.load(data)
    except (SafetensorError, ValueError) as error:
        raise BundleError(
            f"weights {name}: wanted a .pth or safetensors file, {len(data)} bytes are neither or are cut off; "
            "copy it again"
        ) from error


def _some(what: str, names: tuple[str, ...]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"; {what}: {', '.join(names[:NAMED])}{more}"
