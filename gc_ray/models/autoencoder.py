"""The 3D autoencoder of the tumour: its input, its network, what it is fitted on, and the latent vector."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from gc_ray.errors import BundleError, MaskError, TableError
from gc_ray.imaging.intensity import scale_to_unit
from gc_ray.models.fit import Fit, Fitted, Weights, fit_settings
from gc_ray.study import AutoencoderSettings

# Guo et al. clip to [-1024, 1024] HU, then to the abdomen window of level 50 and width 350, which leaves just this.
WINDOW_HU = (-125.0, 225.0)
EMBED_BATCH = 8  # tumours a forward pass, the last one padded: a latent may not depend on who else is there
COARSEST = 6  # voxels along the side of the map that the latent is read from; the network halves until it is met
WATCH = 1  # what a seed is drawn for, beside items and epochs: who is watched

Pair = tuple[np.ndarray, np.ndarray]  # int16 HU and uint8 mask, z, y, x, on one grid of isotropic voxels


def fitted_cube(ct_hu: np.ndarray, mask: np.ndarray, side: int) -> Pair:
    """(image, region) of ``side`` voxels along z, y, x: float32 in [-1, 1], 0 outside the region, and bool.

    ct_hu, mask: the volume of interest and its region (z, y, x) with isotropic voxels. The region's box is centred.
    Where it is longer than the cube it is shrunk to fit, the same along all axes; it is never enlarged. Each voxel is
    the mean of the region's voxels under a trilinear kernel as wide as the shrinkage, so that nothing outside the
    region enters and fine texture is averaged, not aliased. Raises MaskError when the region is empty or of another
    shape than the image.
    """
    if ct_hu.shape != mask.shape or not mask.any():
        raise MaskError(
            f"the autoencoder wants a region with voxels on the grid of its image, got {np.count_nonzero(mask)} in "
            f"{mask.shape} on {ct_hu.shape}; extract this scan again"
        )
    box = tuple(_span(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3))
    inside = (mask[box] != 0).astype(np.float64)
    shrinkage = max(max(inside.shape) / side, 1.0)
    kernels = [_kernel(n, side, shrinkage) for n in inside.shape]
    share = _apply(kernels, inside)
    total = _apply(kernels, scale_to_unit(ct_hu[box], *WINDOW_HU) * inside)
    region = share >= min(0.5, share.max())  # a region thinner than a voxel keeps the voxels that hold most of it
    image = np.zeros(share.shape, np.float32)
    image[region] = total[region] / share[region]
    return image, region


def _span(hit: np.ndarray) -> slice:
    where = np.flatnonzero(hit)
    return slice(int(where[0]), int(where[-1]) + 1)


def _kernel(length: int, side: int, shrinkage: float) -> np.ndarray:
    """Weights (side, length) of one axis: triangles about each new voxel's place, of sum 1, or 0 beyond the ends."""
    # unshrunk voxels stay whole: half a voxel of shift would only blur
    first = -((side - length) // 2) if shrinkage == 1 else (length - 1) / 2 - (side - 1) / 2 * shrinkage
    places = first + np.arange(side) * shrinkage
    weights = np.maximum(1 - np.abs(places[:, None] - np.arange(length)) / shrinkage, 0)
    weights[(places < -0.5) | (places > length - 0.5)] = 0
    return weights / np.maximum(weights.sum(axis=1, keepdims=True), np.finfo(float).tiny)


def _apply(kernels: list[np.ndarray], array: np.ndarray) -> np.ndarray:
    for axis, kernel in enumerate(kernels):
        array = np.moveaxis(np.tensordot(kernel, array, (1, axis)), 0, axis)
    return array


class _Residual(nn.Module):
    """The input and what two convolutions add to it; nothing at first, so that depth does not slow the start."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(channels, channels, 3, padding=1)
        self.second = nn.Conv3d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor) -> Tensor:
        gelu = nn.functional.gelu
        return x + self.second(gelu(self.first(gelu(x))))


class Autoencoder(nn.Module):
    """A convolutional encoder to a linear bottleneck, and its mirror image.

    side: voxels of the input cube. latent: numbers in the bottleneck. channels: of the coarsest map; each finer one
    has half as many. No skip passes the bottleneck. No normalisation layer: it would take away the mean and the
    contrast of the tissue, which are what is to be encoded. Inputs are (N, D, H, W): images in [-1, 1] and regions.
    """

    def __init__(self, side: int, latent: int, channels: int) -> None:
        super().__init__()
        halvings = _halvings(side)
        self.side, self.coarse = side, side >> halvings
        widths = [2, *(max(channels >> (halvings - i), 1) for i in range(1, halvings + 1))]
        self.register_buffer("centre", torch.zeros(()))
        self.register_buffer("scale", torch.ones(()))
        down = [(nn.Conv3d(a, b, 2, 2), _Residual(b)) for a, b in pairwise(widths)]
        up = [(_Residual(a), nn.ConvTranspose3d(a, b, 2, 2)) for a, b in pairwise([*widths[:0:-1], 1])]
        self.encoder = nn.Sequential(*(layer for pair in down for layer in pair))
        self.to_latent = nn.Linear(channels * self.coarse**3, latent)
        self.from_latent = nn.Linear(latent, channels * self.coarse**3)
        self.decoder = nn.Sequential(*(layer for pair in up for layer in pair))

    def encode(self, images: Tensor, regions: Tensor) -> Tensor:
        """Latent vectors (N, latent); what the images show outside their regions has no influence."""
        inside = regions.to(images.dtype)
        seen = torch.stack([(images - self.centre) / self.scale * inside, inside], dim=1)
        return self.to_latent(self.encoder(seen).flatten(1))

    def decode(self, latents: Tensor) -> Tensor:
        """Images (N, D, H, W) of latent vectors."""
        coarse = self.from_latent(latents).unflatten(1, (-1, *(self.coarse,) * 3))
        return self.decoder(coarse)[:, 0].float() * self.scale + self.centre

    def forward(self, images: Tensor, regions: Tensor) -> Tensor:
        """The images as they are after the bottleneck."""
        return self.decode(self.encode(images, regions))


def _halvings(side: int) -> int:
    halvings = 0
    while side > COARSEST:
        if side % 2:
            raise ValueError(f"the side of the cube must come to {COARSEST} or less by halving, not to {side}")
        side, halvings = side // 2, halvings + 1
    return halvings


def squared_error(output: Tensor, images: Tensor, regions: Tensor) -> Tensor:
    """Mean squared error inside each region (N): every tumour counts the same, large or small."""
    wrong = (output - images) ** 2 * regions
    return wrong.flatten(1).sum(1) / regions.flatten(1).sum(1)


@dataclass(frozen=True, eq=False)
class Tumours:
    """One tumour of each patient of a training cohort, sorted by patient.

    patient_ids: (n). images, regions: (n, side, side, side) float32 and bool, from ``fitted_cube``.
    """

    patient_ids: np.ndarray
    images: np.ndarray
    regions: np.ndarray


class Reconstruction:
    """The autoencoder on the patients ``fitted``, stopped by the patients ``watched``; both are rows of ``tumours``.

    Loss and monitored value are the mean squared error inside the region over the variance of all fitted voxels: 1 is
    what the mean HU alone would reach. Every epoch turns and mirrors each cube anew, in one of its 48 symmetries.
    """

    def __init__(
        self, tumours: Tumours, fitted: np.ndarray, watched: np.ndarray, settings: AutoencoderSettings
    ) -> None:
        self.size = len(fitted)
        self._tumours, self._fitted, self._watched, self._settings = tumours, fitted, watched, settings
        voxels = np.concatenate([tumours.images[i][tumours.regions[i]] for i in fitted]).astype(np.float64)
        self._centre, self._scale = float(voxels.mean()), float(voxels.std()) or 1.0

    def network(self, seed: int) -> Autoencoder:
        """Fresh weights, and the mean and SD of the fitted voxels."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = Autoencoder(self._settings.input_voxels, self._settings.latent, self._settings.channels)
        network.centre.fill_(self._centre)
        network.scale.fill_(self._scale)
        return network

    def batch(self, items: np.ndarray, epoch: int) -> dict[str, Tensor]:
        """Cubes and regions (n, side, side, side), each turned as seed, epoch and item say."""
        turned = [self._turned(int(item), epoch) for item in items]
        images, regions = (np.stack(arrays) for arrays in zip(*turned, strict=True))
        return {"images": torch.from_numpy(images), "regions": torch.from_numpy(regions)}

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Share of the variance that is not reconstructed."""
        images, regions = batch["images"], batch["regions"]
        return squared_error(network(images, regions), images, regions).mean() / self._scale**2

    def monitor(self, network: nn.Module) -> float:
        """The same of the watched patients, as they are."""
        pairs = ((self._tumours.images[i], self._tumours.regions[i]) for i in self._watched)
        return reconstruction_error(network, list(pairs)) / self._scale**2

    def _turned(self, item: int, epoch: int) -> Pair:
        rng = np.random.default_rng([self._settings.seed, epoch, item])
        axes = rng.permutation(3)
        mirrored = tuple(slice(None, None, int(step)) for step in rng.choice((-1, 1), 3))
        row = self._fitted[item]
        return tuple(a[row].transpose(axes)[mirrored] for a in (self._tumours.images, self._tumours.regions))


@dataclass(frozen=True, eq=False)
class AutoencoderResult:
    """A fitted autoencoder: how fitting went (with the weights), who was watched, and the watched error in HU.

    error_hu: root of the mean squared error inside the region, of the watched patients; nothing else was watched.
    """

    fitted: Fitted
    watched_ids: tuple[str, ...]
    error_hu: float


def autoencoder_program(fit: Fit, tumours: Tumours, settings: AutoencoderSettings) -> AutoencoderResult:
    """The autoencoder of a study, fitted on its training cohort and stopped by some of those patients.

    TableError when the arrays do not fit together, a patient occurs twice, or there are fewer than two.
    Source: Guo et al., Front Oncol 2025, 2.3; the network's make is ours.
    """
    _check(tumours, settings.input_voxels)
    patients = len(tumours.patient_ids)
    order = np.random.default_rng([settings.seed, WATCH]).permutation(patients)
    number = min(max(round(settings.inner_share * patients), 1), patients - 1)
    watched, rest = np.sort(order[:number]), np.sort(order[number:])
    objective = Reconstruction(tumours, rest, watched, settings)
    result = fit("autoencoder", objective, fit_settings(settings))
    pairs = [(tumours.images[i], tumours.regions[i]) for i in watched]
    error = reconstruction_error(autoencoder_network(result.weights), pairs)
    half_width = (WINDOW_HU[1] - WINDOW_HU[0]) / 2  # HU that one unit of [-1, 1] stands for
    return AutoencoderResult(result, tuple(map(str, tumours.patient_ids[watched])), half_width * error**0.5)


def autoencoder_network(weights: Weights) -> Autoencoder:
    """The autoencoder with these weights, in evaluation mode. BundleError when they are not those of one."""
    try:
        latent, flat = weights["to_latent.weight"].shape
        halvings = sum(name.startswith("encoder.") and name.endswith(".second.bias") for name in weights)
        channels = len(weights[f"encoder.{2 * halvings - 1}.second.bias"])
        network = Autoencoder(round((flat / channels) ** (1 / 3)) << halvings, latent, channels)
        network.load_state_dict(weights)
    except (KeyError, RuntimeError, ValueError) as error:
        raise BundleError(
            f"wanted the weights of an autoencoder, got {sorted(weights)[:5]}; name an autoencoder model"
        ) from error
    return network.eval()


@torch.inference_mode()
def encode(network: Autoencoder, tumours: Sequence[Pair]) -> np.ndarray:
    """Latent vectors, float32 (n, latent), of (ct_hu, mask) pairs of any size, on the network's device.

    Batches are padded to ``EMBED_BATCH``, so that with the same threads and device a vector is the same bit for bit
    whoever else is encoded. Raises MaskError as ``fitted_cube``.
    """
    cubes = [fitted_cube(ct_hu, mask, network.side) for ct_hu, mask in tumours]
    rows = [network.encode(*inputs)[:n].float().cpu().numpy() for inputs, n in _padded(network, cubes)]
    return np.concatenate(rows) if rows else np.zeros((0, network.to_latent.out_features), np.float32)


@torch.inference_mode()
def reconstruction_error(network: Autoencoder, cubes: Sequence[Pair]) -> float:
    """Mean over tumours of the mean squared error inside the region, of (image, region) cubes in [-1, 1]."""
    errors = [squared_error(network(*inputs), *inputs)[:n].double().cpu() for inputs, n in _padded(network, cubes)]
    return float(torch.cat(errors).mean())


def _padded(network: Autoencoder, cubes: Sequence[Pair]) -> Iterator[tuple[tuple[Tensor, Tensor], int]]:
    """((images, regions) of ``EMBED_BATCH`` cubes on the network's device, how many are real)."""
    for start in range(0, len(cubes), EMBED_BATCH):
        part = cubes[start : start + EMBED_BATCH]
        shape = (EMBED_BATCH, *(network.side,) * 3)
        images, regions = np.zeros(shape, np.float32), np.zeros(shape, bool)
        for k, (image, region) in enumerate(part):
            images[k], regions[k] = image, region
        yield tuple(torch.from_numpy(a).to(network.centre.device) for a in (images, regions)), len(part)


def _check(tumours: Tumours, side: int) -> None:
    ids, shape = tumours.patient_ids, tumours.images.shape
    if shape != (len(ids), side, side, side) or tumours.regions.shape != shape or len(ids) < 2:
        raise TableError(
            f"autoencoder: wanted two patients or more with a cube of {side} voxels a side each, got {len(ids)} "
            f"patients, images {shape} and regions {tumours.regions.shape}; extract volumes/guo2025 first"
        )
    names, counts = np.unique(ids, return_counts=True)
    if counts.max() > 1:
        raise TableError(
            f"autoencoder: patient {names[counts.argmax()]}: wanted one tumour, got {counts.max()}; keep one"
        )
    if not np.isfinite(tumours.images).all() or not tumours.regions.any(axis=(1, 2, 3)).all():
        raise TableError("autoencoder: wanted finite images and no empty region; extract these scans again")
