"""What a person reads in a terminal or a log: progress, summaries, verdicts and one-line errors."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from gc_ray.exit_codes import BAD_INPUT, DONE, FAILED, Problem
from gc_ray.names import label
from gc_ray.runtime.check_lines import features_lines
from gc_ray.runtime.demo_lines import demo_lines
from gc_ray.runtime.progress import duration
from gc_ray.terminal import json_lines, say, shown
from gc_ray.terminal import say_lines as _lines
from gc_ray.terminal import terminal as _console

if TYPE_CHECKING:  # every command loads this module; torch and the like only those that need them
    from gc_ray.cohort.findings import Finding
    from gc_ray.models.bundle import Bundle
    from gc_ray.report.evaluate import Outcome
    from gc_ray.runtime.check import CohortCheck
    from gc_ray.runtime.check_features import FeaturesCheck
    from gc_ray.runtime.controls import Controlled
    from gc_ray.runtime.demo import Ended, Result, Step
    from gc_ray.runtime.doctor import Diagnosis
    from gc_ray.runtime.reproduce import Reproduced
    from gc_ray.runtime.rescore import Rescored
    from gc_ray.runtime.split import Split
    from gc_ray.runtime.summary import Summary
    from gc_ray.runtime.tune import Tuned

STATUSES = ("ok", "repaired", "refused", "failed")
SHOWN = 3  # scans named for a reason; the others are counted
REASONS = 10  # reasons printed after a run; all are in the ledger
COLOURS = {"refused": "red", "error": "red", "repaired": "yellow", "warning": "yellow"}


def show_notes(notes: Iterable[str]) -> None:
    """Print what the reader of a table decided or left out."""
    _lines(_console(), [f"note: {note}" for note in notes])


def show_findings(findings: Iterable[Finding]) -> None:
    """Print what is wrong with a table, or worth knowing."""
    for finding in findings:
        say(_console(), f"{finding.level:<8}  {finding.text}", COLOURS.get(finding.level))


def show_summary(summary: Summary, store: str) -> None:
    """Print a run's counts per site, the commonest reasons, and where the results are."""
    console = _console()
    show_notes(summary.notes)
    rows = {
        site: [summary.counts.get((site, status), 0) for status in STATUSES]
        for site in sorted({site for site, _ in summary.counts})
    }
    if json_lines() is not None:
        _lines(console, [_site_counts(site, numbers) for site, numbers in rows.items()])
    else:
        table = Table("site", *STATUSES, "all", title="results: one for each outline and table", title_justify="left")
        for site, numbers in rows.items():
            table.add_row(Text(shown(label(site), console)), *map(str, numbers), str(sum(numbers)))
        console.print(table)
    for reason, scans in summary.lost[:REASONS]:
        more = f" and {len(scans) - SHOWN} more" if len(scans) > SHOWN else ""
        _lines(console, [f"  {', '.join(scans[:SHOWN])}{more}: {reason}"])
    if len(summary.lost) > REASONS:
        _lines(console, [f"  and {len(summary.lost) - REASONS} more reasons, all in the ledger"])
    took = duration(summary.seconds)
    _lines(console, [f"{summary.computed} results computed in {took}; ledger, tables and run record: {store}"])


def _site_counts(site: str, numbers: list[int]) -> str:
    counts = ", ".join(f"{status} {number}" for status, number in zip(STATUSES, numbers, strict=True))
    return f"results of {site}: {counts}, all {sum(numbers)}"


def show_check(found: CohortCheck) -> None:
    """Print each outline that is not plainly ok, then the findings on the tables and a total."""
    console = _console()
    for v in found.verdicts:
        if v.text:
            whose = f"{v.scan_id} {v.reader}" + (f" repeat {v.repeat}" if v.repeat else "")
            say(console, f"{v.verdict:<8}  {v.site}  {whose}  {v.text}", COLOURS.get(v.verdict))
    show_findings(found.findings)
    verdicts = [v.verdict for v in found.verdicts]
    names = ("ok", "repaired", "refused", *(("failed",) if "failed" in verdicts else ()))
    counts = "  ".join(f"{name} {verdicts.count(name)}" for name in names)
    _lines(console, [f"{found.outlines} outlines: {counts if verdicts else 'tables only, no file was read'}"])


def show_features_check(found: FeaturesCheck) -> None:
    """Print what a features table holds, then what is wrong with it for the study."""
    show_lines(*features_lines(found))
    show_findings(found.findings)
    levels = [finding.level for finding in found.findings]
    show_lines(f"{levels.count('error')} error(s), {levels.count('warning')} warning(s); nothing was written")


def show_split(found: Split, store: str) -> None:
    """Print warnings on the table, the flow of patients, the size of every cohort and fold, and where they are."""
    console = _console()
    show_notes(found.notes)
    show_findings(found.findings)
    _lines(console, [f"{'removed':>8} {'left':>7}  step"])
    for step in found.flow:
        about = f" ({step.reason})" if step.reason and step.n_removed else ""
        _lines(console, [f"{step.n_removed:>8} {step.n_left:>7}  {step.step}{about}"])
    _lines(console, ["", f"{'cohort':<10} {'n':>6} {'events':>7}"])
    for group in found.groups:
        events = "" if group.events is None else group.events
        _lines(console, [f"{group.name:<10} {group.n:>6} {events:>7}".rstrip()])
    said = "stored" if found.new else "the store holds the same split already, nothing was written"
    _lines(console, ["", f"study {found.study_id}, split {found.hash}: {said}: {store}"])


def show_diagnosis(found: Diagnosis) -> None:
    """Print facts by section, then the problems."""
    console = _console()
    for section, facts in found.facts.items():
        _lines(console, [section, *(f"  {name:<48} {_fact(value)}" for name, value in facts.items())])
    for problem in found.problems:
        say(console, f"problem: {problem}", "red")
    if not found.problems:
        say(console, "nothing is missing", "green")


def show_written(done: int, patients: int) -> None:
    """Print how many patients are written, every tenth part."""
    if done * 10 // patients != (done - 1) * 10 // patients:
        _lines(_console(stderr=True), [f"wrote {done}/{patients} patients"])


def show_step(number: int, of: int, step: Step) -> None:
    """Print which step of the demo begins, and the command that takes it."""
    console = _console()
    say(console, "")
    say(console, f"[{number:>2}/{of}] {step.title}", "bold")
    say(console, f"        gc-ray {' '.join(step.command)}", "dim")


def show_step_ended(ended: Ended, seconds: float) -> None:
    """Print how long a step of the demo took, or why it is missing."""
    if ended.code is None:
        say(_console(), f"{ended.step.title}: left out, a step before it failed", "yellow")
    elif ended.failed:
        say(_console(), f"        ended with {ended.code}; what is left of this study is left out", "red")
    else:
        say(_console(), f"        done in {duration(seconds)}", "green")


def show_demo(results: tuple[Result, ...], out: str) -> None:
    """Print the three numbers of each study, what they are worth, and where to look."""
    for line, style in demo_lines(results, out):
        say(_console(), line, style)


def show_model(card: dict, new: bool, store: str) -> None:
    """Print what a model is called, what its card says of it, and where it is."""
    console = _console()
    for name, value in card["facts"].items():
        if isinstance(value, int | float | str):
            _lines(console, [f"  {name:<20} {value:.4g}" if isinstance(value, float) else f"  {name:<20} {value}"])
    if statement := card["facts"].get("provenance", {}).get("statement"):
        _lines(console, [f"  {statement}"])
    was = "trained" if new else "was trained before and is as it was"
    _lines(
        console, [f"{card['model_id']} {was}; card, weights and learning curve: {store}/models/{card['model_id']}"]
    )


def show_heatmaps(changed: bool | None, model: str, store: str) -> None:
    """Print where a head's heat-maps are, and whether they may be believed; nothing when none were wanted."""
    if changed is None:
        return
    verdict = "change with the weights" if changed else "do NOT depend on the weights: do not use them"
    _lines(_console(), [f"heat-maps {verdict}; maps and sanity check: {store}/models/{model}/heatmaps"])


def show_report(done: Outcome, dry_run: bool, store: str, published: str | None) -> None:
    """Print the numbers that matter, the doubts beside them, and where the report is, or would be.

    store, published: the addresses as they were given.
    """
    console = _console()
    show_notes(done.notes)
    places = [f"{store.rstrip('/')}/reports/{done.report_id}"]
    if published is not None:
        places.append(f"{published.rstrip('/')}/{done.report_id}")
    for number in done.numbers:
        _lines(console, [f"{number['what']:<44} {number['value']:<8} {number['about']}"])
    _lines(console, [f"  {sentence}" for sentence in done.sentences])
    size = f"{len(done.files)} files, {sum(done.files.values()) / 1e6:.1f} MB"
    if dry_run:
        _lines(console, [f"  {size_of:>9} {name}" for name, size_of in done.files.items()])
        _lines(console, [f"dry run: nothing was written; {size} would go to {' and '.join(places)}"])
        return
    was = "written" if done.new else "was there already"
    _lines(console, [f"report {was} ({size}): {places[0]}/index.html"])
    _lines(console, [f"published: {place}/index.html" for place in places[1:]])


def show_figures(done: int, of: int) -> None:
    """Print how many figures are drawn, every tenth part."""
    if done * 10 // of != (done - 1) * 10 // of:
        _lines(_console(stderr=True), [f"drew {done}/{of} figures"])


def show_tuned(found: Tuned, store: str) -> None:
    """Print every signature in a line with its warnings, those that could not be fitted, and where the tables are."""
    console = _console()
    for lost in found.left_out:
        of = ", ".join(f"{name} {n} of {size}" for name, (n, size) in lost.cohorts.items())
        say(console, f"{lost.patients} patients left out ({of}): {lost.reason}", "yellow")
    for one in found.unscored:
        text = f"{one.patients} of {one.of} {one.cohort} patients have no score of {one.model_id}: {one.reason}"
        say(console, text, "yellow")
    for note in found.notes:
        say(console, f"note: {note}", "yellow")
    _lines(console, [f"{'model':<24} {'AUC':>5} {'pooled':>6} {'n':>6} {'events':>6} {'kept':>5}  chosen"])
    for line in found.lines:
        numbers = f"{line.auc:>5.3f} {line.pooled:>6.3f} {line.n:>6} {line.events:>6} {line.features:>5}"
        _lines(console, [f"{line.model_id:<24} {numbers}  {line.chosen}"])
        for warning in line.warnings:
            say(console, f"{'':<24} warning: {warning}", "yellow")
    for name, why in found.failed.items():
        say(console, f"{name}: not fitted: {why}", "red")
    _lines(console, ["AUC: out of fold, mean of the outer folds; pooled: over all patients at once"])
    was = "stored" if found.new else "was stored before and is as it was"
    _lines(console, [f"study {found.study_id}, signatures {found.tune_id}: {was}: {store}"])


def show_reproduced(found: Reproduced) -> None:
    """Print what stands for each table and figure of a paper, what could not be fitted, and where to look."""
    console = _console()
    show_notes(found.notes)
    for name, why in found.failed.items():
        say(console, f"{name}: not fitted: {why}", "red")
    for item in found.items:
        reasons = f"  {'; '.join(item['reasons'])}" if item["reasons"] else ""
        _lines(console, [f"{item['label']:<12} {item['state']:<15} {len(item['files']):>3} files{reasons}"])
    _lines(console, ["", f"{'AUC of':<14} {'cohort':<10} {'published':<24} ours"])
    for area in found.areas:
        _lines(console, [f"{area['model']:<14} {area['cohort']:<10} {area['published']:<24} {area['ours']}"])
    _lines(console, ["in the training cohort theirs are in-sample, ours out-of-fold", ""])
    for name in found.over_budget:
        say(console, f"{name} was over its failure budget: gc-ray show says which scans were lost, and why", "yellow")
    was = "written" if found.new else "were there already"
    _lines(console, [f"tables and figures {was}, beside the published numbers: {found.folder}/index.html"])
    _lines(console, ["a comparison of methods on other patients, never a reproduction of the paper's data"])


def show_bundle(bundle_id: str, made: Bundle, out: str) -> None:
    """Print what a bundle is called, what goes into it and how it did."""
    metrics, console = made.card["metrics"], _console()
    _lines(console, [f"  {name:<20} {_fact(metrics[name])}" for name in ("auc", "pooled", "n", "events")])
    _lines(console, [f"  {'cutoff':<20} {made.cutoff['cutoff']:.4g} ({made.cutoff['rule']})"])
    for warning in made.card["warnings"]:
        say(console, f"  warning: {warning}", "yellow")
    if elsewhere := made.features.get("elsewhere"):
        took = f"{len(elsewhere['names'])} of the {elsewhere['features']} columns of {elsewhere['name']}"
        _lines(console, [f"  {'features':<20} {took}, made elsewhere: score new rows by gc-ray rescore --features"])
    _lines(console, [f"bundle {bundle_id} of {made.model}, {len(made.card['feature_order'])} predictors: {out}"])


def show_rescored(found: Rescored, store: str) -> None:
    """Print what became of the scans; those that wait or failed by name, with the reason."""
    console = _console()
    show_notes(found.notes)
    for kind, scans in (("waiting", found.waiting), ("failed", found.failed)):
        for scan in scans[:REASONS]:
            say(console, f"  {kind}: {scan.scan_id}: {scan.reason}", "yellow")
        if len(scans) > REASONS:
            _lines(console, [f"  and {len(scans) - REASONS} more {kind}, all in the run record"])
    counts = {name: getattr(found, name) for name in ("scored", "refused", "already")}
    counts |= {"waiting": len(found.waiting), "failed": len(found.failed)}
    _lines(console, [", ".join(f"{number} {name}" for name, number in counts.items())])
    drift = "too few scans to say yet" if found.drift == "too few" else found.drift
    say(console, f"drift: {drift}", "red" if drift == "alert" else None)
    _lines(console, [f"bundle {found.bundle_id}; results and run record {found.run}: {store}"])


def show_control(found: Controlled) -> None:
    """Print what a negative control found of every signature."""
    console = _console()
    for name, text in found.found.items():
        _lines(console, [f"{name:<24} {text}"])
    _lines(console, [f"study {found.study_id}, control {found.control}: {'passed' if found.passed else 'FAILED'}"])


def show_json(thing: object) -> None:
    """Print a result dataclass as JSON."""
    _console().out(json.dumps(dataclasses.asdict(thing), indent=1), highlight=False)


def show_error(error: Exception) -> None:
    """Print an error as one line on stderr."""
    say(_console(stderr=True), f"error: {error}", "red")


def show_warnings(lines: Iterable[str]) -> None:
    """Print lines that need attention, on stderr."""
    for line in lines:
        say(_console(stderr=True), f"warning: {line}", "yellow")


def show_problems(problems: tuple[Problem, ...], code: int, run: str, seconds: float) -> None:
    """Say what ended a run with a code above 2; as JSON also how every run ended, in one line."""
    console = _console(stderr=True)
    if (as_json := json_lines()) is not None:
        fields = {"run": run, "exit_code": code, "seconds": round(seconds, 3)}
        fields["problems"] = [{"kind": p.kind, "message": p.message, "counts": p.counts} for p in problems]
        level = "info" if code == DONE else "error" if code in (FAILED, BAD_INPUT) else "warning"
        console.out(as_json.line(f"ended with exit code {code}", level, **fields), highlight=False)
        return
    for problem in problems:
        if problem.code > BAD_INPUT:  # a fault that ended the run was printed
            say(console, f"exit code {problem.code}: {problem.message}", "yellow")


def show_lines(*lines: str) -> None:
    """Print plain lines."""
    _lines(_console(), lines)


def _fact(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
