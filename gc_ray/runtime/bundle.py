"""A study's signature taken out of its store, with everything that scoring a new scan takes."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

from gc_ray import ledger, sealed
from gc_ray.code_versions import EXTRACTION, NETWORKS, SIGNATURES, library_versions
from gc_ray.cohort.choose_scans import asked_of
from gc_ray.cohort_tables import read_clinical, split_hash
from gc_ray.errors import StudyError, TableError
from gc_ray.evaluate.cutoff import optimal_cutoff
from gc_ray.evaluate.roc import operating_point
from gc_ray.features.feature_set import feature_set
from gc_ray.imaging.voi import voi_recipe
from gc_ray.models.bundle import Bundle, Network, write_bundle
from gc_ray.models.cohort_data import CohortData
from gc_ray.models.domain import geometry_of, reference_of
from gc_ray.models.frozen_sites import freeze, needed_features
from gc_ray.models.model_folder import read_model
from gc_ray.models.plans import TUNED
from gc_ray.models.recipe import LEAK_FREE
from gc_ray.models.scoring import INTERVAL, design_of, needed_names
from gc_ray.models.select import harmonise
from gc_ray.models.signature import Signature
from gc_ray.models.sites import Harmonised
from gc_ray.report.inputs import tunings
from gc_ray.run_records import write_record
from gc_ray.runtime import inputs, tune
from gc_ray.runtime.bundled import codes
from gc_ray.runtime.fresh import why_stale
from gc_ray.runtime.gather import Gathered, gather
from gc_ray.runtime.made_elsewhere import made_elsewhere
from gc_ray.store import Store
from gc_ray.store_format import refuse_newer
from gc_ray.study import Study, digest
from gc_ray.study_signatures import HEAD

INTENDED_USE = "research: to rank patients by risk in studies that look at this model; not for decisions on patients"
LIMITS = (
    "no regulator has seen this model; what it was validated on stands in metrics and nowhere else",
    f"intervals hold {INTERVAL}: neither the choice of predictors, nor outlines, nor scanners, nor new populations",
    "the domain verdict compares with the training cohort; a scan may be in-domain and its risk wrong",
)


LIMITS_OF_TABLES = (
    "its features were made elsewhere: whether new ones are computed in the same way (software, version, settings, "
    "readers, scanners) is for whoever makes them to ensure; nothing here can tell",
    "the domain verdict compares values alone: no grid and no region of a scan is known",
)


def bundle(
    store: Store, study: Study, model: str, out: Store, key: bytes | None, run: str | None = None
) -> tuple[str, Bundle]:
    """(id, bundle) of the study's signature ``model``, written to ``out``; key: to seal it.

    run: the run's id; its record is written last, into ``store``.

    TableError when the study is not tuned by this code and these tables; StudyError when it has no such signature, or
    the features in the store are of other settings than the study's, or it wants them both harmonised and not.
    """
    refuse_newer(store)
    gathered = gather(store, study)
    tune_id = tune.identity(store, study, gathered)
    folder = f"signatures/{study.name}/{tune_id}"
    card = tune.read_card(store, folder)
    if card is None:
        known = tunings(store, study.name)
        stale = why_stale(store, study, known[-1]) if known else ""
        why = f" ({stale})" if stale else ""
        raise TableError(
            f"study {study.name}: wanted signatures {tune_id}, there are none{why}; run gc-ray tune first"
        )
    if model not in card["models"]:
        raise StudyError(f"study {study.name}: wanted a signature among {', '.join(card['models'])}, got {model}")
    made = _bundle(store, study, gathered, card, model)
    bundle_id = write_bundle(out, made, key)
    if run:
        record = {"run": run, "command": "bundle", "exit_code": 0, "bundle_id": bundle_id, "sealed": key is not None}
        record |= {"model": model, "tune_id": tune_id, "study": study.model_dump(mode="json")}
        write_record(store, run, record)
    return bundle_id, made


def _bundle(store: Store, study: Study, gathered: Gathered, card: dict, model: str) -> Bundle:
    data, described = gathered.data, card["models"]
    order = _order(described, model)
    folder = f"signatures/{study.name}/{card['tune_id']}"
    parts = {name: sealed.get_listed(store, f"{folder}/{name}.json", card.get("objects")) for name in order}
    signatures = {name: Signature.from_json(data.decode()) for name, data in parts.items()}
    names = needed_names(signatures, {name: tuple(described[name]["scores_of"]) for name in order})
    coding, fills = _coding(described, order, names)
    harmonised = _harmonised(study, described, order, data)
    values = _training_values(data, names, harmonised) | _training_terms(data, names, coding, fills)
    if HEAD in names:
        values[HEAD] = data.head[LEAK_FREE][data.train]
    networks = _networks(store, study, gathered, names)
    rows = _training_rows(store, study, gathered, networks)
    oof = _out_of_fold(store, study.name, card, model)
    scored = oof["score"].reindex(data.patient_ids[data.train]).to_numpy()
    values = pd.DataFrame(values, index=data.patient_ids[data.train])
    scoring = {
        "order": order,
        "scores_of": {name: described[name]["scores_of"] for name in order},
        "coding": coding,
        "fills": fills,
        "seen": _seen(described, order, coding),
        "networks": list(networks),
        "scans": study.scans.model_dump(mode="json"),
        "patient_ids": study.clinical.patient_ids,
    }
    reference = reference_of(values, _geometry(rows), scored, study.scans.phase)
    frozen = freeze(harmonised, data, names)
    features = _features(store, study, gathered, needed_features(names, frozen), networks)
    about = _card(store, study, gathered, card, model, rows) | {
        "feature_order": list(values),
        "environment": library_versions(_libraries(features)),
    }
    if features.get("elsewhere"):
        about |= {"features": features["elsewhere"], "limits": [*about["limits"], *LIMITS_OF_TABLES]}
    cutoff = _cutoff(store, study, data, scored)
    return Bundle(about, signatures, scoring, features, frozen, cutoff, reference, networks)


def _order(described: dict, model: str) -> list[str]:
    wanted = {model}
    for name in reversed(list(described)):
        if name in wanted:
            wanted |= {*described[name]["scores_of"], *described[name]["predictors_of"]} - {HEAD}
    return [*(name for name in described if name in wanted and name != model), model]


def _coding(described: dict, order: list[str], names: set[str]) -> tuple[dict, dict]:
    """The clinical columns whose terms are among ``names``, and what fills their gaps."""
    coding: dict[str, dict] = {}
    fills: dict[str, object] = {}
    for name in order:
        for column, said in described[name]["coding"].items():
            if names & set(said["terms"]):
                coding[column] = said
                fills |= {c: v for c, v in described[name]["fills"].items() if c == column}
    return coding, fills


def _seen(described: dict, order: list[str], coding: dict) -> dict[str, list[str]]:
    """The levels of the training cohort, by clinical column that the signatures use."""
    found = {}
    for name in order:
        found |= {column: levels for column, levels in described[name].get("seen", {}).items() if column in coding}
    return found


def _harmonised(study: Study, described: dict, order: list[str], data: CohortData) -> dict[str, Harmonised]:
    """What the image features of each family were freed of their sites with when the signatures were fitted."""
    settings = {signature.name: signature for signature in study.signature}
    ways: dict[str, dict[str, str]] = {}
    found: dict[str, Harmonised] = {}
    for name in order:
        signature = settings[name.removesuffix(TUNED)]
        signature = signature.model_copy(update={"families": tuple(described[name]["families"])})
        freed = signature.harmonise.families if signature.harmonise is not None else ()
        for family in {*data.families} & {*signature.families}:
            way = signature.harmonise.external if family in freed else "as they are"
            ways.setdefault(family, {})[way] = name
        if set(freed) - set(found):
            with threadpool_limits(1):  # as when they were fitted
                found |= harmonise(signature, data, data.train)
    for family, several in ways.items():
        if len(several) > 1:
            raise StudyError(
                f"signatures {' and '.join(several.values())}: wanted {family} features harmonised in one way, "
                f"got {' and '.join(several)}; harmonise all signatures that one builds on alike"
            )
    return found


def _training_values(data: CohortData, names: set[str], harmonised: dict[str, Harmonised]) -> dict[str, np.ndarray]:
    """The image features among ``names`` of the training cohort, as the signatures take them."""
    found = {}
    for family, features in data.families.items():
        x = features.values
        if family in harmonised:
            at = [features.names.index(name) for name in harmonised[family].names]
            x = x.copy()
            x[np.ix_(data.train, at)] = harmonised[family].apply(x[:, at], data.site, data.train)
        found |= {name: x[data.train, i] for i, name in enumerate(features.names) if name in names}
    return found


def _training_terms(data: CohortData, names: set[str], coding: dict, fills: dict) -> dict[str, np.ndarray]:
    """The clinical terms among ``names`` of the training cohort."""
    if not coding:
        return {}
    coded = design_of(coding, fills).apply(data.clinical.iloc[data.train])
    return {name: coded[name].to_numpy() for name in coded if name in names}


def _out_of_fold(store: Store, study: str, card: dict, model: str) -> pd.DataFrame:
    data = sealed.get_listed(store, f"scores/{study}/{card['tune_id']}.parquet", card.get("objects"))
    found = pq.read_table(io.BytesIO(data)).to_pandas()
    kept = (found["model_id"] == model) & (found["variant"] == LEAK_FREE) & (found["kind"] == "oof")
    return found[kept].set_index("patient_id")


def _cutoff(store: Store, study: Study, data: CohortData, scored: np.ndarray) -> dict:
    """The cutoff above which the risk is high, on out-of-fold scores of the training cohort."""
    settings, train = study.clinical, data.patient_ids[data.train]
    said = {"of": "out-of-fold scores of the training cohort", "n": len(scored), "names": ["low", "high"]}
    try:
        if settings.time_months and settings.event:
            clinical = read_clinical(store, study.name).set_index("patient_id").loc[train]
            columns = [clinical[name].to_numpy(float) for name in (settings.time_months, settings.event)]
            known = np.isfinite(scored) & np.isfinite(columns).all(axis=0)
            found = optimal_cutoff(*(column[known] for column in columns), scored[known])
            return said | {"rule": "maximally selected log-rank", "cutoff": found.cutoff, "n": int(known.sum())}
        known = np.isfinite(scored)  # a patient of a level that the other folds have not seen has no score
        found = operating_point(data.y[data.train][known], scored[known], "youden")
        return said | {"rule": "youden", "cutoff": found.threshold, "n": int(known.sum())}
    except TableError as error:
        return said | {"rule": f"median, since there is no other: {error}", "cutoff": float(np.nanmedian(scored))}


def _training_rows(store: Store, study: Study, gathered: Gathered, networks: dict[str, Network]) -> list[dict]:
    """Ledger rows of the training scans: of features or, where no table of features names them, of network inputs."""
    data, sources = gathered.data, gathered.sources
    sets, scans = {sources.get("radiomics"), f"deep/{sources.get('deep')}"}, set(data.scan_id[data.train]) - {""}
    if scans:
        asked = asked_of(study.scans)  # not of the other readers who outlined the same scans
        rows = [row for row in ledger.read_ledger(store).to_pylist() if all(row[n] == v for n, v in asked)]
        return [row for row in rows if row["feature_set"] in sets and row["scan_id"] in scans]
    recipes = {n.facts["recipe"] for n in networks.values() if n.kind == "backbone"}
    patients = data.patient_ids[data.train].tolist()
    return [row for recipe in recipes for row in inputs.volume_rows(store, study, recipe, patients)]


def _geometry(rows: list[dict]) -> pd.DataFrame:
    """Grids and regions of the training scans, as far as the ledger knows them."""
    found = {row["scan_id"]: geometry_of(json.loads(row["geometry"]), row["mask_voxels"]) for row in rows}
    return pd.DataFrame([row for row in found.values() if row])


def _features(store: Store, study: Study, gathered: Gathered, names: set[str], networks: dict[str, Network]) -> dict:
    """Settings of what is extracted, or the columns of a table: keys in the order that decides the columns.

    names: image features that scoring needs.
    """
    found: dict = {"radiomics": None, "volumes": [], "codes": codes()}
    family = gathered.data.families.get("radiomics")
    if family is not None and (made := made_elsewhere(store, gathered.tables["radiomics"])):
        if networks:
            raise StudyError(
                f"study {study.name}: features made elsewhere ({made.name}) and outputs of this software's networks "
                f"({', '.join(networks)}) are never scored together, a table has no scans; bundle a signature of one "
                "of them"
            )
        taken = [name for name in family.names if name in names]
        return found | {"elsewhere": made.to_dict() | {"names": taken}, "codes": {"tune": codes()["tune"]}}
    if family is not None and names & set(family.names):
        found["radiomics"] = _computed_here(study, gathered.sources["radiomics"], list(family.names))
    recipes = {n.facts["recipe"] for n in networks.values() if n.facts.get("recipe")}
    found["volumes"] = [json.loads(voi_recipe(recipe).settings_json()) for recipe in sorted(recipes)]
    return found


def _computed_here(study: Study, source: str, held: list[str]) -> dict:
    """The settings of a feature set that extraction computes; held: its features in the store."""
    for given in study.extract.feature_sets:
        if (made := feature_set(given)).name == source and list(made.names) == held:
            return {"name": made.name, "settings": made.settings, "names": held}
    raise StudyError(
        f"study {study.name}: wanted the settings of feature set {source}: extract.feature_sets does not name it, or "
        "it has other features now; name it, or extract again"
    )


def _libraries(features: dict) -> tuple[str, ...]:
    images = EXTRACTION.libraries if features["radiomics"] or features["volumes"] else ()
    networks = NETWORKS.libraries if features["volumes"] else ()
    return tuple(dict.fromkeys((*SIGNATURES.libraries, *images, *networks)))


def _networks(store: Store, study: Study, gathered: Gathered, names: set[str]) -> dict[str, Network]:
    """The autoencoder whose latents are among ``names``; the head with its backbone where its log odds are."""
    sources, families = gathered.sources, gathered.data.families
    found: dict[str, Network] = {}
    if "deep" in families and names & set(families["deep"].names):
        found[sources["deep"]] = network_of(store, study, sources["deep"])
    if HEAD in names:
        top = network_of(store, study, sources[HEAD])
        backbone = top.facts["backbone"]
        found |= {backbone: network_of(store, study, backbone), sources[HEAD]: top}
    return found


def network_of(store: Store, study: Study, name: str) -> Network:
    """A model of the study without its tables and without the names of patients in its card."""
    held, card = read_model(store, name)
    kept = ("backbone", "provenance", "recalibration")
    facts = {fact: held.facts[fact] for fact in kept if fact in held.facts}
    recipes = {"autoencoder": study.autoencoder.recipe, "backbone": study.backbone.recipe}
    return Network(card["kind"], facts | {"recipe": recipes.get(card["kind"])}, held.weights)


def _card(store: Store, study: Study, gathered: Gathered, card: dict, model: str, rows: list[dict]) -> dict:
    line = next(line for line in card["lines"] if line["model_id"] == model)
    return {
        "study": study.name,
        "title": study.title,
        "model": model,
        "outcome": study.clinical.outcome,
        "training": {
            "tune_id": card["tune_id"],
            "split": split_hash(store, study.name),
            "data": gathered.data.digest(),
            "scans": digest(sorted({row["scan_id"] for row in rows})),
            "sources": gathered.sources,
            "patients": card["patients"],
        },
        "metrics": {name: line[name] for name in ("auc", "pooled", "n", "events")}
        | {"meaning": "auc: out of fold, mean of the outer folds; pooled: over all training patients at once"},
        "warnings": line["warnings"],
        "statements": card["statements"],
        "intended_use": INTENDED_USE,
        "limits": list(LIMITS),
    }
