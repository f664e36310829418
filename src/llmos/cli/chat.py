"""llmos chat: a conversation in the terminal."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from llmos.cli import options

if TYPE_CHECKING:
    from llmos.cli.speaker import Speaker
    from llmos.client.calls import Sampling

HELP = """\
/system TEXT  set what the model is told before the conversation, and begin anew
/reset        forget the conversation
/help         this
/exit         leave, as Ctrl-D does
Ctrl-C        stop the answer"""


def register(app: typer.Typer) -> None:
    app.command("chat")(chat)


def chat(
    model: options.ModelOrRoute,
    system: Annotated[
        str | None, typer.Option(help="What the model is told before the conversation.", show_default=False)
    ] = None,
    max_tokens: options.MaxTokens = None,
    temperature: options.Temperature = None,
    top_p: options.TopP = None,
    top_k: options.TopK = None,
    min_p: options.MinP = None,
    seed: options.Seed = None,
    stop: options.Stop = None,
) -> None:
    """Talk with a model.

    The running server answers; where none runs, the model is loaded into this process.
    """
    from llmos.cli.speaker import open_speaker
    from llmos.core.config import load_settings

    chosen = options.given_sampling(
        max_tokens=max_tokens, temperature=temperature, top_p=top_p, top_k=top_k, min_p=min_p, seed=seed, stop=stop
    )
    with open_speaker(model, load_settings()) as speaker:
        if sys.stdin.isatty():
            import readline  # noqa: F401  (gives input() line editing and a history)

            print(f"{speaker.version} · /help says what you can type")
        Conversation(speaker, chosen, system).hold(_read_line)


class Conversation:
    """What was said so far, and how it goes on."""

    def __init__(self, speaker: "Speaker", sampling: "Sampling", system: str | None = None) -> None:
        self._speaker, self._sampling, self._system = speaker, sampling, system
        self.messages: list[dict[str, str]] = []
        self._reset()

    def hold(self, read_line: Callable[[], str | None]) -> None:
        """Take lines until there is none left, or /exit."""
        while (line := read_line()) is not None:
            text = line.strip()
            if text == "/exit":
                return
            if text.startswith("/"):
                self._command(text)
            elif text:
                self._answer(text)

    def _command(self, text: str) -> None:
        name, _, argument = text.partition(" ")
        if name == "/reset":
            self._reset()
            print("The conversation begins anew.")
        elif name == "/system":
            self._system = argument.strip() or None
            self._reset()
            print("Set; the conversation begins anew." if self._system else "Removed; the conversation begins anew.")
        elif name == "/help":
            print(HELP)
        else:
            print(f"There is no {name}; /help lists what there is.")

    def _answer(self, text: str) -> None:
        from llmos.core.errors import LLMOSError

        self.messages.append({"role": "user", "content": text})
        pieces: list[str] = []
        try:
            with self._speaker.chat(self.messages, sampling=self._sampling) as speech:
                for piece in speech:
                    pieces.append(piece)
                    sys.stdout.write(piece)
                    sys.stdout.flush()
        except KeyboardInterrupt:
            pass  # what was said until then stays in the conversation
        except LLMOSError as error:
            # Not the end: a shorter conversation may fit, a server may come back.
            self.messages.pop()
            if pieces:
                print(flush=True)
            print(f"Error: {error.message}", file=sys.stderr)
            return
        print()
        if pieces:
            self.messages.append({"role": "assistant", "content": "".join(pieces)})
        else:
            self.messages.pop()  # stopped before the first word: as if it had not been asked

    def _reset(self) -> None:
        self.messages = [{"role": "system", "content": self._system}] if self._system else []


def _read_line() -> str | None:
    """Return the next line, None at the end. Ctrl-C while typing throws the line away, as a shell does."""
    while True:
        try:
            return input("> " if sys.stdin.isatty() else "")
        except EOFError:
            if sys.stdin.isatty():
                print()
            return None
        except KeyboardInterrupt:
            print()
