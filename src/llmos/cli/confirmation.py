"""The question before a command that can't be undone."""

import typer

from llmos.core.errors import BadRequest


def confirm(question: str) -> None:
    """Ask, and end the command unless the answer is yes.

    Raises BadRequest if standard input ends without an answer, as in a script.
    """
    try:
        typer.confirm(question, abort=True, err=True)
    except typer.Abort as abort:
        if isinstance(abort.__context__, EOFError):
            typer.echo(err=True)  # ends the question's line
            raise BadRequest("The question wasn't answered. To run the command without questions, add --yes.") from None
        raise
