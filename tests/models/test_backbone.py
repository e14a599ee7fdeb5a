"""The backbone: MedicalNet's make, inputs as the paper has them, features without companions, and the source task."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from gc_ray.errors import BundleError, TableError
from gc_ray.models.backbone import (
    EMBED_BATCH,
    INPUT_SHAPE,
    ZERO_HU,
    SourcePatients,
    SourceTask,
    backbone_input,
    backbone_network,
    backbone_program,
    features,
    untrained_backbone,
    width_of,
)
from gc_ray.models.fit import fit
from gc_ray.study import BackboneSettings

SMALL = (16, 32, 32)  # the network takes any size; tests take little time


def settings(**changes) -> BackboneSettings:
    """A small backbone."""
    return BackboneSettings(**{"depth": 10, "batch": 6, "epochs": 2, "learning_rate": 1e-3, **changes})


def patients(count: int, seed: int = 0) -> SourcePatients:
    """Volumes whose texture is coarse for label 1 and fine for label 0, of equal mean and contrast."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    volumes = []
    for label in labels:
        step = 4 if label else 1
        field = rng.standard_normal([n // step for n in SMALL]).astype(np.float32)
        volumes.append(np.clip(0.3 * np.kron(field, np.ones((step,) * 3, np.float32)), -1, 1))
    return SourcePatients(np.array([f"S{i:03d}" for i in range(count)]), volumes, labels)


def test_the_input_is_the_papers():
    """64 x 112 x 112; -115 HU and less are -1, 235 HU and more are 1, the middle is 0; other shapes are refused."""
    ct_hu = np.full(INPUT_SHAPE, 60, np.int16)
    ct_hu[0, 0, :5] = (-1000, -115, 235, 3000, 0)
    image = backbone_input(ct_hu)
    assert image.dtype == np.float32
    assert image[0, 0, :4].tolist() == [-1, -1, 1, 1]
    assert image[0, 0, 4] == pytest.approx(ZERO_HU) == pytest.approx(2 * 115 / 350 - 1)
    assert image[1, 1, 1] == pytest.approx(0)
    with pytest.raises(TableError, match=r"wants volumes of \(64, 112, 112\) \(z, y, x\), got \(64, 112, 111\)"):
        backbone_input(ct_hu[:, :, 1:])


@pytest.mark.parametrize(
    ("depth", "width", "millions"), [(10, 512, 14.4), (18, 512, 33.2), (34, 512, 63.5), (50, 2048, 46.2)]
)
def test_each_depth_has_the_published_size_and_comes_back_from_its_weights(depth, width, millions):
    """Widths and numbers of weights of the published networks (MedicalNet, Table 1: 14.36, 32.99, 63.31, 46.21 M)."""
    network = untrained_backbone(depth, seed=0)
    assert width_of(network) == width
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.35)
    again = backbone_network(network.state_dict())
    assert all(
        torch.equal(a, b) for a, b in zip(network.state_dict().values(), again.state_dict().values(), strict=True)
    )


def test_fresh_weights_follow_the_seed_and_leave_torchs_own_random_numbers_alone():
    """The same seed gives the same network; nothing else that is random moves."""
    torch.manual_seed(3)
    before = torch.get_rng_state()
    one, same, other = (untrained_backbone(10, seed) for seed in (1, 1, 2))
    assert torch.equal(one.conv1.weight, same.conv1.weight)
    assert not torch.equal(one.conv1.weight, other.conv1.weight)
    assert torch.equal(torch.get_rng_state(), before)


def test_features_are_bit_equal_whatever_else_is_embedded():
    """Alone, or at any place of any number of volumes: the same bits."""
    network = untrained_backbone(10, seed=0).eval()
    rng = np.random.default_rng(0)
    volumes = [rng.uniform(-1, 1, SMALL).astype(np.float32) for _ in range(EMBED_BATCH + 2)]
    alone = features(network, volumes[:1])[0]
    assert alone.shape == (512,)
    for size in range(2, EMBED_BATCH + 3):
        for place in range(size):
            moved = [*volumes[1 : place + 1], volumes[0], *volumes[place + 1 : size]]
            assert np.array_equal(features(network, moved)[place], alone), f"place {place} of {size}"
    assert features(network, []).shape == (0, 512)


def test_features_change_no_statistics():
    """A frozen network stays as it is, batch normalisation included."""
    network = untrained_backbone(10, seed=0).eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    features(network, [np.ones(SMALL, np.float32)])
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_other_weights_are_no_backbone():
    """An autoencoder's, a head's, half a network's."""
    half = {k: v for k, v in untrained_backbone(10, 0).state_dict().items() if not k.startswith("layer4")}
    for weights in ({}, {"to_latent.weight": torch.zeros(2)}, half):
        with pytest.raises(BundleError, match="wanted the weights of a backbone"):
            backbone_network(weights)


def test_a_rare_label_counts_as_much_as_a_frequent_one():
    """Logits that know nothing cost log 2 whatever the balance, and either label has half of the weight."""
    few = patients(12)
    unequal = SourcePatients(few.patient_ids, few.volumes, np.array([1] * 3 + [0] * 9))
    task = SourceTask(unequal, np.arange(12), np.arange(12), settings())
    network = task.network(0)
    torch.nn.init.zeros_(network.fc.weight)
    torch.nn.init.zeros_(network.fc.bias)
    assert task.monitor(network.eval()) == pytest.approx(np.log(2), rel=1e-6)
    of_rare, of_frequent = (
        SourceTask(unequal, np.arange(12), rows, settings()).monitor(network) * len(rows)
        for rows in (np.arange(3), np.arange(3, 12))
    )
    assert of_rare == pytest.approx(of_frequent, rel=1e-6)


def test_a_patients_view_depends_on_patient_and_epoch_alone():
    """The same view in any batch; another one in the next epoch."""
    task = SourceTask(patients(6), np.arange(6), np.array([0]), settings())
    alone, among = task.batch(np.array([2]), 1), task.batch(np.array([5, 2]), 1)
    assert torch.equal(alone["volumes"][0], among["volumes"][1])
    assert alone["volumes"].shape == (1, 1, *SMALL)
    assert not torch.equal(alone["volumes"], task.batch(np.array([2]), 2)["volumes"])


def test_training_and_evaluation_are_one_network():
    """Neither the mode nor who else is in a batch changes a logit: batch normalisation holds its statistics."""
    few = patients(8)
    network = SourceTask(few, np.arange(8), np.arange(8), settings()).network(0)
    volumes = torch.from_numpy(np.stack(few.volumes))[:, None]
    statistics = network.backbone.bn1.running_mean.clone()
    with torch.no_grad():
        wanted = network.eval()(volumes)
        assert torch.equal(network.train()(volumes), wanted)
        assert torch.allclose(network(volumes[:3]), wanted[:3], rtol=1e-4, atol=1e-4)
    assert torch.equal(network.backbone.bn1.running_mean, statistics)
    assert wanted.std() < 10, "fresh weights with these statistics give logits of ordinary size"


def test_the_source_task_is_learnt_and_its_features_tell_the_labels_apart():
    """Texture alone differs; a few epochs tell watched patients apart, and frozen features those never seen."""
    how = settings(epochs=8, learning_rate=1e-4)
    result = backbone_program(lambda name, task, fit_settings: fit(task, fit_settings), patients(30), how)
    assert result.balanced_accuracy >= 0.8
    assert result.labels == ("0", "1")
    assert len(result.watched_ids) == 6
    assert result.weights.keys() == untrained_backbone(10, 0).state_dict().keys()
    new = patients(20, seed=9)
    values = features(backbone_network(result.weights), new.volumes)
    projected = values @ (values[new.labels == 1].mean(0) - values[new.labels == 0].mean(0))
    assert roc_auc_score(new.labels, projected) > 0.95


@pytest.mark.parametrize(
    ("ids", "labels", "message"),
    [
        ([], [], "got no patient"),
        (["S1", "S2"], [1, 1], "two labels or more of two source patients or more each, got 1: 2"),
        (["S1", "S2", "S3"], [0, 0, 1], "got 0: 2, 1: 1; merge labels or add patients"),
        (["S1", "S1", "S2", "S3"], [0, 0, 1, 1], "patient S1: wanted one volume, got 2"),
    ],
)
def test_a_source_task_that_cannot_be_learnt_is_refused(ids, labels, message):
    """No patients, one label, a label with one patient, a patient twice."""
    few = SourcePatients(np.array(ids, str), [np.zeros(SMALL, np.float32)] * len(ids), np.array(labels, int))
    with pytest.raises(TableError, match=message):
        backbone_program(lambda *_: pytest.fail("fitted"), few, settings())
