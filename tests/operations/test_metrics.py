"""Metrics say what the run counted, as a file and over HTTP."""

import socket
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gc_ray.errors import StudyError
from gc_ray.exit_codes import OVER_BUDGET, Problem
from gc_ray.names import label
from gc_ray.operations.metrics import Endpoint, Metrics, endpoint, serve


def values(text: str) -> dict[tuple[str, tuple[str, ...]], float]:
    """By name and label values, as Prometheus reads them."""
    families = text_string_to_metric_families(text)
    return {(s.name, tuple(s.labels.values())): s.value for family in families for s in family.samples}


def counted(metrics: Metrics) -> list[tuple[str, str]]:
    """Three results of two sites, shown beside being counted."""
    shown = []
    tell = metrics.watching(lambda totals: lambda site, status: shown.append((site, status)))({"a": 2, 'b"\n': 1})
    for site, status in (("a", "ok"), ("a", "failed"), ('b"\n', "ok")):
        tell(site, status)
    return shown


def test_the_file_says_how_the_run_ended(tmp_path):
    """Results by site and status, problems by kind, exit code; a line break of a site's name is replaced."""
    metrics = Metrics("extract", tmp_path / "run.prom")
    before = values((tmp_path / "run.prom").read_text())
    assert before[("gc_ray_run_exit_code", ())] == -1
    assert counted(metrics) == [("a", "ok"), ("a", "failed"), ('b"\n', "ok")]
    metrics.end(3, (Problem(OVER_BUDGET, "", {"failed": 1}),))
    after = values((tmp_path / "run.prom").read_text())
    assert after[("gc_ray_results_total", ("a", "failed"))] == 1
    assert after[("gc_ray_results_total", (label('b"\n'), "ok"))] == 1
    assert after[("gc_ray_results_expected", ("a",))] == 2
    assert after[("gc_ray_problem", ("over_budget",))] == 1
    assert after[("gc_ray_problem", ("drift",))] == 0
    assert after[("gc_ray_problem_count", ("over_budget", "failed"))] == 1
    assert after[("gc_ray_run_exit_code", ())] == 3
    assert after[("gc_ray_run_end_time_seconds", ())] >= after[("gc_ray_run_start_time_seconds", ())]
    assert [p.name for p in tmp_path.iterdir()] == ["run.prom"]


def test_what_is_served_changes_as_results_come():
    """A scrape in the middle of a run sees what has been counted so far."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    metrics = Metrics("rescore")
    stop = serve(metrics, Endpoint("127.0.0.1", port))
    try:
        with pytest.raises(StudyError, match="choose another --metrics-port"):
            serve(metrics, Endpoint("127.0.0.1", port))
        counted(metrics)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            assert values(answer.read().decode())[("gc_ray_results_total", ("a", "ok"))] == 1
    finally:
        stop()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("9100", "127.0.0.1", 9100), ("0.0.0.0:9100", "0.0.0.0", 9100), ("[::1]:80", "::1", 80)],
)
def test_without_a_host_only_this_machine_can_ask(text, host, port):
    """Names of sites are not for everybody."""
    assert endpoint(text) == Endpoint(host, port)


@pytest.mark.parametrize("text", ["", "http", "0", "65536", "-1", "9100x", "²"])
def test_a_port_that_is_none_is_refused(text):
    """Before the run."""
    with pytest.raises(StudyError, match="1 to 65535"):
        endpoint(text)


def test_a_metrics_file_that_cannot_be_written_is_named(tmp_path):
    """Before the run, without its folder."""
    with pytest.raises(StudyError, match=r"run\.prom cannot be written") as caught:
        Metrics("extract", tmp_path / "none" / "run.prom")
    assert str(tmp_path) not in str(caught.value)
