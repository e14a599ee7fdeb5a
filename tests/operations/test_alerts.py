"""Alerts reach the operator's command as they are, without a shell, and never change a run."""

import json
import sys

import pytest

from gc_ray.errors import StudyError
from gc_ray.exit_codes import DRIFT, OVER_BUDGET, Problem
from gc_ray.operations import alerts
from gc_ray.operations.alerts import alert_command, send_alerts

KEEP = "import sys; open(sys.argv[1], 'ab').write(sys.stdin.buffer.read())"
HOSTILE = '$(touch x) `id` "\'; rm -rf / \u202e\x1b[2J\n{"kind": 1}'


def test_each_problem_is_one_call_with_json_on_standard_input(tmp_path):
    """The JSON names kind, run, store, counts and message, whatever characters these have."""
    problems = [Problem(OVER_BUDGET, HOSTILE, {"refused": 3}), Problem(DRIFT, "drift")]
    assert send_alerts((sys.executable, "-c", KEEP, str(tmp_path / "got")), "run-1", "s3://b/p", problems) == []
    lines = (tmp_path / "got").read_text().splitlines()
    about = {"run": "run-1", "store": "s3://b/p"}
    assert [json.loads(line) for line in lines] == [
        {"kind": "over_budget", **about, "counts": {"refused": 3}, "message": HOSTILE},
        {"kind": "drift", **about, "counts": {}, "message": "drift"},
    ]


def test_arguments_are_split_and_never_interpreted(tmp_path, monkeypatch):
    """No shell: variables, pipes and substitutions are plain text."""
    monkeypatch.chdir(tmp_path)
    command = alert_command(
        f"{sys.executable} -c 'import sys; print(sys.argv[1:], file=open(\"got\", \"w\"))' '$(touch x)' a|b"
    )
    assert send_alerts(command, "r", "s", [Problem(DRIFT, "")]) == []
    assert (tmp_path / "got").read_text() == "['$(touch x)', 'a|b']\n"
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("text", ["no-such-program --now", "'unclosed", ""])
def test_a_command_that_cannot_be_started_is_named_before_the_run(text):
    """Not after hours of work."""
    with pytest.raises(StudyError, match="--on-alert"):
        alert_command(text)


@pytest.mark.parametrize(
    ("code", "about"),
    [
        ("import sys; sys.exit('no route to host')", "ended with 1: no route to host"),
        ("import time; time.sleep(60)", "did not end within 0.2 s"),
    ],
)
def test_an_alert_that_is_not_delivered_is_a_line_and_nothing_more(code, about, monkeypatch):
    """A mail server that is away, or hangs, costs the run nothing."""
    monkeypatch.setattr(alerts, "TIMEOUT_S", 10 if "exit" in code else 0.2)
    (line,) = send_alerts((sys.executable, "-c", code), "r", "s", [Problem(DRIFT, "d")])
    assert about in line
