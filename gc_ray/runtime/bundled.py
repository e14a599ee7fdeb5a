"""The image side of a bundle in the store where new scans are scored: features, latents, the head's log odds."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from gc_ray import ledger
from gc_ray.code_versions import STEPS
from gc_ray.errors import BundleError, TableError
from gc_ray.features.feature_set import FeatureSet, check_libraries
from gc_ray.imaging.voi import voi_recipe
from gc_ray.models.bundle import Bundle, Network
from gc_ray.models.head import score_head
from gc_ray.models.model_folder import Model, read_model, write_model
from gc_ray.models.recalibrate import Recalibration
from gc_ray.runtime.products import NetworkInput, Product, Radiomics
from gc_ray.store import Store
from gc_ray.study import Study, load_study
from gc_ray.tables import RADIOMICS, SCAN_KEY

Key = tuple


@dataclass(frozen=True)
class Computed:
    """By scan key: image features by name, log odds of the head, and why a scan has none of them yet."""

    features: dict[Key, dict[str, float]] = field(default_factory=dict)
    head: dict[Key, float] = field(default_factory=dict)
    faults: dict[Key, str] = field(default_factory=dict)

    def of(self, key: Key) -> tuple[dict[str, float], float | None, str]:
        """(features, head, fault) of one scan."""
        return self.features.get(key, {}), self.head.get(key), self.faults.get(key, "")


def codes() -> dict[str, str]:
    """Our own version of each step, without the libraries': their line is checked by the environment."""
    return {name: step.number for name, step in STEPS.items()}


def check_codes(bundle: Bundle) -> None:
    """BundleError when this version of the package computes a step otherwise than the bundle's did."""
    here = codes()
    for step, version in bundle.features["codes"].items():
        if here[step] != version:
            raise BundleError(
                f"bundle: part features.json: wanted version {version} of step {step}, here is {here[step]}; install "
                "the package that made the bundle, or bundle anew"
            )
    for recipe in bundle.features["volumes"]:
        if NetworkInput(voi_recipe(recipe["name"])).settings != recipe:
            raise BundleError(f"bundle: part features.json: recipe {recipe['name']} has other settings here")


def products_of(bundle: Bundle) -> dict[str, Product]:
    """What must be extracted of each scan, by ledger name."""
    found: list[Product] = []
    if held := bundle.features["radiomics"]:
        features = FeatureSet(held["name"], held["settings"], tuple(held["names"]))
        check_libraries(features)
        found.append(Radiomics(features))
    found += [NetworkInput(voi_recipe(recipe["name"])) for recipe in bundle.features["volumes"]]
    return {product.name: product for product in found}


def stored_name(bundle: Bundle) -> str:
    """The feature set under which the store keeps rows of a table that a bundle scores.

    Of one bundle alone: the store may be that of the study itself, whose own features must stay as they are.
    """
    return f"{bundle.features['elsewhere']['name']}-bundle-{bundle.bundle_id}"


def features_of(bundle: Bundle) -> str:
    """The ledger's name of the radiomics features that a bundle takes; empty when it takes none."""
    if bundle.features.get("elsewhere"):
        return stored_name(bundle)
    return bundle.features["radiomics"]["name"] if bundle.features["radiomics"] else ""


def install(bundle: Bundle, store: Store) -> None:
    """The bundle's networks under ``models/``, where the steps that run them look.

    BundleError when another model of that name is there.
    """
    for name, network in bundle.networks.items():
        card = {"kind": network.kind, "identity": {"settings": {"recipe": network.facts["recipe"]}}}
        if not write_model(store, name, Model(dict(network.weights), network.facts), card):
            _check_same(read_model(store, name)[0], network, name)


def compute_networks(
    bundle: Bundle,
    store: Store,
    scans: list[list[dict]],
    workers: int | None,
    run: str,
    *,
    allow_mixed_cpu: bool = False,
) -> Computed:
    """Image features, latents and head of some scans; scans: the ledger rows of each, of what was extracted.

    A scan of which the store has lost something is a fault, and the ledger then says so: the next run extracts it.
    """
    install(bundle, store)
    held: dict[str, list[dict]] = defaultdict(list)
    for rows in scans:
        if all(row["status"] in ledger.USABLE for row in rows):
            for row in rows:
                held[row["feature_set"]].append(row)
    computed, study = Computed(), _study(workers, allow_mixed_cpu)
    if features := features_of(bundle):
        _collect(store, held[features], computed)
    for name, network in bundle.networks.items():
        theirs = held[f"volumes/{network.facts['recipe']}"]
        if network.kind == "autoencoder" and theirs:
            _embed(store, name, theirs, computed, (study, run))
        if network.kind == "head":
            recipe = bundle.networks[network.facts["backbone"]].facts["recipe"]
            _head(store, network, held[f"volumes/{recipe}"], computed, study)
    for row in (row for name in held if name.startswith("volumes/") for row in held[name]):
        if _key(row) in computed.faults and not ledger.is_whole(store, row["object"]):
            _give_up(store, row, computed)
    return computed


def _give_up(store: Store, row: dict, computed: Computed) -> None:
    """Commit that a ledger row's object is lost; a failed scan is computed anew by the next run."""
    computed.faults[_key(row)] = ledger.commit_lost(store, row)


def _collect(store: Store, rows: list[dict], computed: Computed) -> None:
    """Features of committed rows: from their staged objects, or from the shards where they moved meanwhile."""
    moved = []
    for row in rows:
        found = ledger.read_staged(store, row)
        if found is None:
            moved.append(row)
        else:
            computed.features.setdefault(_key(row), {}).update(found)
    if moved:
        table = ledger.read_features_of(store, moved)
        keys = map(_key, table.select(SCAN_KEY).to_pylist())
        fixed = {column.name for column in RADIOMICS.columns}
        values = table.drop_columns([c for c in table.column_names if c in fixed]).to_pylist()
        there = dict(zip(keys, values, strict=True))
        for row in moved:
            if _key(row) in there:
                computed.features.setdefault(_key(row), {}).update(there[_key(row)])
            else:
                _give_up(store, row, computed)


def _embed(store: Store, model: str, rows: list[dict], computed: Computed, how: tuple[Study, str]) -> None:
    from gc_ray.runtime.embed import Request, embed

    study, run = how
    wanted = frozenset(_key(row) for row in rows)
    request = Request(model, study, store, only=wanted)
    embed(request, lambda totals: lambda site, status: None, f"{run}-embed", lambda: 0.0)
    latents = [
        row
        for row in ledger.read_ledger(store).to_pylist()
        if row["feature_set"] == f"deep/{model}" and _key(row) in wanted
    ]
    computed.faults.update({_key(row): row["reason"] for row in latents if row["status"] not in ledger.USABLE})
    _collect(store, [row for row in latents if row["status"] in ledger.USABLE], computed)


def _head(store: Store, network: Network, rows: list[dict], computed: Computed, study: Study) -> None:
    from gc_ray.runtime.train import unwatched
    from gc_ray.runtime.views import Views, attempt_views, read_views

    views = Views(store, network.facts["backbone"], 0)
    items = [{**{name: row[name] for name in (*SCAN_KEY, "object")}, "views": 1} for row in rows]
    _, lost = attempt_views(views, items, study.embed, unwatched)
    computed.faults.update({_key(item): reason for item, reason in lost})
    for item in items:
        if _key(item) in computed.faults:
            continue
        try:
            outputs = read_views(views, [item])[:, 0]
        except TableError as error:
            computed.faults[_key(item)] = str(error)
            continue
        logit = score_head(network.weights, Recalibration(**network.facts["recalibration"]), outputs)
        computed.head[_key(item)] = float(logit[0])


def _study(workers: int | None, allow_mixed_cpu: bool) -> Study:
    flags = [f"embed.allow_mixed_cpu={str(allow_mixed_cpu).lower()}"]
    return load_study(None, (*flags, *(() if workers is None else (f"embed.workers={workers}",))))


def _check_same(held: Model, network: Network, name: str) -> None:
    same = set(held.weights) == set(network.weights) and all(
        held.weights[w].equal(network.weights[w]) for w in network.weights
    )
    if not same:
        raise BundleError(f"bundle: part networks/{name}.safetensors: the store has another model of that name")


def _key(row: dict) -> Key:
    return tuple(row[name] for name in SCAN_KEY)
