"""A network of a study trained, with the pictures that go with it: its learning curve, and a head's heat-maps."""

from __future__ import annotations

from dataclasses import dataclass

from gc_ray import sealed
from gc_ray.models.model_folder import read_model
from gc_ray.report.curve import curve_png
from gc_ray.runtime.heatmaps import draw_heatmaps
from gc_ray.runtime.networks import TASKS
from gc_ray.runtime.train import Place, Tell, Watch, train
from gc_ray.store import Store
from gc_ray.study import Study


@dataclass(frozen=True)
class Trained:
    """A model's card. new: whether it was trained now. heatmaps: whether they depend on the weights, None without."""

    card: dict
    new: bool
    heatmaps: bool | None


def train_network(kind: str, store: Store, study: Study, tell: Tell, run: str, watch: Watch) -> Trained:
    """Train the study's autoencoder, backbone or head, and draw what is to be seen of it.

    tell, run, watch: as for ``train``. What is whole is left as it is. Errors as ``train``.
    """
    card, new = train(TASKS[kind](store, study), Place(store, study.train), tell, run, watch)
    name = card["model_id"]
    curve = read_model(store, name)[0].tables["curve"]
    if curve.num_rows:
        sealed.put_files(store, f"models/{name}", {"curve.png": curve_png(curve.to_pandas(), name)})
    return Trained(card, new, draw_heatmaps(store, study, name) if kind == "head" else None)
