"""The 3D ResNet: its input, its frozen features, and the source task on which it is trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from monai.networks.nets.resnet import ResNet
from torch import Tensor, nn

from gc_ray.errors import BundleError, TableError
from gc_ray.imaging.intensity import scale_to_unit
from gc_ray.models.augment import view
from gc_ray.models.fit import Fit, Fitted, Weights, fit_settings
from gc_ray.study import BackboneSettings

WINDOW_HU = (-115.0, 235.0)  # Cao et al., Data preparation
INPUT_SHAPE = (64, 112, 112)  # z, y, x of the recipe cao2024; the depth is assumed
ZERO_HU = float(scale_to_unit(np.zeros(1), *WINDOW_HU)[0])  # what 0 HU is in the input
EMBED_BATCH = 4  # volumes a forward pass, the last one padded: features may not depend on who else is there
WATCH = 1  # what a seed is drawn for, beside items and epochs: who is watched
CALIBRATED_ON = 64  # volumes that settle the statistics of batch normalisation; each has 32 positions or more a map
CHANNELS = [64, 128, 256, 512]  # of the four stages, before the expansion of a bottleneck

# depth: (block, blocks a stage, shortcut, bias in the shortcut): as MedicalNet's weights have them (Chen et al. 2019)
SHAPES = {
    10: ("basic", [1, 1, 1, 1], "B", False),
    18: ("basic", [2, 2, 2, 2], "A", True),
    34: ("basic", [3, 4, 6, 3], "A", True),
    50: ("bottleneck", [3, 4, 6, 3], "B", False),
}


def backbone_input(ct_hu: np.ndarray) -> np.ndarray:
    """float32 (64, 112, 112) in [-1, 1], of a stored volume of the recipe cao2024 in HU; its surroundings are kept.

    TableError when the volume has another shape.
    """
    if ct_hu.shape != INPUT_SHAPE:
        raise TableError(f"the backbone wants volumes of {INPUT_SHAPE} (z, y, x), got {ct_hu.shape}; extract cao2024")
    return scale_to_unit(ct_hu, *WINDOW_HU)


def untrained_backbone(depth: int, seed: int) -> ResNet:
    """A 3D ResNet of 10, 18, 34 or 50 layers with fresh weights: (N, 1, D, H, W) to features (N, 512), 2048 for 50.

    Names and shapes are MedicalNet's. MONAI halves the map before stages 3 and 4 where MedicalNet dilates.
    Source: He et al. 2016; Hara et al. 2018; MONAI's ``ResNet``.
    """
    block, blocks, shortcut, bias = SHAPES[depth]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ResNet(
            block=block,
            layers=blocks,
            block_inplanes=CHANNELS,
            n_input_channels=1,
            conv1_t_stride=2,
            shortcut_type=shortcut,
            bias_downsample=bias,
            feed_forward=False,
        )


def backbone_network(weights: Weights) -> ResNet:
    """The backbone with these weights, in evaluation mode. BundleError when they are not those of one."""
    stages = {name.split(".")[1] for name in weights if name.startswith("layer1.")}
    deep = "layer1.0.conv3.weight" in weights
    depth = 50 if deep else {1: 10, 2: 18, 3: 34}.get(len(stages))
    try:
        network = untrained_backbone(depth, seed=0)
        network.load_state_dict(weights)
    except (KeyError, RuntimeError) as error:
        raise BundleError(f"wanted the weights of a backbone, got {sorted(weights)[:5]}; name a backbone") from error
    return network.eval()


def width_of(network: ResNet) -> int:
    """How many features the backbone gives."""
    return network.in_planes


@torch.inference_mode()
def features(network: ResNet, inputs: Sequence[np.ndarray]) -> np.ndarray:
    """Features, float32 (n, width), of inputs (64, 112, 112) as ``backbone_input`` gives them.

    The network must be in evaluation mode: batch normalisation then uses its stored statistics and every volume
    stands alone. Batches are padded to ``EMBED_BATCH``, so that with the same threads and device the features are
    the same bit for bit whoever else is embedded.
    """
    rows = [network(batch)[:n].float().cpu().numpy() for batch, n in _padded(network, inputs)]
    return np.concatenate(rows) if rows else np.zeros((0, width_of(network)), np.float32)


def _padded(network: nn.Module, inputs: Sequence[np.ndarray]) -> Iterator[tuple[Tensor, int]]:
    """(``EMBED_BATCH`` inputs (N, 1, D, H, W) on the network's device, how many are real)."""
    device = next(network.parameters()).device
    for start in range(0, len(inputs), EMBED_BATCH):
        part = [inputs[i] for i in range(start, min(start + EMBED_BATCH, len(inputs)))]
        batch = np.zeros((EMBED_BATCH, 1, *part[0].shape), np.float32)
        batch[: len(part), 0] = part
        yield torch.from_numpy(batch).to(device), len(part)


@torch.no_grad()
def _calibrate(backbone: ResNet, inputs: Sequence[np.ndarray]) -> None:
    """Set the statistics of batch normalisation to their mean over the inputs, in place."""
    norms = [module for module in backbone.modules() if isinstance(module, nn.BatchNorm3d)]
    for norm in norms:
        norm.momentum = None  # a plain mean over batches, not a running one
    backbone.train()
    for batch, n in _padded(backbone, inputs):
        backbone(batch[:n])
    backbone.eval()


class Classifier(nn.Module):
    """A backbone and a linear layer to one logit for each label.

    Batch normalisation keeps its stored statistics in training too. With the few volumes that fit into a batch it
    would otherwise train another network than the one that is evaluated and frozen.
    """

    def __init__(self, backbone: ResNet, labels: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.fc = nn.Linear(width_of(backbone), labels)

    def train(self, mode: bool = True) -> Classifier:
        """Training mode for all but the backbone's statistics."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, volumes: Tensor) -> Tensor:
        """Logits (N, labels) of volumes (N, 1, D, H, W)."""
        return self.fc(self.backbone(volumes))


@dataclass(frozen=True, eq=False)
class SourcePatients:
    """Patients of the source task, sorted by id.

    volumes: a sequence of inputs, float32 (z, y, x), as ``backbone_input`` gives them; it may read them when asked.
    labels: such as the tumour regression grade; any values that can be sorted.
    """

    patient_ids: np.ndarray
    volumes: Sequence[np.ndarray]
    labels: np.ndarray


class SourceTask:
    """The backbone on the labels of the patients ``fitted``, stopped by the patients ``watched``; both are rows.

    Cross-entropy, each label weighted so that all count the same. Every epoch shows each patient in another view; the
    watched ones are not augmented. Batch normalisation holds the statistics that fitted patients have under the first
    weights, so that neither the batch nor the number of ranks is part of the network.
    """

    def __init__(
        self, patients: SourcePatients, fitted: np.ndarray, watched: np.ndarray, settings: BackboneSettings
    ) -> None:
        self.size = len(fitted)
        self._patients, self._fitted, self._watched, self._settings = patients, fitted, watched, settings
        levels, codes = np.unique(patients.labels, return_inverse=True)
        self._codes = torch.from_numpy(codes)
        counts = np.bincount(codes[fitted], minlength=len(levels))
        self._weights = torch.from_numpy(self.size / (len(levels) * counts)).float()

    def network(self, seed: int) -> Classifier:
        """Fresh weights, and the statistics of batch normalisation that they give on fitted patients."""
        backbone = untrained_backbone(self._settings.depth, seed)
        _calibrate(backbone, _Rows(self._patients.volumes, self._fitted[:CALIBRATED_ON]))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return Classifier(backbone, len(self._weights))

    def batch(self, items: np.ndarray, epoch: int) -> dict[str, Tensor]:
        """Volumes (n, 1, D, H, W), each in the view of this epoch, and codes of their labels."""
        rows = self._fitted[items]
        names, volumes, seed = self._patients.patient_ids, self._patients.volumes, self._settings.seed
        views = [view(volumes[row], seed, str(names[row]), epoch, ZERO_HU) for row in rows]
        return {"volumes": torch.from_numpy(np.stack(views))[:, None], "labels": self._codes[torch.from_numpy(rows)]}

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Weighted cross-entropy; log of the number of labels is what guessing gives."""
        return self._losses(network(batch["volumes"]), batch["labels"]).mean()

    def monitor(self, network: nn.Module) -> float:
        """Weighted cross-entropy of the watched patients."""
        return float(self._losses(self.watched_logits(network), self._codes[torch.from_numpy(self._watched)]).mean())

    @torch.inference_mode()
    def watched_logits(self, network: nn.Module) -> Tensor:
        """Logits (watched, labels) of the watched patients as they are, in CPU memory."""
        chosen = _Rows(self._patients.volumes, self._watched)
        return torch.cat([network(batch)[:n].float().cpu() for batch, n in _padded(network, chosen)])

    def _losses(self, logits: Tensor, codes: Tensor) -> Tensor:
        weights = self._weights.to(logits.device)[codes]
        return nn.functional.cross_entropy(logits.float(), codes, reduction="none") * weights


@dataclass(frozen=True, eq=False)
class _Rows(Sequence):
    """Some rows of a sequence, read when asked for."""

    volumes: Sequence[np.ndarray]
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.volumes[int(self.rows[index])]


@dataclass(frozen=True, eq=False)
class BackboneResult:
    """A trained backbone.

    weights: without the layer to the labels. fitted: how fitting went. labels: in the order of their codes.
    watched_ids: who stopped it. balanced_accuracy: mean share of each label that is found, of the watched patients;
    1 over the number of labels is what guessing gives.
    """

    weights: Weights
    fitted: Fitted
    labels: tuple[str, ...]
    watched_ids: tuple[str, ...]
    balanced_accuracy: float


def backbone_program(fit: Fit, patients: SourcePatients, settings: BackboneSettings) -> BackboneResult:
    """The backbone of a study, trained on the source task and stopped by some of its patients.

    TableError when a patient occurs twice, or there are fewer than two labels or two patients of a label.
    Source: Cao et al., Int J Surg 2024, Construction of the deep learning fusion signature.
    """
    watched = _watched(patients, settings)
    objective = SourceTask(patients, np.flatnonzero(~watched), np.flatnonzero(watched), settings)
    fitted = fit("backbone", objective, fit_settings(settings))
    network = objective.network(settings.seed)
    network.load_state_dict(fitted.weights)
    found = objective.watched_logits(network.eval()).argmax(1).numpy()
    levels, codes = np.unique(patients.labels, return_inverse=True)
    shares = [float((found == codes[watched])[codes[watched] == k].mean()) for k in range(len(levels))]
    inner = {n.removeprefix("backbone."): w for n, w in fitted.weights.items() if n.startswith("backbone.")}
    ids = tuple(map(str, patients.patient_ids[watched]))
    return BackboneResult(inner, fitted, tuple(map(str, levels)), ids, float(np.mean(shares)))


def _watched(patients: SourcePatients, settings: BackboneSettings) -> np.ndarray:
    """Which patients are watched and not fitted: bool (patients), the same share of each label, at least one."""
    names, counts = np.unique(patients.patient_ids, return_counts=True)
    if len(names) and counts.max() > 1:
        doubled = names[counts.argmax()]
        raise TableError(f"backbone: patient {doubled}: wanted one volume, got {counts.max()}; keep one")
    levels, sizes = np.unique(patients.labels, return_counts=True)
    if len(levels) < 2 or sizes.min() < 2:
        found = ", ".join(f"{level}: {size}" for level, size in zip(levels, sizes, strict=True)) or "no patient"
        raise TableError(
            f"backbone: wanted two labels or more of two source patients or more each, got {found}; "
            "merge labels or add patients"
        )
    rng = np.random.default_rng([settings.seed, WATCH])
    watched = np.zeros(len(patients.labels), bool)
    for level, size in zip(levels, sizes, strict=True):
        number = min(max(round(settings.inner_share * size), 1), size - 1)
        watched[rng.permutation(np.flatnonzero(patients.labels == level))[:number]] = True
    return watched
