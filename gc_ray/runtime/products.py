"""What can be computed from one scan: a radiomics row or a network input, each with settings that hash to its key."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from gc_ray import ledger, sealed
from gc_ray.code_versions import EXTRACTION, library_versions
from gc_ray.errors import MaskError, ScanError
from gc_ray.features.extract import extract_features, part_read
from gc_ray.features.feature_set import FeatureSet, check_libraries, feature_set
from gc_ray.imaging import voi
from gc_ray.imaging.grid import Box, Grid
from gc_ray.imaging.read import OpenCt
from gc_ray.imaging.volume import Mask, Slab, Volume
from gc_ray.store import Store
from gc_ray.study import ExtractSettings, digest


@dataclass(frozen=True)
class Computed:
    """A product that lies in the store but is not committed yet.

    object: its name there. missing: feature name to the reason why its value is NaN. remarks: what the libraries
    warned of.
    """

    object: str
    missing: dict[str, str]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Radiomics:
    """The features of one feature set."""

    features: FeatureSet

    @property
    def name(self) -> str:
        """The ledger's feature_set."""
        return self.features.name

    @property
    def stage(self) -> str:
        """The ledger's stage while it is computed."""
        return "features"

    @property
    def settings(self) -> dict:
        """All that decides a value, as JSON types."""
        return json.loads(self.features.settings_json())

    @property
    def description(self) -> dict:
        """What is stored beside the rows: settings and the order of the values."""
        return {"settings": self.settings, "names": list(self.features.names)}

    def region_voxels(self, mask: Mask) -> float:
        """How many voxels the region will have where features are computed: what their memory goes by."""
        spacing = self.features.settings["setting"].get("resampledPixelSpacing")
        if not spacing:
            return mask.voxels
        return mask.voxels * np.prod(
            [old / (new or old) for old, new in zip(mask.grid.spacing_mm, spacing, strict=True)]
        )

    def part_read(self, full: Grid, kind: np.dtype, mask: Mask) -> Box:
        """The part of a scan on grid ``full``, of pixel type ``kind``, that ``compute`` reads for this region."""
        return part_read(full, kind, mask, self.features)

    def compute(self, volume: Volume | Slab, mask: Mask, identity: dict, store: Store) -> Computed:
        """Extract and stage one row; ``identity`` holds its scan key, patient, site and generation."""
        row = extract_features(volume, mask, self.features)
        staged = ledger.stage_features(store, {**identity, "feature_set": self.name}, settings_hash(self), row.values)
        return Computed(staged, row.missing, tuple(row.remarks))


@dataclass(frozen=True)
class NetworkInput:
    """The region of interest on the grid that a network expects."""

    recipe: voi.VoiRecipe

    @property
    def name(self) -> str:
        """The ledger's feature_set."""
        return f"volumes/{self.recipe.name}"

    @property
    def stage(self) -> str:
        """The ledger's stage while it is computed."""
        return "volumes"

    @property
    def settings(self) -> dict:
        """All that decides a voxel, as JSON types."""
        return json.loads(self.recipe.settings_json())

    @property
    def description(self) -> dict:
        """What is stored beside the objects."""
        return {"settings": self.settings}

    def region_voxels(self, mask: Mask) -> float:
        """Nothing worth counting: the box is cut and resampled once, which a worker's own share covers."""
        return 0.0

    def part_read(self, full: Grid, kind: np.dtype, mask: Mask) -> Box:
        """The part of a scan on grid ``full``, of pixel type ``kind``, that ``compute`` reads for this region."""
        return voi.part_read(full, kind, mask, self.recipe)

    def compute(self, volume: Volume | Slab, mask: Mask, identity: dict, store: Store) -> Computed:
        """Cut and stage one network input; ``identity`` holds its scan key, patient, site and generation."""
        ct, region = voi.cut_voi(volume, mask, self.recipe)
        row = {
            **identity,
            "recipe": self.recipe.name,
            "size": list(ct.grid.size),
            "spacing_mm": list(ct.grid.spacing_mm),
            "origin_mm": list(ct.grid.origin_mm),
            "direction": list(ct.grid.direction),
            "ct_hu": np.ascontiguousarray(ct.array, "<i2").tobytes(),
            "mask": np.ascontiguousarray(region.array).tobytes(),
        }
        return Computed(ledger.stage_volume(store, row, settings_hash(self)), {})


Product = Radiomics | NetworkInput


def products_of(settings: ExtractSettings) -> dict[str, Product]:
    """The products asked for, by ledger name; StudyError when one is unknown or a library is missing."""
    products: list[Product] = []
    for name in settings.feature_sets:
        features = feature_set(name)
        check_libraries(features)
        products.append(Radiomics(features))
    products += [NetworkInput(voi.voi_recipe(name)) for name in settings.volumes]
    return {product.name: product for product in products}


def planes_read(products: Iterable[Product], ct: OpenCt, mask: Mask) -> range | None:
    """The z indices of all slices that the products read for this region; None: the whole scan.

    The same for every task of a job, whatever of it is computed already: so a resumed run tells the same.
    """
    if ct.kind is None:
        return None
    try:
        boxes = [product.part_read(ct.geometry.grid, ct.kind, mask) for product in products]
    except (ScanError, MaskError):  # computing that product refuses it for the same reason, and costs no other
        return None
    return range(min(start[2] for start, _ in boxes), max(start[2] + size[2] for start, size in boxes))


def settings_hash(product: Product) -> str:
    """The resume key of a product: a digest of its own settings, and of nothing else in the study file."""
    return digest(product.settings)


def describe(product: Product, store: Store) -> None:
    """Store a product's settings, names and library versions beside its rows."""
    folder = ledger.settings_folder(product.name, settings_hash(product))
    libraries = library_versions(EXTRACTION.libraries)
    sealed.put(store, f"{folder}/settings.json", {**product.description, "libraries": libraries})
