"""Agent: asks the model, does the calls that it makes, and asks again until it answers."""

import asyncio
import dataclasses
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from llmos.apps.errors import Paused, WrongOutput
from llmos.apps.functions import digest_of
from llmos.apps.history import Fitted, Fitting, History
from llmos.apps.knowledge import PASSAGES_RULE, passages_text
from llmos.apps.limits import Consumption
from llmos.apps.live import LiveRun
from llmos.apps.results import TextEvent
from llmos.apps.server import Model, Prompt
from llmos.apps.tools import Tool, Toolbox, find_done, unknown_tool
from llmos.client.answers import Answer, ToolCall
from llmos.core.errors import PromptTooLong
from llmos.core.schemas.knowledge import SearchHit
from llmos.core.schemas.runs import StepDescription, turn_of
from llmos.core.schemas.sessions import AppSessionDescription, TurnDescription

Message = Mapping[str, Any]

_RESULTS = -1
"""Stands for what tools returned among the sources of an answer, beside the indexes of passages."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Agent:
    """The part of an app that all its runs share."""

    toolbox: Toolbox
    options: Mapping[str, Any]
    """The options of `Model.chat`."""
    history: History


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """The facts of one run."""

    live: LiveRun
    model: Model
    model_name: str
    consumption: Consumption
    question: Message
    session: AppSessionDescription | None
    passages: Sequence[SearchHit] = ()
    """The material of the answer, which is then a draft: no event has it before its sentences are checked."""
    instructions: str = ""
    needs_tool: bool = False
    """The model may say only what follows from results of tools."""
    is_draft: bool = False
    """No event has the answer, nor the turn, before it is checked."""


@dataclass(slots=True)
class AgentRun:
    """One run of an agent."""

    agent: Agent
    given: Given
    fitted: Fitted
    tools: Mapping[str, Tool]

    @classmethod
    async def of(cls, agent: Agent, given: Given) -> "AgentRun":
        """Return it with as much of its session as fits. Raises PromptTooLong."""
        fitted = Fitted([TurnDescription(messages=[*map(dict, given.live.before)])] if given.live.before else [])
        run = cls(agent, given, fitted, await agent.toolbox.current())
        if given.session is not None:
            run.fitted = await run._fitting(given.session).fit([given.question])
        return run

    async def answer(self) -> Answer | None:
        """Return the model's answer without calls; None if it needs a tool and has called none.

        Raises LimitReached, and Paused if a person must decide.
        """
        while True:
            answer = await self._ask()
            if not answer.tool_calls:
                return answer if self._may_speak else None
            if answer.finish_reason == "length":
                raise WrongOutput("The answer was cut within a call of a tool. Raise max_tokens.")
            await self._do(answer.tool_calls)

    def prompts_without(self) -> list[Prompt]:
        """Return the prompt of the answer, that without any source, and those without each: passages, then tools."""
        passages = range(len(self.given.passages))
        has_results = any(step.kind == "tool" for step in self.given.live.steps)
        sources = [{each} for each in [*passages, *([_RESULTS] if has_results else [])]]
        return [self._prompt(self.fitted, each) for each in (set[int](), set().union(*sources), *sources)]

    def _prompt(self, fitted: Fitted, left_out: Container[int] = ()) -> Prompt:
        live = self.given.live
        turn = turn_of(self.given.question, live.steps)
        if self.given.passages:
            turn[0] = _with_passages(turn[0], passages_text(self.given.passages, left_out))
        if _RESULTS in left_out:
            turn = [{**each, "content": ""} if each["role"] == "tool" else each for each in turn]
        parts = [self.given.instructions, PASSAGES_RULE if self.given.passages else ""]
        if fitted.summary:
            parts.append(f"Summary of the conversation before: {fitted.summary}")
        system = "\n\n".join(part for part in parts if part)
        messages = [{"role": "system", "content": system}] if system else []
        tools = [tool.description for tool in self.tools.values()]
        options = dict(self.agent.options)
        if (max_tokens := self.given.consumption.max_tokens(options.get("max_tokens"))) is not None:
            options["max_tokens"] = max_tokens
        return Prompt(messages=[*messages, *fitted.messages, *turn], tools=tools, options=options)

    async def _ask(self) -> Answer:
        """Return the next answer, out of the journal if it has it."""
        live, consumption = self.given.live, self.given.consumption
        key = live.next_key("model")
        if (known := live.known(key)) is not None:
            answer = _answer_of(live.repeat(known))
            consumption.add(answer.usage)
            if not answer.tool_calls and self._is_heard:
                live.emit(TextEvent(text=answer.text))
            return answer
        consumption.check()
        self.tools = await self.agent.toolbox.current()
        answer = await self._generate()
        consumption.add(answer.usage)
        # An answer that isn't given is no part of the turn.
        kind = "model" if answer.tool_calls or self._is_heard else "step"
        live.record(msgspec.structs.replace(step_of(key, self.given.model_name, answer), kind=kind))
        return answer

    @property
    def _may_speak(self) -> bool:
        return not self.given.needs_tool or any(step.kind == "tool" for step in self.given.live.steps)

    @property
    def _is_heard(self) -> bool:
        return self._may_speak and not self.given.passages and not self.given.is_draft

    async def _generate(self) -> Answer:
        def on_text(piece: str) -> None:
            if self._is_heard:
                self.given.live.emit(TextEvent(text=piece))

        try:
            return await self.given.model.answer(self._prompt(self.fitted), on_text)
        except PromptTooLong:
            if self.given.session is None or not self.fitted.turns:
                raise
            self.fitted = await self._fitting(self.given.session).shrink(self.fitted)
            return await self.given.model.answer(self._prompt(self.fitted), on_text)

    async def _do(self, calls: Sequence[ToolCall]) -> None:
        """Do the calls of one answer, all at once, while the answer is written to the journal.

        One that waits for a person waits until the others have ended.
        """
        work = [self.given.live.flush(), *(self._do_one(call) for call in calls)]
        outcomes = await asyncio.gather(*work, return_exceptions=True)
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        for failure in sorted(failures, key=lambda each: isinstance(each, Paused)):
            raise failure

    async def _do_one(self, call: ToolCall) -> None:
        if find_done(self.given.live, call):
            return
        tool = self.tools.get(call.name)
        if tool is None:
            unknown_tool(self.given.live, call, [*self.tools])
        else:
            await tool.answer(self.given.live, call)

    def _fitting(self, session: AppSessionDescription) -> Fitting:
        return Fitting(
            self.given.live.server, self.given.model, session, self.agent.history, self._prompt, self._summarize
        )

    async def _summarize(self, prompt: Prompt) -> str:
        """Return the model's summary. It is no part of the turn."""
        self.given.consumption.check()
        answer = await self.given.model.answer(prompt, lambda piece: None)
        self.given.consumption.add(answer.usage)
        return answer.text.strip()


def _with_passages(question: Message, passages: str) -> dict[str, Any]:
    """Return a question with passages before it: what they say has no more weight than what a user says."""
    content = question["content"]
    parts = passages + content if isinstance(content, str) else [{"type": "text", "text": passages}, *content]
    return {**question, "content": parts}


def step_of(key: str, model: str, answer: Answer) -> StepDescription:
    """Return the step that keeps an answer. Its result is the message of the turn."""
    message, facts = answer.message, msgspec.to_builtins(dataclasses.replace(answer, text=""))
    name, digest = model[:128], digest_of(message)
    return StepDescription(
        key=key, kind="model", name=name, digest=digest, state="done", arguments=facts, result=message
    )


def _answer_of(step: StepDescription) -> Answer:
    return dataclasses.replace(msgspec.convert(step.arguments, Answer), text=step.result.get("content") or "")
