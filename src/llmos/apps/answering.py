"""Answering: what a run does with its input: quote documents, ask the model, or call a function in place of it."""

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from llmos.apps.agent import Agent, AgentRun, Given, Output, step_of
from llmos.apps.functions import call_anywhere
from llmos.apps.knowledge import Source, passages_text
from llmos.apps.limits import Consumption, Limits
from llmos.apps.live import LiveRun
from llmos.apps.prompts import PromptText
from llmos.apps.quoting import quote
from llmos.apps.results import CitationEvent, LeftOut, TextEvent
from llmos.apps.steps import Step
from llmos.client.answers import Answer, Usage
from llmos.core.schemas.knowledge import Citation, SearchDescription
from llmos.core.schemas.runs import StepDescription
from llmos.core.schemas.sessions import AppSessionDescription
from llmos.core.schemas.turns import Message


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What an app does with an input."""

    app: str
    model: str
    prompt: PromptText
    agent: Agent
    limits: Limits
    output: Output | None
    brain: Callable[..., Any] | None
    knowledge: Source | None
    handoff: Step[..., Any] | None
    """Told when the app abstains."""
    lease_seconds: float

    def dumped(self, output: Any) -> Any:
        """Return an output as JSON."""
        return output if self.output is None else self.output.dump(output)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """What a run has when it ends well."""

    text: str
    output: Any
    finish_reason: str = "stop"
    citations: tuple[Citation, ...] = ()
    left_out: LeftOut | None = None
    abstained: bool = False


def question_of(input: Any) -> Message:
    """Return an input as a message of the role user."""
    if isinstance(input, dict) and input.get("role") == "user":
        return input
    return {"role": "user", "content": input if isinstance(input, str) else json.dumps(input, ensure_ascii=False)}


@dataclass(frozen=True, slots=True)
class Answering:
    """One run, until it has its answer."""

    plan: Plan
    live: LiveRun
    session: AppSessionDescription | None
    consumption: Consumption
    variables: Mapping[str, Any]
    """Those of the prompt."""

    async def answer(self) -> Answered:
        """Return the answer. Raises Paused if somebody must decide first, and what the app can't go on with.

        What the documents answer is quoted, or composed out of them. Otherwise the model may still answer with what
        tools return, and with nothing else.
        """
        found = await self._retrieve()
        if self.plan.brain is not None:
            return await self._ask_brain()
        source = self.plan.knowledge
        if source is None or found is None:
            return _checked(await self._ask_model())
        is_answerable = bool(found.hits) and found.answerable is not False
        if source.answer == "compose" and is_answerable:
            return _checked(await self._ask_model(found))
        if source.answer == "quote" and is_answerable and (found.answerable or not self.plan.agent.tools):
            return self._quote(found)
        if self.plan.agent.tools and (answered := await self._ask_model(needs_tool=True)) is not None:
            return answered
        return self._quote(found) if is_answerable else await self._abstain(source.abstain)

    async def _retrieve(self) -> SearchDescription | None:
        """Return the passages for the input: once, also if the run is continued."""
        source = self.plan.knowledge
        if source is None:
            return None
        key = self.live.next_key("retrieval")
        if (known := self.live.known(key)) is not None:
            return msgspec.convert(self.live.repeat(known).result, SearchDescription)
        found = await source.search(self.live.server, self._question)
        result = msgspec.to_builtins(found)
        self.live.record(StepDescription(key=key, kind="retrieval", name=source.name, state="done", result=result))
        return found

    async def _ask_model(self, found: SearchDescription | None = None, *, needs_tool: bool = False) -> Answered | None:
        """Return the model's answer. None: it should have called a tool, and didn't."""
        hits = () if found is None else found.hits
        citations = self._cite([hit.citation for hit in hits])
        given = Given(
            live=self.live,
            model=await self.live.server.model(self.plan.model),
            model_name=self.plan.model,
            consumption=self.consumption,
            question=question_of(self.live.description.input),
            session=self.session,
            instructions=self.plan.prompt.fill(self.variables),
            passages=passages_text(hits) if hits else "",
            needs_tool=needs_tool,
        )
        run = await AgentRun.of(self.plan.agent, given)
        answer = await run.answer()
        if answer is None:
            return None
        output = self.plan.output
        return Answered(
            text=answer.text,
            output=answer.text if output is None else output.parse(answer.text, answer.finish_reason),
            finish_reason=answer.finish_reason,
            citations=citations,
            left_out=run.fitted.left_out,
        )

    def _quote(self, found: SearchDescription) -> Answered:
        citations = self._cite(quote(found.hits, self._question))
        return self._say(" ".join(each.quote for each in citations), "quote", citations=citations)

    async def _abstain(self, text: str) -> Answered:
        if self.plan.handoff is not None:
            await self.plan.handoff.awaited(self._question, await self._messages_before())
        return self._say(text, "abstain", abstained=True)

    async def _ask_brain(self) -> Answered:
        """Return what a function in place of the model returns."""
        brain, input = self.plan.brain, self.live.description.input
        assert brain is not None
        given = [input["content"] if isinstance(input, dict) and input.get("role") == "user" else input]
        if len(inspect.signature(brain).parameters) > 1:
            given.append(await self._messages_before())
        value = await brain(*given) if _is_async(brain) else await call_anywhere(lambda: brain(*given))
        output = value if self.plan.output is None else self.plan.output.load(value)
        text = value if isinstance(value, str) else json.dumps(self.plan.dumped(output), ensure_ascii=False)
        return self._say(text, "brain", output=output)

    def _say(self, text: str, author: str, **facts: Any) -> Answered:
        """Make a text that no model wrote the answer of the turn."""
        self.live.emit(TextEvent(text=text))
        answer = Answer(
            id=self.live.id, text=text, model=author, version="", finish_reason="stop", usage=Usage(0, 0, 0)
        )
        self.live.record(step_of(f"{author}:0", author, answer))
        return Answered(**{"text": text, "output": text, **facts})

    def _cite(self, citations: list[Citation]) -> tuple[Citation, ...]:
        for citation in citations:
            self.live.emit(CitationEvent(citation=citation))
        return tuple(citations)

    @property
    def _question(self) -> str:
        return str(question_of(self.live.description.input)["content"])

    async def _messages_before(self) -> list[Message]:
        if self.session is None:
            return []
        turns = await self.live.server.sessions.turns(self.session.id, first=self.session.first_turn, limit=1000)
        return [message for turn in turns for message in turn.messages]


def _checked(answered: Answered | None) -> Answered:
    assert answered is not None, "only where a tool is needed there may be none"
    return answered


def _is_async(brain: Any) -> bool:
    return inspect.iscoroutinefunction(brain if inspect.isroutine(brain) else type(brain).__call__)
