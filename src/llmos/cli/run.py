"""llmos run: one prompt, one answer."""

import sys
from typing import Annotated

import typer

from llmos.cli import options


def register(app: typer.Typer) -> None:
    app.command("run")(run)


def run(
    model: options.ModelOrRoute,
    prompt: Annotated[
        str | None,
        typer.Argument(metavar="PROMPT", help="What to ask. What is piped in comes after it.", show_default=False),
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Continue the text as it stands, without a chat template.")
    ] = False,
    max_tokens: options.MaxTokens = None,
    temperature: options.Temperature = None,
    top_p: options.TopP = None,
    top_k: options.TopK = None,
    min_p: options.MinP = None,
    seed: options.Seed = None,
    stop: options.Stop = None,
) -> None:
    """Answer one prompt.

    The running server answers; where none runs, the model is loaded into this process.
    """
    text = _whole_prompt(prompt)
    from llmos.cli.speaker import open_speaker
    from llmos.core.config import load_settings

    chosen = options.given_sampling(
        max_tokens=max_tokens, temperature=temperature, top_p=top_p, top_k=top_k, min_p=min_p, seed=seed, stop=stop
    )
    with open_speaker(model, load_settings()) as speaker, speaker.generate(text, raw=raw, sampling=chosen) as speech:
        try:
            for piece in speech:
                sys.stdout.write(piece)
                sys.stdout.flush()
        finally:
            # Also when it was stopped: the shell's prompt belongs on a line of its own.
            sys.stdout.write("\n")
            sys.stdout.flush()
        if speech.finish_reason == "length" and sys.stderr.isatty():
            print("Note: the answer was cut off at the most tokens that it may have.", file=sys.stderr)


def is_text(text: str) -> bool:
    """Return False where Python had to put half a surrogate pair in place of a byte that it could not decode."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _whole_prompt(prompt: str | None) -> str:
    """The prompt and what is piped in. Raises BadParameter where there is neither, and for what is no text."""
    piped = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read()
    text = "\n\n".join(part for part in (prompt, piped.rstrip("\n")) if part)
    if not text.strip():
        raise typer.BadParameter("There is no prompt. Give one, pipe one in, or talk: llmos chat MODEL")
    if not is_text(text):
        raise typer.BadParameter("The prompt is not valid UTF-8, so it is no text. Convert it: iconv -t utf-8")
    return text
