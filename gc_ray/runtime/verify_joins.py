"""What ledger, features, network inputs, models, splits and scores say of each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from gc_ray import cohort_tables, ledger, sealed
from gc_ray.errors import TableError
from gc_ray.feature_rows import IDENTITY, STORED, settings_folder
from gc_ray.runtime.verify_bytes import Seen
from gc_ray.runtime.verify_rows import LEDGER, Found, commits_of, folder_list, list_of, shard_rows
from gc_ray.store import Store

KINDS = ("autoencoder", "backbone", "head")  # of models
TUNED = ("scores", "resampling", "coefficients", "selection")  # tables of a tuning
Fixed = tuple[str, str, str]  # (object, what is wrong with it, the fix)


def last_rows(store: Store, seen: Seen) -> list[dict]:
    """The last generation of every ledger row that is whole, in a commit or in a shard."""
    found: dict[tuple, dict] = {}
    held, _ = list_of(store, LEDGER, seen)
    rows = [
        row for name in held.names if name in seen.whole for row in shard_rows(store, name, LEDGER.table).to_pylist()
    ]
    rows += [LEDGER.row(seen.content[name]) for name in commits_of(LEDGER, seen) if name in seen.content]
    for row in rows:
        key = tuple(row[name] for name in ledger.KEY)
        if key not in found or found[key]["generation"] < row["generation"]:
            found[key] = row
    return list(found.values())


def lost_rows(store: Store, seen: Seen) -> list[dict]:
    """The usable ledger rows whose values are nowhere."""
    lost = []
    folders = defaultdict(list)
    for row in last_rows(store, seen):
        if row["status"] in ledger.USABLE:
            folders[settings_folder(row["feature_set"], row["settings_hash"])].append(row)
    for folder, rows in sorted(folders.items()):
        known = _stored(store, folder, seen)
        lost += [
            row
            for row in rows
            if row["object"] not in seen.whole
            and not {(*_identity(row), row["object"]), (*_identity(row), "")} & known
        ]
    return lost


def check_features(store: Store, seen: Seen) -> Iterator[Found]:
    """Values of every usable ledger row are there; shards of features are those of their list; settings are there."""
    for row in lost_rows(store, seen):
        what = f"the {row['feature_set']} values of scan {row['scan_id']} (reader {row['reader']}) are nowhere"
        yield row["object"] or f"{row['feature_set']}: scan {row['scan_id']}", what
    for folder in feature_folders(seen):
        held, found = folder_list(store, folder, seen)
        yield from found
        for name in held.names:
            if name not in seen.sha256:
                yield name, "the shard is gone; its list names it"
        if f"{folder}/settings.json" not in seen.sha256:
            yield f"{folder}/settings.json", "the settings and feature names beside these rows are gone"


def feature_folders(seen: Seen) -> list[str]:
    """The folders of feature rows."""
    found = {
        "/".join(name.split("/")[:3])
        for name in seen.sha256
        if name.startswith(("radiomics/", "deep/")) and name.count("/") >= 3
    }
    return sorted(found)


def check_models(seen: Seen) -> Iterator[Fixed]:
    """A model whose numbers are in the store is there."""
    begun = {name.split("/")[1] for name in seen.sha256 if name.startswith("models/") and name.count("/") >= 2}
    used = {folder.split("/")[1] for folder in feature_folders(seen) if folder.startswith("deep/")}
    for name, card in seen.content.items():
        if name.startswith("models/") and name.endswith("/card.json"):
            used |= {card.get("facts", {}).get("backbone", "")} - {""}
        if name.startswith("signatures/") and name.endswith("/card.json"):
            used |= {model for model in card.get("sources", {}).values() if model.partition("-")[0] in KINDS}
    cards = {name for name in seen.sha256 if name.startswith("models/") and name.endswith("/card.json")}
    for model in sorted(used | begun):
        if f"models/{model}/card.json" not in cards and (model in used or _weights(seen, model)):
            yield (
                f"models/{model}/card.json",
                "the model's card is gone, or training was cut off",
                "run gc-ray train again",
            )


def check_splits(store: Store, seen: Seen) -> Iterator[Fixed]:
    """The tables of every split are as its card says."""
    studies = {n.split("/")[1] for n in seen.sha256 if n.startswith(("splits/", "clinical/", "flow/"))}
    readers = {
        "splits": cohort_tables.read_splits,
        "flow": cohort_tables.read_flow,
        "coding": cohort_tables.read_coding,
        "clinical": cohort_tables.read_clinical,
    }
    for study_id in sorted(studies):
        name = f"splits/{study_id}/card.json"
        if name not in seen.sha256:
            yield name, "the split's card is gone, or the split was cut off", "run gc-ray split again"
        for part, read in readers.items() if name in seen.content else ():
            try:
                read(store, study_id)
            except TableError as error:
                what = str(error).removeprefix(f"store {store.uri}: ")
                yield cohort_tables.part_name(seen.content[name], part), what, "put it back from a copy"


def check_results(seen: Seen) -> Iterator[Fixed]:
    """Signatures, reports and drift have what names their parts."""
    yield from _tunings(seen)
    yield from _pages(seen)
    yield from _pictures(seen)
    yield from _drift(seen)


def _tunings(seen: Seen) -> Iterator[Fixed]:
    begun = set()
    for name in seen.sha256:
        top, *parts = name.split("/")
        if top == "signatures" and len(parts) == 3:
            begun.add("/".join(parts[:2]))
        elif top in TUNED and len(parts) == 2 and name.endswith(".parquet"):
            begun.add("/".join(parts).removesuffix(".parquet"))
    for tuning in sorted(begun):
        if (name := f"signatures/{tuning}/card.json") not in seen.sha256:
            yield name, "the card is gone, or tuning was cut off", "run gc-ray tune again"


def _pages(seen: Seen) -> Iterator[Fixed]:
    folders = defaultdict(set)
    for name in seen.sha256:
        parts = name.split("/")
        depth = {"reports": 2, "reproductions": 3}.get(parts[0], len(parts))
        if len(parts) > depth:
            folders["/".join(parts[:depth])].add("/".join(parts[depth:]))
    for folder, names in sorted(folders.items()):
        for last in sorted({"report.json", "index.html"} - names):
            yield f"{folder}/{last}", "it is gone, or the report was cut off", "run the same command again"


def _drift(seen: Seen) -> Iterator[Fixed]:
    fix = "run gc-ray rescore again"
    names = [name for name in seen.sha256 if name.startswith("drift/")]
    for bundle in sorted({name.split("/")[1] for name in names}):
        if (alert := f"drift/{bundle}/alert.json") not in seen.sha256:
            yield alert, "it is gone; it says what the last run found", fix
    for name in sorted(names):
        index = f"{name.rpartition('.')[0]}.json"
        run, alert = name.split("/")[-1].rpartition(".")[0], f"{name.rpartition('/')[0]}/alert.json"
        ended = f"runs/{run}.json" in seen.sha256 or seen.content.get(alert, {}).get("run") == run
        if ended and index not in seen.sha256 and name not in seen.taken_over and sealed.FORMAT_NAME in seen.sha256:
            yield index, f"it is gone; it names {name}", fix


def _pictures(seen: Seen) -> Iterator[Fixed]:
    for name in sorted(seen.sha256):
        if name.startswith("models/") and name.endswith((".png", ".csv")):
            index = f"{name.rpartition('/')[0]}/{sealed.FILES_NAME}"
            if index not in seen.sha256 and name not in seen.taken_over and sealed.FORMAT_NAME in seen.sha256:
                yield index, f"it is gone; it names {name}", "run gc-ray train again"


def _weights(seen: Seen, model: str) -> bool:
    return any(name.startswith(f"models/{model}/weights-") for name in seen.sha256)


def _stored(store: Store, folder: str, seen: Seen) -> set[tuple]:
    """(identity, object) of every row in the whole shards of a folder."""
    held, _ = folder_list(store, folder, seen)
    names = [name for name in held.names if name in seen.whole]
    columns = (*IDENTITY, "object")
    return {
        tuple(row[column] for column in columns)
        for name in names
        for row in shard_rows(store, name, STORED).select(list(columns)).to_pylist()
    }


def _identity(row: dict) -> tuple:
    return tuple(row[name] for name in IDENTITY)
