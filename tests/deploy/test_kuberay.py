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

from gc_ray.commands.service import rescore

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads(Path(__file__).with_name("kuberay.schema.json").read_text())
GIB = 1 << 30


def documents(name: str) -> list[dict]:
    """Everything that `kubectl apply` would make of a file."""
    return list(yaml.safe_load_all((ROOT / f"deploy/kuberay/{name}.yaml").read_text()))


def rescoring() -> dict:
    """The RayJob that the CronJob creates, from the ConfigMap that it mounts."""
    (config,) = [one for one in documents("rescore") if one["kind"] == "ConfigMap"]
    return yaml.safe_load(config["data"]["rayjob.yaml"])


@pytest.fixture(params=["extract", "rescore"])
def manifest(request) -> dict:
    """Each RayJob as it is written."""
    return documents("extract")[0] if request.param == "extract" else rescoring()


def job_of(manifest: dict) -> dict:
    """What a RayJob specifies."""
    return manifest["spec"]


def pods_of(thing: object) -> list[dict]:
    """Every pod that a document describes, at any depth."""
    found = [thing] if isinstance(thing, dict) and "containers" in thing else []
    below = thing.values() if isinstance(thing, dict) else thing if isinstance(thing, list) else ()
    return [*found, *(pod for each in below for pod in pods_of(each))]


def test_a_manifest_has_fields_that_kuberay_knows(manifest):
    """Kubernetes drops a field that it does not know, and says so to nobody."""
    assert not list(jsonschema.Draft7Validator(SCHEMA).iter_errors(manifest))


@pytest.mark.parametrize("name", ["extract", "rescore"])
def test_every_document_of_a_file_has_fields_that_kubernetes_knows(name):
    """Accounts, rights and the schedule included."""
    for document in documents(name):
        assert not list(jsonschema.Draft7Validator(SCHEMA).iter_errors(document)), document["kind"]


@pytest.mark.parametrize("image", ["registry.example/gc-ray:0.1.0", "gc-ray", "r/gc-ray@sha256:abc", "gc-ray:latest"])
def test_an_image_without_a_digest_is_caught(manifest, image):
    """A tag can be moved to another image; a digest cannot."""
    changed = copy.deepcopy(manifest)
    pods_of(changed)[-1]["containers"][0]["image"] = image
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(changed, SCHEMA)


def test_an_image_that_was_not_set_is_refused_by_kubernetes(manifest):
    """The word in place of the digest is no digest: the pod is not started, and its state names the image."""
    images = {c["image"] for pod in pods_of(manifest) for c in pod["containers"]}
    assert images == {"registry.example/gc-ray@sha256:IMAGE_DIGEST"}
    reference = re.compile(r"[a-z0-9./-]+@sha256:[0-9a-f]{64}")  # the grammar of distribution/reference
    assert not any(reference.fullmatch(image) for image in images)


def test_every_pod_runs_without_rights_on_a_read_only_root(manifest):
    """Submitter, head, workers and what creates the job: seccomp, no privileges, writable only where mounted."""
    pods = [*pods_of(manifest), *(pod for one in documents("rescore") for pod in pods_of(one))]
    assert len(pods) == 4
    for pod in pods:
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["securityContext"]["runAsNonRoot"]
        (container,) = pod["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


def test_a_job_that_ended_over_its_budget_is_not_run_again(manifest):
    """Ray turns exit code 3 into 1, so that a retry would follow it."""
    assert job_of(manifest)["backoffLimit"] == 0


def test_the_schedule_creates_the_job_of_the_config_map_and_may_do_nothing_else():
    """One verb on one kind; the file that the command names is the one that is mounted."""
    by_kind = {one["kind"]: one for one in documents("rescore")}
    assert by_kind["Role"]["rules"] == [{"apiGroups": ["ray.io"], "resources": ["rayjobs"], "verbs": ["create"]}]
    (pod,) = pods_of(by_kind["CronJob"])
    account = by_kind["ServiceAccount"]["metadata"]["name"]
    assert {account} == {pod["serviceAccountName"], by_kind["RoleBinding"]["subjects"][0]["name"]}
    assert by_kind["RoleBinding"]["roleRef"]["name"] == by_kind["Role"]["metadata"]["name"]
    (volume,) = [volume for volume in pod["volumes"] if "configMap" in volume]
    assert volume["configMap"]["name"] == by_kind["ConfigMap"]["metadata"]["name"]
    (mount,) = [m for m in pod["containers"][0]["volumeMounts"] if m["name"] == volume["name"]]
    assert pod["containers"][0]["command"][-1] == f"{mount['mountPath']}/rayjob.yaml"
    assert list(by_kind["ConfigMap"]["data"]) == ["rayjob.yaml"]


@pytest.mark.parametrize(
    "path",
    [
        ("shutdownAfterJobFinish",),
        ("rayClusterSpec", "authOption"),
        ("rayClusterSpec", "headGroupSpec", "rayStartParam"),
        ("rayClusterSpec", "headGroupSpec", "template", "spec", "serviceAccount"),
        ("rayClusterSpec", "headGroupSpec", "resource"),
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


def test_the_version_of_ray_is_that_of_the_constraints(manifest):
    """The Ray that KubeRay expects is the one that the image holds."""
    cluster = job_of(manifest)["rayClusterSpec"]
    assert cluster["rayVersion"] == metadata.version("ray")
    assert f"ray=={cluster['rayVersion']}\n" in (ROOT / "constraints.txt").read_text()


def test_the_head_computes_nothing_and_promises_what_a_worker_has(manifest):
    """As in cluster.yaml: jobs plan by the largest node they see, which at first is the head."""
    cluster = job_of(manifest)["rayClusterSpec"]
    head = cluster["headGroupSpec"]["resources"]
    assert head["CPU"] == "0"
    assert {worker["resources"]["memory"] for worker in cluster["workerGroupSpecs"]} == {head["memory"]}


def test_a_worker_has_the_memory_that_it_promises(manifest):
    """Tasks, object store and 1 GiB for Ray itself fit the container's limit; the object store fits its volume."""
    for worker in job_of(manifest)["rayClusterSpec"]["workerGroupSpecs"]:
        promised = {name: int(value) for name, value in (worker["resources"] | worker["rayStartParams"]).items()}
        pod = worker["template"]["spec"]
        limit = int(pod["containers"][0]["resources"]["limits"]["memory"].removesuffix("Gi")) * GIB
        assert promised["memory"] + promised["object-store-memory"] + GIB <= limit
        (volume,) = [v for v in pod["volumes"] if v["emptyDir"].get("medium") == "Memory"]
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
    kuberay = options_of(job_of(rescoring())["entrypoint"].split())
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
    job = job_of(rescoring())
    head = job["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    (secret,) = [volume for volume in head["volumes"] if "secret" in volume]
    (mount,) = [m for m in head["containers"][0]["volumeMounts"] if m["name"] == secret["name"]]
    options = options_of(job["entrypoint"].split())
    assert {str(Path(options[name]).parent) for name in ("--site-key", "--seal-key")} == {mount["mountPath"]}
    assert mount["readOnly"] and secret["secret"]["defaultMode"] == 0o440 and head["securityContext"]["fsGroup"]
    for worker in job["rayClusterSpec"]["workerGroupSpecs"]:
        assert not any("secret" in volume for volume in worker["template"]["spec"]["volumes"])
