"""Whatever outside bytes hold, a parser gives a value or a refusal in one plain line: 200 spoilt inputs each."""

import pytest

INPUTS = 200
NAMES = (
    *("series", "seg", "rtstruct", "contours", "nifti", "nrrd-mha", "seg-nrrd"),
    *("manifest", "clinical", "features", "scores", "study", "bundle", "numbers"),
)


def test_every_parser_is_tried():
    """No parser is left out here that `make fuzz` runs."""
    from fuzzing.parsers import PARSERS

    assert tuple(PARSERS) == NAMES


@pytest.mark.parametrize("name", ["rtstruct", "manifest", "study"])
def test_an_input_is_made_again_from_its_number(name):
    """A finding is two words to reproduce: the parser and the number."""
    from fuzzing.parsers import build

    assert build(name, 7) == build(name, 7) != build(name, 8)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_spoilt_inputs_are_read_or_refused(name):
    """No other exception, no crash, no hang over 10 s, no gigabyte, no identifier or absolute path in a message."""
    from fuzzing.watch import watch

    outcomes = list(watch(name, 0, INPUTS))
    assert [outcome for outcome in outcomes if outcome.verdict == "finding"] == []
    assert [outcome.number for outcome in outcomes] == list(range(INPUTS))
    assert {outcome.verdict for outcome in outcomes} == {"accepted", "refused"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "finding"),
    [
        ("import os; os.kill(os.getpid(), 11)", "killed the process"),
        ("bytearray(2 << 30)", "MemoryError"),
        ("raise KeyError('x')", "KeyError"),
    ],
)
def test_the_watch_sees_what_it_looks_for(code, finding, monkeypatch, tmp_path):
    """A parser that crashes, takes two gigabytes or raises what it likes is found out; the rest goes on."""
    from fuzzing import watch

    (tmp_path / "sitecustomize.py").write_text(
        "import fuzzing.parsers as p\n"
        "from dataclasses import replace\n"
        f"def read(folder):\n    if b'= nan' in (folder / 'study.toml').read_bytes(): {code}\n    return p.Notes()\n"
        "p.PARSERS['study'] = replace(p.PARSERS['study'], read=read)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    outcomes = list(watch.watch("study", 0, 200))
    found = [outcome.detail for outcome in outcomes if outcome.verdict == "finding"]
    assert found
    assert all(finding in detail for detail in found)
    assert len(outcomes) == 200
