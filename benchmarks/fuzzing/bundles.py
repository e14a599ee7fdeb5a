"""Mutations that know a bundle: parts changed, missing, linked elsewhere or named so; sums made to fit again."""

from __future__ import annotations

import copy
import hashlib
import json

from fuzzing.mutate import EDGES, TEXT, Files, Rng, pick, spoil, spoil_one

SUMS = "SHA256SUMS"
VALUES = (None, True, 0, -1, 10**400, 1e308, "", "../../etc/passwd", "\0", "\ud800", [], {}, [[]], {"": {}})
NAMES = ("../../etc/passwd", "/etc/passwd", "a/../../b", "", ".", "\0", "card.json", "card.json/x", "~/x", "a" * 300)


def spoil_bundle(files: Files, rng: Rng) -> Files:
    """The folder with its parts damaged; half the time with sums that fit, so that what is behind is reached."""
    way, sums = rng.random(), rng.random() < 0.6
    if way < 0.15:
        damaged = spoil_one(files, rng, TEXT)
    elif way < 0.55:
        damaged = _json_changed(files, rng)
    elif way < 0.7:
        damaged = _tensors_changed(files, rng)
    elif way < 0.85:
        damaged = _moved(files, rng)
    else:
        return {**files, SUMS: _sums_changed(files[SUMS], rng)}
    return {**damaged, SUMS: sums_of(damaged)} if sums else damaged


def sums_of(files: Files) -> bytes:
    """The list of the sums of all parts, as a bundle holds it."""
    parts = {n: d for n, d in files.items() if isinstance(d, bytes) and not n.startswith(SUMS)}
    return "".join(f"{hashlib.sha256(parts[n]).hexdigest()}  {n}\n" for n in sorted(parts)).encode()


def _json_changed(files: Files, rng: Rng) -> Files:
    name = pick(rng, sorted(n for n in files if n.endswith(".json")))
    if rng.random() < 0.15:
        depth = pick(rng, (500, 5_000, 100_000))
        deep = (b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth, b"[" * depth, b"9" * 10_000)
        huge = b'{"a": [' + b"0," * 5_000_000 + b"0]}"
        return {**files, name: pick(rng, (*deep, b'{"order": ' + deep[0] + b"}", huge))}
    held = json.loads(files[name])
    for _ in range(int(rng.integers(1, 4))):
        _change(held, rng)
    return {**files, name: json.dumps(held).encode()}


def _change(held, rng: Rng) -> None:
    """One value, anywhere in a JSON document, replaced, dropped or joined by another."""
    while True:
        keys = list(held) if isinstance(held, dict) else list(range(len(held)))
        if not keys:
            return
        key = pick(rng, keys)
        if isinstance(held[key], dict | list) and held[key] and rng.random() < 0.7:
            held = held[key]
            continue
        if rng.random() < 0.7:
            held[key] = copy.deepcopy(pick(rng, VALUES))
        elif isinstance(held, dict):
            held.pop(key)
        else:
            held.append(copy.deepcopy(pick(rng, VALUES)))
        return


def _tensors_changed(files: Files, rng: Rng) -> Files:
    """A safetensors part whose header lies about lengths, types, shapes or offsets."""
    name = pick(rng, sorted(n for n in files if n.endswith(".safetensors")))
    data = files[name]
    length = int.from_bytes(data[:8], "little")
    head, rest = json.loads(data[8 : 8 + length]), data[8 + length :]
    way = rng.random()
    if way < 0.3:
        return {**files, name: (pick(rng, EDGES) % 2**64).to_bytes(8, "little") + data[8:]}
    if way < 0.5:
        return {**files, name: data[:8] + spoil(data[8 : 8 + length], rng, TEXT) + rest}
    tensor = pick(rng, [k for k in head if k != "__metadata__"])
    if way < 0.7:
        head[tensor]["shape"] = pick(rng, ([2**31, 2**31], [0], [], [-1], [2**62, 4], [1] * 1000))
    elif way < 0.85:
        head[tensor]["data_offsets"] = pick(rng, ([0, 2**40], [8, 0], [0, 0], [-1, 4], [0]))
    else:
        _change(head, rng)
    text = json.dumps(head).encode()
    return {**files, name: len(text).to_bytes(8, "little") + text + rest}


def _moved(files: Files, rng: Rng) -> Files:
    """Parts missing, added, exchanged, or links to places outside."""
    parts = sorted(n for n in files if not n.startswith(SUMS))
    one, other = pick(rng, parts), pick(rng, parts)
    without = {n: d for n, d in files.items() if n != one}
    options = (
        without,
        {**without, one: "/etc/passwd"},
        {**without, one: "/dev/zero"},
        {**without, one: "."},
        {**without, f"{one}/x": b"{}"},
        {**files, "extra.json": b"{}", "networks/x.safetensors": b""},
        {**files, one: files[other], other: files[one]},
        {**files, "loop": "."},
    )
    return pick(rng, options)


def _sums_changed(sums: bytes, rng: Rng) -> bytes:
    lines = sums.decode().splitlines()
    at = int(rng.integers(len(lines)))
    if rng.random() < 0.3:
        return spoil(sums, rng, TEXT)
    if rng.random() < 0.5:
        lines[at] = lines[at][:66] + pick(rng, NAMES)
    else:
        lines.insert(at, "0" * 64 + "  " + pick(rng, NAMES))
    return "".join(f"{line}\n" for line in sorted(lines, key=lambda x: x[66:])).encode()
