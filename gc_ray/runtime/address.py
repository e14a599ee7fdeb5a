"""Whether a Ray cluster answers at an address, found in seconds; Ray itself tries for fifteen minutes in silence."""

from __future__ import annotations

import os
import re
import socket
import time

from gc_ray.errors import ClusterError

ANSWER_S = 10.0  # for a cluster to take a connection: a head that starts just now
REPLY_S = 5.0  # for the first bytes of its answer
# gRPC is HTTP/2 (RFC 9113): the client's preface with an empty SETTINGS frame is answered by a SETTINGS frame, type 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
SETTINGS = 4
TOKEN = "set RAY_AUTH_MODE=token and give this machine the token of the cluster (~/.ray/auth_token)"
DASHBOARD = "8265 is the port of the dashboard, to which jobs are submitted"


def check_address(address: str) -> None:
    """Check that a Ray head listens at an address.

    Parameters
    ----------
    address : str
        What ``RAY_ADDRESS`` holds: ``HOST:PORT`` of the head, or ``auto`` or ``local``, for which
        nothing is checked.

    Raises
    ------
    ClusterError
        The address has another form, nobody listens there, or what listens is no Ray head. Within 15 s.
    """
    if address in ("auto", "local"):
        return
    found = re.fullmatch(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^\s:/]+):(?P<port>\d{1,5})", address)
    if found is None or not 0 < int(found["port"]) < 65536:
        raise ClusterError(
            f"RAY_ADDRESS: wanted HOST:PORT of a Ray head, such as 10.0.0.1:6379, or auto, got {address!r}; "
            f"correct it ({DASHBOARD})"
        )
    plain = os.environ.get("RAY_USE_TLS") != "1"
    reply = _reply(address, (found["host"].strip("[]"), int(found["port"])), PREFACE if plain else b"")
    if plain and not (len(reply) >= 4 and reply[3] == SETTINGS):
        what = "a web server" if reply.startswith((b"HTTP/", b"<")) else "no Ray head"
        raise ClusterError(
            f"wanted a Ray head at {address} (RAY_ADDRESS), {what} answers there; give the port of ray start, 6379 "
            f"unless it was changed ({DASHBOARD})"
        )


def joining_error(address: str, error: Exception) -> ClusterError:
    """The one line for an exception with which Ray did not join a cluster that answers."""
    if refuses_token(address):
        return _wrong_token(address)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    about = " ".join(lines)[:300] or type(error).__name__
    if "oken" in about or type(error).__name__ == "AuthenticationError":
        fix = TOKEN
    elif "ersion" in about:
        fix = "install the same versions of Ray and Python here and on every node"
    elif "runtime" in about:
        fix = "leave OMP_NUM_THREADS and its like out of the job's runtime environment: every task has one thread"
    else:
        fix = "ray status --address says how the cluster is"
    return ClusterError(f"wanted to join the Ray cluster at {address} (RAY_ADDRESS), Ray refused: {about}; {fix}")


def check_token(address: str) -> None:
    """Check, where ``RAY_AUTH_MODE`` is set, that a Ray head accepts this machine's token.

    Ray itself tries for 20 s and then says that nobody answers. Without that setting Ray chooses as it joins.

    Raises
    ------
    ClusterError
        There is no token, or a wrong one.
    """
    if "RAY_AUTH_MODE" in os.environ and refuses_token(address):
        raise _wrong_token(address)


def refuses_token(address: str) -> bool:
    """Return whether a Ray head answers that this machine has no token or a wrong one; False without an answer."""
    if address in ("auto", "local"):
        return False
    # late, since they load all of Ray; its own client of the control store has no time limit
    import grpc
    from ray._private.grpc_utils import init_grpc_channel
    from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc
    from ray.exceptions import RayError

    try:
        with init_grpc_channel(address) as channel:
            head = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel)
            head.GetClusterId(gcs_service_pb2.GetClusterIdRequest(), timeout=REPLY_S)
    except grpc.RpcError as error:
        return error.code() is grpc.StatusCode.UNAUTHENTICATED
    except (OSError, RayError):  # no certificates; no token, which Ray says in its own words
        return False
    return False


def _wrong_token(address: str) -> ClusterError:
    return ClusterError(
        f"wanted to join the Ray cluster at {address} (RAY_ADDRESS), it refuses this machine's token, or that "
        f"there is none; {TOKEN}"
    )


def _reply(address: str, place: tuple[str, int], question: bytes) -> bytes:
    """The first bytes that are answered to a question, none where it is empty; ClusterError when nobody listens."""
    end = time.monotonic() + ANSWER_S
    while True:
        try:
            with socket.create_connection(place, timeout=ANSWER_S) as connection:
                connection.settimeout(REPLY_S)
                connection.sendall(question)
                return _first_bytes(connection) if question else b""
        except (OSError, OverflowError) as error:
            if time.monotonic() > end or isinstance(error, socket.gaierror):
                raise ClusterError(
                    f"wanted to join the Ray cluster at {address} (RAY_ADDRESS), it does not answer; start it, or "
                    "unset RAY_ADDRESS to run on this machine alone"
                ) from error
            time.sleep(1)


def _first_bytes(connection: socket.socket) -> bytes:
    try:
        return connection.recv(64)
    except (TimeoutError, ConnectionResetError):
        return b""
