"""What is wrong with a cluster's address is one line within seconds, whoever listens there."""

import contextlib
import http.server
import socket
import threading
import time

import pytest

from gc_ray.errors import ClusterError
from gc_ray.runtime import address as module
from gc_ray.runtime.address import check_address, joining_error


@contextlib.contextmanager
def listening(answer: bytes | None, asked: list[bytes] | None = None):
    """The address of a server that answers every connection with these bytes, or (None) never.

    asked: takes the first bytes of each connection.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    first = connection.recv(64)
                    if asked is not None:
                        asked.append(first)
                    if answer is not None:
                        connection.sendall(answer)
                        connection.close()
                    else:
                        open_ones.append(connection)

        open_ones: list[socket.socket] = []
        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        for connection in open_ones:
            connection.close()


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:8265", "ray://head:10001", "head", "head:", "head:port", "head:0", "head:65536", "", "a b:1"],
)
def test_another_form_of_address_is_refused_with_the_right_one(address):
    """The dashboard's address is what people copy."""
    with pytest.raises(ClusterError, match=r"HOST:PORT of a Ray head.*8265 is the port of the dashboard"):
        check_address(address)


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (b"HTTP/1.1 505 \r\n", "a web server"),
        (b"SSH-2.0-OpenSSH\r\n", "no Ray head"),
        (None, "no Ray head"),
        (b"", "no"),
    ],
)
def test_whoever_else_listens_is_told_from_a_ray_head(answer, what, monkeypatch):
    """The dashboard, another service, one that says nothing, one that hangs up."""
    monkeypatch.setattr(module, "REPLY_S", 0.3)
    with listening(answer) as address, pytest.raises(ClusterError, match=what):
        check_address(address)


def test_the_dashboards_port_is_named():
    """As a real web server answers an HTTP/2 preface."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    server.RequestHandlerClass.log_message = lambda *_: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(ClusterError, match="a web server answers there; give the port of ray start"):
            check_address(f"127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no-such-host.invalid:6379"])
def test_nobody_there_is_one_line_in_time(address, monkeypatch):
    """A name that nobody knows is not waited for."""
    monkeypatch.setattr(module, "ANSWER_S", 0.5)
    begin = time.monotonic()
    with pytest.raises(ClusterError, match="it does not answer; start it"):
        check_address(address)
    assert time.monotonic() - begin < 15


def test_a_server_of_http_2_passes():
    """Its first frame is SETTINGS; it is asked once, by the client's preface."""
    asked: list[bytes] = []
    with listening(b"\0\0\6\4\0\0\0\0\0\0\3\0\0\0\x64", asked) as address:
        check_address(address)
    assert asked == [module.PREFACE]


def test_a_cluster_with_tls_is_sent_nothing_in_plain_text(monkeypatch):
    """That somebody listens is all that can be known without its certificates."""
    monkeypatch.setenv("RAY_USE_TLS", "1")
    asked: list[bytes] = []
    with listening(None, asked) as address:
        check_address(address)
        end = time.monotonic() + 10
        while not asked and time.monotonic() < end:
            time.sleep(0.01)
    assert asked == [b""]


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        (RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 2.55.0\n"), "the same versions"),
        (ValueError("Failed to merge the Job's runtime env {...} with a ray.init's runtime env"), "OMP_NUM_THREADS"),
        (RuntimeError("Token authentication is enabled but no token was found"), "RAY_AUTH_MODE=token"),
        (ConnectionError(""), "ray status"),
    ],
)
def test_why_ray_did_not_join_is_one_line_with_the_fix(error, fix, monkeypatch):
    """Not a traceback."""
    monkeypatch.setattr(module, "refuses_token", lambda address: False)
    text = str(joining_error("head:6379", error))
    assert fix in text
    assert "\n" not in text
