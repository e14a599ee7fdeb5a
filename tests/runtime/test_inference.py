"""Networks run on nodes that are what the driver is."""

import contextlib
from dataclasses import replace

import pytest

from gc_ray.errors import ClusterError
from gc_ray.runtime import inference
from gc_ray.runtime.inference import Inference, infer
from gc_ray.runtime.node_facts import own_facts
from gc_ray.runtime.preflight import Expected
from gc_ray.store import LocalStore
from gc_ray.study import EmbedSettings


def doubled(items: list[dict]) -> list[dict]:
    """What stands for a network."""
    return [{"status": "ok", "value": 2 * item["value"]} for item in items]


def runs_on(expected: Expected, monkeypatch, tmp_path) -> list[tuple[dict, dict]]:
    """(item, outcome) of seven items on a cluster whose workers are compared with ``expected``."""
    checked = contextlib.nullcontext(expected)
    monkeypatch.setattr(inference, "checked_nodes", lambda *arguments, **options: checked)
    work = Inference(lambda: doubled, 2, lambda item: {"status": "failed"}, LocalStore(str(tmp_path)))
    return list(infer([{"value": i} for i in range(7)], work, EmbedSettings(workers=1)))


@pytest.mark.slow
def test_a_worker_that_differs_computes_nothing_and_is_named(ray_session, monkeypatch, tmp_path):
    """It compares itself before its first item; without another node the run ends with its name."""
    found = runs_on(Expected(own_facts()), monkeypatch, tmp_path)
    assert sorted((item["value"], outcome["value"]) for item, outcome in found) == [(i, 2 * i) for i in range(7)]
    with pytest.raises(ClusterError, match=r"there is none: .* \(Ray node \w+\): other files of gc_ray"):
        runs_on(Expected(replace(own_facts(), sources="other")), monkeypatch, tmp_path)
