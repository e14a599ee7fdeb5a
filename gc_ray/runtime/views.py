"""The frozen backbone's outputs of augmented views: computed once, stored, and read as one array."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gc_ray import sealed, tables
from gc_ray.code_versions import NETWORKS, code_version
from gc_ray.errors import DamagedError, TableError
from gc_ray.models.augment import view
from gc_ray.models.backbone import EMBED_BATCH, ZERO_HU, backbone_input, backbone_network, features
from gc_ray.models.model_folder import read_model
from gc_ray.runtime.inference import Inference, Outcome, device_of, infer
from gc_ray.runtime.inputs import read_pair
from gc_ray.shards import parquet
from gc_ray.store import Store
from gc_ray.study import EmbedSettings, digest

READ = 16  # concurrent small GETs; latency is what they cost
NAMED = (*tables.SCAN_KEY, "object")


@dataclass(frozen=True)
class Views:
    """Which outputs are wanted: of which backbone, and by which seed the views are drawn."""

    store: Store
    model: str
    seed: int

    @property
    def folder(self) -> str:
        """Where they lie; another seed or version of the code is another folder."""
        return f"views/{self.model}/{digest([self.seed, code_version(NETWORKS)])}"

    def name(self, item: dict) -> str:
        """The object of one scan, up to the digest of its bytes and the ending.

        Its views are drawn by its scan_id, so that companions do not matter.
        """
        text = "\x1f".join(str(item[name]) for name in NAMED)
        return f"{self.folder}/{hashlib.sha256(text.encode()).hexdigest()[:24]}.v{item['views']:02d}"

    def there(self) -> dict[str, str]:
        """What the store holds: the whole name of each object by its ``name``."""
        found = (entry.key for entry in self.store.list(self.folder))
        return {".".join(key.split(".")[:2]): key for key in found}


def compute_views(
    views: Views,
    items: list[dict],
    settings: EmbedSettings,
    watch: Callable[[dict[str, int]], Callable[[str, str], None]],
) -> int:
    """How many scans were computed.

    items, watch: as for ``attempt_views``. TableError when an input is gone or killed every process that read it;
    what was computed stays.
    """
    computed, faults = attempt_views(views, items, settings, watch)
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        first = min(f"scan {item['scan_id']}: {reason}" for item, reason in faults)
        raise TableError(f"{first}{more}")
    return computed


def attempt_views(
    views: Views,
    items: list[dict],
    settings: EmbedSettings,
    watch: Callable[[dict[str, int]], Callable[[str, str], None]],
) -> tuple[int, list[tuple[dict, str]]]:
    """(how many scans were computed: those that the store does not hold yet; items that could not be, and why).

    items: the scan key, ``object`` and number of ``views`` of each scan. watch: as for ``extract``.
    """
    there = views.there()
    missing = [item for item in items if views.name(item) not in there]
    tell = watch({"views": len(items)})
    for _ in range(len(items) - len(missing)):
        tell("views", "unchanged")
    faults = []
    inference = Inference(partial(Viewer, views, device_of(settings)), EMBED_BATCH, _lost, views.store)
    for item, outcome in infer(missing, inference, settings):
        tell("views", outcome["status"])
        if outcome["status"] != "ok":
            faults.append((item, outcome["reason"]))
    return len(missing) - len(faults), faults


def read_views(views: Views, items: list[dict]) -> np.ndarray:
    """Backbone outputs, float32 (items, views, width); a scan with fewer views than the others repeats its last.

    TableError when one is missing.
    """
    with ThreadPoolExecutor(READ) as pool:
        found = list(pool.map(partial(_read, views, views.there()), items))
    most = max(len(values) for values in found)
    return np.stack([values[np.minimum(np.arange(most), len(values) - 1)] for values in found])


class Viewer:
    """A backbone in one process: items to stored views."""

    def __init__(self, views: Views, device: str) -> None:
        self._views = views
        self._network = backbone_network(read_model(views.store, views.model)[0].weights).to(device)

    def __call__(self, items: list[dict]) -> list[Outcome]:
        """Read, augment, run and store; an outcome for each item. StoreError when the store cannot be written."""
        seen = [self._seen(item) for item in items]
        outputs = features(self._network, [image for _, images in seen for image in images])
        ends = np.cumsum([len(images) for _, images in seen])
        for item, (outcome, _), rows in zip(items, seen, np.split(outputs, ends[:-1]), strict=True):
            if outcome["status"] == "ok":
                self._keep(item, rows)
        return [outcome for outcome, _ in seen]

    def _seen(self, item: dict) -> tuple[Outcome, list[np.ndarray]]:
        """(outcome, the views of one scan)."""
        try:
            image = backbone_input(read_pair(self._views.store, item)[0])
        except TableError as error:
            return {"status": "failed", "reason": str(error)}, []
        seed, scan = self._views.seed, item["scan_id"]
        return {"status": "ok"}, [view(image, seed, scan, k, ZERO_HU) for k in range(item["views"])]

    def _keep(self, item: dict, outputs: np.ndarray) -> None:
        key = {name: item[name] for name in tables.SCAN_KEY}
        rows = [{**key, "model_id": self._views.model, "view": k, "values": v} for k, v in enumerate(outputs)]
        data = parquet(tables.build(tables.VIEWS, rows))
        self._views.store.create(f"{self._views.name(item)}.{sealed.sha256(data)[:12]}.parquet", data)


def _read(views: Views, there: dict[str, str], item: dict) -> np.ndarray:
    try:
        name = there[views.name(item)]
        named = sealed.digest_in_name(name) is not None  # version 0.1.0 wrote no digest
        data = sealed.get_whole(views.store, name) if named else sealed.get_listed(views.store, name, None)
        table = tables.check(tables.VIEWS, pq.read_table(io.BytesIO(data)))
        values = table.column("values").combine_chunks().flatten().to_numpy()
        return values.reshape(item["views"], -1)
    except (OSError, LookupError, DamagedError, TableError, pa.ArrowException) as error:
        raise TableError(
            f"scan {item['scan_id']}: its views by {views.model} are gone or damaged; remove {views.folder} from the "
            "store and run this again"
        ) from error


def _lost(item: dict) -> Outcome:
    return {"status": "failed", "reason": "every process that embedded it died; give it more memory"}
