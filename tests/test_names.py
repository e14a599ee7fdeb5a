"""A name becomes a part of a path or of an object key only by one rule; free text becomes a part that is its own."""

import json
import re
from pathlib import Path

import pytest

from gc_ray.errors import StudyError, TableError, printable
from gc_ray.names import MAX_LABEL, MAX_NAME, check_name, file_part, is_name, label, name_of_file
from gc_ray.study import Study, load_study

HOSTILE = json.loads((Path(__file__).parent / "data" / "hostile.json").read_text(encoding="utf-8"))
hostile = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@hostile
def test_a_name_that_passes_is_safe_as_a_path_on_every_system(text):
    """Nothing that climbs, is absolute, hidden, an option, a device of Windows, or too long for a disk."""
    if is_name(text):
        assert SAFE.fullmatch(text)
        assert not text.endswith(".")
        assert len(text) <= MAX_NAME
        assert text.split(".")[0].upper() not in {"CON", "NUL"}


@hostile
def test_a_refused_name_is_one_line_with_the_rule_and_the_fix(text):
    """Whatever the name holds, the message can be printed and has the name, the rule and what to do."""
    if is_name(text):
        assert check_name(text, "feature set") == text
        return
    with pytest.raises(TableError, match="choose another name") as refused:
        check_name(text, "feature set")
    assert printable(str(refused.value)) == str(refused.value)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    "name", ["recurrence", "my_study-2.1", "A", "_x", "0123456789abcdef", "a..b", "x-", "Console", "n" * MAX_NAME]
)
def test_plain_names_pass(name):
    """Names that were in use before stay names."""
    assert check_name(name, "study") == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "...", ".a", "-a", "a.", "a/b", "a\\b", "a b", "é", "a\n", "con", "Aux.txt", "LPT1", "n" * 101],
)
def test_names_that_some_disk_reads_otherwise_are_refused(name):
    """Empty, climbing, hidden, options, separators, devices, too long."""
    assert not is_name(name)


def test_parts_of_file_names_are_safe_and_never_the_same_for_two_texts():
    """Also on disks that do not tell case apart, and for a text that is made to look like another one's part."""
    texts = [*HOSTILE.values(), "Model", "model", "MODEL", "modèle", "x" * 9999, "m.odel", "m-odel"]
    texts += [file_part(text) for text in texts]
    parts = {text: file_part(text) for text in texts}
    folded = [part.casefold() for part in parts.values()]
    assert len(set(folded)) == len(set(texts))
    for part in parts.values():
        assert re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,59}", part)


@pytest.mark.parametrize("name", ["dlfs", "rad_score", "clis", "latent_0", "a-b"])
def test_the_part_of_a_plain_name_is_the_name(name):
    """Files of a study's own signatures are called as the study calls them."""
    assert file_part(name) == name


@hostile
def test_a_study_s_name_and_models_are_names(text):
    """They are parts of the keys of every table, model and report."""
    for setting in ({"name": text}, {"tune": {"deep_model": text}}, {"tune": {"head_model": text}}):
        if is_name(text):
            Study.model_validate(setting)
        else:
            with pytest.raises(ValueError, match=r"choose another name|at most 100 characters"):
                Study.model_validate(setting)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_study_that_is_no_file_is_one_line(text):
    """An argument with a NUL, or longer than a path can be, is a study that is not there."""
    with pytest.raises(StudyError) as refused:
        load_study(text)
    assert printable(str(refused.value)) == str(refused.value)


@pytest.mark.parametrize("column", ["a=b", "=a"])
def test_a_column_whose_name_has_an_equals_sign_is_no_predictor(column):
    """``stage=II`` stands for a level of a column in every table of terms."""
    declared = {column: {"kind": "number", "unit": "mm", "low": 0.0, "high": 1.0}}
    with pytest.raises(ValueError, match="rename it"):
        Study.model_validate({"clinical": {"columns": declared, "predictors": (column,)}})


@hostile
def test_a_label_is_one_short_printable_line(text):
    """Line breaks, escapes and thousands of characters do not reach a figure."""
    shown = label(text)
    assert len(shown) <= MAX_LABEL
    assert printable(shown) == shown
    assert shown == text or shown[:3] == printable(text)[:3]


def test_two_names_never_have_one_label():
    """Curves of two models would be drawn as one."""
    names = [*HOSTILE.values(), "a\x01", "a\x02", "x" * 41, "x" * 42, "x" * 40]
    assert len({label(name) for name in names}) == len(set(names))


@hostile
def test_the_store_s_name_of_a_file_is_a_name(text):
    """Itself where it is one, as before; else one of its own."""
    name = name_of_file(text)
    assert is_name(name)
    assert (name == text) == is_name(text)
    assert name_of_file(name) == name
