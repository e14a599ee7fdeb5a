"""The command line of an evaluation: what it prints, where it writes, and how it ends."""

import pytest

from gc_ray.cli import main

QUICK = ("--set", "evaluate.bootstrap=0")


def ended(arguments: list[str]) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    return end.value.code


def test_scores_alone_give_a_report_and_exit_0(tmp_path, scores_file, capsys):
    """The numbers that matter and the place of the page are printed."""
    store = tmp_path / "store"
    assert ended(["evaluate", "--scores", scores_file(120), "--store", str(store), *QUICK]) == 0
    said = capsys.readouterr().out
    assert "AUC, external" in said
    assert len(list(store.glob("reports/default-*/index.html"))) == 1


def test_addresses_are_printed_as_they_were_typed(tmp_path, scores_file, capsys, monkeypatch):
    """A relative one stays relative, the second time too, when the report is only found."""
    scores = scores_file(120)
    monkeypatch.chdir(tmp_path)
    for was in ("written", "was there already"):
        assert ended(["evaluate", "--scores", scores, "--store", "store/", "--publish", "public", *QUICK]) == 0
        *_, written, published = capsys.readouterr().out.splitlines()
        assert written.startswith(f"report {was} (")
        page = written.rpartition(": ")[2]
        assert page.startswith("store/reports/default-")
        assert published == f"published: public/{page.split('/')[2]}/index.html"
    assert ended(["evaluate", "--scores", scores, "--store", "store", "--dry-run", *QUICK]) == 0
    assert str(tmp_path) not in capsys.readouterr().out


def test_a_headline_that_is_no_model_of_the_scores_exits_2(tmp_path, scores_file, capsys):
    """Where no signature of the study could be meant, a name that nothing has is a slip."""
    arguments = ["evaluate", "--scores", scores_file(60), "--store", str(tmp_path / "store"), *QUICK]
    assert ended([*arguments, "--set", "evaluate.headline=dlsf"]) == 2
    assert "wanted one of the models score, got dlsf" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()


def test_bad_scores_and_missing_arguments_exit_2(tmp_path, scores_file, capsys):
    """One line on stderr, nothing written."""
    store = tmp_path / "store"
    bad = scores_file(change=lambda frame: frame.assign(score=7))
    assert ended(["evaluate", "--scores", bad, "--store", str(store)]) == 2
    assert ended(["evaluate", "--store", str(store)]) == 2
    assert ended(["evaluate", "--study", "recurrence", "--store", str(store)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.startswith("error: ") for line in lines] == [True] * 3
    assert "run gc-ray tune" in lines[2]
    assert not store.exists()


def test_encryption_of_a_folder_is_refused(tmp_path, scores_file, capsys):
    """A setting that would silently do nothing is an error."""
    arguments = ["evaluate", "--scores", scores_file(60), "--store", str(tmp_path / "store"), *QUICK]
    assert ended([*arguments, "--publish", str(tmp_path / "p"), "--set", "publish.encryption=AES256"]) == 2
    assert "wants s3://bucket/prefix" in capsys.readouterr().err
