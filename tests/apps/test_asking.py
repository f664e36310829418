"""ask(), cite() and brains: what the code of an application may do in place of the model, or with it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from llmos.apps import App, DoneEvent, LimitReached, Limits, NoRun, Reply, TextEvent, WrongOutput, ask, cite
from llmos.apps.server import Prompt
from llmos.apps.testing import Call, Script
from llmos.core.errors import BadRequest
from llmos.core.schemas.knowledge import Citation, SearchHit


class Mood(BaseModel):
    mood: Literal["happy", "sad"]


def test_a_brain_asks_the_model_with_the_prompt_of_the_app() -> None:
    async def brain(text: str) -> str:
        first = await ask(f"Draft: {text}")
        return (await ask([{"role": "user", "content": first.text}], system="Be brief.")).text

    app = App("writer", prompt="You write.", brain=brain, options={"temperature": 0})
    with Script("A draft", "A text").plays(app) as script:
        run = app.run("rain")
    assert run.text == "A text"
    assert (run.usage.num_calls, run.usage.completion_tokens) == (2, 4)
    assert [message["content"] for message in script.prompts[0].messages] == ["You write.", "Draft: rain"]
    assert [message["content"] for message in script.prompts[1].messages] == ["Be brief.", "A draft"]
    assert script.prompts[1].options == {"temperature": 0}


def test_an_answer_of_a_type_is_held_to_its_schema() -> None:
    async def brain(text: str) -> str:
        mood: Mood = (await ask(text, output=Mood)).output
        return mood.mood

    app = App("moods", brain=brain)
    with Script('{"mood": "sad"}', '{"mood": "sa').plays(app) as script:
        assert app.run("Rain").text == "sad"
        assert script.prompts[0].options["format"] == Mood.model_json_schema()
        with pytest.raises(WrongOutput):
            app.run("Sun")


def test_calls_at_once_get_each_its_own_answer() -> None:
    async def brain(text: str) -> str:
        answers = await asyncio.gather(*(ask(f"Say {number}") for number in range(50)))
        return " ".join(each.text for each in answers)

    def echo(prompt: Prompt) -> str:
        return str(prompt.messages[-1]["content"]).removeprefix("Say ")

    app = App("many", brain=brain, limits=Limits(steps=50, parallel=4))
    with Script(echo).plays(app):
        assert app.run("Go").text == " ".join(map(str, range(50)))
    few = App("few", brain=brain, limits=Limits(steps=49))
    with Script(echo).plays(few), pytest.raises(LimitReached) as reached:
        few.run("Go")
    assert reached.value.limit == "steps"


def test_no_more_calls_begin_at_once_than_the_limit_of_steps() -> None:
    num_asked = 0

    def count(prompt: Prompt) -> str:
        nonlocal num_asked
        num_asked += 1
        return "one"

    async def brain(text: str) -> str:
        answers = await asyncio.gather(*(ask(f"Say {each}") for each in range(9)), return_exceptions=True)
        return str(sum(isinstance(each, LimitReached) for each in answers))

    app = App("few", brain=brain, limits=Limits(steps=3))
    with Script(count).plays(app):
        assert app.run("Go").text == "6"
    assert num_asked == 3


def test_calls_that_hold_the_last_tokens_let_others_wait() -> None:
    asked: list[Any] = []

    def answer(prompt: Prompt) -> str:
        asked.append(prompt.options["max_tokens"])
        return "two words"

    async def brain(text: str) -> str:
        await asyncio.gather(*(ask("one", options={"max_tokens": 6}) for _ in range(4)), return_exceptions=True)
        return "done"

    app = App("few", brain=brain, limits=Limits(tokens=10))
    with Script(answer).plays(app):
        assert app.run("Go").usage.total_tokens == 12
    assert asked == [6, 6, 4, 1]


def test_a_continued_run_asks_nothing_again() -> None:
    asked: list[str] = []

    def answer(prompt: Prompt) -> str:
        asked.append(str(prompt.messages[-1]["content"]))
        return f"{asked[-1]}!"

    async def brain(text: str) -> str:
        first = await asyncio.gather(ask("a"), ask("b"), ask("a"))
        approved = app.wait_for("approval")
        return " ".join(each.text for each in first) + f" {approved} " + (await ask("c")).text

    app = App("long", brain=brain)
    with Script(answer).plays(app):
        waiting = app.run("Go")
        run = app.resume(waiting.id, "yes")
    assert run.text == "a! b! a! yes c!"
    assert sorted(asked) == ["a", "a", "b", "c"]
    assert run.usage.num_calls == 4


def test_outside_of_a_run_there_is_nothing_to_ask() -> None:
    with pytest.raises(NoRun, match="belongs into a run"):
        asyncio.run(ask("Hi"))


def test_a_tool_asks_too() -> None:
    app = App("helper")

    @app.tool
    async def shorten(text: str) -> str:
        """Make a text shorter."""
        return (await ask(f"Shorten: {text}", system="")).text

    with Script(Call("shorten", text="a long text"), "short", "It is short.").plays(app) as script:
        assert app.run("Shorten it").text == "It is short."
    assert script.prompts[2].messages[-1]["content"] == "short"


def hit(text: str, document: str) -> SearchHit:
    return SearchHit(text=text, score=1.0, citation=Citation(document=document, quote=text))


def test_a_brain_cites_the_passages_that_a_text_rests_on() -> None:
    passages = [hit("The shop opens at nine.", "hours.md"), hit("Parcels take two days.", "parcels.md")]

    async def brain(text: str, *, times: int = 1) -> Reply:
        cited = await cite("It opens at nine.", text, passages)
        return Reply(text="It opens at nine.", sentences=cited.sentences, notes=["checked"])

    app = App("citing", brain=brain)
    with Script().plays(app):
        run = app.run("When?")
    assert [each.document for each in run.citations] == ["hours.md"]
    assert run.notes == ["checked"]
    with Script(can_score=False).plays(app):
        assert app.run("When?").sentences == []


def test_keyword_parameters_of_a_brain_are_variables_of_the_run() -> None:
    async def translate(text: str, *, target: Literal["de", "fr"], times: int = 1) -> str:
        return f"{target}:{text}" * times

    app = App("translate", brain=translate, variables={"target": "de"})
    with Script().plays(app):
        assert app.run("Hi").text == "de:Hi"
        assert app.run("Hi", variables={"target": "fr", "times": 2}).text == "fr:Hifr:Hi"
        with pytest.raises(BadRequest, match="target: Input should be 'de' or 'fr'"):
            app.run("Hi", variables={"target": "es"})
        with pytest.raises(BadRequest, match="no variable 'targe'"):
            app.run("Hi", variables={"targe": "fr"})
    with pytest.raises(BadRequest, match="target: Missing required"):
        App("translate", brain=translate).run("Hi")


def test_variables_reach_the_prompt_and_the_brain_that_have_them() -> None:
    async def brain(text: str, *, shop: str, limit: int = 3) -> str:
        return f"{shop} {limit} {(await ask(text)).text}"

    app = App("both", prompt="You work at {{shop}} in {{town}}.", brain=brain, variables={"town": "Ulm"})
    with Script("yes").plays(app) as script:
        assert app.run("Hi", variables={"shop": "Acme", "limit": 5}).text == "Acme 5 yes"
    assert script.prompts[0].messages[0]["content"] == "You work at Acme in Ulm."


def test_a_brain_that_yields_is_heard_piece_by_piece() -> None:
    async def brain(text: str) -> AsyncIterator[str]:
        yield "Hello "
        yield text

    app = App("echo", brain=brain)
    with Script().plays(app):
        events = [*app.stream("Ada")]
        assert [each.text for each in events if isinstance(each, TextEvent)] == ["Hello ", "Ada"]
        assert app.run("Ada").text == "Hello Ada"


def test_a_reply_has_a_text_and_an_object() -> None:
    def brain(text: str) -> Reply:
        return Reply(text="I am happy.", output={"mood": "happy"}, abstained=True)

    app = App("moods", output=Mood, brain=brain)
    with Script().plays(app):
        run = app.run("Hi")
    assert (run.text, run.output, run.abstained) == ("I am happy.", Mood(mood="happy"), True)


def test_a_disclaimer_stands_behind_every_text_and_not_in_the_session() -> None:
    app = App("doctor", disclaimer="This is no medical advice.")
    with Script("Drink tea.", "Sleep.").plays(app) as script:
        events = [*app.stream("I cough", session="u1")]
        text = "".join(each.text for each in events if isinstance(each, TextEvent))
        assert text == events[-1].run.text == "Drink tea.\n\nThis is no medical advice."  # type: ignore[union-attr]
        app.run("And now?", session="u1")
    assert "advice" not in str(script.prompts[1].messages)


def test_a_brain_that_yields_may_end_with_a_reply() -> None:
    async def echo(text: str) -> AsyncIterator[str | Reply]:
        yield "Hello "
        yield text
        yield Reply(text=f"Hello {text}", notes=["An echo."])

    app = App("echo", brain=echo)
    with Script().plays(app):
        events = [*app.stream("Ada")]
    assert [event.text for event in events if isinstance(event, TextEvent)] == ["Hello ", "Ada"]
    assert isinstance(events[-1], DoneEvent)
    assert (events[-1].run.text, events[-1].run.notes) == ("Hello Ada", ["An echo."])
