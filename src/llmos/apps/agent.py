"""Agent: asks the model, does the calls that it makes, and asks again until it answers."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from pydantic import TypeAdapter, ValidationError

from llmos.apps.errors import Paused, WrongOutput
from llmos.apps.functions import digest_of, faults_of
from llmos.apps.history import Fitted, Fitting, History
from llmos.apps.limits import Consumption
from llmos.apps.live import LiveRun
from llmos.apps.results import TextEvent
from llmos.apps.server import Model, Prompt
from llmos.apps.tools import Tool, unknown_tool
from llmos.client.answers import Answer, ToolCall, Usage
from llmos.core.errors import PromptTooLong
from llmos.core.schemas.runs import StepDescription, turn_of
from llmos.core.schemas.sessions import AppSessionDescription

Message = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Agent:
    """What doesn't change between the runs of an app."""

    tools: Mapping[str, Tool]
    options: Mapping[str, Any]
    """Those of `Model.chat`."""
    history: History


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """What one run is about."""

    live: LiveRun
    model: Model
    model_name: str
    consumption: Consumption
    question: Message
    session: AppSessionDescription | None
    passages: str = ""
    instructions: str = ""
    needs_tool: bool = False
    """The model may say only what follows from results of tools."""


@dataclass(slots=True)
class AgentRun:
    """One run of an agent."""

    agent: Agent
    given: Given
    fitted: Fitted

    @classmethod
    async def of(cls, agent: Agent, given: Given) -> "AgentRun":
        """Return it with as much of its session as fits. Raises PromptTooLong."""
        run = cls(agent, given, Fitted())
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

    def _prompt(self, fitted: Fitted) -> Prompt:
        live = self.given.live
        turn = turn_of(self.given.question, live.steps)
        parts = [self.given.instructions, self.given.passages]
        if fitted.summary:
            parts.append(f"Summary of the conversation before: {fitted.summary}")
        system = "\n\n".join(part for part in parts if part)
        messages = [{"role": "system", "content": system}] if system else []
        tools = [tool.description for tool in self.agent.tools.values()]
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
            if not answer.tool_calls and self._may_speak:
                live.emit(TextEvent(text=answer.text))
            return answer
        consumption.check()
        answer = await self._generate()
        consumption.add(answer.usage)
        # An answer that isn't given is no part of the turn.
        kind = "model" if answer.tool_calls or self._may_speak else "step"
        live.record(msgspec.structs.replace(step_of(key, self.given.model_name, answer), kind=kind))
        return answer

    @property
    def _may_speak(self) -> bool:
        return not self.given.needs_tool or any(step.kind == "tool" for step in self.given.live.steps)

    async def _generate(self) -> Answer:
        def on_text(piece: str) -> None:
            if self._may_speak:
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
        tool = self.agent.tools.get(call.name)
        if tool is None:
            unknown_tool(self.given.live, call, [*self.agent.tools])
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


class Output:
    """The type of an app's answers."""

    def __init__(self, kind: Any) -> None:
        self._adapter: TypeAdapter[Any] = TypeAdapter(kind)
        self.schema = self._adapter.json_schema()

    def parse(self, text: str, finish_reason: str) -> Any:
        """Return the object that the answer is. Raises WrongOutput."""
        try:
            return self._adapter.validate_json(text)
        except ValidationError as error:
            advice = " It was cut: raise max_tokens." if finish_reason == "length" else ""
            raise WrongOutput(f"The answer doesn't fit the app's output: {faults_of(error)}.{advice}") from None

    def load(self, value: Any) -> Any:
        return self._adapter.validate_python(value)

    def dump(self, value: Any) -> Any:
        return self._adapter.dump_python(value, mode="json")


def step_of(key: str, model: str, answer: Answer) -> StepDescription:
    """Return the step that keeps an answer. Its result is the message of the turn."""
    facts = {
        "id": answer.id,
        "version": answer.version,
        "finish_reason": answer.finish_reason,
        "usage": {name: getattr(answer.usage, name) for name in Usage.__dataclass_fields__},
    }
    message = answer.message
    return StepDescription(
        key=key,
        kind="model",
        name=model[:128],
        digest=digest_of(message),
        state="done",
        arguments=facts,
        result=message,
    )


def _answer_of(step: StepDescription) -> Answer:
    facts, message = step.arguments, step.result
    calls = [
        ToolCall(id=call["id"], name=call["function"]["name"], arguments=call["function"]["arguments"])
        for call in message.get("tool_calls") or ()
    ]
    return Answer(
        id=facts["id"],
        text=message.get("content") or "",
        model=step.name,
        version=facts["version"],
        finish_reason=facts["finish_reason"],
        usage=Usage(**facts["usage"]),
        reasoning=message.get("reasoning_content", ""),
        tool_calls=tuple(calls),
    )
