"""llmos run: answer one prompt."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from llmos.cli import options
from llmos.cli.output import print_json
from llmos.cli.terminal import answer_writer

if TYPE_CHECKING:
    from llmos.client.calls import Sampling


def register(app: typer.Typer) -> None:
    app.command("run")(run)


@options.with_sampling
def run(
    model: options.ModelOrRoute,
    prompt: Annotated[
        str | None,
        typer.Argument(metavar="PROMPT", help="The prompt. Piped input is appended to it.", show_default=False),
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Continue the text unchanged, without the chat template.")] = False,
    as_json: options.AsJson = False,
    *,
    sampling: "Sampling",
) -> None:
    """Answer one prompt.

    Uses the running server; if none runs, the model is loaded into this process.
    """
    text = _whole_prompt(prompt)
    from llmos.cli.backends import open_backend
    from llmos.core.config import load_settings

    with open_backend(model, load_settings()) as backend, backend.generate(text, raw=raw, sampling=sampling) as stream:
        if as_json:
            text = "".join(stream)
            print_json(
                {"model": model, "version": backend.version, "text": text, "finish_reason": stream.finish_reason}
            )
            return
        show, show_rest = answer_writer()
        try:
            for piece in stream:
                show(piece)
        finally:
            show_rest()
            # Also after Ctrl-C, so that the shell's prompt starts on a new line.
            sys.stdout.write("\n")
            sys.stdout.flush()
        if stream.finish_reason == "length" and sys.stderr.isatty():
            print("Note: the answer was cut off at the maximum number of tokens.", file=sys.stderr)
        if stream.finish_reason == "content_filter":
            print("Note: a guardrail withheld the rest of the answer.", file=sys.stderr)


def is_text(text: str) -> bool:
    """Return False if Python replaced a byte that it could not decode by half of a surrogate pair."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _whole_prompt(prompt: str | None) -> str:
    """Return the prompt followed by the piped input. Raises BadParameter if both are missing, or not valid text."""
    piped = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read()
    text = "\n\n".join(part for part in (prompt, piped.rstrip("\n")) if part)
    if not text.strip():
        raise typer.BadParameter("There is no prompt. Give one, pipe one in, or chat: llmos chat MODEL")
    if not is_text(text):
        raise typer.BadParameter("The prompt is not valid UTF-8. Convert it: iconv -t utf-8")
    return text
