"""The command line: every command under its name.

0 done, 1 failed, 2 bad arguments or input tables, 3 finished but over the failure budget.
"""

from __future__ import annotations

import typer

from gc_ray.commands.around import demo, doctor, show
from gc_ray.commands.networks import embed, train
from gc_ray.commands.scans import check, extract, ingest, merge, synth
from gc_ray.commands.service import bundle, rescore
from gc_ray.commands.study import evaluate, reproduce, split, tune

# the order of the help: around a study, the study itself, a paper's whole way, the service
COMMANDS = (
    doctor,
    show,
    demo,
    synth,
    check,
    extract,
    ingest,
    merge,
    split,
    train,
    embed,
    tune,
    evaluate,
    reproduce,
    bundle,
    rescore,
)

app = typer.Typer(
    help="CT outcome studies on Ray: scans in, features and signatures out. For research use only.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in COMMANDS:
    app.command()(command)


def main(arguments: list[str] | None = None) -> None:
    """Run one command with ``arguments`` (the process's own when None) and exit."""
    app(arguments, prog_name="gc-ray")
