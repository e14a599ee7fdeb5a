"""Commands that run unattended: one option set, one way to end, one alert for each problem."""

import json
import os
import sys

import pytest
import typer
from typer.testing import CliRunner

from gc_ray import cli, console, sealed
from gc_ray.commands.operated import OPTIONS, Operator, operated
from gc_ray.errors import TableError
from gc_ray.exit_codes import DRIFT, SCANS_WAIT, Problem
from gc_ray.options import faults
from gc_ray.run_records import write_record
from gc_ray.runtime.active_runs import active_runs, name_of
from gc_ray.store import LocalStore

RUNS = (
    "extract", "rescore", "split", "train", "embed", "tune", "evaluate", "reproduce", "ingest", "merge", "bundle",
)  # fmt: skip
KEEP = f"{sys.executable} -c \"import sys; open(sys.argv[1], 'ab').write(sys.stdin.buffer.read())\""


def app(body) -> typer.Typer:
    """A program of one command, ``watch``, whose run is ``body``."""

    def watch(*, operator: Operator, store: str = "") -> tuple[Problem, ...]:
        """A command."""
        return body(operator)

    program = typer.Typer()
    program.command()(operated(watch))
    return program


def called(body, tmp_path, *more):
    """(result of the command, what it told the alert command)."""
    got = tmp_path / "got"
    result = CliRunner().invoke(app(body), ["--store", str(tmp_path / "s"), "--on-alert", f"{KEEP} {got}", *more])
    return result, [json.loads(line) for line in got.read_text().splitlines()] if got.exists() else []


@pytest.mark.parametrize("name", RUNS)
def test_every_command_that_runs_unattended_has_the_options(name):
    """A scheduler configures all of them in one way."""
    command = typer.main.get_command(cli.app).commands[name]
    assert set(OPTIONS) <= {parameter.name for parameter in command.params}
    assert "operator" not in {parameter.name for parameter in command.params}


def test_a_run_without_problems_tells_nobody_and_ends_with_0(tmp_path):
    """Silence is good news."""
    result, told = called(lambda operator: (), tmp_path)
    assert (result.exit_code, told) == (0, [])


def test_a_run_ends_with_its_highest_code_and_tells_each_problem(tmp_path):
    """In the order of the problems."""
    problems = (Problem(DRIFT, "drift of x"), Problem(SCANS_WAIT, "2 scans wait", {"waiting": 2}))
    result, told = called(lambda operator: problems, tmp_path)
    assert result.exit_code == 5
    assert [(one["kind"], one["store"], one["counts"]) for one in told] == [
        ("drift", str(tmp_path / "s"), {}),
        ("scans_wait", str(tmp_path / "s"), {"waiting": 2}),
    ]
    assert told[0]["run"].startswith("watch-")
    assert "exit code 4: 2 scans wait" in result.stderr


def test_a_fault_of_the_input_is_told_with_its_line(tmp_path):
    """The message of the command is the message of the alert."""

    def body(operator):
        with faults():
            raise TableError("clinical.csv: wanted a column patient_id")

    result, told = called(body, tmp_path)
    assert result.exit_code == 2
    assert [(one["kind"], one["message"]) for one in told] == [
        ("bad_input", "clinical.csv: wanted a column patient_id")
    ]


def test_an_unforeseen_error_is_told_by_its_kind_alone(tmp_path):
    """Its text could quote a patient's header; the traceback stays in the log."""

    def body(operator):
        raise RuntimeError("DOE^JANE")

    result, told = called(body, tmp_path)
    assert isinstance(result.exception, RuntimeError)
    assert [(one["kind"], one["message"]) for one in told] == [
        ("failed", "unforeseen RuntimeError; the log has the traceback")
    ]


def test_a_wrong_option_of_operators_ends_the_command_before_its_run():
    """An alert that could never be sent must show while somebody is looking."""
    ran = []
    result = CliRunner().invoke(app(ran.append), ["--on-alert", "no-such-program"])
    assert (result.exit_code, ran) == (2, [])
    assert "--on-alert" in result.stderr


def test_a_run_that_finds_another_cut_off_ends_with_6(tmp_path):
    """Its record says so, too."""
    store = LocalStore(str(tmp_path / "store"))
    sealed.put(store, name_of("extract-1"), {"command": "extract", "host": "n1", "results": 0, "idle_s": 0.0})
    os.utime(tmp_path / "store" / name_of("extract-1"), (0, 0))

    def body(operator):
        with operator.watching() as watch:
            watch({"a": 1})("a", "ok")
        write_record(store, operator.run, {"run": operator.run, "command": "watch", "exit_code": 0})
        return ()

    result = CliRunner().invoke(app(body), ["--store", store.uri])
    assert result.exit_code == 6
    (own,) = [entry.key for entry in store.list("runs") if entry.key.startswith("runs/watch-")]
    assert sealed.read(store, own)["exit_code"] == 6
    assert list(store.list("active")) == []


def test_a_run_of_several_steps_gives_signs_of_life_from_the_second_on(tmp_path):
    """The first looks at the store; each step is a line, and what it brings is counted."""
    store, seen = LocalStore(str(tmp_path / "s")), []

    def body(operator):
        for number in (1, 2):
            with operator.step(number, 2, f"part {number}") as (_, watch):
                seen.append([entry.key for entry in store.list("active")])
                watch({"a": 1})("a", "ok")
        (one,) = active_runs(store, 0)
        assert one.run == operator.run
        return ()

    result, _ = called(body, tmp_path, "--metrics-file", str(tmp_path / "m.prom"))
    assert result.exit_code == 0
    assert "step 1 of 2: part 1\nstep 2 of 2: part 2\n" in result.stdout
    assert [len(keys) for keys in seen] == [0, 1]
    assert list(store.list("active")) == []
    lines = (tmp_path / "m.prom").read_text().splitlines()
    assert {'gc_ray_results_expected{site="a"} 2.0', 'gc_ray_results_total{site="a",status="ok"} 2.0'} <= set(lines)


def test_a_run_that_writes_into_another_store_reports_that_one(tmp_path):
    """merge reads several stores and writes one."""
    got = tmp_path / "got"
    stores = ["--store", str(tmp_path / "none"), "--into", str(tmp_path / "all")]
    result = CliRunner().invoke(
        cli.app, ["merge", *stores, "--study", "no-such-study", "--on-alert", f"{KEEP} {got}"]
    )
    assert result.exit_code == 2
    assert json.loads(got.read_text())["store"] == str(tmp_path / "all")


def test_a_run_that_broke_off_leaves_no_sign_of_life(tmp_path):
    """It has said what is wrong: it is not stuck."""

    def body(operator):
        with operator.watching() as watch:
            watch({"a": 1})("a", "ok")
        raise RuntimeError

    CliRunner().invoke(app(body), ["--store", str(tmp_path / "store")])
    assert list(LocalStore(str(tmp_path / "store")).list("active")) == []


def test_every_line_is_json_when_asked(tmp_path):
    """Progress, tables, warnings and the end of the run: one object a line, with its time and level."""

    def body(operator):
        with operator.watching() as watch:
            watch({"site a": 1})("site a", "ok")
        console.show_lines("first", "", "second")
        return (Problem(DRIFT, "line\nbreak"),)

    result, _ = called(body, tmp_path, "--log-format", "json")
    lines = [json.loads(line) for line in (result.stdout + result.stderr).splitlines()]
    assert {line["command"] for line in lines} == {"watch"}
    assert {"first", "second"} <= {line["message"] for line in lines}
    end = lines[-1]
    assert (end["exit_code"], end["level"], end["problems"][0]["message"]) == (5, "warning", "line\nbreak")
    assert any("1/1" in line["message"] for line in lines)


def test_metrics_count_what_is_shown(tmp_path):
    """Whatever reports progress is counted."""

    def body(operator):
        with operator.watching() as watch:
            watch({"a": 1})("a", "ok")
        return ()

    called(body, tmp_path, "--metrics-file", str(tmp_path / "m.prom"))
    assert 'gc_ray_results_total{site="a",status="ok"} 1.0' in (tmp_path / "m.prom").read_text()
