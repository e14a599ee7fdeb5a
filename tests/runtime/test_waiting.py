"""A run that waits says for what, now and then, and gives up when it was told to."""

import io
import json
import logging
import sys

import pytest
from rich.console import Console
from rich.live import Live

from gc_ray.errors import ClusterError
from gc_ray.runtime import places, waiting
from gc_ray.runtime.places import Demand, wait_for, watched
from gc_ray.terminal import lines_as, waits_shown

RANKS = Demand("training", 2, {"CPU": 4, "GPU": 1})


class Clock:
    """Seconds that pass only while something is waited for."""

    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> bool:
        """Never ready."""
        self.now += seconds
        return False


def lines(caplog) -> list[str]:
    """What was said."""
    return [record.getMessage() for record in caplog.records if record.name == "gc_ray.waiting"]


def test_the_first_line_comes_soon_and_others_now_and_then(caplog):
    """With the time that has passed, and the time that it may take."""
    clock = Clock()
    assert not waiting.wait(clock.sleep, lambda: "for a node", 60, clock)
    assert clock.now == pytest.approx(60, abs=1)
    assert lines(caplog) == [f"for a node; {s} s of 60 s" for s in (5, 20, 35, 50)]


def test_what_is_ready_at_once_says_nothing(caplog):
    """As on a cluster with room."""
    assert waiting.wait(lambda seconds: True, lambda: "for a node", 60)
    assert lines(caplog) == []


def test_the_longest_wait_is_set_for_a_command_and_then_gone():
    """Minutes by the option, seconds where it is waited."""
    assert waiting.patience_s() == 900
    with waiting.waiting_up_to(0.5):
        assert waiting.patience_s() == 30
    assert waiting.patience_s() == 900


@pytest.fixture
def full(monkeypatch):
    """A function: a cluster where no places are ever ready; what it has in all, and what of that is free."""
    removed = []

    class Group:
        def wait(self, seconds: float) -> bool:
            return False

    def cluster_of(there: dict, free: dict) -> list:
        monkeypatch.setattr(places, "placement_group", lambda *asked, **options: Group())
        monkeypatch.setattr(places, "remove_placement_group", removed.append)
        monkeypatch.setattr(places.cluster, "is_private", lambda: False)
        monkeypatch.setattr(places.cluster, "resources", lambda without: there)
        monkeypatch.setattr(places.ray, "available_resources", lambda: free)
        monkeypatch.setattr(waiting, "FIRST_S", 0.0)
        return removed

    return cluster_of


@pytest.mark.parametrize(
    ("demand", "there", "free", "said"),
    [
        (RANKS, {"CPU": 8}, {"CPU": 3}, "3 of 8 CPU and 0 of 0 GPU are free; no node that is up has them"),
        (Demand("check"), {"CPU": 1}, {}, "0 of 1 CPU are free; other work holds them, or this job's own driver"),
    ],
)
def test_a_place_that_does_not_come_is_named_and_given_up(full, caplog, demand, there, free, said):
    """What is wanted, what there is, why it may be; and nothing is held afterwards."""
    removed = full(there, free)
    with (
        waiting.waiting_up_to(0.0005),
        pytest.raises(ClusterError, match=rf"^{demand.purpose}: wanted {demand}, no node had room within 0 s: "),
    ):
        wait_for(demand, {})
    assert len(removed) == 1
    with waiting.waiting_up_to(0.02), pytest.raises(ClusterError, match=r"\(--wait-minutes\)"):
        wait_for(demand, {})
    assert lines(caplog)[0].startswith(f"{demand.purpose} waits for {demand}: {said}")


def test_a_cluster_of_this_process_gets_no_more_nodes_and_is_not_waited_for(monkeypatch):
    """The error comes at once, and advises only what there is."""
    monkeypatch.setattr(places.cluster, "is_private", lambda: True)
    monkeypatch.setattr(places.cluster, "resources", lambda without: {"CPU": 8.0})
    with pytest.raises(ClusterError, match=r"the nodes have 0; ask for fewer workers, or leave --gpu out$"):
        wait_for(RANKS, {})
    with pytest.raises(
        ClusterError, match=r"wanted 12 CPU \(3 workers with 4 each\), .* have 8; ask for fewer workers$"
    ):
        wait_for(Demand("training", 3, {"CPU": 4}), {})


def test_a_run_whose_nodes_went_away_says_so_until_one_comes(monkeypatch, caplog):
    """It goes on by itself."""
    monkeypatch.setattr(places, "LOOK_S", 0.01)
    monkeypatch.setattr(places, "NOBODY_S", 0.03)
    looked = []

    def is_up() -> bool:
        looked.append(lines(caplog))
        return bool(looked[-1])

    with watched(is_up):
        while len(looked) < 200 and not lines(caplog):
            places.time.sleep(0.01)
    assert lines(caplog)[0].startswith("no node that can work for this run has been up for ")


def test_lines_reach_standard_error_as_text_or_json_and_above_what_is_redrawn(capsys, monkeypatch):
    """They are shown once, in the form that the log has."""
    with waits_shown():
        waiting.log.warning("waits for \x1b[2J1 CPU")
        with lines_as("json", "extract"):
            waiting.log.warning("waits")
    text, as_json = capsys.readouterr().err.splitlines()
    assert text == "waits for \N{REPLACEMENT CHARACTER}[2J1 CPU"
    assert json.loads(as_json)["level"] == "warning"
    out = io.StringIO()
    with Live("progress", console=Console(file=out, force_terminal=True), auto_refresh=False), waits_shown():
        assert sys.stderr is not sys.__stderr__
        waiting.log.warning("waits")
    assert out.getvalue().index("waits") < out.getvalue().rindex("progress")
    assert not logging.getLogger("gc_ray.waiting").handlers
