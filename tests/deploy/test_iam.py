"""The rights of nodes: what the code calls, on what belongs to it, and nothing else."""

import ast
import json
from pathlib import Path

import botocore.session
import pytest
import yaml
from botocore import xform_name

import gc_ray.store

ROOT = Path(__file__).resolve().parents[2]
POLICIES = sorted((ROOT / "deploy/iam").glob("*.json"))
RIGHT = {  # the right that each call needs
    "put_object": "s3:PutObject",
    "get_object": "s3:GetObject",
    "delete_object": "s3:DeleteObject",
    "list_objects_v2": "s3:ListBucket",
}
NO_CALL = {"iam:PassRole"}  # a right that no call is named after


def statements(path: Path, effect: str) -> list[dict]:
    """A policy's statements of one effect, with the actions as a list."""
    found = [s for s in json.loads(path.read_text())["Statement"] if s["Effect"] == effect]
    return [s | {"Action": [s["Action"]] if isinstance(s["Action"], str) else s["Action"]} for s in found]


def s3_calls(source: str) -> set[str]:
    """The S3 operations that a module's text names, as strings or as attributes."""
    known = {xform_name(name) for name in botocore.session.Session().get_service_model("s3").operation_names}
    nodes = list(ast.walk(ast.parse(source)))
    named = {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return known & (named | {n.attr for n in nodes if isinstance(n, ast.Attribute)})


def unknown(action: str) -> bool:
    """Whether AWS has no call of this name (S3 rights are named otherwise and compared above)."""
    service, _, name = action.partition(":")
    return name not in botocore.session.Session().get_service_model(service).operation_names


def test_the_store_may_do_what_it_calls_and_no_more():
    """Every S3 call of store.py is allowed, and no right is there that no call needs."""
    calls = s3_calls(Path(gc_ray.store.__file__).read_text())
    allowed = {action for s in statements(ROOT / "deploy/iam/store.json", "Allow") for action in s["Action"]}
    assert allowed == {RIGHT[call] for call in calls}


def test_a_call_that_the_store_learns_is_noticed():
    """A new operation in store.py without a right fails the test above."""
    assert s3_calls("client.copy_object(); call('head_object')") == {"copy_object", "head_object"}


def test_scans_cannot_be_written_nor_commits_undone():
    """Writing stays in the store's bucket; a commit is created once and is never replaced or deleted."""
    for statement in statements(ROOT / "deploy/iam/store.json", "Allow"):
        if {"s3:PutObject", "s3:DeleteObject"} & set(statement["Action"]):
            assert statement["Resource"] == "arn:aws:s3:::STORE_BUCKET/*"
    delete, put = statements(ROOT / "deploy/iam/store.json", "Deny")
    assert delete["Action"] == ["s3:DeleteObject"]
    assert put["Action"] == ["s3:PutObject"]
    assert put["Condition"] == {"Null": {"s3:if-none-match": "true"}}
    assert any("/ledger/commits/" in resource for resource in delete["Resource"])
    assert put["Resource"] == delete["Resource"]


def test_the_head_starts_and_ends_its_own_workers_only():
    """The instance types, the cluster's name and the worker's role are those of cluster.yaml."""
    config = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    by_sid = {s["Sid"]: s for s in statements(ROOT / "deploy/iam/head.json", "Allow")}
    workers = [t["node_config"] for name, t in config["available_node_types"].items() if name != "head"]
    start = by_sid["StartWorkersOfTheseTypes"]["Condition"]["StringEquals"]
    assert set(start["ec2:InstanceType"]) == {w["InstanceType"] for w in workers}
    assert start["aws:RequestTag/ray-cluster-name"] == config["cluster_name"]
    end = by_sid["MarkAndEndOwnWorkers"]["Condition"]["StringEquals"]
    assert end == {"aws:ResourceTag/ray-cluster-name": config["cluster_name"]}
    assert {w["IamInstanceProfile"]["Name"] for w in workers} == {"gc-ray-worker"}
    assert by_sid["GiveWorkersTheirRole"]["Resource"].endswith(":role/gc-ray-worker")


def test_the_head_may_look_up_the_images_it_starts():
    """An image is named by a public parameter, which EC2 reads with the caller's rights."""
    config = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    (found,) = [s for s in statements(ROOT / "deploy/iam/head.json", "Allow") if s["Sid"] == "FindTheImage"]
    readable = tuple(resource.partition("parameter")[2].rstrip("*") for resource in found["Resource"])
    for node in config["available_node_types"].values():
        assert node["node_config"]["ImageId"].removeprefix("resolve:ssm:").startswith(readable)


@pytest.mark.parametrize("path", POLICIES, ids=lambda p: p.stem)
def test_a_policy_grants_named_calls_that_exist(path):
    """No wildcard action, no misspelt one; all of everything only where AWS has nothing narrower."""
    for statement in statements(path, "Allow"):
        assert not any("*" in action for action in statement["Action"])
        others = {a for a in statement["Action"] if not a.startswith("s3:")} - NO_CALL
        assert not {a for a in others if unknown(a)}
        assert statement.get("Resource") != "*" or statement["Action"] == ["ec2:DescribeInstances"]


def test_a_misspelt_action_is_noticed():
    """AWS would take it without a word and the right would be missing."""
    assert unknown("ec2:RunInstance")
    assert not unknown("ec2:RunInstances")
