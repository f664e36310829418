"""Mocks of an eval's case: tools and steps that have one aren't called, and what has effects is refused without one."""

from typing import Any

import pytest

from llmos.apps import App
from llmos.apps.testing import Call, Script
from llmos.client.mocked_calls import MockedCalls
from llmos.core.errors import NotRecorded
from llmos.core.schemas.runs import CallMock

CALLS: list[str] = []
AB1 = Call("order_status", order_id="AB1")


@pytest.fixture
def shop() -> App:
    CALLS.clear()
    app = App("shop")

    @app.tool
    def order_status(order_id: str) -> str:
        """Where an order is."""
        CALLS.append(order_id)
        return f"{order_id} is on its way"

    @app.tool
    @app.step(effect=True)
    def refund(order_id: str) -> dict[str, Any]:
        """Give the money back."""
        CALLS.append(f"refund {order_id}")
        return {"refunded": order_id}

    return app


def mocked(*mocks: CallMock, allows_effects: bool = False) -> MockedCalls:
    return MockedCalls(mocks, allows_effects=allows_effects)


def result_of(script: Any) -> str:
    return str(script.prompts[-1].messages[-1]["content"])


def test_a_tool_with_a_mock_is_not_called(shop: App) -> None:
    mocks = mocked(
        CallMock(tool="order_status", arguments={"order_id": "ZZ9"}, result="lost"),
        CallMock(tool="order_status", result={"state": "sent"}),
    )
    with Script(AB1, "It comes.").plays(shop) as script:
        run = shop.run("Where is it?", mocks=mocks)
    assert (run.text, CALLS) == ("It comes.", [])
    assert result_of(script) == '{"state": "sent"}'
    assert [(step.name, step.state) for step in run.steps if step.kind == "tool"] == [("order_status", "done")]


def test_a_mock_may_fail_as_a_tool_does(shop: App) -> None:
    with Script(AB1, "I don't know.").plays(shop) as script:
        shop.run("Where is it?", mocks=mocked(CallMock(tool="order_status", error="the shop is closed")))
    assert result_of(script) == "Error: order_status failed: the shop is closed"


def test_other_arguments_than_those_of_the_mocks_end_the_run(shop: App) -> None:
    mocks = mocked(CallMock(tool="order_status", arguments={"order_id": "ZZ9"}, result="lost"))
    with Script(AB1).plays(shop), pytest.raises(NotRecorded, match="calls order_status with arguments that none"):
        shop.run("Where is it?", mocks=mocks)
    assert CALLS == []


def test_a_tool_without_a_mock_is_called_unless_it_has_effects(shop: App) -> None:
    with Script(AB1, "It comes.").plays(shop):
        shop.run("Where is it?", mocks=mocked())
    assert CALLS == ["AB1"]
    refund = Call("refund", order_id="AB1")
    with Script(refund).plays(shop), pytest.raises(NotRecorded, match=r"refund, which has effects.*effects: true"):
        shop.run("Refund it.", mocks=mocked())
    assert CALLS == ["AB1"]
    with Script(refund, "Done.").plays(shop) as script:
        shop.run("Refund it.", mocks=mocked(CallMock(tool="refund", result={"refunded": "nothing"})))
    assert (result_of(script), CALLS) == ('{"refunded": "nothing"}', ["AB1"])
    with Script(refund, "Done.").plays(shop):
        shop.run("Refund it.", mocks=mocked(allows_effects=True))
    assert CALLS == ["AB1", "refund AB1"]


def test_an_effect_inside_of_a_tool_is_refused_too(shop: App) -> None:
    @shop.step(effect=True)
    async def charge(amount: int) -> int:
        CALLS.append(f"charge {amount}")
        return amount

    @shop.tool
    async def buy(amount: int) -> int:
        """Buy something."""
        return await charge(amount)  # type: ignore[no-any-return]

    with Script(Call("buy", amount=3)).plays(shop), pytest.raises(NotRecorded, match="charge, which has effects"):
        shop.run("Buy it.", mocks=mocked())
    with Script(Call("buy", amount=3), "Bought.").plays(shop) as script:
        shop.run("Buy it.", mocks=mocked(CallMock(tool="charge", result=5)))
    assert (result_of(script), CALLS) == ("5", [])


def test_a_tool_that_a_person_must_confirm_is_refused(shop: App) -> None:
    @shop.tool(confirm=True)
    def delete(name: str) -> str:
        """Delete it."""
        return CALLS.append(name) or name

    with Script(Call("delete", name="a")).plays(shop), pytest.raises(NotRecorded, match="delete, which has effects"):
        shop.run("Delete it.", mocks=mocked())
    assert CALLS == []
