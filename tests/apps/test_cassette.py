"""Cassettes: answers that were recorded once, and are replayed exactly."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from llmos.apps import App, TextEvent
from llmos.apps import ask as ask_model
from llmos.apps.memory import MemoryServer
from llmos.apps.server import OnText, Prompt
from llmos.apps.testing import Call, Cassette, PromptChanged, Script
from llmos.client.answers import Answer


def app_of(prompt: str = "You help.", *, script: Script | None = None) -> App:
    """An app with one tool, whose real model is this script."""
    app = App("support", prompt=prompt)

    @app.tool
    def order_status(order_id: str) -> str:
        return f"{order_id} is on its way"

    app.real_server = lambda: MemoryServer(script)  # type: ignore[method-assign]
    return app


def ask(app: App) -> tuple[str, list[str], Any]:
    events = [*app.stream("Where is AB123456?", session="u42")]
    pieces = [event.text for event in events if isinstance(event, TextEvent)]
    run = app.run("Thanks", session="u42")
    return run.text, pieces, run.usage


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "cassettes" / "order.json"
    app = app_of(script=Script(Call("order_status", order_id="AB123456"), "It is on its way.", "You are welcome."))
    with Cassette(path).plays(app):
        recorded = ask(app)
    with Cassette(path).plays(replayed := app_of()):
        assert ask(replayed) == recorded
    return path


def test_a_run_is_replayed_exactly_without_a_server(path: Path) -> None:
    before = path.read_bytes()
    with Cassette(path).plays(app := app_of()):
        assert ask(app)[0] == "You are welcome."
    assert path.read_bytes() == before


class Slow(Script):
    """A model that answers `first` only when it has answered `second`."""

    async def answer(self, prompt: Prompt, on_text: OnText) -> Answer:
        if prompt.messages[-1]["content"] == "first":
            await self.has_answered.wait()
        answer = await super().answer(prompt, on_text)
        self.has_answered.set()
        return answer

    def __init__(self) -> None:
        super().__init__(lambda prompt: f"To {prompt.messages[-1]['content']}")
        self.has_answered = asyncio.Event()


def test_calls_at_once_are_replayed_in_whatever_order_they_were_answered(tmp_path: Path) -> None:
    async def brain(text: str) -> str:
        return " ".join(each.text for each in await asyncio.gather(ask_model("first"), ask_model("second")))

    app = App("pair", brain=brain)
    server = MemoryServer(Slow())
    app.real_server = lambda: server  # type: ignore[method-assign]
    for _ in ("recorded", "replayed"):
        with Cassette(tmp_path / "pair.json").plays(app):
            assert app.run("Go").text == "To first To second"


def test_a_changed_prompt_fails_with_the_difference(path: Path) -> None:
    app = app_of("You help a lot.")
    with pytest.raises(PromptChanged) as changed, Cassette(path).plays(app):
        app.run("Where is AB123456?")
    lines = str(changed.value).splitlines()
    assert [line.strip() for line in lines if line.startswith(("-  ", "+  "))] == [
        '-   "content": "You help.",',
        '+   "content": "You help a lot.",',
    ]


def test_answers_that_are_not_asked_for_fail(path: Path) -> None:
    app = app_of()
    with pytest.raises(PromptChanged, match="1 of the answers"), Cassette(path).plays(app):
        app.run("Where is AB123456?", session="u42")


def test_more_questions_than_were_recorded_fail(path: Path) -> None:
    app = app_of()
    with Cassette(path).plays(app):
        ask(app)
        with pytest.raises(PromptChanged, match="no answer left"):
            app.run("Hello?", session="u42")


def test_a_cassette_is_recorded_anew_when_it_is_told(path: Path) -> None:
    app = app_of("You help a lot.", script=Script("Hm."))
    with Cassette(path, record=True).plays(app):
        assert app.run("Where is AB123456?").text == "Hm."
    with Cassette(path).plays(again := app_of("You help a lot.")):
        assert again.run("Where is AB123456?").text == "Hm."
