"""Answering: what a run does with its input: quote documents, ask the model, or call a function in place of it."""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from llmos.apps.agent import Agent, AgentRun, Given, Output, step_of
from llmos.apps.functions import call_anywhere
from llmos.apps.grounding import ground, supported_text
from llmos.apps.knowledge import Source
from llmos.apps.limits import Consumption, Limits
from llmos.apps.live import LiveRun
from llmos.apps.prompts import PromptText
from llmos.apps.quoting import quote
from llmos.apps.results import CitationEvent, Run, Sentence, TextEvent
from llmos.apps.steps import Step
from llmos.client.answers import Answer, Usage
from llmos.core.schemas.knowledge import SearchDescription, SearchHit
from llmos.core.schemas.runs import StepDescription
from llmos.core.schemas.sessions import AppSessionDescription
from llmos.core.schemas.turns import Message


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The execution of one input by an app."""

    app: str
    model: str
    prompt: PromptText
    agent: Agent
    limits: Limits
    output: Output | None
    brain: Callable[..., Any] | None
    knowledge: Source | None
    handoff: Step[..., Any] | None
    """The callback for questions on which the app abstains."""
    lease_seconds: float

    def dumped(self, output: Any) -> Any:
        """Return an output as JSON."""
        return output if self.output is None or output is None else self.output.dump(output)


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

    async def answer(self) -> Run:
        """Return the answer. Raises Paused if somebody must decide first, and what the app can't go on with.

        What the documents answer is quoted, or composed out of them. Otherwise the model may still answer with what
        tools return, and with nothing else.
        """
        found = await self._retrieve()
        if self.plan.brain is not None:
            return await self._ask_brain()
        source = self.plan.knowledge
        if source is None or found is None:
            answered = await self._ask_model()
            assert answered is not None, "only where a tool is needed there may be none"
            return answered
        is_answerable = bool(found.hits) and found.answerable is not False
        if source.answer == "compose" and is_answerable:
            return await self._compose(found, source)
        if source.answer == "quote" and is_answerable and (found.answerable or not self.plan.agent.tools):
            return await self._quote(found, source)
        if self.plan.agent.tools and (answered := await self._ask_model(needs_tool=True)) is not None:
            return answered
        return await self._quote(found, source) if is_answerable else await self._abstain(source.abstain)

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

    async def _ask_model(self, *, needs_tool: bool = False) -> Run | None:
        """Return the model's answer. None: it should have called a tool, and didn't."""
        run = await self._agent_run(needs_tool=needs_tool)
        answer = await run.answer()
        if answer is None:
            return None
        return self._run(text=answer.text, **self._facts_of(run, answer))

    async def _agent_run(self, passages: Sequence[SearchHit] = (), *, needs_tool: bool = False) -> AgentRun:
        given = Given(
            live=self.live,
            model=await self.live.server.model(self.plan.model),
            model_name=self.plan.model,
            consumption=self.consumption,
            question=question_of(self.live.description.input),
            session=self.session,
            instructions=self.plan.prompt.fill(self.variables),
            passages=passages,
            needs_tool=needs_tool,
        )
        return await AgentRun.of(self.plan.agent, given)

    async def _compose(self, found: SearchDescription, source: Source) -> Run:
        """Return what the model writes, as far as passages or results of tools support it. Without any, abstain."""
        run = await self._agent_run(found.hits)
        draft = await run.answer()
        assert draft is not None, "only where a tool is needed there may be none"
        facts = self._facts_of(run, draft)
        scores = await run.given.model.score(run.prompts_without(), draft.text)
        self.consumption.add(scores.usage, num_calls=0)
        if scores.problem:
            notes = (f"No sentence was checked, and none has citations: {scores.problem}",)
            return self._say(draft.text, "compose", notes=notes, **facts)
        spans = None if self.plan.output is None else [(0, len(draft.text))]  # An object has no sentences.
        sentences = ground(draft.text, scores, [hit.citation for hit in found.hits], spans)
        text = supported_text(draft.text, sentences, source.unsupported)
        if not text:
            return await self._abstain(source.abstain)
        if self.plan.output is None:
            facts["output"] = text
        else:
            text = draft.text
        said = [each for each in sentences if each.is_supported or source.unsupported == "mark"]
        return self._say(text, "compose", sentences=said, **facts)

    async def _quote(self, found: SearchDescription, source: Source) -> Run:
        quoted = [Sentence(text=each.quote, citations=(each,)) for each in quote(found.hits, self._question)]
        if not quoted:  # The passages have headings and questions alone.
            return await self._abstain(source.abstain)
        return self._say(" ".join(each.text for each in quoted), "quote", sentences=quoted)

    async def _abstain(self, text: str) -> Run:
        if self.plan.handoff is not None:
            await self.plan.handoff.awaited(self._question, await self._messages_before())
        return self._say(text, "abstain", abstained=True, output=text if self.plan.output is None else None)

    async def _ask_brain(self) -> Run:
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

    def _say(self, text: str, author: str, **facts: Any) -> Run:
        """Make a text the answer of the turn, with what it rests on."""
        run = self._run(**{"text": text, "output": text, **facts})
        for citation in run.citations:
            self.live.emit(CitationEvent(citation=citation))
        self.live.emit(TextEvent(text=text))
        answer = Answer(
            id=self.live.id, text=text, model=author, version="", finish_reason="stop", usage=Usage(0, 0, 0)
        )
        self.live.record(step_of(f"{author}:0", author, answer))
        return run

    def _run(self, **facts: Any) -> Run:
        return Run(id=self.live.id, app=self.plan.app, state="succeeded", **{"finish_reason": "stop", **facts})

    def _facts_of(self, run: AgentRun, answer: Answer) -> dict[str, Any]:
        """Return what a run has of the model's answer. Raises WrongOutput."""
        kind = self.plan.output
        output = answer.text if kind is None else kind.parse(answer.text, answer.finish_reason)
        return {"output": output, "finish_reason": answer.finish_reason, "left_out": run.fitted.left_out}

    @property
    def _question(self) -> str:
        return str(question_of(self.live.description.input)["content"])

    async def _messages_before(self) -> list[Message]:
        if self.session is None:
            return []
        turns = await self.live.server.sessions.turns(self.session.id, first=self.session.first_turn, limit=1000)
        return [message for turn in turns for message in turn.messages]


def _is_async(brain: Any) -> bool:
    return inspect.iscoroutinefunction(brain if inspect.isroutine(brain) else type(brain).__call__)
