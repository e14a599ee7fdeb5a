"""Trials on nodes that may not compute: nothing is computed there, and all of it elsewhere."""

from dataclasses import replace

from gc_ray.code_versions import SIGNATURES
from gc_ray.runtime import trials
from gc_ray.runtime.node_facts import facts_for
from gc_ray.runtime.preflight import Expected, RefusedNodes
from gc_ray.runtime.trials import Nodes, Place, Unit, run_units


def test_a_trial_on_a_wrong_node_says_so_and_computes_nothing(monkeypatch):
    """It looks at itself once, before its first unit."""
    worked = []
    monkeypatch.setattr(trials, "work", lambda unit, place: worked.append(unit))
    trial = trials._Trial.__new__(trials._Trial)  # Tune would begin its own bookkeeping
    right = facts_for(SIGNATURES)
    trial.setup({"unit": 0}, None, ["a", "b"], Expected(replace(right, sources="other")))
    said = trial.step()
    assert said["done"]
    assert "other files of gc_ray" in said["wrong"]
    assert worked == []
    trial.setup({"unit": 1}, None, ["a", "b"], Expected(right))
    assert trial.step() == {"done": True}
    assert worked == ["b"]


def test_units_of_a_wrong_node_are_computed_elsewhere(store, monkeypatch):
    """Only those without a result run again, on other nodes than the one that is wrong."""
    units = [Unit(0, fold, {}) for fold in range(3)]
    place, asked = Place(None, None, 1, store, "tune/x"), []

    def on_tune(missing: list[Unit], place: Place, nodes: Nodes, tell) -> dict[str, str]:
        asked.append((len(missing), nodes.refused.others))
        for unit in missing[1 - len(nodes.refused.reasons) :]:
            trials.sealed.create(store, f"tune/x/{unit.name}", {"fold": unit.fold})
        return {} if nodes.refused.reasons else {"n2": "b: numba 0.0.1 instead of 1"}

    monkeypatch.setattr(trials, "_on_tune", on_tune)
    monkeypatch.setattr(RefusedNodes, "is_another_up", lambda refused: True)
    monkeypatch.setattr(RefusedNodes, "wait", lambda refused: None)
    nodes = Nodes(None)
    found = run_units(units, place, nodes, lambda site, status: None)
    assert [one["fold"] for one in found] == [0, 1, 2]
    assert asked == [(3, {}), (1, {"ray.io/node-id": "!in(n2)"})]
    assert nodes.refused.notes == ("node b: numba 0.0.1 instead of 1; it got no work",)
