"""Pictures that a trained network left beside its weights: heat-maps, their sanity check and the learning curve."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from gc_ray import sealed
from gc_ray.store import Store


@dataclass(frozen=True)
class Picture:
    """A finished PNG, its name in a report, and what it shows in words."""

    name: str
    title: str
    alt: str
    png: bytes

    @property
    def source(self) -> str:
        """The picture as an address that needs no network."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


def pictures_of(store: Store, models: list[str]) -> tuple[Picture, ...]:
    """The pictures of some models of the store, curves first; none where a model drew none."""
    found = []
    for model in models:
        folder = f"models/{model}"
        parts = [sealed.files_of(store, place) for place in (folder, f"{folder}/heatmaps")]
        digests = {name: digest for part in parts if part for name, digest in part.items()} or None
        for name in sorted(digests or [entry.key for entry in store.list(folder)]):
            shown = _shown(name.removeprefix(f"{folder}/"), model)
            if shown is not None:
                found.append(Picture(*shown, sealed.get_listed(store, name, digests)))
    return tuple(found)


def _shown(file: str, model: str) -> tuple[str, str, str] | None:
    """(name, title, what it shows) of a model's file; None when it is no picture of ours."""
    kind = model.partition("-")[0]
    if file == "curve.png":
        return f"learning-{kind}", f"Learning curve of the {kind}", "Loss in training and as watched, by epoch."
    if file == "heatmaps/sanity.png":
        alt = "Rank correlation of maps with those of a network made random stage by stage; it has to fall."
        return "heatmap-sanity", "Sanity check of the heat-maps", alt
    if file.startswith("heatmaps/map-"):
        number = file.removeprefix("heatmaps/map-").removesuffix(".png")
        alt = "CT slices of one volume of interest, and below them where the network's score comes from."
        return f"heatmap-{number}", f"Heat-map {int(number)}, highest score first", alt
    return None
