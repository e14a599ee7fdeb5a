"""The command line: every command under its name.

0 done, 1 failed, 2 bad arguments or input tables. A run that came to its end, but: 3 over the failure budget,
4 scans wait, 5 drift alert, 6 a stuck run was found; the highest counts.
"""

from __future__ import annotations

import typer

from gc_ray.commands.around import demo, doctor, show
from gc_ray.commands.examples import example
from gc_ray.commands.networks import embed, train
from gc_ray.commands.scans import check, extract, ingest, merge, synth
from gc_ray.commands.service import bundle, rescore
from gc_ray.commands.store import clean, repair, verify
from gc_ray.commands.study import evaluate, reproduce, split, tune

# the order of the help: to begin with, then the way that a study goes
COMMANDS = {
    "To begin with": (demo, doctor, show),
    "Scans": (synth, check, extract, ingest, merge),
    "A study, in this order": (split, train, embed, tune, evaluate),
    "A paper's whole study": (reproduce,),
    "A frozen model and new scans": (bundle, rescore),
    "A store itself": (verify, repair, clean),
}

app = typer.Typer(
    help="CT outcome studies on Ray: scans in, features and signatures out. For research use only.",
    epilog="First: gc-ray demo. Then with your own scans: check, extract, and a study's commands in their order; "
    "gc-ray COMMAND --help has an example of each.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def unwrapped(text: str) -> str:
    """The paragraphs of a docstring, a line each: a help is wrapped where the terminal ends."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


for panel, commands in COMMANDS.items():
    for command in commands:
        shown = {"help": unwrapped(command.__doc__), "epilog": f"Example:\n{example(command.__name__)}"}
        app.command(**shown, rich_help_panel=panel)(command)


def main(arguments: list[str] | None = None) -> None:
    """Run one command with ``arguments`` (the process's own when None) and exit."""
    app(arguments, prog_name="gc-ray")
