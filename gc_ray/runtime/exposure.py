"""Whether strangers could run code on a cluster: its job server, reachable from other machines, asks for no token."""

from __future__ import annotations

import ipaddress
import os
import socket
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import psutil

from gc_ray.errors import ClusterError

ACCEPT = "GC_RAY_OPEN_DASHBOARD"  # set to 1 by who knows that the network is closed
ASK_S = 5  # for the job server to answer; on the cluster's own network it takes milliseconds
FAMILIES = (socket.AF_INET, socket.AF_INET6)
LOCAL_NAMES = ("localhost", "")


def check_dashboard(address: str | None) -> None:
    """ClusterError when the dashboard at ``host:port`` serves other machines and anybody; None: there is none."""
    if not address or os.environ.get(ACCEPT) == "1":
        return
    for reached in reachable(address, own_addresses()):
        if serves_anybody(reached):
            raise ClusterError(
                f"the Ray dashboard listens on {reached} and asks for no token: whoever reaches it runs code here; "
                "set RAY_AUTH_MODE=token on every node and here, or start the head with --dashboard-host=127.0.0.1, "
                f"or, on a closed network, set {ACCEPT}=1"
            )


def reachable(address: str, own: list[str]) -> list[str]:
    """Where other machines would find ``host:port``: a loopback host on the ``own`` addresses of this machine.

    Ray names the host by its node's address: a head at 127.0.0.1 may listen on every address for all that.
    """
    if not is_loopback(address):
        return [address]
    port = urlsplit(f"//{address}").port
    return [f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}" for ip in own]


def own_addresses() -> list[str]:
    """This machine's addresses that others may reach."""
    found = (a.address for held in psutil.net_if_addrs().values() for a in held if a.family in FAMILIES)
    return [ip for ip in found if "%" not in ip and not ipaddress.ip_address(ip).is_loopback]


def is_loopback(address: str) -> bool:
    """Whether ``host:port`` can be reached from its own machine alone."""
    host = urlsplit(f"//{address}").hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in LOCAL_NAMES


def serves_anybody(address: str) -> bool:
    """Whether the job server answers a question without a token; False when it refuses, or does not answer."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{address}/api/jobs/", timeout=ASK_S) as answer:
            return answer.status < 400
    except (OSError, urllib.error.URLError):
        return False
