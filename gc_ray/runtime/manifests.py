"""Manifests fetched from where they lie and joined into one cohort."""

from __future__ import annotations

from gc_ray.cohort.manifest import Scans, join_manifests, parse_manifest
from gc_ray.errors import TableError
from gc_ray.source import parent_of, read_bytes


def read_manifests(uris: tuple[str, ...], encoding: str | None = None) -> Scans:
    """The outlines of all manifests together, with the notes of their reader.

    encoding: of those that are neither UTF-8 nor UTF-16. TableError when one cannot be read or two of them clash.
    """
    manifests = []
    for uri in uris:
        folder, name = parent_of(uri)
        try:
            data = read_bytes(uri)
        except FileNotFoundError as error:
            raise TableError(f"{name}: wanted a scans table, there is no such file; correct --scans") from error
        manifests.append(parse_manifest(data, name, folder, encoding))
    return join_manifests(manifests)
