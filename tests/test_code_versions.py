"""One rule says what code and which libraries computed a value."""

from importlib import metadata

import pytest

from gc_ray.code_versions import STEPS, Step, code_version, library_versions, source_digest


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_a_version_is_the_steps_number_and_its_libraries(step, monkeypatch):
    """A library of the step changes it, another one does not."""
    before = code_version(step)
    assert before.startswith(f"{step.number}-")
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "0" if name == "pytest" else real(name))
    assert code_version(step) == before
    for library in step.libraries:
        monkeypatch.setattr(metadata, "version", lambda name, changed=library: "0" if name == changed else real(name))
        assert code_version(step) != before


def test_a_raised_number_is_another_version():
    """Also with the same libraries, whose versions are those installed."""
    first, second = Step("1", ("numpy",)), Step("2", ("numpy",))
    assert code_version(first).split("-")[1] == code_version(second).split("-")[1]
    assert code_version(first) != code_version(second)
    assert library_versions(("numpy",)) == {"numpy": metadata.version("numpy")}


def test_the_package_is_known_by_all_of_its_files_and_nothing_else(tmp_path):
    """A changed line, template or name counts; what Python keeps beside them does not."""
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "code.py").write_text("x = 1\n")
    (tmp_path / "page.j2").write_text("<p>\n")
    before = source_digest(tmp_path)
    (tmp_path / "part" / "code.cpython-311.pyc").write_bytes(b"compiled")
    assert source_digest(tmp_path) == before
    (tmp_path / "page.j2").write_text("<b>\n")
    changed = source_digest(tmp_path)
    (tmp_path / "page.j2").rename(tmp_path / "other.j2")
    assert len({before, changed, source_digest(tmp_path)}) == 3
