"""The Kubernetes manifests: fields that KubeRay has, versions and sizes that agree with the rest of the project."""

import copy
import inspect
import itertools
import json
import re
import shlex
from importlib import metadata
from pathlib import Path

import jsonschema
import pytest
import yaml

import gc_ray
from gc_ray.commands.service import rescore

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


def options_of(command: list[str]) -> dict[str, str]:
    """Values of a command's options, by option."""
    return {name: value for name, value in itertools.pairwise(command) if name.startswith("--")}


def test_a_scheduled_rescoring_is_given_every_secret_it_needs():
    """Cron and KubeRay pass the same options, all of them the command's own; keys are files, never values."""
    rows = [line for line in (ROOT / "deploy/crontab").read_text().splitlines() if not line.startswith("#")]
    ((_, script),) = [re.findall(r"(bash -lc) '(.*)' > /dev/null$", row)[0] for row in rows]
    cron = options_of(shlex.split(script))
    kuberay = options_of(
        job_of(yaml.safe_load((ROOT / "deploy/kuberay/rescore.yaml").read_text()))["entrypoint"].split()
    )
    assert set(cron) == set(kuberay)
    assert {"--site-key", "--seal-key", "--clinical"} <= set(cron)
    known = {f"--{name.replace('_', '-')}" for name in inspect.signature(rescore).parameters}
    assert set(cron) <= known
    checkout = "$HOME/gc_ray/"  # is uploaded with the job: no key may lie below it
    for name in ("--site-key", "--seal-key"):
        assert cron[name].startswith("$HOME/")
        assert not cron[name].startswith(checkout)


def test_the_keys_are_mounted_where_the_command_looks_for_them_and_nowhere_else():
    """The head alone, which runs the driver, holds the secret; files are readable by its user's group, not by all."""
    job = job_of(yaml.safe_load((ROOT / "deploy/kuberay/rescore.yaml").read_text()))
    head = job["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    (secret,) = [volume for volume in head["volumes"] if "secret" in volume]
    (mount,) = [m for m in head["containers"][0]["volumeMounts"] if m["name"] == secret["name"]]
    options = options_of(job["entrypoint"].split())
    assert {str(Path(options[name]).parent) for name in ("--site-key", "--seal-key")} == {mount["mountPath"]}
    assert mount["readOnly"] and secret["secret"]["defaultMode"] == 0o440 and head["securityContext"]["fsGroup"]
    for worker in job["rayClusterSpec"]["workerGroupSpecs"]:
        assert not any("secret" in volume for volume in worker["template"]["spec"]["volumes"])
