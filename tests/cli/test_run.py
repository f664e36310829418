"""llmos run: one prompt in, one answer out."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from llmos.cli import backends


class FakeStream:
    def __init__(self, *pieces: Any) -> None:
        self.pieces = pieces
        self.finish_reason = "stop"
        self.is_closed = False

    def __iter__(self) -> Iterator[str]:
        for piece in self.pieces:
            if isinstance(piece, BaseException):
                raise piece
            yield piece

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.is_closed = True


class FakeBackend:
    """Answers "Hello"; keeps what it was asked."""

    version = "m@1"

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.stream = FakeStream("Hel", "lo")

    def generate(self, prompt: str, *, raw: bool, sampling: dict[str, Any]) -> FakeStream:
        self.asked.append((prompt, raw, sampling))
        return self.stream

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeBackend:
    fake = FakeBackend()
    monkeypatch.setattr(backends, "open_backend", lambda name, settings: fake)
    return fake


def test_the_answer_is_all_that_stdout_gets(cli: Any, fake: FakeBackend) -> None:
    outcome = cli("run", "m", "Hi")
    assert (outcome.status, outcome.out, outcome.err) == (0, "Hello\n", "")
    assert fake.asked == [("Hi", False, {})]
    assert fake.stream.is_closed


def test_options_reach_the_model(cli: Any, fake: FakeBackend) -> None:
    options = "--raw --max-tokens 5 --temperature 0 --top-p 0.5 --top-k 3 --min-p 0.1 --seed 7 --stop a --stop b"
    cli("run", "m", "Hi", *options.split())
    sampling = {
        "max_tokens": 5, "temperature": 0.0, "top_p": 0.5, "top_k": 3, "min_p": 0.1, "seed": 7, "stop": ["a", "b"],
    }  # fmt: skip
    assert fake.asked == [("Hi", True, sampling)]


def test_what_is_piped_in_is_the_prompt(cli: Any, fake: FakeBackend) -> None:
    cli("run", "m", stdin="What is\nthis?\n")
    assert fake.asked[0][0] == "What is\nthis?"


def test_what_is_piped_in_follows_the_prompt(cli: Any, fake: FakeBackend) -> None:
    cli("run", "m", "Explain:", stdin="x = 1\n")
    assert fake.asked[0][0] == "Explain:\n\nx = 1"


@pytest.mark.parametrize("stdin", ["", " \n"])
def test_no_prompt_at_all_is_wrong_use(cli: Any, fake: FakeBackend, stdin: str) -> None:
    outcome = cli("run", "m", stdin=stdin)
    assert outcome.status == 2
    assert "There is no prompt" in outcome.err
    assert fake.asked == []


def test_a_terminal_is_not_waited_for(cli: Any, fake: FakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

        def read(self) -> str:
            raise AssertionError("a terminal was read to its end")

    cli("--version")  # let the fixture put its stdin in place first
    monkeypatch.setattr(sys, "stdin", Terminal())
    from llmos.cli import main

    assert main(["run", "m", "Hi"]) == 0


def test_ctrl_c_stops_the_answer_and_ends_the_line(cli: Any, fake: FakeBackend) -> None:
    fake.stream = FakeStream("Hel", KeyboardInterrupt())
    outcome = cli("run", "m", "Hi")
    assert (outcome.status, outcome.out, outcome.err) == (130, "Hel\n", "")
    assert fake.stream.is_closed


@pytest.mark.parametrize(("is_terminal", "says"), [(True, "cut off"), (False, "")])
def test_a_person_is_told_when_the_answer_was_cut_off(
    cli: Any, fake: FakeBackend, monkeypatch: pytest.MonkeyPatch, is_terminal: bool, says: str
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    fake.stream.finish_reason = "length"
    outcome = cli("run", "m", "Hi")
    assert (outcome.status, outcome.out) == (0, "Hello\n")
    assert says in outcome.err
    assert bool(outcome.err) == is_terminal


def test_an_unknown_model_says_what_there_is(cli: Any) -> None:
    outcome = cli("run", "smolm", "Hi")
    assert outcome.status == 2
    assert outcome.err.startswith("Error: There is no model 'smolm'. Did you mean smollm2")


def test_the_real_model_answers_in_this_process(cli: Any, smollm2_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOS_HOME", str(smollm2_home))
    monkeypatch.setattr(backends, "accepts_connections", lambda endpoint: False)
    outcome = cli("run", "smollm2", "Which animal says meow?", "--max-tokens", "16", "--temperature", "0")
    assert (outcome.status, outcome.err) == (0, "")
    assert "cat" in outcome.out


def test_raw_continues_the_text_as_it_stands(cli: Any, smollm2_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOS_HOME", str(smollm2_home))
    monkeypatch.setattr(backends, "accepts_connections", lambda endpoint: False)
    outcome = cli("run", "smollm2", "1, 2, 3, 4, 5,", "--raw", "--max-tokens", "6", "--temperature", "0")
    assert outcome.out.startswith(" 6, 7")


@pytest.mark.parametrize("arguments", [["What is", "this?"], ["What is\udcff this?"], ["", ""]])
def test_a_prompt_that_cannot_be_meant_is_wrong_use(cli: Any, fake: FakeBackend, arguments: list[str]) -> None:
    outcome = cli("run", "m", *arguments)
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.count("\n") == 1
    assert fake.asked == []


def test_piped_bytes_that_are_no_text_are_wrong_use(cli: Any, fake: FakeBackend) -> None:
    outcome = cli("run", "m", stdin="\udcff\udcfe")  # what Python makes of the bytes FF FE
    assert outcome.status == 2
    assert "UTF-8" in outcome.err


def test_run_prints_json(cli: Any, fake: FakeBackend) -> None:
    outcome = cli("run", "m", "Hi", "--json")
    assert (outcome.status, outcome.err) == (0, "")
    assert json.loads(outcome.out) == {"model": "m", "version": "m@1", "text": "Hello", "finish_reason": "stop"}
