"""The frozen model as a folder of JSON and safetensors; read only when every byte is as it was written."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata

from torch import Tensor

from gc_ray.errors import BundleError
from gc_ray.models.signature import Signature
from gc_ray.models.tensors import pack, unpack
from gc_ray.store import Store

SCHEMA = 2  # raised when the card or a part changes its form
SUMS = "SHA256SUMS"  # written last: `sha256sum --check SHA256SUMS` says the same as we do
SEAL = "SHA256SUMS.hmac"
CARD = "card.json"
MAX_JSON_BYTES = 1 << 24  # of a part; 2,437 features and their distributions take 2 MB
MAX_NETWORK_BYTES = 1 << 29  # of a part; a ResNet50 of 46 million weights takes 185 MB
MAX_NAME = 200  # characters between two slashes of a part's name; file systems allow 255 bytes
JSON_PARTS = ("scoring", "features", "harmonisation", "cutoff", "reference")


@dataclass(frozen=True, eq=False)
class Network:
    """A frozen network: kind (autoencoder, backbone, head), facts of its card, weights in CPU memory."""

    kind: str
    facts: dict
    weights: dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Bundle:
    """All that scoring a new scan takes.

    card: study, model, feature order, provenance, metrics, environment, intended use and limits. signatures: by name,
    each after those it builds on, the last one is the bundle's. scoring: how each is put together (see ``scoring``).
    features: settings of the feature set and of the network input. cutoff, reference: learnt on the training cohort.
    networks: by model id.
    """

    card: dict
    signatures: Mapping[str, Signature]
    scoring: dict
    features: dict
    harmonisation: dict
    cutoff: dict
    reference: dict
    networks: Mapping[str, Network]
    bundle_id: str = ""
    sealed: bool = False

    @property
    def model(self) -> str:
        """The name of the signature whose score is the risk."""
        return self.card["model"]


def write_bundle(store: Store, bundle: Bundle, key: bytes | None = None) -> str:
    """Write the bundle below the store's root and give back its id, a digest of all its bytes.

    key: seals the bundle by HMAC-SHA256. BundleError when another bundle is there already.
    """
    parts = _parts(bundle)
    sums = _sums({name: hashlib.sha256(data).hexdigest() for name, data in parts.items()})
    held = _fetched(store, SUMS)
    if held is not None and held != sums:
        raise BundleError(f"bundle {store.uri}: wanted an empty place, another bundle is there; name another place")
    for name, data in parts.items():
        store.create(name, data)
    if key is not None:
        store.put(SEAL, _seal(sums, key))
    store.create(SUMS, sums)
    return _id(sums)


def read_bundle(store: Store, key: bytes | None = None) -> Bundle:
    """The bundle below the store's root, with every byte verified.

    key: the bundle must be sealed with it. BundleError that names the part when one is missing, changed or unlisted,
    when the schema is another, or when a library's version is not of the line that the bundle was made with.
    """
    sums = _fetched(store, SUMS)
    if sums is None:
        raise BundleError(f"bundle: wanted the part {SUMS}, there is none; copy the whole folder")
    listed = _listed(sums)
    sealed = _check_seal(store, sums, key)
    parts = {name: _verified(store, name, sha256) for name, sha256 in listed.items()}
    extra = sorted({entry.key for entry in store.list("")} - {*listed, SUMS, SEAL})
    if extra:
        raise BundleError(f"bundle: part {extra[0]} is not listed in {SUMS}; take it away")
    card = _json(parts, CARD)
    if card.get("schema") != SCHEMA:
        raise BundleError(f"bundle: part {CARD}: wanted schema {SCHEMA}, it has {card.get('schema')}; bundle it anew")
    check_environment(_texts(card, "environment", dict, CARD))
    held = {name: _json(parts, f"{name}.json") for name in JSON_PARTS}
    signatures = {name: _signature(parts, name) for name in _texts(held["scoring"], "order", list, "scoring.json")}
    networks = {name: _network(parts, name) for name in _texts(held["scoring"], "networks", list, "scoring.json")}
    return Bundle(card, signatures, **held, networks=networks, bundle_id=_id(sums), sealed=sealed)


def check_environment(wanted: Mapping[str, str]) -> None:
    """BundleError when a library is not of the line (major.minor) that the bundle was made with."""
    for name, version in wanted.items():
        try:
            here = metadata.version(name)
        except metadata.PackageNotFoundError:
            here = "none"
        if here.split(".")[:2] != version.split(".")[:2]:
            line = ".".join(version.split(".")[:2])
            raise BundleError(
                f"bundle: part {CARD}: environment: wanted {name} {line}.x, here is {here}; install {name}=={version}"
            )


def _parts(bundle: Bundle) -> dict[str, bytes]:
    parts = {f"signatures/{name}.json": held.to_json().encode() for name, held in bundle.signatures.items()}
    parts |= {f"{name}.json": _dump(getattr(bundle, name)) for name in JSON_PARTS}
    for name, network in bundle.networks.items():
        facts = {"kind": network.kind, "facts": network.facts}
        parts[f"networks/{name}.safetensors"] = pack({"weights": dict(network.weights)}, facts)
    return parts | {CARD: _dump({**bundle.card, "schema": SCHEMA})}


def _dump(content: dict) -> bytes:
    # keys keep their order: that of a feature set's settings is the order of its columns
    return json.dumps(content, indent=1, allow_nan=False).encode()


def _sums(digests: Mapping[str, str]) -> bytes:
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(digests)).encode()


def _id(sums: bytes) -> str:
    return hashlib.sha256(sums).hexdigest()[:16]


def _fetched(store: Store, name: str) -> bytes | None:
    """A part's bytes, None when there is no such file (a folder or a device is none); BundleError for a huge one."""
    most = MAX_NETWORK_BYTES if name.endswith(".safetensors") else MAX_JSON_BYTES
    size = next((entry.size for entry in store.list(name) if entry.key == name), None)
    if size is not None and size > most:
        raise BundleError(f"bundle: part {name} has {size} bytes, wanted at most {most}; bundle it anew")
    return None if size is None else store.get(name)


def _listed(sums: bytes) -> dict[str, str]:
    try:
        lines = [line.split("  ") for line in sums.decode().split("\n")[:-1]]
        listed = {name: sha256 for sha256, name in lines}
    except ValueError as error:
        raise BundleError(f"bundle: part {SUMS} has changed since it was written; copy the bundle again") from error
    if _sums(listed) != sums or CARD not in listed or not all(map(_inside, listed)):
        raise BundleError(f"bundle: part {SUMS} has changed since it was written; copy the bundle again")
    return listed


def _inside(name: str) -> bool:
    """Whether a part's name is that of a file in the bundle's folder, on every system."""
    return name.isprintable() and all(
        step not in ("", ".", "..") and len(step) <= MAX_NAME and "\\" not in step for step in name.split("/")
    )


def _seal(sums: bytes, key: bytes) -> bytes:
    return hmac.new(key, sums, hashlib.sha256).hexdigest().encode()


def _check_seal(store: Store, sums: bytes, key: bytes | None) -> bool:
    if key is None:
        return False
    seal = _fetched(store, SEAL)
    if seal is None:
        raise BundleError(f"bundle: wanted the part {SEAL}, since a key is given, there is none; seal it")
    if not hmac.compare_digest(seal, _seal(sums, key)):
        raise BundleError(f"bundle: part {SEAL} does not fit the key and {SUMS}; the bundle or the key is another")
    return True


def _verified(store: Store, name: str, sha256: str) -> bytes:
    data = _fetched(store, name)
    if data is None:
        raise BundleError(f"bundle: part {name} is missing; copy the whole folder")
    if hashlib.sha256(data).hexdigest() != sha256:
        raise BundleError(f"bundle: part {name} has changed since it was written; copy the bundle again")
    return data


def _json(parts: Mapping[str, bytes], name: str) -> dict:
    try:
        found = json.loads(parts[name])
    except (KeyError, ValueError, RecursionError) as error:
        raise BundleError(f"bundle: part {name}: wanted JSON, it is missing or none; bundle it anew") from error
    if not isinstance(found, dict):
        raise BundleError(f"bundle: part {name}: wanted a JSON object; bundle it anew")
    return found


def _texts(held: dict, field: str, kind: type, part: str):
    """A field of texts (of text to text where it is an object), as its part ought to hold."""
    found = held.get(field)
    texts = [*found, *found.values()] if isinstance(found, dict) else found
    if not isinstance(found, kind) or not all(isinstance(text, str) for text in texts):
        raise BundleError(
            f"bundle: part {part}: {field}: wanted texts, it is none or of another kind; bundle it anew"
        )
    return found


def _signature(parts: Mapping[str, bytes], name: str) -> Signature:
    part = f"signatures/{name}.json"
    if part not in parts:
        raise BundleError(f"bundle: part {part} is missing; bundle it anew")
    try:
        return Signature.from_json(parts[part].decode())
    except UnicodeDecodeError as error:
        raise BundleError(f"bundle: part {part}: wanted JSON in UTF-8; bundle it anew") from error
    except BundleError as error:
        raise BundleError(f"bundle: part {part}: {error}") from error


def _network(parts: Mapping[str, bytes], name: str) -> Network:
    part = f"networks/{name}.safetensors"
    try:
        groups, facts = unpack(parts[part])
        return Network(facts["kind"], facts["facts"], groups["weights"])
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"bundle: part {part}: wanted a packed network, it is none; bundle it anew") from error
