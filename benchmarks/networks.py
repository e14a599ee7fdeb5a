"""Networks: what is won by training on frozen outputs, and what Ray Train and Ray Data cost against a plain loop.

    make bench-networks               a few minutes on two cores, with a small ResNet and made-up volumes
    python benchmarks/networks.py --patients 12 --views 4 --tumours 64 --scans 320

Prints Markdown tables. Every process has one thread. Ratios mean something, seconds belong to the machine.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import tempfile
import time
from importlib import metadata
from pathlib import Path

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

import numpy as np
import torch

from gc_ray import ledger
from gc_ray.models.augment import view
from gc_ray.models.autoencoder import (
    EMBED_BATCH,
    Reconstruction,
    Tumours,
    autoencoder_network,
    encode,
    fitted_cube,
)
from gc_ray.models.backbone import ZERO_HU, features, untrained_backbone
from gc_ray.models.fit import FitSettings, Objective, fit
from gc_ray.models.head import HeadObjective
from gc_ray.models.model_folder import Model, write_model
from gc_ray.runtime.embed import AHEAD, Request, embed
from gc_ray.runtime.inputs import read_pair
from gc_ray.runtime.train import Place, Task, train
from gc_ray.store import Store, open_store
from gc_ray.study import AutoencoderSettings, HeadSettings, TrainSettings, load_study

TURNS = 3  # each is measured so often, one after the other: other work on the machine only ever adds
WARM = 2  # epochs or batches at the start that are not counted: first calls allocate and compile


class EveryEpoch(HeadObjective):
    """The same head on the same views, with the backbone run anew in every epoch."""

    def __init__(self, backbone, images: np.ndarray, objective_of: tuple) -> None:
        super().__init__(*objective_of)
        self._backbone, self._images = backbone, images

    def batch(self, items: np.ndarray, epoch: int) -> dict[str, torch.Tensor]:
        """The outputs of the views that the frozen loop reads, computed here and now."""
        seed, views = self._settings.seed, self._features.shape[1]
        drawn = np.random.default_rng([seed, epoch]).integers(views, size=self.size)[items]
        rows = self._fitted[items]
        seen = [view(self._images[r], seed, f"p{r}", int(k), ZERO_HU) for r, k in zip(rows, drawn, strict=True)]
        return super().batch(items, epoch) | {"features": torch.from_numpy(features(self._backbone, seen))}


def frozen_against_every_epoch(patients: int, views: int) -> None:
    """Frozen outputs: seconds an epoch, the time to compute them, and the epoch from which they pay."""
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (patients, 64, 112, 112)).astype(np.float32)
    backbone, settings = untrained_backbone(10, 0).eval(), HeadSettings(views=views)
    begin = time.perf_counter()
    seen = [view(images[p], 0, f"p{p}", k, ZERO_HU) for p in range(patients) for k in range(views)]
    outputs = torch.from_numpy(features(backbone, seen)).unflatten(0, (patients, views))
    embedding = time.perf_counter() - begin
    everyone, outcome = np.arange(patients), np.arange(patients) % 2
    of = (outputs, outcome, everyone, everyone, settings)
    frozen, frozen_losses = epochs(HeadObjective(*of), 40)
    anew, losses = epochs(EveryEpoch(backbone, images, of), 5)
    apart = max(abs(a - b) for a, b in zip(losses, frozen_losses, strict=False))
    print("| head training, ResNet10 | s an epoch |\n|---|---|")
    print(f"| on frozen outputs | {frozen:.4f} |\n| backbone run every epoch | {anew:.2f} |")
    print(f"\n{patients} patients, {views} views, largest difference of the {len(losses)} losses {apart:.1e}. "
          f"Ratio {anew / frozen:.0f}. Embedding took {embedding:.1f} s: it pays from epoch "
          f"{math.ceil(embedding / (anew - frozen))} of up to {settings.epochs}, and for every further fold.\n",
          flush=True)  # fmt: skip


def epochs(objective: Objective, number: int) -> tuple[float, list[float]]:
    """(least seconds an epoch, training losses) of a plain fit."""
    settings = FitSettings(128, 1e-4, 0.01, number, None, seed=0)
    ends = [time.perf_counter()]
    curve = fit(objective, settings, tell=lambda point: ends.append(time.perf_counter())).curve
    return min(np.diff(ends)[WARM:]), [point[1] for point in curve]


def made_up(number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A region of some 35 mm in noise, as extraction would store it."""
    rng = np.random.default_rng([seed, number])
    shape = (45, 48, 50)
    z, y, x = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in shape)]
    return rng.integers(-50, 150, shape, np.int16), (z**2 + y**2 + x**2 < 0.6).astype(np.uint8)


class Timed(Reconstruction):
    """The autoencoder's objective, which notes when each epoch ends."""

    notes: str

    def monitor(self, network) -> float:
        """The watched error, and a line with the time."""
        value = super().monitor(network)
        with Path(self.notes).open("a") as file:
            file.write(f"{time.time()}\n")
        return value


def ray_train_against_a_loop(tumours: int, number: int) -> None:
    """Seconds an epoch of the autoencoder: a plain loop, Ray Train with one rank and with two."""
    settings = AutoencoderSettings(input_voxels=32, latent=64, channels=32)
    cubes = [fitted_cube(*made_up(i, 1), settings.input_voxels) for i in range(tumours)]
    data = Tumours(np.array([f"p{i:04d}" for i in range(tumours)]), *map(np.stack, zip(*cubes, strict=True)))
    rows = np.arange(tumours)
    objective = Timed(data, rows, rows[:EMBED_BATCH], settings)
    fitting = FitSettings(16, 1e-3, 0.01, number, None, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        objective.notes = f"{folder}/plain"
        plain_loop(objective, fitting)
        for ranks in (1, 2):
            objective.notes = f"{folder}/{ranks}"
            task = Task("bench", {"ranks": ranks}, lambda fit: Model(fit("one", objective, fitting).weights, {}))
            place = Place(open_store(f"{folder}/store"), TrainSettings(workers=ranks, checkpoint_every=number))
            train(task, place, lambda *news: None, f"bench-{ranks}")
        took = {n: between(Path(folder, n)) for n in ("plain", "1", "2")}
    print("| autoencoder, 32 voxels | s an epoch, the fastest | throughput against the loop |\n|---|---|---|")
    print(f"| plain PyTorch loop, one process | {took['plain']:.2f} | 1.00 |")
    for ranks in ("1", "2"):
        print(f"| Ray Train, {ranks} rank(s) | {took[ranks]:.2f} | {took['plain'] / took[ranks]:.2f} |")
    print(flush=True)


def plain_loop(objective: Objective, settings: FitSettings) -> None:
    """What a person would write: an order, batches, a step."""
    torch.set_num_threads(1)
    network = objective.network(settings.seed)
    optimiser = torch.optim.AdamW(network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    for epoch in range(1, settings.epochs + 1):
        order = np.random.default_rng(epoch).permutation(objective.size)
        network.train()
        for start in range(0, objective.size, settings.batch):
            loss = objective.loss(network, objective.batch(order[start : start + settings.batch], epoch))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        network.eval()
        objective.monitor(network)


def between(notes: Path) -> float:
    """Least seconds from one note to the next, the first ones left out: other work on the machine only ever adds."""
    return min(np.diff([float(line) for line in notes.read_text().split()])[WARM:])


def embed_against_a_loop(scans: int) -> None:
    """Scans a second: a loop that reads and encodes, and ``embed``, which commits each scan too; the best turn."""
    settings = AutoencoderSettings()
    rates: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(folder)
        rows = [put(store, i) for i in range(scans)]
        model = a_model(settings)
        for turn in range(TURNS):
            rates.setdefault("plain PyTorch loop", []).append(read_and_encoded(store, rows, model))
            for workers in (0, 1, 2):
                rate = embedded(store, kept(store, model, turn, workers), workers)
                rates.setdefault(f"embed, {workers or 'no'} actor(s)", []).append(rate)
    print("| autoencoder, 48 voxels, 512 numbers | scans a second, the fastest | against the loop |\n|---|---|---|")
    loop = max(rates["plain PyTorch loop"])
    for name, found in rates.items():
        print(f"| {name} | {max(found):.1f} | {max(found) / loop:.2f} |")
    print(flush=True)


def read_and_encoded(store: Store, rows: list[dict], model: Model) -> float:
    """Scans a second of what a person would write."""
    network = autoencoder_network(model.weights)
    torch.set_num_threads(1)
    ends = []
    for start in range(0, len(rows), EMBED_BATCH):
        encode(network, [read_pair(store, row) for row in rows[start : start + EMBED_BATCH]])
        ends.append(time.perf_counter())
    return (len(ends) - WARM) * EMBED_BATCH / (ends[-1] - ends[WARM - 1])


def embedded(store: Store, model: str, workers: int) -> float:
    """Scans a second of ``embed`` once it runs."""
    ends: list[float] = []
    study = load_study(None, (f"embed.workers={workers}",))
    watch = lambda totals: lambda site, status: ends.append(time.perf_counter())  # noqa: E731
    embed(Request(model, study, store), watch, f"bench-{workers}", time.perf_counter)
    skip = AHEAD * EMBED_BATCH * max(workers, 1)  # the first task of each process
    return (len(ends) - skip) / (ends[-1] - ends[skip - 1])


def a_model(settings: AutoencoderSettings) -> Model:
    """An autoencoder with fresh weights."""
    cubes = [fitted_cube(*made_up(i, 2), settings.input_voxels) for i in range(2)]
    data = Tumours(np.array(["a", "b"]), *map(np.stack, zip(*cubes, strict=True)))
    return Model(Reconstruction(data, np.arange(2), np.arange(2), settings).network(0).state_dict(), {})


def kept(store: Store, model: Model, turn: int, workers: int) -> str:
    """The same model under another name, so that every scan is embedded again."""
    name = f"autoencoder-{turn}-{workers}"
    write_model(store, name, model, {"kind": "autoencoder", "identity": {"settings": {"recipe": "guo2025"}}})
    return name


def put(store: Store, number: int) -> dict:
    """Commit one made-up network input; its ledger row."""
    ct_hu, mask = made_up(number, 3)
    whose = {"patient_id": f"p{number:04d}", "site": "a", "generation": 1}
    key = {"scan_id": f"s{number:04d}", "reader": "R1", "repeat": 0, "roi": ""}
    volume = {
        **key, **whose, "recipe": "guo2025", "size": list(ct_hu.shape[::-1]), "spacing_mm": [1.0] * 3,
        "origin_mm": [0.0] * 3, "direction": [1.0, 0, 0, 0, 1, 0, 0, 0, 1], "ct_hu": ct_hu.astype("<i2").tobytes(),
        "mask": mask.tobytes(),
    }  # fmt: skip
    text = dict.fromkeys(("phase", "reason", "source_stamp", "source_sha256", "settings_hash", "code_version"), "")
    row = {
        **key, **whose, **text, "feature_set": "volumes/guo2025", "status": "ok", "stage": "done", "notes": [],
        "missing": "{}", "geometry": "{}", "mask_voxels": int(mask.sum()), "seconds": 0.0, "peak_mb": 0.0,
        "object": ledger.stage_volume(store, volume, "bench"),
    }  # fmt: skip
    ledger.commit(store, row)
    return row


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, number in (("patients", 12), ("views", 4), ("tumours", 64), ("epochs", 12), ("scans", 320)):
        parser.add_argument(f"--{name}", type=int, default=number)
    options = parser.parse_args()
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "monai", "ray"))
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}\n")
    frozen_against_every_epoch(options.patients, options.views)
    ray_train_against_a_loop(options.tumours, options.epochs)
    embed_against_a_loop(options.scans)


if __name__ == "__main__":
    main()
