"""Grad-CAM: equal to its closed form, points at what the score depends on, and changes when the weights do."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from gc_ray.models.backbone import untrained_backbone
from gc_ray.models.heatmap import CASCADE, MAX_SIMILARITY, Score, grad_cam, map_changed, sanity_check

SHAPE = (8, 24, 24)


class SmallBackbone(nn.Module):
    """The stages of a ResNet by name, a few channels wide, with a quarter of the input's resolution in plane."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(1, 8, 3, padding=1, stride=(1, 2, 2))
        self.bn1 = nn.BatchNorm3d(8)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            nn.Sequential(nn.Conv3d(8, 8, 3, padding=1, stride=stride), nn.ReLU()) for stride in (1, (1, 2, 2), 1, 1)
        )

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        return self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean(dim=(2, 3, 4))


def blobs(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(images, outcome, blob masks): noise, and in every second image a bright ball somewhere."""
    rng = np.random.default_rng(seed)
    place = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1)
    images = rng.normal(0, 0.2, (count, *SHAPE)).astype(np.float32)
    outcome = np.arange(count) % 2
    centres = np.stack([rng.integers(3, n - 3, count) for n in SHAPE], -1)
    balls = ((place[None] - centres[:, None, None, None]) ** 2).sum(-1) <= 9
    images += np.where(outcome[:, None, None, None] * balls, 1.0, 0.0).astype(np.float32)
    return images, outcome, balls


@pytest.fixture(scope="module")
def trained() -> Score:
    """A score that was trained to tell images with a blob from those without."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        score = Score(SmallBackbone(), nn.Linear(8, 1))
    optimiser = torch.optim.AdamW(score.parameters(), lr=1e-2)
    for step in range(60):
        images, outcome, _ = blobs(16, step)
        logits = score(torch.from_numpy(images)[:, None])
        loss = nn.functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(outcome).float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.2, "the score did not learn"
    return score.eval()


def test_a_linear_head_on_the_last_stage_gives_the_class_activation_map():
    """Grad-CAM generalises CAM (Selvaraju 2017, 3.1): there it is the channels' weighted sum, cut off at 0."""
    torch.manual_seed(1)
    score = Score(SmallBackbone(), nn.Linear(8, 1)).eval()
    image = blobs(2, 0)[0][1]
    with torch.no_grad():
        volume = torch.from_numpy(image)[None, None]
        backbone = score.backbone
        stem = torch.relu(backbone.bn1(backbone.conv1(volume)))
        channels = backbone.layer4(backbone.layer3(backbone.layer2(backbone.layer1(stem))))
        cam = (score.head.weight[0][:, None, None, None] * channels[0]).sum(0).clamp(min=0)
        wanted = nn.functional.interpolate((cam / cam.max())[None, None], size=SHAPE, mode="trilinear")[0, 0]
    assert cam.max() > 0
    assert np.allclose(grad_cam(score, image, "layer4"), wanted.numpy(), atol=1e-5)


def test_the_map_points_at_what_raises_the_score(trained):
    """On images it was not trained on, the hottest place lies in the blob or beside it, and the blob is hotter."""
    images, outcome, balls = blobs(24, 1000)
    near, ratio = [], []
    for image, ball in zip(images[outcome == 1], balls[outcome == 1], strict=True):
        heat = grad_cam(trained, image)
        hottest = np.array(np.unravel_index(heat.argmax(), SHAPE))
        near.append(np.linalg.norm(np.argwhere(ball) - hottest, axis=1).min() <= 3)  # the map's own resolution is 4
        ratio.append(heat[ball].mean() / heat[~ball].mean())
    assert np.mean(near) >= 0.9
    assert np.median(ratio) > 3


def test_a_map_is_on_the_inputs_grid_between_0_and_1_and_repeats_itself(trained):
    """float32, the same bits when asked again; the network is left as it was, with no hook on it."""
    image = blobs(2, 5)[0][1]
    before = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    heat = grad_cam(trained, image)
    assert (heat.shape, heat.dtype) == (SHAPE, np.float32)
    assert 0 <= heat.min() < heat.max() <= 1
    assert np.array_equal(heat, grad_cam(trained, image))
    assert all(torch.equal(before[name], tensor) for name, tensor in trained.state_dict().items())
    assert not trained.backbone.layer3._forward_hooks


def test_a_score_that_nothing_raises_has_an_empty_map(trained):
    """All zeros, and no division by them."""
    flat = Score(trained.backbone, nn.Linear(8, 1))
    nn.init.zeros_(flat.head.weight)
    assert not grad_cam(flat, blobs(2, 0)[0][1]).any()


def test_frozen_weights_still_have_a_map(trained):
    """The backbone is frozen in every study."""
    image = blobs(2, 5)[0][1]
    wanted = grad_cam(trained, image)
    for parameter in trained.parameters():
        parameter.requires_grad_(False)
    assert np.array_equal(grad_cam(trained, image), wanted)


def test_a_mirrored_image_has_a_mirrored_map(trained):
    """The hottest place moves with the blob."""
    image, ball = (found[1] for found in (blobs(2, 7)[0], blobs(2, 7)[2]))
    heat = grad_cam(trained, np.ascontiguousarray(image[:, :, ::-1]))
    assert heat[ball[:, :, ::-1]].mean() > 2 * heat[~ball[:, :, ::-1]].mean()


def test_maps_change_when_weights_are_made_random(trained):
    """The check of Adebayo et al. 2018 passes for a trained network, repeats itself, and leaves the network alone."""
    images = blobs(16, 2000)[0][1::2]
    before = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    check = sanity_check(trained, images, seed=0)
    assert list(dict.fromkeys(check["stage"])) == list(CASCADE)
    assert len(check) == len(CASCADE) * len(images)
    assert map_changed(check)
    assert check["similarity"].between(-1, 1).all()
    pd.testing.assert_frame_equal(check, sanity_check(trained, images, seed=0))
    assert all(torch.equal(before[name], tensor) for name, tensor in trained.state_dict().items())


def test_a_map_that_shows_the_image_alone_is_caught():
    """A network whose weights are all alike has none to make random: its map is the image, and the check fails."""
    backbone = SmallBackbone()
    for parameter in backbone.parameters():
        nn.init.constant_(parameter, 0.05)  # SD 0: the fresh weights are the old ones
    head = nn.Linear(8, 1)
    nn.init.constant_(head.weight, 1.0)
    check = sanity_check(Score(backbone, head).eval(), blobs(4, 0)[0], seed=0)
    assert check["similarity"].min() > 0.99
    assert not map_changed(check)


def test_a_check_without_any_map_proves_nothing():
    """Where no image had a map that varies, the verdict is no."""
    nothing = pd.DataFrame({"stage": list(CASCADE), "image": 0, "similarity": np.nan})
    assert not map_changed(nothing)
    assert map_changed(nothing.assign(similarity=MAX_SIMILARITY - 0.1))


def test_the_stages_of_the_cascade_are_those_of_the_backbone():
    """Names are the ResNet's own: each of its weights is made random by one of them."""
    network = untrained_backbone(10, seed=0)
    assert {name.partition(".")[0] for name, _ in network.named_parameters()} == set(CASCADE) - {"head"}
    heat = grad_cam(
        Score(network, nn.Linear(512, 1)).eval(), np.random.default_rng(0).normal(size=(16, 32, 32)).astype("f")
    )
    assert heat.shape == (16, 32, 32)
