"""llmos chat: a conversation that remembers, and survives Ctrl-C and errors."""

import contextlib
import copy
import io
import os
import pty
import sys
from pathlib import Path
from typing import Any, Self

import pytest

from llmos.cli import backends, main
from llmos.cli.chat import Conversation, _read_line
from llmos.core.errors import PromptTooLong, ReplicaFailed


class FakeStream(list[Any]):
    """The pieces of an answer; an exception among them is raised."""

    def __iter__(self) -> Any:
        for piece in super().__iter__():
            if isinstance(piece, BaseException):
                raise piece
            yield piece

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class FakeBackend:
    version = "smollm2@1"

    def __init__(self) -> None:
        self.heard: list[list[dict[str, str]]] = []
        """The whole conversation, each time that an answer was asked for."""
        self.sampling: Any = None
        self.answers: list[Any] = []

    def chat(self, messages: list[dict[str, str]], *, sampling: Any) -> FakeStream:
        self.heard.append(copy.deepcopy(messages))
        self.sampling = sampling
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return FakeStream(answer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeBackend:
    fake = FakeBackend()
    monkeypatch.setattr(backends, "open_backend", lambda name, settings: fake)
    return fake


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def system(text: str) -> dict[str, str]:
    return {"role": "system", "content": text}


def test_the_model_hears_the_whole_conversation(cli: Any, fake: FakeBackend) -> None:
    fake.answers = [["Hel", "lo"], ["Fine"]]
    outcome = cli("chat", "m", "--temperature", "0", stdin="Hi\n\nHow are you?\n")
    assert (outcome.status, outcome.out, outcome.err) == (0, "Hello\nFine\n", "")
    assert fake.heard == [[user("Hi")], [user("Hi"), assistant("Hello"), user("How are you?")]]
    assert fake.sampling == {"temperature": 0.0}


def test_reset_forgets_all_but_the_system_message(cli: Any, fake: FakeBackend) -> None:
    fake.answers = [["a"], ["b"]]
    cli("chat", "m", "--system", "Be brief.", stdin="one\n/reset\ntwo\n")
    assert fake.heard == [[system("Be brief."), user("one")], [system("Be brief."), user("two")]]


def test_system_sets_the_system_message_and_begins_anew(cli: Any, fake: FakeBackend) -> None:
    fake.answers = [["a"], ["b"], ["c"]]
    cli("chat", "m", stdin="one\n/system Be brief.\ntwo\n/system\nthree\n")
    assert fake.heard == [[user("one")], [system("Be brief."), user("two")], [user("three")]]


def test_exit_leaves_what_follows_unread(cli: Any, fake: FakeBackend) -> None:
    assert cli("chat", "m", stdin="/exit\nHi\n").status == 0
    assert fake.heard == []


def test_help_lists_what_can_be_typed(cli: Any, fake: FakeBackend) -> None:
    outcome = cli("chat", "m", stdin="/help\n/what\n")
    for command in ("/system", "/reset", "/help", "/exit", "Ctrl-C"):
        assert command in outcome.out
    assert "Unknown command /what; /help shows the commands." in outcome.out


def test_ctrl_c_stops_the_answer_and_not_the_conversation(cli: Any, fake: FakeBackend) -> None:
    fake.answers = [["Once upon", KeyboardInterrupt()], ["Sorry."]]
    outcome = cli("chat", "m", stdin="A story\nShorter\n")
    assert (outcome.status, outcome.out) == (0, "Once upon\nSorry.\n")
    assert fake.heard[1] == [user("A story"), assistant("Once upon"), user("Shorter")]


def test_ctrl_c_before_the_first_word_takes_the_question_back(cli: Any, fake: FakeBackend) -> None:
    fake.answers = [KeyboardInterrupt(), ["Yes?"]]
    cli("chat", "m", stdin="A story\nHello\n")
    assert fake.heard[1] == [user("Hello")]


@pytest.mark.parametrize("where", ["at once", "in the middle"])
def test_an_error_ends_the_answer_and_not_the_conversation(cli: Any, fake: FakeBackend, where: str) -> None:
    error = PromptTooLong("Shorten it by 928 tokens.")
    fake.answers = [error if where == "at once" else ["Hm", error], ["Yes."]]
    outcome = cli("chat", "m", stdin="too long\nshort\n")
    assert outcome.status == 0
    assert outcome.err == "Error: Shorten it by 928 tokens.\n"
    assert fake.heard[1] == [user("short")]


def test_an_error_stands_on_a_line_of_its_own(cli: Any, fake: FakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.StringIO()  # stdout and stderr together, as on a terminal
    monkeypatch.setattr("sys.stdout", said)
    monkeypatch.setattr("sys.stderr", said)
    monkeypatch.setattr("sys.stdin", io.StringIO("A story\nAnother\n"))
    fake.answers = [["Once upon", ReplicaFailed("It died.")], ReplicaFailed("It died again.")]
    main(["chat", "m"])
    assert said.getvalue() == "Once upon\nError: It died.\nError: It died again.\n"


def test_ctrl_c_while_typing_throws_the_line_away(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = iter([KeyboardInterrupt(), "next"])

    def read(prompt: str) -> str:
        line = next(typed)
        if isinstance(line, BaseException):
            raise line
        return line

    monkeypatch.setattr("builtins.input", read)
    assert _read_line() == "next"


@pytest.mark.parametrize("word", ["/bye", "/exit", " /bye "])
def test_bye_ends_the_chat(cli: Any, fake: FakeBackend, word: str) -> None:
    assert cli("chat", "m", stdin=f"{word}\nHi\n").status == 0
    assert fake.heard == []


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        ('"""One\ntwo\n\nthree"""\n', "One\ntwo\n\nthree"),
        ('"""\nOne\n  two\n"""\n', "One\n  two"),
        ('"""One"""\n', "One"),
        ('"""/reset\nis a command"""\n', "/reset\nis a command"),
        ('"""never ended\n', "never ended"),
    ],
)
def test_three_quotes_enclose_a_message_of_several_lines(cli: Any, fake: FakeBackend, stdin: str, message: str) -> None:
    fake.answers = [["Yes."]]
    cli("chat", "m", stdin=stdin)
    assert fake.heard == [[user(message)]]


def test_quotes_around_nothing_ask_nothing(cli: Any, fake: FakeBackend) -> None:
    cli("chat", "m", stdin='""""""\n')
    assert fake.heard == []


def test_pasted_lines_are_one_message(fake: FakeBackend) -> None:
    fake.answers = [["Yes."]]
    pasted = iter(["/etc/hosts has\nthree lines\n", None])
    Conversation(fake, {}).run(lambda: next(pasted))  # type: ignore[arg-type]
    assert fake.heard == [[user("/etc/hosts has\nthree lines")]]


@pytest.mark.process
def test_a_terminal_gets_a_paste_as_one_message(tmp_path: Path) -> None:
    """In a real terminal, with the sequences that terminals send around a paste."""
    program = (
        "import sys\n"
        "from llmos.cli import backends, chat\n"
        "class Stream(list):\n"
        "    __enter__ = lambda self: self\n"
        "    __exit__ = lambda self, *exc: None\n"
        "class Backend:\n"
        "    version = 'm@1'\n"
        "    def chat(self, messages, sampling): return Stream([f'<{messages[-1][\"content\"]!r}>'])\n"
        "    __enter__ = lambda self: self\n"
        "    __exit__ = lambda self, *exc: None\n"
        "backends.open_backend = lambda name, settings: Backend()\n"
        "from llmos.cli import main\n"
        "sys.exit(main(['chat', 'm']))\n"
    )
    child, terminal = pty.fork()
    if not child:
        os.environ |= {"TERM": "xterm", "LLMOS_HOME": str(tmp_path)}
        os.execv(sys.executable, [sys.executable, "-c", program])
    said = b""
    os.write(terminal, b"\x1b[200~one\ntwo\x1b[201~\r/bye\r")
    with contextlib.suppress(OSError):  # Linux reports the end of the other side as an error.
        while chunk := os.read(terminal, 4096):
            said += chunk
    assert os.waitpid(child, 0)[1] == 0
    assert rb"<'one\ntwo'>" in said
