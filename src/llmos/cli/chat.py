"""llmos chat: chat with a model in the terminal."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from llmos.cli import options
from llmos.cli.terminal import answer_writer

if TYPE_CHECKING:
    from llmos.cli.backends import ChatBackend
    from llmos.client.calls import Sampling

HELP = """\
/system TEXT  set the system prompt and start a new conversation
/reset        start a new conversation
/help         show this help
/bye, /exit   exit; so does Ctrl-D
Ctrl-C        stop the answer
\"\"\"           begin or end a message of several lines; lines that are pasted together are one message, too"""

QUOTES = '"""'


def register(app: typer.Typer) -> None:
    app.command("chat")(chat)


@options.with_sampling
def chat(
    model: options.ModelOrRoute,
    system: Annotated[str | None, typer.Option(help="The system prompt.", show_default=False)] = None,
    *,
    sampling: "Sampling",
) -> None:
    """Chat with a model.

    Uses the running server; if none runs, the model is loaded into this process.
    """
    from llmos.cli.backends import open_backend
    from llmos.core.config import load_settings

    with open_backend(model, load_settings()) as backend:
        if sys.stdin.isatty():
            import readline  # gives input() line editing and a history

            # Pasted lines come as one text, which is sent when Enter is pressed. Python turns that off by default.
            readline.parse_and_bind("set enable-bracketed-paste on")
            print(f"{backend.version} · /help shows the commands")
        Conversation(backend, sampling, system).run(_read_line)


class Conversation:
    """The messages so far, and the commands that change them."""

    def __init__(self, backend: "ChatBackend", sampling: "Sampling", system: str | None = None) -> None:
        self._backend, self._sampling, self._system = backend, sampling, system
        self.messages: list[dict[str, str]] = []
        self._reset()

    def run(self, read_line: Callable[[], str | None]) -> None:
        """Answer messages until the input ends, or /bye."""
        while (line := read_line()) is not None:
            text = line.strip()
            if text in ("/bye", "/exit"):
                return
            if text.startswith(QUOTES):
                self._answer(_read_quoted(text, read_line))
            elif text.startswith("/") and "\n" not in text:
                self._run_command(text)
            elif text:
                self._answer(text)

    def _run_command(self, text: str) -> None:
        name, _, argument = text.partition(" ")
        if name == "/reset":
            self._reset()
            print("Started a new conversation.")
        elif name == "/system":
            self._system = argument.strip() or None
            self._reset()
            print(
                "Set the system prompt and started a new conversation."
                if self._system
                else "Removed the system prompt and started a new conversation."
            )
        elif name == "/help":
            print(HELP)
        else:
            print(f"Unknown command {name}; /help shows the commands.")

    def _answer(self, text: str) -> None:
        from llmos.core.errors import LLMOSError

        if not text:
            return
        self.messages.append({"role": "user", "content": text})
        show, show_rest = answer_writer()
        pieces: list[str] = []
        try:
            with self._backend.chat(self.messages, sampling=self._sampling) as stream:
                for piece in stream:
                    pieces.append(piece)
                    show(piece)
        except KeyboardInterrupt:
            pass  # the part of the answer so far stays in the conversation
        except LLMOSError as error:
            show_rest()
            # The chat goes on: a shorter message may fit, and a server may come back.
            self.messages.pop()
            if pieces:
                print(flush=True)
            print(f"Error: {error.message}", file=sys.stderr)
            return
        show_rest()
        print()
        if pieces:
            self.messages.append({"role": "assistant", "content": "".join(pieces)})
        else:
            self.messages.pop()  # stopped before the first token: forget the question

    def _reset(self) -> None:
        self.messages = [{"role": "system", "content": self._system}] if self._system else []


def _read_quoted(first: str, read_line: Callable[[], str | None]) -> str:
    """Return the message that begins with three quotes, up to the line that ends with them or to the input's end."""
    text = first.removeprefix(QUOTES)
    while not text.rstrip().endswith(QUOTES) and (line := read_line()) is not None:
        text += f"\n{line}"
    return text.rstrip().removesuffix(QUOTES).strip("\n")


def _read_line() -> str | None:
    """Return the next line, None at the end of the input. Ctrl-C discards the line, as in a shell."""
    while True:
        try:
            return input("> " if sys.stdin.isatty() else "")
        except EOFError:
            if sys.stdin.isatty():
                print()
            return None
        except KeyboardInterrupt:
            print()
