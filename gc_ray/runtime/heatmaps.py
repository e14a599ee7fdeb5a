"""Heat-maps of a trained head: where its extreme scores come from, and whether that depends on its weights."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd

from gc_ray import sealed
from gc_ray.errors import DamagedError
from gc_ray.models.backbone import backbone_input, backbone_network
from gc_ray.models.head import head_network
from gc_ray.models.heatmap import Score, grad_cam, map_changed, sanity_check
from gc_ray.models.model_folder import read_model
from gc_ray.models.world import repeatable
from gc_ray.report.heatmap import heatmap_png, sanity_png
from gc_ray.runtime.inputs import patients_of, read_pair, volume_rows
from gc_ray.runtime.networks import COHORTS
from gc_ray.store import Store
from gc_ray.study import Study

CHECKED = 4  # images whose maps are compared as weights are made random: seven more maps each


def draw_heatmaps(store: Store, study: Study, head: str) -> bool | None:
    """Whether the maps depend on the weights; None when the study wants no maps.

    Written below ``models/<head>/heatmaps/``: a PNG for each of ``train.heatmaps`` scans, half of them the highest
    scores and half the lowest, whose they are (``maps.csv``), the sanity check as ``sanity.csv`` and, last of all,
    ``sanity.png``. What lies there already is left as it is. The maps are of the final head, also for patients it was
    trained on.
    """
    if not study.train.heatmaps:
        return None
    folder = f"models/{head}/heatmaps"
    try:
        data = sealed.get_listed(store, f"{folder}/sanity.csv", sealed.files_of(store, folder))
    except (FileNotFoundError, DamagedError):
        files = _draw(store, study, head)
        sealed.put_files(store, folder, files)
        data = files["sanity.csv"]
    return map_changed(pd.read_csv(io.BytesIO(data)))


def _draw(store: Store, study: Study, head: str) -> dict[str, bytes]:
    """The files of the heat-maps by name."""
    model, card = read_model(store, head)
    backbone, _ = read_model(store, card["facts"]["backbone"])
    score = Score(backbone_network(backbone.weights), head_network(model.weights))
    chosen = _extremes(model.tables["scores"].to_pandas(), study.train.heatmaps)
    rows = {r["patient_id"]: r for r in volume_rows(store, study, study.backbone.recipe, _cohorts(store, study))}
    images, files = [], {}
    with repeatable(study.train.cpus_per_worker):
        for number, found in enumerate(chosen.itertuples(), start=1):
            ct_hu, mask = read_pair(store, rows[found.patient_id])
            images.append(backbone_input(ct_hu))
            # no name of a scan: the picture goes into reports, names stay in maps.csv
            title = f"score {found.score:.3f}, {found.cohort} cohort; {card['facts']['provenance']['statement']}"
            files[f"map-{number:02d}.png"] = heatmap_png(ct_hu, mask, grad_cam(score, images[-1]), title)
        named = chosen.assign(scan_id=[rows[patient]["scan_id"] for patient in chosen["patient_id"]])
        files["maps.csv"] = named.to_csv(index=False).encode()
        check = sanity_check(score, images[:CHECKED], study.head.seed)
    return files | {"sanity.csv": check.to_csv(index=False).encode(), "sanity.png": sanity_png(check)}


def _cohorts(store: Store, study: Study) -> dict[str, dict]:
    return patients_of(store, study, COHORTS)


def _extremes(scores: pd.DataFrame, number: int) -> pd.DataFrame:
    """The rows of the highest and the lowest scores, highest first; all of them where there are fewer."""
    ranked = scores.sort_values(["linear_predictor", "patient_id"], ascending=[False, True])
    if len(ranked) <= number:
        return ranked
    places = np.r_[: number - number // 2, len(ranked) - number // 2 : len(ranked)]
    return ranked.iloc[places]
