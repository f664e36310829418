"""Replays of recorded runs: tools and steps answer out of the record, nothing is called, nothing is kept."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from llmos.apps import App
from llmos.apps.memory import MemoryServer
from llmos.apps.testing import Call, Script
from llmos.client.recorded_calls import RecordedCalls
from llmos.core.errors import NotRecorded

CALLS: list[str] = []


def shop(**options: Any) -> App:
    CALLS.clear()
    app = App("shop", **options)

    @app.tool
    def order_status(order_id: str) -> str:
        """Where an order is."""
        CALLS.append(order_id)
        return f"{order_id} is on its way"

    return app


def record(app: App, *script: Any) -> RecordedCalls:
    with Script(*script).plays(app):
        run = app.run("Where is it?")
    CALLS.clear()
    return RecordedCalls(run.steps)


def test_a_tool_answers_out_of_the_record() -> None:
    app = shop()
    recorded = record(app, Call("order_status", order_id="AB1"), "It comes.")
    with Script(Call("order_status", order_id="AB1"), "It is coming.").plays(app) as script:
        run = app.run("Where is it?", recorded=recorded)
    assert (run.text, CALLS) == ("It is coming.", [])
    assert script.prompts[-1].messages[-1]["content"] == "AB1 is on its way"


def test_another_call_ends_the_run() -> None:
    app = shop()
    recorded = record(app, Call("order_status", order_id="AB1"), "It comes.")
    with Script(Call("order_status", order_id="ZZ9")).plays(app), pytest.raises(NotRecorded):
        app.run("Where is it?", recorded=recorded)
    assert CALLS == []


def brained(work: Callable[[App], str]) -> App:
    app = App("refunds", brain=lambda text: work(app), handoff=lambda question, messages: CALLS.append("told"))

    @app.step(effect=True)
    def refund(cents: int) -> str:
        CALLS.append(f"refund {cents}")
        return f"{cents} sent"

    app.refund = refund  # type: ignore[attr-defined]
    return app


def test_an_effect_is_not_done_again() -> None:
    app = brained(lambda app: app.refund(5))  # type: ignore[attr-defined]
    recorded = record(app)
    with Script().plays(app):
        assert app.run("x", recorded=recorded).text == "5 sent"
    assert CALLS == []
    other = brained(lambda app: app.refund(6))  # type: ignore[attr-defined]
    with Script().plays(other), pytest.raises(NotRecorded):
        other.run("x", recorded=recorded)
    assert CALLS == []


@pytest.mark.parametrize("options", [{"keep": False}, {"recorded": RecordedCalls([])}])
def test_it_is_not_kept_and_tells_nobody(options: dict[str, Any]) -> None:
    CALLS.clear()
    server = MemoryServer(Script("Hello."))
    app = App("shop", handoff=lambda question, messages: CALLS.append("told"))
    with app.replaced(server):
        assert app.run("Hi", **options).text == "Hello."
    assert CALLS == []
    assert asyncio.run(server.runs.list(app="shop")) == []
