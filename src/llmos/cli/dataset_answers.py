"""llmos dataset add-answers."""

from typing import Annotated, Literal

import typer

from llmos.cli import options
from llmos.cli.control import open_control
from llmos.cli.output import print_json, stdout
from llmos.core.config import load_settings


def register(group: typer.Typer) -> None:
    group.command("add-answers")(add_answers)


def add_answers(
    dataset: Annotated[str, typer.Argument(metavar="NAME", help="The name of a dataset; a new one is made.")],
    answers: Annotated[list[str], typer.Argument(metavar="ANSWER…", help="Ids of stored answers, or of requests.")],
    consent: Annotated[
        Literal["train", "eval", "none"] | None, typer.Option(help="The allowed use of the rows.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Make the next version of a dataset, with the conversations of stored answers as rows."""
    with open_control(load_settings()) as control:
        made = control.datasets.add_answers(dataset, answers, consent=consent)
    if as_json:
        print_json(made)
        return
    stdout().print(f"{made.version} is here: {made.num_rows:,} rows.")
