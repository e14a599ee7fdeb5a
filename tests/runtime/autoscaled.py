"""A cluster with Ray's own autoscaler, begun with a head alone, which runs the commands that it is given.

Run in namespaces of its own (``unshare --pid --net``): Ray's ``AutoscalingCluster`` takes fixed ports and begins with
``ray stop``, which ends every Ray of the user that it sees. A command is a JSON line on standard input, its end one
on standard output.
"""

import json
import os
import subprocess
import sys

from ray.cluster_utils import AutoscalingCluster

WORKERS = {
    "cpu": {"resources": {"CPU": 1, "object_store_memory": 80_000_000}},
    "gpu": {"resources": {"CPU": 1, "GPU": 1, "object_store_memory": 80_000_000}},
}
# example.yaml of Ray's repository, from which AutoscalingCluster begins, is not part of its wheel
FAKE = {
    "cluster_name": "fake",
    "max_workers": 4,
    "provider": {
        "type": "fake_multinode",
        "use_node_id_as_ip": True,
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
    },
    "head_node_type": "ray.head.default",
    "upscaling_speed": 1.0,
    "idle_timeout_minutes": 0.2,
    "auth": {},
    "docker": {},
    "file_mounts": {},
    "cluster_synced_files": [],
    "file_mounts_sync_continuously": False,
    "rsync_exclude": [],
    "rsync_filter": [],
    "initialization_commands": [],
    "setup_commands": [],
    "head_setup_commands": [],
    "worker_setup_commands": [],
    "head_start_ray_commands": [],
    "worker_start_ray_commands": [],
}


class FromZero(AutoscalingCluster):
    """A head without CPU slots, and types of workers of which none is up."""

    def _generate_config(self, head_resources: dict, worker_node_types: dict, **more: object) -> dict:
        types = {
            name: {"node_config": {}, "min_workers": 0, "max_workers": 2, **one}
            for name, one in worker_node_types.items()
        }
        types["ray.head.default"] = {"resources": dict(head_resources), "node_config": {}, "max_workers": 0}
        return FAKE | {"available_node_types": types}


def main() -> None:
    """Start, say so, and run what is asked for until standard input ends."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    news = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what Ray's own commands say is no answer
    cluster = FromZero({"CPU": 0, "object_store_memory": 80_000_000}, WORKERS)
    cluster.start()
    print("up", file=news, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        done = subprocess.run(asked["command"], env=asked["env"], capture_output=True, text=True, check=False)
        print(json.dumps([done.returncode, done.stdout, done.stderr]), file=news, flush=True)


if __name__ == "__main__":
    main()
