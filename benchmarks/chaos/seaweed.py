"""A real S3 server (SeaweedFS) on this machine: on free ports, with keys of its own, ended by its id."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

WEED = Path(sys.executable).with_name("weed")
UP_S = 300.0  # for it to answer on a loaded machine; 4-8 s on an idle one
LOOK_S = 0.1  # between two looks


def _free_ports(count: int) -> list[int]:
    """Ports free now, with the one 10,000 above free as well: SeaweedFS takes that for gRPC."""
    found: list[int] = []
    while len(found) < count:
        port = 20000 + secrets.randbelow(20000)
        with socket.socket() as one, socket.socket() as two:
            try:
                one.bind(("127.0.0.1", port))
                two.bind(("127.0.0.1", port + 10000))
            except OSError:
                continue
        found.append(port)
    return found


def _new_keys() -> dict[str, str]:
    """Keys that only this server knows, as AWS settings."""
    keys = {"AWS_ACCESS_KEY_ID": secrets.token_hex(8), "AWS_SECRET_ACCESS_KEY": secrets.token_hex(16)}
    return keys | {"AWS_DEFAULT_REGION": "us-east-1"}


@dataclass
class Seaweed:
    """A server that can be killed and started again on the same folder, which is an empty one to begin with.

    keys: AWS settings with which it is to be asked.
    """

    folder: Path
    ports: list[int] = field(default_factory=lambda: _free_ports(4))
    keys: dict[str, str] = field(default_factory=_new_keys)
    process: subprocess.Popen | None = None

    @property
    def port(self) -> int:
        """Where S3 is served."""
        return self.ports[3]

    @property
    def settings(self) -> dict[str, str]:
        """The AWS settings that lead to it."""
        return self.keys | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}"}

    def start(self) -> None:
        """Start it and wait until it answers; RuntimeError with the end of its log when it does not."""
        (self.folder / "s3.json").write_text(self._identities())
        log = self.folder / "log"
        with log.open("ab") as end:
            self.process = subprocess.Popen(
                [WEED, "server", *self._options()], stdout=end, stderr=subprocess.STDOUT, start_new_session=True
            )
        deadline = time.monotonic() + UP_S
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"SeaweedFS does not answer: {log.read_text()[-500:]}")
            time.sleep(LOOK_S)

    def answers(self) -> bool:
        """Whether the server is there; an anonymous request is refused, which is an answer."""
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}", timeout=1)
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def signal(self, number: int) -> None:
        """Send a signal to it and all that it started."""
        os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """End it as a power cut would; it does not end on SIGTERM. Nothing happens where it has ended."""
        if self.process and self.process.poll() is None:
            self.signal(signal.SIGKILL)
            self.process.wait()

    def _options(self) -> list[str]:
        master, volume, filer, s3 = self.ports
        options = {
            "ip": "127.0.0.1", "ip.bind": "127.0.0.1", "dir": self.folder, "master.port": master,
            "volume.port": volume, "filer": "true", "filer.port": filer, "s3": "true", "s3.port": s3,
            "s3.config": self.folder / "s3.json", "s3.port.iceberg": 0, "s3.port.lance": 0, "s3.iam": "false",
            "master.telemetry": "false", "master.volumeSizeLimitMB": 64, "volume.max": 20,
        }  # fmt: skip
        return [f"-{name}={value}" for name, value in options.items()]

    def _identities(self) -> str:
        keys = {"accessKey": self.keys["AWS_ACCESS_KEY_ID"], "secretKey": self.keys["AWS_SECRET_ACCESS_KEY"]}
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        return json.dumps({"identities": [{"name": "ours", "credentials": [keys], "actions": actions}]})
