"""Study files: strict, typed, overridable by one field, hashed by what they say."""

import json
import time

import pytest

from gc_ray.errors import StudyError
from gc_ray.study import Study, digest, load_study
from gc_ray.study_file import packaged_studies


def test_packaged_studies_load_and_are_named_as_their_files():
    """Both papers come with the package, and what the demo makes of them."""
    assert packaged_studies() == ("demo_liver_metastasis", "demo_recurrence", "liver_metastasis", "recurrence")
    for name in packaged_studies():
        assert load_study(name).name == name


def test_an_override_changes_one_field_and_bare_words_are_text():
    """--set reaches any section; TOML values keep their type."""
    study = load_study("recurrence", ("extract.timeout_s=60.0", "name=pilot"))
    assert (study.extract.timeout_s, study.name) == (60.0, "pilot")
    assert study.extract.volumes == ("cao2024",)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("extract.timeout=60.0",), r"extract\.timeout: Extra inputs are not permitted"),
        (("extract.attempts='3'",), r"extract\.attempts: Input should be a valid integer"),
        (("extract.failure_budget=5",), r"extract\.failure_budget: Input should be less than or equal to 1"),
        (("extract.wave_scans=5000",), "less than or equal to 1000"),
        (("extract",), "wanted section.key=value"),
        (("name.first=1",), "name: Input should be a valid string"),
    ],
)
def test_an_unknown_key_or_wrong_type_is_an_error(overrides, message):
    """No setting is ignored and none is coerced."""
    with pytest.raises(StudyError, match=message):
        load_study(None, overrides)


@pytest.mark.parametrize("name", packaged_studies())
def test_a_study_that_was_written_out_reads_back_as_it_was(name):
    """A run record holds the study under the names of a study file: it can be run again from the record."""
    study = load_study(name)
    assert Study.model_validate_json(json.dumps(study.model_dump(mode="json"))) == study


def test_a_headline_is_one_of_the_signatures():
    """A slip in its name is told with the names that there are; the search's own variants count as well."""
    with pytest.raises(StudyError, match=r"evaluate\.headline: wanted one of .* clis, dls, dlfs, got dlsf"):
        load_study("recurrence", ("evaluate.headline=dlsf",))
    for name in ("", "dls", "dls_tuned"):
        assert load_study("recurrence", (f"evaluate.headline='{name}'",)).evaluate.headline == name
    assert load_study(None, ("evaluate.headline=any",)).evaluate.headline == "any"


def test_a_study_may_lie_over_a_packaged_one(tmp_path):
    """What it does not say is the other's; a section is laid over key by key, an array replaces the other's."""
    path = tmp_path / "mine.toml"
    path.write_text('like = "recurrence"\nname = "mine"\n[split]\nfolds = 3\n[clinical]\nsubgroups = []')
    mine, paper = load_study(str(path), ("head.views=2",)), load_study("recurrence")
    assert (mine.name, mine.split.folds, mine.clinical.subgroups, mine.head.views) == ("mine", 3, (), 2)
    assert mine.split.external_sites == paper.split.external_sites
    assert (mine.clinical.rules, mine.signature) == (paper.clinical.rules, paper.signature)


@pytest.mark.parametrize("model", ['"recurence"', "3", '["recurrence"]'])
def test_a_study_like_none_says_what_was_wanted(tmp_path, model):
    """Only what is packaged can be laid over: a file means the same on every machine."""
    path = tmp_path / "mine.toml"
    path.write_text(f"like = {model}")
    with pytest.raises(StudyError, match=r"like: wanted a packaged study \(demo_liver.*recurrence\), got"):
        load_study(str(path))


RULE = {"reason": "too young", "include": {"column": "age", "is": ">=", "value": 18}}
AGE = {"kind": "number", "unit": "years", "low": 0, "high": 120}


@pytest.mark.parametrize(
    ("clinical", "message"),
    [
        ({"predictors": ["age"]}, r"predictors names age, which no \[clinical\.columns\.age\] declares"),
        ({"rules": [RULE]}, "rules names age, which no"),
        (
            {"rules": [RULE | {"exclude": RULE["include"]}]},
            "rule 'too young': wanted include or exclude, one of them",
        ),
        ({"rules": [RULE], "columns": {"age": AGE | {"low": 200}}}, "column age has low over high"),
        (
            {"rules": [RULE], "columns": {"age": {"kind": "binary"}}},
            "a rule on age wants == or !=, since it is binary",
        ),
        ({"outcome": "age", "columns": {"age": AGE}}, "column age must be binary, not number"),
        ({"columns": {"age": AGE | {"levels": ["a", "b"]}}}, r"columns\.age\.number\.levels: Extra inputs"),
        ({"columns": {"age": AGE | {"not_after": "death"}}}, "not_after names death, which no"),
        ({"columns": {"sex": {"kind": "categorical", "levels": ["m", "m"]}}}, "column sex has a level twice"),
        ({"columns": {"site": {"kind": "binary"}}}, "column site has its meaning already"),
    ],
)
def test_a_clinical_section_that_contradicts_itself_is_an_error(tmp_path, clinical, message):
    """Every column that a study uses is declared, and every rule compares like with like, before a table is read."""
    lines = [f"{key} = {_toml(value)}" for key, value in clinical.items()]
    path = tmp_path / "study.toml"
    path.write_text("\n".join(["[clinical]", *lines]))
    with pytest.raises(StudyError, match=message):
        load_study(str(path))


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


def test_an_unknown_study_or_broken_file_says_what_was_wanted(tmp_path):
    """The packaged names are listed; TOML errors carry their line."""
    with pytest.raises(StudyError, match=r"\(.*liver_metastasis, recurrence\) or the path of a TOML file"):
        load_study("recurence")
    broken = tmp_path / "x.toml"
    broken.write_text("name = ")
    with pytest.raises(StudyError, match="wanted TOML, it cannot be read"):
        load_study(str(broken))


def test_a_digest_follows_content_and_not_order():
    """Equal settings hash equally however they are written; any change shows."""
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 1.5})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("like = " + "1" * 5000, "cannot be read|no text"),
        ("like = 0x" + "f" * 5000, "like: wanted a packaged study .* got no text"),
        ("like = ['recurrence']", "like: wanted a packaged study .* got no text"),
        ("[split]\nseed = 0x" + "f" * 5000, "a number too long"),
        ("x = " + "[" * 5000 + "]" * 5000, "nested too deeply"),
        ("x = " + "{a=" * 5000 + "1" + "}" * 5000, "nested too deeply"),
        (".".join(["a"] * 5000) + " = 1", "wanted keys of one or two parts"),
        ("[" + ".".join(["a"] * 5000) + "]", "wanted keys of one or two parts"),
        ("[" + " . ".join(['"a"'] * 5000) + "]", "wanted keys of one or two parts"),
        ("x = 1\n" * 200_000, "has more than 1 MiB"),
    ],
)
def test_a_study_file_that_would_keep_a_parser_busy_is_refused_at_once(tmp_path, text, message):
    """Numbers of thousands of digits, deep nesting, long keys, size: each is one line within a second or two."""
    path, began = tmp_path / "x.toml", time.process_time()
    path.write_text(text)
    with pytest.raises(StudyError, match=message) as refusal:
        load_study(str(path))
    assert str(refusal.value).isprintable()
    assert time.process_time() - began < 5


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_byte_order_mark_before_a_study_file_is_read_over(tmp_path, end):
    """Editors on Windows write one, and end lines in two signs."""
    path = tmp_path / "study.toml"
    path.write_bytes(b"\xef\xbb\xbf" + f'name = "s"{end}[clinical]{end}outcome = "复发"{end}'.encode())
    assert (load_study(str(path)).name, load_study(str(path)).clinical.outcome) == ("s", "复发")


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_study_file_in_utf16_is_named(tmp_path, codec):
    """With and without a mark."""
    (tmp_path / "s.toml").write_bytes('name = "x"\n'.encode(codec))
    with pytest.raises(StudyError, match="wanted TOML in UTF-8, it is in UTF-16; save it as UTF-8"):
        load_study(str(tmp_path / "s.toml"))


def test_a_study_file_in_another_encoding_says_so(tmp_path):
    """Umlauts of an old editor."""
    (tmp_path / "x.toml").write_bytes('title = "Übersicht"'.encode("latin-1"))
    with pytest.raises(StudyError, match="wanted TOML in UTF-8, it is in another encoding; save it as UTF-8"):
        load_study(str(tmp_path / "x.toml"))


def test_a_device_is_no_study():
    """/dev/zero never ends."""
    with pytest.raises(StudyError, match="wanted a packaged study"):
        load_study("/dev/zero")


@pytest.mark.parametrize("value", ["1" * 5000, "[" * 5000])
def test_an_override_that_is_no_toml_is_text(value):
    """And text does not fit a number."""
    with pytest.raises(StudyError, match="split"):
        load_study(None, (f"split.seed={value}",))


@pytest.mark.parametrize(
    ("families", "step", "message"),
    [
        ('["radiomics"]', 'designs = ["between"]', "designs.0: Input should be 'inter' or 'intra'"),
        ('["radiomics"]', 'designs = "inter"', r"designs: Input should be a valid array"),
        ('["radiomics"]', 'designs = ["inter", "inter"]', "step stability names a design twice in inter, inter"),
        ('["clinical", "radiomics"]', "icc = 0.8", "step stability compares outlines; set its families"),
        (
            '["clinical", "radiomics"]',
            'families = ["clinical"]',
            "step stability compares outlines; set its families",
        ),
    ],
)
def test_a_step_stability_that_cannot_be_is_an_error(tmp_path, families, step, message):
    """Its designs are inter and intra, each once, and it concerns features of outlines."""
    path = tmp_path / "mine.toml"
    path.write_text(f'[[signature]]\nname = "a"\nfamilies = {families}\nsteps = [{{ step = "stability", {step} }}]')
    with pytest.raises(StudyError, match=message):
        load_study(str(path))
