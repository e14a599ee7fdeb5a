"""Given weights: nothing in them runs, every name is accounted for, and another architecture is turned down."""

import io
import os

import pytest
import safetensors.torch
import torch

from gc_ray.errors import BundleError
from gc_ray.models.backbone import backbone_network, untrained_backbone
from gc_ray.models.weights import load_given, match, read_weights


@pytest.fixture(scope="module")
def weights():
    """The weights of a ResNet10 that is not the one that seed 0 gives."""
    return untrained_backbone(10, seed=1).state_dict()


def saved(held, **options) -> bytes:
    """What torch.save writes."""
    buffer = io.BytesIO()
    torch.save(held, buffer, **options)
    return buffer.getvalue()


def medicalnet(weights) -> dict:
    """The same weights as MedicalNet publishes them: behind DataParallel, with layers of its segmentation task."""
    renamed = {f"module.{name}": tensor for name, tensor in weights.items()}
    return {"epoch": 7, "state_dict": {**renamed, "module.conv_seg.0.weight": torch.zeros(3)}}


class Hostile:
    """A pickle that would run a command when it is loaded."""

    def __reduce__(self):
        return (os.system, ("echo harm",))


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
def test_medicalnets_file_is_read_and_every_name_reported(weights, zipped):
    """A .pth of either format gives the same network; the segmentation layers stand as unexpected."""
    network = untrained_backbone(10, seed=0)
    data = saved(medicalnet(weights), _use_new_zipfile_serialization=zipped)
    found = load_given(read_weights(data, "resnet_10.pth"), network, "resnet_10.pth")
    assert found.facts() == {
        "matched": sorted(weights),
        "missing": [],
        "unexpected": ["conv_seg.0.weight"],
        "wrong_shape": [],
    }
    assert all(torch.equal(network.state_dict()[name], weights[name]) for name in weights)


def test_safetensors_hold_the_same_weights(weights):
    """Every tensor is read bit for bit, and the network is built from them alone."""
    again = read_weights(safetensors.torch.save(weights), "backbone.safetensors")
    assert again.keys() == weights.keys()
    network = backbone_network(again)
    assert all(torch.equal(network.state_dict()[name], weights[name]) for name in weights)


def test_files_without_the_counters_of_batch_normalisation_fit(weights):
    """Older files lack num_batches_tracked; they count as missing and the network is whole without them."""
    older = {name: tensor for name, tensor in weights.items() if not name.endswith("num_batches_tracked")}
    found = load_given(older, untrained_backbone(10, seed=0), "old.pth")
    assert {name.rpartition(".")[2] for name in found.missing} == {"num_batches_tracked"}


@pytest.mark.parametrize(("given", "wanted"), [(10, 50), (10, 18), (18, 10), (34, 18), (50, 10)])
def test_another_depth_is_refused(given, wanted):
    """Too few layers, too many, or others of the same name: never half a network."""
    before = untrained_backbone(wanted, seed=0)
    kept = {name: tensor.clone() for name, tensor in before.state_dict().items()}
    with pytest.raises(
        BundleError, match=r"^weights x\.pth: wanted those of this backbone, matched .*set the depth"
    ) as e:
        load_given(untrained_backbone(given, seed=0).state_dict(), before, "x.pth")
    assert "\n" not in str(e.value)
    assert all(torch.equal(before.state_dict()[name], kept[name]) for name in kept), "a refused file changed weights"


def test_a_match_lists_every_difference(weights):
    """Missing, unexpected and wrong shapes are told apart, by name."""
    given = {name: tensor for name, tensor in weights.items() if name != "bn1.weight"}
    given |= {"extra": torch.zeros(1), "conv1.weight": torch.zeros(64, 3, 7, 7, 7)}
    found = match(given, untrained_backbone(10, seed=0))
    assert (found.missing, found.unexpected) == (("bn1.weight",), ("extra",))
    assert found.wrong_shape == ("conv1.weight: (64, 3, 7, 7, 7) instead of (64, 1, 7, 7, 7)",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_with_code_never_runs(zipped, capfd):
    """A file that holds more than tensors is refused in one line, and its code is not called."""
    data = saved({"state_dict": {}, "more": Hostile()}, _use_new_zipfile_serialization=zipped)
    with pytest.raises(BundleError, match="damaged or holds objects that would run code") as error:
        read_weights(data, "evil.pth")
    assert "\n" not in str(error.value)
    assert "harm" not in capfd.readouterr().out


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
@pytest.mark.parametrize("kind", ["zip", "pickle", "safetensors"])
def test_a_truncated_file_is_one_line(kind, share):
    """Wherever a file was cut off, the message is ours."""
    small = {f"layer{i}": torch.arange(1000.0) for i in range(20)}
    zipped = {"_use_new_zipfile_serialization": kind == "zip"}
    whole = safetensors.torch.save(small) if kind == "safetensors" else saved(small, **zipped)
    with pytest.raises(BundleError, match=r"^weights x: wanted ") as error:
        read_weights(whole[: int(share * len(whole))], "x")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(bad):
    """One NaN would make every score NaN."""
    with pytest.raises(BundleError, match=r"wanted finite numbers, layer1\.w has NaN or infinity"):
        read_weights(saved({"layer1.w": torch.tensor([1.0, bad])}), "x.pth")


@pytest.mark.parametrize("held", [{}, {"state_dict": {}}, {"epoch": 3}, torch.zeros(3), [torch.zeros(3)]])
def test_a_file_without_named_tensors_is_refused(held):
    """A lone tensor, a list or an optimiser's state are no weights."""
    with pytest.raises(BundleError, match="wanted tensors by name, found none"):
        read_weights(saved(held), "x.pth")
