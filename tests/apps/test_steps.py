"""Steps: what a run did, it doesn't do again."""

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

from llmos.apps import App, EffectKey, Happened, NoRun, NotHappened, StepEvent, StepFailed
from llmos.apps.memory import MemoryServer

NO_KEY = EffectKey("")


class Order(BaseModel):
    id: str
    cents: int


def app_of(brain: Any, **options: Any) -> App:
    """An app of this function, over a server in memory."""
    app = App("shop", brain=brain, **options)
    app._replacement = MemoryServer()
    return app


def test_outside_of_a_run_a_step_is_the_plain_function() -> None:
    app = App("shop")

    @app.step
    def double(number: int) -> int:
        """Twice as much."""
        return 2 * number

    assert double(4) == 8
    assert double.__doc__ == "Twice as much."
    with pytest.raises(NoRun, match="belongs into a run"):
        app.wait_for("approval")


def test_a_run_that_waited_does_no_step_again() -> None:
    done: list[str] = []

    def brain(order: str) -> str:
        before = [look_up(order).cents, look_up(order).cents]
        approved = app.wait_for("approval", cents=before[0])
        return f"{refund(order)} {approved}"

    app = app_of(brain)

    @app.step
    def look_up(order: str) -> Order:
        done.append("look up")
        return Order(id=order, cents=500)

    @app.step(effect=True)
    def refund(order: str) -> str:
        done.append("refund")
        return "refunded"

    waiting = app.run("A1")
    assert (waiting.state, waiting.waits_for, waiting.waits_with) == ("waiting", "approval", {"cents": 500})
    assert done == ["look up"] * 2, "each time that it is called is a step of its own"
    events: list[Any] = []
    assert app.resume(waiting.id, "yes").text == "refunded yes"
    assert done == ["look up", "look up", "refund"]
    assert events == []


def test_an_effect_with_the_same_arguments_happens_once_in_a_run() -> None:
    done: list[Any] = []

    async def brain(order: str) -> str:
        at_once = await asyncio.gather(refund(order, 5), refund(order, cents=5))
        return " ".join([*at_once, await refund(order, 5), await refund(order, 6)])

    app = app_of(brain)

    @app.step(effect=True)
    async def refund(order: str, cents: int, *, key: EffectKey = NO_KEY) -> str:
        done.append((cents, key))
        return f"refunded {cents}"

    assert app.run("A1").text == "refunded 5 refunded 5 refunded 5 refunded 6"
    assert [cents for cents, _ in done] == [5, 6]
    assert len({key for _, key in done}) == 2
    app.run("A1")
    assert len(done) == 4, "another run is another refund"
    assert len({key for _, key in done}) == 4


def test_a_step_returns_what_its_journal_holds() -> None:
    """So that it is the same when the step is done, and when it is repeated."""

    def brain(order: str) -> str:
        value: Any = look_up(order)
        return f"{type(value).__name__} {value}"

    app = app_of(brain)

    @app.step
    def look_up(order: str):  # type: ignore[no-untyped-def]
        return ("a", {1: "b"})

    assert app.run("A1").text == "list ['a', {'1': 'b'}]"


@pytest.mark.parametrize(
    ("result", "reason"),
    [(ValueError("no order"), "ValueError: no order"), (object(), "it returned something that isn't JSON")],
)
def test_a_step_that_fails_fails_alike_when_it_is_repeated(result: Any, reason: str) -> None:
    done: list[str] = []

    def brain(order: str) -> str:
        try:
            look_up(order)
        except StepFailed as failed:
            app.wait_for("approval")
            return failed.reason
        raise AssertionError

    app = app_of(brain)

    @app.step
    def look_up(order: str):  # type: ignore[no-untyped-def]
        done.append(order)
        if isinstance(result, Exception):
            raise result
        return result

    waiting = app.run("A1")
    assert app.resume(waiting.id, True).text.startswith(reason)
    assert done == ["A1"]


def test_a_step_that_hangs_is_given_up() -> None:
    async def brain(order: str) -> str:
        return str(await forever())

    app = app_of(brain)

    @app.step(seconds=0.01)
    async def forever() -> None:
        await asyncio.Event().wait()

    with pytest.raises(StepFailed, match=r"forever failed: it didn't end within 0\.01 s"):
        app.run("A1")


def test_arguments_without_json_are_refused() -> None:
    async def brain(order: str) -> str:
        return str(await look_up(object()))

    app = app_of(brain)

    @app.step
    async def look_up(thing: Any) -> str:
        raise AssertionError

    with pytest.raises(StepFailed, match="arguments aren't JSON"):
        app.run("A1")


def test_a_step_in_an_async_function_is_awaited() -> None:
    async def brain(order: str) -> str:
        with pytest.raises(NoRun, match=r"await double\.awaited"):
            double(2)
        return str(await double.awaited(4))

    app = app_of(brain)

    @app.step
    def double(number: int) -> int:
        return 2 * number

    assert app.run("A1").text == "8"


def test_a_dry_run_has_no_effects() -> None:
    def brain(order: str) -> str:
        return refund(order)

    app = app_of(brain)

    @app.step(effect=True)
    def refund(order: str) -> str:
        raise AssertionError

    with pytest.raises(StepFailed, match="dry run"):
        app.run("A1", dry_run=True)


def test_events_tell_of_steps() -> None:
    def brain(order: str) -> str:
        return str(double(4))

    app = app_of(brain)

    @app.step
    def double(number: int) -> int:
        return 2 * number

    (event,) = [event for event in app.stream("A1") if isinstance(event, StepEvent)]
    assert (event.name, event.state, event.result, event.is_repeated) == ("double", "done", 8, False)


def test_a_signal_that_came_before_it_was_waited_for_is_taken_at_once() -> None:
    server = MemoryServer()

    async def brain(order: str) -> str:
        (run,) = await server.runs.list(app="shop")
        await server.runs.signal(run.id, "approval", "early")
        return str(app.wait_for("approval"))

    app = app_of(brain)
    app._replacement = server
    assert app.run("A1").text == "early"


def test_an_effect_that_is_being_done_when_the_caller_hangs_up_is_done_and_kept() -> None:
    server = MemoryServer()

    async def main() -> list[tuple[str, str, Any]]:
        began, may_end = asyncio.Event(), asyncio.Event()

        async def brain(order: str) -> str:
            return str(await refund(order))

        app = app_of(brain)
        app._replacement = server

        @app.step(effect=True)
        async def refund(order: str) -> str:
            began.set()
            await may_end.wait()
            return "refunded"

        work = asyncio.create_task(app.arun("A1"))
        await began.wait()
        work.cancel()
        await asyncio.sleep(0)
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await work
        (run,) = await server.runs.list(app="shop")
        described = await server.runs.get(run.id)
        return [(described.state, step.state, step.result) for step in described.steps]

    assert asyncio.run(main()) == [("cancelled", "done", "refunded")]


def test_a_run_that_fails_when_it_is_continued_keeps_no_other_from_it(caplog: pytest.LogCaptureFixture) -> None:
    server = MemoryServer()

    def brain(order: str) -> str:
        approved = app.wait_for("approval")
        if order == "bad":
            raise ValueError("no such order")
        return f"{order} {approved}"

    app = app_of(brain)
    app._replacement = server
    waiting = [app.run(order) for order in ("bad", "good")]
    for run in waiting:
        asyncio.run(server.runs.signal(run.id, "approval", "yes"))
    assert [run.text for run in app.resume_all()] == ["good yes"]
    assert f"The run {waiting[0].id} was continued and failed: no such order" in caplog.text


@pytest.mark.parametrize("fault", ["hangs", "connection"])
@pytest.mark.parametrize(("found", "num_done"), [(Happened("refunded"), 1), (NotHappened(), 2), (None, 1)])
def test_an_effect_that_may_have_happened_is_in_doubt(fault: str, found: Any, num_done: int) -> None:
    done: list[str] = []

    async def brain(order: str) -> str:
        return str(await refund(order))

    app = app_of(brain)

    @app.step(effect=True, seconds=0.01)
    async def refund(order: str) -> str:
        done.append(order)
        if len(done) > 1:
            return "refunded"
        if fault == "connection":
            raise ConnectionResetError("in the middle")
        await asyncio.Event().wait()
        return ""

    @refund.reconcile
    async def refunded(order: str) -> Any:
        return found

    run = app.run("A1")
    assert len(done) == num_done
    if found is None:
        assert (run.state, run.waits_with) == ("waiting", {"step": "refund", "arguments": {"order": "A1"}})
        assert (run.waits_for or "").startswith("in_doubt:step:")
    else:
        assert run.text == "refunded"


def test_an_effect_that_is_late_each_time_is_given_up() -> None:
    done: list[str] = []

    async def brain(order: str) -> str:
        return str(await refund(order))

    app = app_of(brain)

    @app.step(effect=True)
    async def refund(order: str) -> str:
        done.append(order)
        raise TimeoutError

    @refund.reconcile
    async def refunded(order: str) -> Any:
        return NotHappened()

    run = app.run("A1")
    assert run.state == "ready"
    assert 1 < len(done) <= 10
