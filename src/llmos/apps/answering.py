"""Answering: what a run does with its input: quote documents, ask the model, or call a function in place of it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from llmos.apps.agent import Agent, AgentRun, Given, step_of
from llmos.apps.brains import Brain, Reply
from llmos.apps.knowledge import Source
from llmos.apps.limits import Consumption, Limits
from llmos.apps.live import LiveRun
from llmos.apps.outputs import Output
from llmos.apps.results import CitationEvent, Run, TextEvent
from llmos.apps.steps import Step
from llmos.client.answers import Answer, Usage
from llmos.client.grounding import ground, supported_text
from llmos.client.quoting import quote
from llmos.core.prompt_text import PromptText, StoredPrompt
from llmos.core.prompt_variables import json_schema
from llmos.core.schemas.knowledge import SearchDescription, SearchHit, Sentence
from llmos.core.schemas.runs import StepDescription
from llmos.core.schemas.sessions import AppSessionDescription
from llmos.core.schemas.turns import Message

_FACTS = ("sentences", "notes", "abstained")
"""The fields of a brain's reply that are copied to the run."""


ABSTAINING = "abstain"
_BLOCKED = "I can't answer this."
"""The text that an app without knowledge returns in place of an answer that guardrails blocked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The execution of one input by an app."""

    app: str
    model: str
    prompt: PromptText | StoredPrompt
    """In a run, always a text."""
    agent: Agent
    limits: Limits
    output: Output | None
    brain: Brain | None
    knowledge: Source | None
    handoff: Step[..., Any] | None
    """The callback for questions on which the app abstains."""
    lease_seconds: float
    variables: Mapping[str, Any]
    """Values for variables that a run doesn't set."""
    check_question: Callable[[Any], Any] | None = None
    """The function that sees each input before a run begins: see App.check_questions."""
    check: Callable[[str], str | None] | None = None
    """The function that sees each answer first: see App.check_answers."""
    disclaimer: str

    def instructions(self, variables: Mapping[str, Any]) -> str:
        """Return the prompt with its variables. Raises BadRequest for one that neither it nor the brain has."""
        others = self.bound(variables).keys() - self.prompt.variables
        return self.prompt.fill({name: each for name, each in self._given(variables).items() if name not in others})

    def bound(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the variables of the brain. Raises BadRequest for a wrong value."""
        return {} if self.brain is None else self.brain.bind(self._given(variables))

    def variables_schema(self) -> dict[str, Any]:
        """Return the JSON schema of the variables of a run: an object."""
        is_open = isinstance(self.prompt, StoredPrompt)  # Another version of the prompt may have others.
        schema: dict[str, Any] = {"additionalProperties": is_open, **(self.brain.parameters if self.brain else {})}
        taken: dict[str, Any] = {name: json_schema(each) for name, each in sorted(self.prompt.variables.items())}
        taken |= schema.get("properties", {})
        needed = {*self.prompt.needed, *schema.get("required", ())} - self.variables.keys()
        known = {name: {**taken[name], "default": self.variables[name]} for name in taken if name in self.variables}
        return {**schema, "type": "object", "properties": taken | known, "required": sorted(needed)}

    def _given(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        return {**self.variables, **variables}

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
    """The variables of the prompt."""

    async def answer(self) -> Run:
        """Return the answer. Raises Paused if somebody must decide first, and what the app can't go on with.

        What the documents answer is quoted, or composed out of them, by the model or a brain. Otherwise the model may
        still answer with what tools return, and with nothing else.
        """
        found, brain = await self._retrieve(), self.plan.brain
        source = self.plan.knowledge
        if source is None or found is None:
            if brain is not None:
                return await self._ask_brain(brain)
            answered = await self._ask_model()
            assert answered is not None, "only where a tool is needed there may be none"
            return answered
        is_answerable = bool(found.hits) and found.answerable is not False
        if source.answer == "compose" and is_answerable:
            return await (self._compose(found) if brain is None else self._ask_brain(brain, found.hits))
        if source.answer == "quote" and is_answerable and (found.answerable or not self.plan.agent.toolbox):
            return await self._quote(found, source)
        if (
            brain is None
            and self.plan.agent.toolbox
            and (answered := await self._ask_model(needs_tool=True)) is not None
        ):
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
        if self.plan.check is not None:
            return await self._say(answer.text, "checked", **self._facts_of(run, answer))
        return self._run(text=answer.text, **self._facts_of(run, answer))

    async def _agent_run(self, passages: Sequence[SearchHit] = (), *, needs_tool: bool = False) -> AgentRun:
        given = Given(
            live=self.live,
            model=await self.live.server.model(self.plan.model),
            model_name=self.plan.model,
            consumption=self.consumption,
            question=question_of(self.live.description.input),
            session=self.session,
            instructions=self.plan.instructions(self.variables),
            passages=passages,
            needs_tool=needs_tool,
            is_draft=self.plan.check is not None,
        )
        return await AgentRun.of(self.plan.agent, given)

    async def _compose(self, found: SearchDescription) -> Run:
        """Return what the model writes, as far as passages or results of tools support it."""
        run = await self._agent_run(found.hits)
        draft = await run.answer()
        assert draft is not None, "only where a tool is needed there may be none"
        return await self._grounded(run, draft.text, self._facts_of(run, draft))

    async def _grounded(self, run: AgentRun, draft: str, facts: dict[str, Any]) -> Run:
        """Return the sentences of a draft that are supported, with their citations. Without any, abstain."""
        source, is_text = self.plan.knowledge, self.plan.output is None
        assert source is not None
        scores = await run.given.model.score(run.prompts_without(), draft)
        self.consumption.add(scores.usage, num_calls=0)
        if scores.problem:
            notes = (f"No sentence was checked, and none has citations: {scores.problem}",)
            return await self._say(draft, "compose", **{**facts, "notes": (*facts.get("notes", ()), *notes)})
        spans = None if is_text else [(0, len(draft))]  # An object has no sentences.
        sentences = ground(draft, scores, [hit.citation for hit in run.given.passages], spans)
        text = supported_text(draft, sentences, source.unsupported)
        if not text:
            return await self._abstain(source.abstain)
        facts["sentences"] = [each for each in sentences if each.is_supported or source.unsupported == "mark"]
        if is_text:
            facts["output"] = text
        return await self._say(text if is_text else draft, "compose", **facts)

    async def _quote(self, found: SearchDescription, source: Source) -> Run:
        quoted = [Sentence(text=each.quote, citations=(each,)) for each in quote(found.hits, self._question)]
        if not quoted:  # The passages have headings and questions alone.
            return await self._abstain(source.abstain)
        return await self._say(" ".join(each.text for each in quoted), "quote", sentences=quoted)

    async def _abstain(self, text: str) -> Run:
        handoff = await self._hand_over()
        output = text if self.plan.output is None else None
        return await self._say(text, ABSTAINING, abstained=True, handoff=handoff, output=output)

    async def _hand_over(self) -> Any:
        """Tell a person, and return what the handoff returned."""
        if self.plan.handoff is None or self.live.is_dry:
            return None
        return await self.plan.handoff.awaited(self._question, await self._messages_before())

    async def _ask_brain(self, brain: Brain, passages: Sequence[SearchHit] = ()) -> Run:
        """Return what a function in place of the model returns. With passages, its sentences are checked as a model's.

        A reply that abstains, or has citations of its own, is given as it is.
        """
        input = self.live.description.input
        given = input["content"] if isinstance(input, dict) and input.get("role") == "user" else input
        pieces: list[str] = []

        def on_text(piece: str) -> None:
            if not passages and self.plan.check is None:
                pieces.append(piece)
                self.live.emit(TextEvent(text=piece))

        before = await self._messages_before() if brain.takes_messages else []
        value = await brain.answer(given, before, self.plan.bound(self.variables), on_text, passages)
        reply = value if isinstance(value, Reply) else None
        if reply is not None:
            value = reply.text if reply.output is None else reply.output
        output = value if self.plan.output is None else self.plan.output.load(value)
        if reply is not None:
            text = reply.text
        else:
            text = value if isinstance(value, str) else json.dumps(self.plan.dumped(output), ensure_ascii=False)
        facts: dict[str, Any] = {} if reply is None else {name: getattr(reply, name) for name in _FACTS}
        facts["output"] = output
        if reply is not None and reply.abstained:
            facts["handoff"] = await self._hand_over()
        if passages and not (facts.get("abstained") or facts.get("sentences")):
            return await self._grounded(await self._agent_run(passages), text, facts)
        return await self._say(text, "brain", is_heard=bool(pieces), **facts)

    async def _say(self, text: str, author: str, *, is_heard: bool = False, **facts: Any) -> Run:
        """Make a text the answer of the turn, with what it rests on. `is_heard`: its pieces were events."""
        if self.plan.check is not None and author != ABSTAINING:
            seen = self.plan.check(text)
            if seen is None or (seen != text and self.plan.output is not None):
                return await self._abstain(self.plan.knowledge.abstain if self.plan.knowledge else _BLOCKED)
            if seen != text:  # Its sentences would show what is masked.
                text, facts = seen, {**facts, "output": seen, "sentences": ()}
        run = self._run(**{"text": text, "output": text, **facts})
        for citation in run.citations:
            self.live.emit(CitationEvent(citation=citation))
        if not is_heard:
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
            return [*self.live.before]
        turns = await self.live.server.sessions.turns(self.session.id, first=self.session.first_turn, limit=1000)
        return [message for turn in turns for message in turn.messages]
