"""App: answers, sessions, limits and what can be wrong with an input, with a script in place of the model."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from llmos.apps import App, DoneEvent, History, LimitReached, Limits, TextEvent, WrongOutput
from llmos.apps.memory import MemoryServer
from llmos.apps.testing import Call, Script
from llmos.core.errors import BadRequest, ModelNotFound, Overloaded, PromptTooLong, RunConflict


class Reply(BaseModel):
    mood: str
    stars: int


def asked(script: Script, number: int = -1) -> list[tuple[str, str]]:
    """The roles and texts of a prompt."""
    return [(message["role"], str(message["content"])) for message in script.prompts[number].messages]


def test_an_answer_has_its_text_its_steps_and_its_usage() -> None:
    app = App("support", prompt="You help.", options={"temperature": 0})
    with Script("Hello there").plays(app) as script:
        run = app.run("Hi")
    assert (str(run), run.output, run.state, run.session) == ("Hello there", "Hello there", "succeeded", None)
    assert [step.kind for step in run.steps] == ["model"]
    assert (run.usage.num_calls, run.usage.completion_tokens) == (1, 2)
    assert asked(script) == [("system", "You help."), ("user", "Hi")]
    assert script.prompts[0].options == {"temperature": 0}


def test_a_session_has_what_was_said_before() -> None:
    app = App("support")
    with Script("Hello Ada", "Ada").plays(app) as script:
        app.run("I am Ada", session="u42")
        app.run("Who am I?", session="u42")
        assert asked(script) == [("user", "I am Ada"), ("assistant", "Hello Ada"), ("user", "Who am I?")]
        with pytest.raises(AssertionError, match="no answer left"):
            app.run("Who am I?", session="other")
    assert asked(script) == [("user", "Who am I?")]


def test_events_come_in_order_and_end_with_the_run() -> None:
    app = App("support")
    with Script("Hello there, Ada").plays(app):
        events = [*app.stream("Hi")]
    assert "".join(event.text for event in events if isinstance(event, TextEvent)) == "Hello there, Ada"
    assert isinstance(events[-1], DoneEvent)
    assert events[-1].run.text == "Hello there, Ada"


def test_an_asynchronous_program_awaits_it() -> None:
    app = App("support")

    async def main() -> tuple[str, list[str]]:
        run = await app.arun("Hi")
        return run.text, [event.type async for event in app.astream("Hi")]

    with Script("One", "Two").plays(app):
        assert asyncio.run(main()) == ("One", ["text", "done"])


def test_an_error_of_a_stream_is_raised_where_it_is_read() -> None:
    app = App("support")
    with Script(Overloaded("too much")).plays(app):
        events = app.stream("Hi")
        with pytest.raises(Overloaded, match="too much"):
            next(events)
        assert [*events] == []


def test_an_answer_is_an_object_of_its_type() -> None:
    app = App("support", output=Reply)
    with Script('{"mood": "happy", "stars": 5}', '{"mood": "happy"').plays(app) as script:
        assert app.run("Hi").output == Reply(mood="happy", stars=5)
        with pytest.raises(WrongOutput, match="doesn't fit the output") as wrong:
            app.run("Hi")
    assert wrong.value.run_id.startswith("run-")
    assert script.prompts[0].options["format"]["required"] == ["mood", "stars"]


@pytest.mark.parametrize(
    ("limits", "limit"),
    [(Limits(steps=3), "steps"), (Limits(tokens=8), "tokens"), (Limits(seconds=0.05), "seconds")],
)
def test_a_run_says_which_limit_it_reached(limits: Limits, limit: str) -> None:
    app, never = App("support", limits=limits), threading.Event()

    @app.tool
    def again(number: int) -> int:
        never.wait(0 if limit != "seconds" else 60)
        return number

    with Script(*[Call("again", number=number * 5) for number in range(9)]).plays(app):
        with pytest.raises(LimitReached, match=f"its limit, and has no answer. Raise Limits\\({limit}=") as reached:
            app.run("Go on", session="u42")
        assert reached.value.limit == limit
    never.set()


def test_a_prompt_has_variables_and_may_be_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "support.md").write_text("You help at {{ shop }}.\n")
    app = App("support", prompt="support.md")
    with Script("Hello").plays(app) as script:
        app.run("Hi", variables={"shop": "Acme"})
        assert asked(script)[0] == ("system", "You help at Acme.")
        for variables, complaint in (
            ({}, "needs the variable 'shop'"),
            ({"shop": "Acme", "shops": 1}, "no variable 'shops'. Did you mean 'shop'"),
            ({"shop": object()}, "takes a text or a number"),
        ):
            with pytest.raises(BadRequest, match=complaint):
                app.run("Hi", variables=variables)
    with pytest.raises(BadRequest, match=r"other\.md can't be read"):
        App("support", prompt="other.md")


def test_a_run_that_is_continued_has_the_variables_that_it_began_with() -> None:
    app = App("support", prompt="You help at {{shop}}.")

    @app.tool(confirm=True)
    def cancel() -> str:
        raise AssertionError("a dry run calls nothing")

    with Script(Call("cancel"), "Done.").plays(app) as script:
        waiting = app.run("Hi", variables={"shop": "Acme"}, dry_run=True)
        assert app.resume(waiting.id, True).text == "Done."
    assert asked(script)[0] == ("system", "You help at Acme.")


def test_an_unknown_option_names_the_nearest() -> None:
    with pytest.raises(TypeError, match="Did you mean 'session'"):
        App("support").run("Hi", sesion="u42")


def test_a_second_run_in_a_session_is_refused_or_waits() -> None:
    app, may_end, has_begun = App("support"), threading.Event(), threading.Event()

    @app.tool
    def slow() -> str:
        has_begun.set()
        may_end.wait(60)
        return ""

    with Script(Call("slow"), "First", "Second").plays(app):
        first = threading.Thread(target=app.run, args=["Hi"], kwargs={"session": "u42"})
        first.start()
        has_begun.wait(60)
        with pytest.raises(RunConflict, match="is in this session"):
            app.run("Hello?", session="u42")
        threading.Timer(0.05, may_end.set).start()
        assert app.run("Hello?", session="u42", wait_seconds=60).text == "Second"
        first.join()


def test_what_does_not_fit_is_an_error_or_is_left_out_and_said() -> None:
    words = "word " * 20
    for overflow in ("error", "oldest", "summary"):
        app = App("support", history=History(overflow=overflow, answer_tokens=10))  # type: ignore[arg-type]
        replies = ["yes"] * 6 + (["They said word."] if overflow == "summary" else []) + ["last"]
        with Script(*replies, context_length=150).plays(app) as script:
            for _ in range(6):
                app.run(words, session="u42")
            if overflow == "error":
                with pytest.raises(PromptTooLong, match="Begin a new session, or choose History"):
                    app.run(words, session="u42")
                continue
            run = app.run(words, session="u42")
            assert run.left_out is not None
            assert run.left_out.is_summarized == (overflow == "summary")
            roles = [role for role, _ in asked(script) if role != "system"]
            assert roles == ["user", "assistant"] * ((len(roles) - 1) // 2) + ["user"], "whole turns"
            assert len(roles) < 13
            assert ("They said word." in str(asked(script)[0])) == (overflow == "summary")
            assert run.left_out.num_turns == 6 - (len(roles) - 1) // 2


def test_a_later_turn_does_not_shorten_the_history_again() -> None:
    app = App("support", history=History(overflow="oldest", answer_tokens=10))
    with Script(*["yes"] * 9, context_length=150).plays(app) as script:
        runs = [app.run("word " * 20, session="u42") for _ in range(9)]
    left_out = [run.left_out.num_turns if run.left_out else 0 for run in runs]
    assert left_out == sorted(left_out)
    assert len(set(left_out)) < 4, "turns go rarely, many at a time"
    assert len(script.prompts[-1].messages) > 2


def test_a_message_that_is_too_long_by_itself_is_an_error() -> None:
    app = App("support", history=History(overflow="oldest", answer_tokens=10))
    with (
        Script("yes", context_length=50).plays(app),
        pytest.raises(PromptTooLong, match="Shorten the message"),
    ):
        app.run("word " * 60, session="u42")


@pytest.mark.parametrize("is_async", [False, True])
def test_a_function_stands_in_for_the_model(is_async: bool) -> None:
    def plain(text: str, before: list[Any]) -> str:
        return f"{len(before)} {text}"

    async def awaited(text: str, before: list[Any]) -> str:
        return f"{len(before)} {text}"

    app = App("echo", brain=awaited if is_async else plain)
    with Script().plays(app):
        assert [app.run("Hi", session="u42").text for _ in range(2)] == ["0 Hi", "2 Hi"]


def test_a_brain_may_take_and_return_anything() -> None:
    def brain(order: dict[str, int]) -> dict[str, Any]:
        return {"mood": "happy", "stars": order["stars"]}

    app = App("shop", brain=brain, output=Reply)
    with Script().plays(app):
        run = app.run({"stars": 3})
    assert run.output == Reply(mood="happy", stars=3)
    assert run.text == '{"mood": "happy", "stars": 3}'


def test_an_exception_of_a_brain_is_raised_and_names_the_run() -> None:
    def brain(text: str) -> str:
        raise KeyError("oops")

    app = App("shop", brain=brain)
    with Script().plays(app), pytest.raises(KeyError, match="oops") as raised:
        app.run("Hi")
    assert raised.value.__notes__[0].startswith("In the run run-")


def test_an_app_without_a_journal_has_no_sessions() -> None:
    app = App("support", journal=False)
    with Script("Hello").plays(app):
        assert app.run("Hi").text == "Hello"
        with pytest.raises(BadRequest, match="without a journal has no sessions"):
            app.run("Hi", session="u42")


def test_a_run_that_waits_for_nothing_takes_no_value() -> None:
    app = App("support")
    with Script("Hello").plays(app):
        run = app.run("Hi")
        with pytest.raises(BadRequest, match="isn't waiting for a value"):
            app.resume(run.id, True)
        with pytest.raises(RunConflict, match="succeeded"):
            app.resume(run.id)
        other = App("other")
        with other.replaced(app._server()), pytest.raises(BadRequest, match="is a run of the app support"):
            other.resume(run.id)
        assert app.resume_all() == []


def test_a_blocking_call_within_a_run_says_that_it_would_wait_for_itself() -> None:
    async def brain(text: str) -> str:
        return app.run(text).text

    app = App("support", brain=brain)
    with Script().plays(app), pytest.raises(RuntimeError, match="await arun"):
        app.run("Hi")


def test_without_a_server_there_is_no_model() -> None:
    app = App("support")
    with app.replaced(MemoryServer()), pytest.raises(ModelNotFound):
        app.run("Hi")
