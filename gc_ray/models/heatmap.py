"""Where a score comes from: Grad-CAM over the volume of interest, and the check that it depends on the weights."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata
from torch import Tensor, nn

# Stage 3 of the ResNet: 4 x 7 x 7 places in an input of 64 x 112 x 112. Stage 4 has 2 x 4 x 4, too few to point.
CAM_LAYER = "layer3"
# From the output to the input: what the cascade makes random, one after the other (Adebayo et al. 2018, 4.1).
CASCADE = ("head", "layer4", "layer3", "layer2", "layer1", "bn1", "conv1")
MAX_SIMILARITY = 0.5  # mean rank correlation with the map of random weights above which a map shows the image alone


class Score(nn.Module):
    """The score of an input as one network: the frozen backbone, then the head; (N, 1, D, H, W) to logits (N)."""

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, volumes: Tensor) -> Tensor:
        """Logits (N); higher is a higher risk."""
        return self.head(self.backbone(volumes)).reshape(len(volumes))


def grad_cam(score: Score, image: np.ndarray, layer: str = CAM_LAYER) -> np.ndarray:
    """How much each place raises the score: float32 on the input's grid (z, y, x), 0 to 1, 1 where it is most.

    image: one input (z, y, x), as the backbone takes it. layer: the stage of the backbone whose map is weighed. All 0
    where no place raises the score. The map has the layer's resolution and is interpolated linearly.
    Source: Selvaraju et al., ICCV 2017, equations 1 and 2.
    """
    coarse = _coarse_map(score, image, layer)
    fine = nn.functional.interpolate(coarse[None, None], size=image.shape, mode="trilinear")[0, 0]
    return (fine / coarse.max().clamp(min=torch.finfo(torch.float32).tiny)).clamp(0, 1).cpu().numpy()


def _coarse_map(score: Score, image: np.ndarray, layer: str) -> Tensor:
    """The sum of the layer's channels, each weighed by its mean gradient; what lowers the score is cut off."""
    kept: list[Tensor] = []
    score.eval()
    hook = score.backbone.get_submodule(layer).register_forward_hook(
        lambda module, given, output: kept.append(output)
    )
    try:
        device = next(score.parameters()).device
        with torch.enable_grad():
            # the input asks for gradients, so that a map exists even where all weights are frozen
            volume = torch.from_numpy(np.array(image, np.float32))[None, None].to(device).requires_grad_()
            (gradient,) = torch.autograd.grad(score(volume).sum(), kept)
    finally:
        hook.remove()
    weights = gradient.mean(dim=(2, 3, 4), keepdim=True)
    return (weights * kept[0].detach()).sum(dim=1)[0].clamp(min=0)


def sanity_check(score: Score, images: Sequence[np.ndarray], seed: int, layer: str = CAM_LAYER) -> pd.DataFrame:
    """How alike maps stay as the network is made random from its output to its input.

    One row for each step and image: stage (made random in this step, all later ones before), image (its number),
    similarity (Spearman's rank correlation of the layer's maps, not interpolated; NaN where the map of the trained
    network is constant, 0 where only the later one is).
    Source: Adebayo et al., NeurIPS 2018, 4.1, cascading randomisation; a stage's new weights are drawn with the mean
    and SD of the old ones, so that signals keep their size.
    """
    before = [_coarse_map(score, image, layer) for image in images]
    randomised = copy.deepcopy(score)
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for stage in CASCADE:
        _randomise(randomised.head if stage == "head" else randomised.backbone.get_submodule(stage), generator)
        after = [_coarse_map(randomised, image, layer) for image in images]
        rows += [(stage, i, _spearman(*maps)) for i, maps in enumerate(zip(before, after, strict=True))]
    return pd.DataFrame(rows, columns=["stage", "image", "similarity"])


def map_changed(check: pd.DataFrame) -> bool:
    """Whether maps depend on the weights: mean similarity with all weights random is at most ``MAX_SIMILARITY``.

    Where no image had a map that varies, nothing was shown: False.
    """
    return bool(check.loc[check["stage"] == CASCADE[-1], "similarity"].mean() <= MAX_SIMILARITY)


def _randomise(module: nn.Module, generator: torch.Generator) -> None:
    with torch.no_grad():
        for tensor in module.parameters():
            fresh = torch.randn(tensor.shape, generator=generator).to(tensor.device)
            tensor.copy_(tensor.mean() + tensor.std(correction=0) * fresh)


def _spearman(before: Tensor, after: Tensor) -> float:
    ranks = [rankdata(tensor.flatten().cpu().numpy()) for tensor in (before, after)]
    if ranks[0].std() == 0:
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1]) if ranks[1].std() > 0 else 0.0
