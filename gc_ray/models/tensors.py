"""Named groups of tensors with a few facts, as one safetensors object: no pickle, so nothing in it can run."""

from __future__ import annotations

import json

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

Groups = dict[str, dict[str, Tensor]]
HEAD_BYTES = 8  # a safetensors object begins with the length of its JSON header, little endian


def pack(groups: Groups, facts: dict) -> bytes:
    """One object with the tensors (contiguous, in CPU memory, none sharing memory) and the facts (JSON types)."""
    flat = {f"{group}/{name}": tensor for group, tensors in groups.items() for name, tensor in tensors.items()}
    # one entry: safetensors writes several in an order of its own, which differs from process to process
    return safetensors.torch.save(flat, {"packed": json.dumps({"facts": facts, "groups": list(groups)})})


def unpack(data: bytes) -> tuple[Groups, dict]:
    """(groups, facts) of a packed object. ValueError when it is damaged or not one of ours."""
    try:
        flat = safetensors.torch.load(data)
        length = int.from_bytes(data[:HEAD_BYTES], "little")
        packed = json.loads(json.loads(data[HEAD_BYTES : HEAD_BYTES + length])["__metadata__"]["packed"])
        groups: Groups = {group: {} for group in packed["groups"]}
        for key, tensor in flat.items():
            group, _, name = key.partition("/")
            groups[group][name] = tensor
        return groups, packed["facts"]
    except (SafetensorError, KeyError, ValueError) as error:
        raise ValueError(
            f"wanted packed tensors, got {len(data)} bytes that are damaged or another format"
        ) from error
