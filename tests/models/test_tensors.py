"""Packed tensors: what goes in comes out, in the same bytes every time."""

import pytest
import torch

from gc_ray.models.tensors import pack, unpack

GROUPS = {"weights": {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([1, 2])}, "optimiser": {}}
FACTS = {"kind": "head", "epochs": 3, "nested": {"slope": 0.5}}


def test_what_is_packed_comes_out():
    """Groups, an empty one too, tensors to the bit, facts."""
    groups, facts = unpack(pack(GROUPS, FACTS))
    assert facts == FACTS
    assert {name: sorted(held) for name, held in groups.items()} == {"weights": ["a.weight", "b"], "optimiser": []}
    assert all(torch.equal(groups["weights"][name], GROUPS["weights"][name]) for name in GROUPS["weights"])


def test_equal_content_is_equal_bytes():
    """A bundle's id is the digest of its parts: the order in which a library writes must not be in it."""
    assert len({pack(GROUPS, FACTS) for _ in range(20)}) == 1


@pytest.mark.parametrize("data", [b"", b"\x08\0\0\0\0\0\0\0{}      ", pack(GROUPS, FACTS)[:-1]])
def test_damaged_bytes_are_one_error(data):
    """Empty, without our entry, cut."""
    with pytest.raises(ValueError, match="wanted packed tensors"):
        unpack(data)
