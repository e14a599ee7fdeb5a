"""cluster.yaml, in the three steps that find what `ray up` would find only with machines running."""

import copy
import json
import re
import subprocess
import tomllib
from pathlib import Path

import botocore.session
import jsonschema
import pytest
import ray.autoscaler
import yaml
from botocore.validate import ParamValidator
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())
RUN_INSTANCES = botocore.session.Session().get_service_model("ec2").operation_model("RunInstances").input_shape


@pytest.fixture
def config() -> dict:
    """The file as it is written, before Ray fills in defaults."""
    return yaml.safe_load((ROOT / "cluster.yaml").read_text())


def node_faults(node_config: dict) -> list[str]:
    """What EC2 would not take: unknown keys, wrong types, values outside an enumeration."""
    report = ParamValidator().validate({**node_config, "MinCount": 1, "MaxCount": 1}, RUN_INSTANCES)
    return [*report.generate_report().splitlines(), *_outside(node_config, RUN_INSTANCES)]


def _outside(value, shape) -> list[str]:
    if shape.type_name == "structure":
        return [f for key, v in value.items() if key in shape.members for f in _outside(v, shape.members[key])]
    if shape.type_name == "list":
        return [f for v in value for f in _outside(v, shape.member)]
    return [f"{value} is no {shape.name}"] if getattr(shape, "enum", None) and value not in shape.enum else []


def commands(config: dict) -> list[str]:
    """Every shell command of the file."""
    return [c for name, value in config.items() if name.endswith("commands") for c in value]


def test_the_file_as_written_fits_rays_schema(config):
    """Before defaults are filled in, since those hide what is misspelt."""
    assert not list(jsonschema.validators.validator_for(SCHEMA)(SCHEMA).iter_errors(config))


@pytest.mark.parametrize("typo", ["idle_timeout_minute", "available_node_type", "setup_command"])
def test_a_misspelt_key_of_the_file_is_caught(config, typo):
    """The schema knows every key at the top."""
    with pytest.raises(jsonschema.ValidationError, match=typo):
        jsonschema.validate({**config, typo: []}, SCHEMA)


def test_a_misspelt_key_of_a_node_type_is_caught(config):
    """The schema knows every key of a node type."""
    config["available_node_types"]["cpu"]["max_worker"] = 3
    with pytest.raises(jsonschema.ValidationError, match="max_worker"):
        jsonschema.validate(config, SCHEMA)


def test_ray_prepares_and_accepts_the_file(config):
    """Node types, their minima and the head's name agree, as `ray up` checks them."""
    prepared = prepare_config(copy.deepcopy(config))
    validate_config(prepared)
    assert not any("boto3" in command for command in commands(prepared)), "Ray adds an unpinned pip install"


@pytest.mark.parametrize("change", [{"head_node_type": "haed"}, {"max_workers": -1}])
def test_a_name_that_names_nothing_is_caught(config, change):
    """What the schema alone lets pass, or the numbers forbid, Ray's own check refuses."""
    with pytest.raises((ValueError, KeyError, jsonschema.ValidationError)):
        validate_config(prepare_config({**copy.deepcopy(config), **change}))


@pytest.mark.parametrize("name", ["head", "cpu", "gpu"])
def test_ec2_knows_every_setting_of_a_node(config, name):
    """Ray hands node_config to EC2 unread."""
    assert node_faults(config["available_node_types"][name]["node_config"]) == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"InstanceTyp": "m7i.large"}, "InstanceTyp"),
        ({"InstanceType": "m7i.2xlage"}, "m7i.2xlage"),
        ({"BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": {"VolumSize": 60}}]}, "VolumSize"),
        ({"InstanceMarketOptions": {"MarketType": "sport"}}, "sport"),
        ({"MetadataOptions": {"HttpPutResponseHopLimit": "1"}}, "HttpPutResponseHopLimit"),
    ],
)
def test_a_misspelt_setting_of_a_node_is_caught(config, change, named):
    """At any depth: a key, a value of an enumeration, a type."""
    assert named in " ".join(node_faults({**config["available_node_types"]["cpu"]["node_config"], **change}))


def test_the_head_computes_nothing_and_workers_come_on_demand(config):
    """No CPU on the head, no worker while no job runs, and a worker's memory known before the first is up."""
    types = config["available_node_types"]
    workers = [types[name] for name in types if name != config["head_node_type"]]
    assert types["head"]["resources"]["CPU"] == 0
    assert all(worker["min_workers"] == 0 for worker in workers)
    assert sum(worker["max_workers"] for worker in workers) == config["max_workers"]
    assert types["head"]["resources"]["memory"] == min(worker["resources"]["memory"] for worker in workers)


def test_nodes_hold_nothing_in_the_clear_and_have_roles_of_their_own(config):
    """Disks are encrypted and end with the node; credentials come by IMDSv2 from a profile of our own."""
    for name, node in config["available_node_types"].items():
        settings = node["node_config"]
        assert all(d["Ebs"]["Encrypted"] and d["Ebs"]["DeleteOnTermination"] for d in settings["BlockDeviceMappings"])
        assert settings["MetadataOptions"]["HttpTokens"] == "required"
        assert settings["IamInstanceProfile"] == {"Name": "gc-ray-head" if name == "head" else "gc-ray-worker"}


def test_every_node_asks_for_the_token_and_the_dashboard_stays_at_home(config):
    """The job server runs whatever it is sent: it listens on loopback, and even there it wants the token."""
    starts = [c for c in commands(config) if "ray start" in c]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token" in c for c in starts)
    assert all("--dashboard-host=127.0.0.1" in c for c in starts if "--head" in c)
    assert "~/.ray/auth_token" in config["file_mounts"]


def test_setting_up_installs_exactly_the_constraints(config):
    """One pip install, held by constraints.txt, from the public index."""
    (install,) = [c for c in commands(config) if "pip install" in c]
    assert "--constraint ~/gc_ray/constraints.txt ~/gc_ray" in install
    assert not re.search(r"index|find-links|https?:|--upgrade", install)


def test_everything_an_installation_needs_is_sent_and_is_there(config):
    """What pyproject.toml refers to, the constraints, and the scripts that cron calls."""
    sent = set(config["file_mounts"].values()) - {"~/.ray/auth_token"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert sent >= {"gc_ray", "pyproject.toml", "constraints.txt", project["readme"], *project["license-files"]}
    assert all((ROOT / name).exists() for name in sent)
    assert set(config["file_mounts"]) >= {f"~/gc_ray/{name}" for name in sent}


def test_every_command_is_whole_shell(config):
    """A `#` or a quote that YAML takes for its own leaves half a command behind."""
    for command in commands(config):
        done = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"
