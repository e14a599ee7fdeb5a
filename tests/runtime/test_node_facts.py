"""A process that would compute other values says so by name."""

from dataclasses import replace
from pathlib import Path

import pytest

from gc_ray.code_versions import EXTRACTION, NETWORKS, code_version
from gc_ray.runtime import node_facts
from gc_ray.runtime.node import LONGEST, instruction_set, level_of, this_node
from gc_ray.runtime.node_facts import (
    NodeFacts,
    computed_here,
    difference,
    facts_for,
    own_facts,
    package_digest,
    wanted_cpu,
)

V2 = {"cx16", "sahf", "popcnt", "sse3", "sse4.1", "sse4.2", "ssse3"}
V3 = V2 | {"avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "xsave"}
V4 = V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
DRIVER = NodeFacts("a", (("Python", "3.11.7"), ("SimpleITK", "2.5.0"), ("numpy", "2.1")), "s", "x86-64-v3")


@pytest.mark.parametrize(
    ("machine", "features", "level"),
    [
        ("x86_64", set(), "x86-64"),
        ("x86_64", V2, "x86-64-v2"),
        ("AMD64", V3 | {"sha"}, "x86-64-v3"),
        ("x86_64", V4, "x86-64-v4"),
        ("x86_64", V4 - {"fma"}, "x86-64-v2"),
        ("aarch64", {"neon"}, "aarch64"),
    ],
)
def test_the_instruction_set_is_the_highest_level_that_is_whole(machine, features, level):
    """As compilers define the levels: one feature less is the level below."""
    assert level_of(machine, features) == level


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, ""),
        ({"node": "b"}, ""),
        (
            {"libraries": (("Python", "3.11.7"), ("SimpleITK", "2.4.1"), ("numpy", "2.1"))},
            "SimpleITK 2.4.1 instead of 2.5.0",
        ),
        (
            {"libraries": (("Python", "3.12.1"), ("numpy", "2.1"))},
            "Python 3.12.1 instead of 3.11.7, SimpleITK none instead of 2.5.0",
        ),
        ({"sources": "t"}, "other files of gc_ray (t instead of s)"),
        ({"cpu": "x86-64-v4"}, "processor x86-64-v4 instead of x86-64-v3"),
    ],
)
def test_every_difference_is_named_with_both_versions(changes, told):
    """Whoever installs the node must see what to install."""
    assert difference(DRIVER, replace(DRIVER, **changes)) == told


def test_any_processor_will_do_where_none_is_asked_for():
    """``--allow-mixed-cpu`` leaves it open."""
    assert difference(replace(DRIVER, cpu=""), replace(DRIVER, cpu="aarch64")) == ""


@pytest.mark.parametrize(
    ("found", "wanted"), [([], "d"), (["d", "e"], "d"), (["e", "e", "d"], "e"), (["e", "f"], "f")]
)
def test_most_nodes_decide_on_the_processor_and_then_the_driver(found, wanted):
    """A driver on a small head must not refuse all workers of its cluster."""
    assert wanted_cpu("d", found) == wanted


def test_this_process_knows_what_it_is(monkeypatch):
    """The version is the ledger's; the name has no odd character and is bounded."""
    facts = own_facts()
    assert computed_here() == {"code_version": code_version(EXTRACTION), "node": facts.node, "cpu": facts.cpu}
    assert (facts.node, facts.cpu) == (this_node(), instruction_set())
    assert {"Python", "SimpleITK", "numpy"} <= dict(facts.libraries).keys()
    assert difference(facts, facts) == ""
    monkeypatch.setattr("socket.gethostname", lambda: "Dr. X's PC\n" + 300 * "x")
    assert this_node().startswith("Dr.-X-s-PC-x")
    assert len(this_node()) == LONGEST


def test_a_package_that_is_unpacked_again_meanwhile_is_read_when_it_is_whole(tmp_path, monkeypatch):
    """Two readings must agree: half a package is no other package."""
    found = iter([FileNotFoundError, "half", "more", "whole", "whole"])

    def read(folder: Path) -> str:
        if (one := next(found)) is FileNotFoundError:
            raise one
        return one

    monkeypatch.setattr(node_facts, "source_digest", read)
    monkeypatch.setattr(node_facts.time, "sleep", lambda seconds: None)
    assert package_digest(tmp_path) == "whole"
    assert next(found, None) is None


def test_a_step_is_compared_by_its_own_libraries(monkeypatch):
    """Another build of torch is no reason to refuse a node for radiomics; a missing library is named."""
    names = dict(facts_for(EXTRACTION).libraries).keys()
    assert {"Python", "gc-ray", "SimpleITK"} <= names
    assert "torch" not in names
    assert "torch" in dict(facts_for(NETWORKS).libraries)
    other = replace(own_facts(), libraries=(*facts_for(EXTRACTION).libraries, ("torch", "2.9+cu1")))
    assert difference(facts_for(EXTRACTION), other) == ""
    assert "torch 2.9+cu1 instead of" in difference(facts_for(NETWORKS), other)
    real = node_facts.metadata.version

    def version(name: str) -> str:
        if name == "trimesh":
            raise node_facts.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(node_facts.metadata, "version", version)
    assert dict(own_facts.__wrapped__().libraries)["trimesh"] == "none"
