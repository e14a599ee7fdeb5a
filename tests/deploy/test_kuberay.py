"""The Kubernetes manifests: fields that KubeRay has, versions and sizes that agree with the rest of the project."""

import copy
import json
import re
from importlib import metadata
from pathlib import Path

import jsonschema
import pytest
import yaml

import gc_ray

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads(Path(__file__).with_name("kuberay.schema.json").read_text())
GIB = 1 << 30


@pytest.fixture(params=["extract", "rescore"])
def manifest(request) -> dict:
    """One manifest as it is written."""
    return yaml.safe_load((ROOT / f"deploy/kuberay/{request.param}.yaml").read_text())


def job_of(manifest: dict) -> dict:
    """What a RayJob specifies, or what a RayCronJob makes RayJobs of."""
    return manifest["spec"].get("jobTemplate", manifest["spec"])


def test_a_manifest_has_fields_that_kuberay_knows(manifest):
    """Kubernetes drops a field that it does not know, and says so to nobody."""
    assert not list(jsonschema.Draft7Validator(SCHEMA).iter_errors(manifest))


@pytest.mark.parametrize(
    "path",
    [
        ("shutdownAfterJobFinish",),
        ("rayClusterSpec", "authOption"),
        ("rayClusterSpec", "headGroupSpec", "rayStartParam"),
        ("rayClusterSpec", "headGroupSpec", "template", "spec", "serviceAccount"),
    ],
    ids=lambda p: p[-1],
)
def test_a_misspelt_field_is_caught(manifest, path):
    """At every depth."""
    changed = copy.deepcopy(manifest)
    place = job_of(changed)
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = {}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(changed, SCHEMA)


def test_versions_are_those_of_the_constraints(manifest):
    """The Ray that KubeRay expects is the one that the image holds, and the image is that of this version."""
    cluster = job_of(manifest)["rayClusterSpec"]
    assert cluster["rayVersion"] == metadata.version("ray")
    assert f"ray=={cluster['rayVersion']}\n" in (ROOT / "constraints.txt").read_text()
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    images = {c["image"] for group in groups for c in group["template"]["spec"]["containers"]}
    assert {image.rpartition(":")[2] for image in images} == {gc_ray.__version__}


def test_the_head_computes_nothing_and_promises_what_a_worker_has(manifest):
    """As in cluster.yaml: jobs plan by the largest node they see, which at first is the head."""
    cluster = job_of(manifest)["rayClusterSpec"]
    head = cluster["headGroupSpec"]["rayStartParams"]
    assert head["num-cpus"] == "0"
    assert {worker["rayStartParams"]["memory"] for worker in cluster["workerGroupSpecs"]} == {head["memory"]}


def test_a_worker_has_the_memory_that_it_promises(manifest):
    """Tasks, object store and 1 GiB for Ray itself fit the container's limit; the object store fits its volume."""
    for worker in job_of(manifest)["rayClusterSpec"]["workerGroupSpecs"]:
        promised = {name: int(value) for name, value in worker["rayStartParams"].items()}
        pod = worker["template"]["spec"]
        limit = int(pod["containers"][0]["resources"]["limits"]["memory"].removesuffix("Gi")) * GIB
        assert promised["memory"] + promised["object-store-memory"] + GIB <= limit
        (volume,) = pod["volumes"]
        assert promised["object-store-memory"] <= int(volume["emptyDir"]["sizeLimit"].removesuffix("Mi")) << 20


def test_the_entrypoint_is_a_command_with_every_address_it_needs(manifest):
    """`gc-ray NAME` with scans and store on S3."""
    command = job_of(manifest)["entrypoint"].split()
    assert command[:2] in (["gc-ray", "extract"], ["gc-ray", "rescore"])
    assert {"--scans", "--store"} <= set(command)
    assert ("--bundle" in command) == (command[1] == "rescore")
    assert all(re.match(r"s3://[A-Z_]+_BUCKET/", command[command.index(o) + 1]) for o in ("--scans", "--store"))
