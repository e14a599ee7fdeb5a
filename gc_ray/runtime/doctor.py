"""What is installed here, what is missing, and what Ray sees."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from importlib import metadata, util

import psutil
import pydicom.uid as uids
import ray
from pydicom.pixels import get_decoder

from gc_ray.errors import StudyError
from gc_ray.features.feature_set import check_libraries, feature_set
from gc_ray.runtime import cluster

PACKAGES = (
    *("ray", "torch", "monai", "SimpleITK", "pyradiomics-bhklab", "scikit-learn", "pyarrow", "lifelines", "boto3"),
    *(
        "numpy",
        "scipy",
        "pandas",
        "pydicom",
        "python-gdcm",
        "highdicom",
        "pydantic",
        "typer",
        "trimesh",
        "PyWavelets",
    ),
)
TRANSFER_SYNTAXES = (
    *(uids.ExplicitVRLittleEndian, uids.ImplicitVRLittleEndian, uids.DeflatedExplicitVRLittleEndian),
    *(uids.RLELossless, uids.JPEGLosslessSV1, uids.JPEGLossless, uids.JPEGLSLossless, uids.JPEGLSNearLossless),
    *(uids.JPEG2000Lossless, uids.JPEG2000, uids.JPEGBaseline8Bit, uids.JPEGExtended12Bit, uids.HTJ2KLossless),
)
MISSING = "missing"
GB = 1 << 30


@dataclass(frozen=True)
class Diagnosis:
    """Facts by section (JSON types), and problems that keep a job from running right, each with what to do."""

    facts: dict[str, dict]
    problems: tuple[str, ...]


def diagnose() -> Diagnosis:
    """Look at packages, pixel decoders, the machine and the Ray cluster that a job would use."""
    packages = {name: _version(name) for name in PACKAGES}
    decoders = {uid.keyword: _decodes(uid) for uid in TRANSFER_SYNTAXES}
    problems = [
        f"package {name} is missing; install gc-ray again" for name, found in packages.items() if found == "missing"
    ]
    problems += [
        f"no decoder for {name}; install python-gdcm and pylibjpeg-openjpeg"
        for name, ok in decoders.items()
        if not ok
    ]
    problems += _feature_problems()
    facts = {"packages": packages, "pixel decoders": decoders, "machine": _machine(), "ray": _ray()}
    return Diagnosis(facts, tuple(problems))


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return MISSING


def _decodes(uid: uids.UID) -> bool:
    if not uid.is_compressed or uid.is_deflated:
        return True
    return get_decoder(uid).is_available


def _feature_problems() -> list[str]:
    try:
        check_libraries(feature_set("pyradiomics-ct"))
    except StudyError as error:
        return [str(error)]
    return []


def _machine() -> dict:
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / GB, 1),
        "free_disk_gb": round(shutil.disk_usage(".").free / GB, 1),
        "gpus": _gpus(),
    }


def _gpus() -> list[str]:
    if util.find_spec("torch") is None:
        return []
    import torch

    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]


def _ray() -> dict:
    with cluster.session(None):
        nodes = [node for node in ray.nodes() if node["Alive"]]
        total = ray.cluster_resources()
        return {
            "where": "a running cluster" if os.environ.get("RAY_ADDRESS") else "a private one on this machine",
            "nodes": len(nodes),
            "cpus": total.get("CPU", 0),
            "gpus": total.get("GPU", 0),
            "memory_gb": round(total.get("memory", 0) / GB, 1),
        }
