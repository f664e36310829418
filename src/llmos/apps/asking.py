"""Asking: calls of a model by the code of an application: journalled, counted and limited as those of an agent are."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import msgspec

from llmos.apps.errors import NoRun
from llmos.apps.functions import digest_of
from llmos.apps.knowledge import PASSAGES_RULE, passages_text
from llmos.apps.limits import Consumption
from llmos.apps.live import LiveRun
from llmos.apps.outputs import Output
from llmos.apps.server import OnText, Prompt
from llmos.client.answers import Answer, Usage
from llmos.client.grounding import ground
from llmos.core.schemas.knowledge import SearchDescription, SearchHit, Sentence
from llmos.core.schemas.runs import StepDescription

_current: ContextVar["Asking | None"] = ContextVar("llmos_app_asking", default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """The answer to one call of a model."""

    text: str
    output: Any
    """An object of the type that was asked for; without one, the text."""
    usage: Usage
    finish_reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Cited:
    """A text with the passages that its sentences rest on."""

    sentences: Sequence[Sentence]
    problem: str = ""
    """Why nothing was computed: not every model scores texts. There are no sentences then."""


async def ask(
    question: str | Sequence[Mapping[str, Any]],
    *,
    system: str | None = None,
    output: Any = None,
    model: str | None = None,
    options: Mapping[str, Any] | None = None,
    on_text: OnText = lambda piece: None,
) -> Asked:
    """Return a model's answer to a question, or to messages, within a brain, a tool or a step.

    The journal keeps it: a run that is continued doesn't ask again. Calls may run at once, with `asyncio.gather`.
    `system`: by default the app's prompt; "" for none. `output`: the type of the answer. `model`: by default the
    app's. `options`: of sampling, over those of the app. `on_text`: is called with each piece as it comes.
    Raises WrongOutput, LimitReached, NoRun outside of a run, and the errors of the server.
    """
    return await current_asking().ask(question, system, output, model, options or {}, on_text)


async def cite(text: str, question: str, passages: Sequence[SearchHit], *, model: str | None = None) -> Cited:
    """Return the sentences of a text that answers a question, with the passages that each rests on.

    They are computed by leave-one-out, and the journal keeps them: docs/apps.md, "Citations of composed answers".
    """
    return await current_asking().cite(text, question, passages, model)


async def search(name: str, question: str, **settings: Any) -> SearchDescription:
    """Return passages of knowledge, and let the journal keep them. The settings: those of `client.knowledge.search`."""
    return await current_asking().search(name, question, settings)


def current_asking() -> "Asking":
    """Return the calls of the run that this code is a part of. Raises NoRun."""
    if (asking := _current.get()) is None:
        raise NoRun("This belongs into a run: call it from a tool, a step or the brain of an App.")
    return asking


@dataclass(kw_only=True, slots=True)
class Asking:
    """The state that the calls of one run share."""

    live: LiveRun
    consumption: Consumption
    model: str
    options: Mapping[str, Any]
    system: str
    _places: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._places = asyncio.Semaphore(self.consumption.limits.parallel)

    def enter(self) -> None:
        """Let the functions of this module work for the run, in this task and those that it starts."""
        _current.set(self)

    async def ask(
        self,
        question: str | Sequence[Mapping[str, Any]],
        system: str | None,
        output: Any,
        model: str | None,
        options: Mapping[str, Any],
        on_text: OnText,
    ) -> Asked:
        kind = None if output is None else Output(output)
        sampling = {**{name: value for name, value in self.options.items() if name != "format"}, **options}
        if kind is not None:
            sampling["format"] = kind.schema
        messages = _messages(self.system if system is None else system, question)
        name = model or self.model

        async def generate() -> Any:
            wanted = sampling.get("max_tokens")
            async with self._places, self.consumption.room(wanted) as max_tokens:
                limit = {} if max_tokens is None else {"max_tokens": max_tokens}
                prompt = Prompt(messages=messages, options={**sampling, **limit})
                answer = await (await self.live.server.model(name)).answer(prompt, on_text)
                self.consumption.add(answer.usage)
            return answer

        kept, is_repeated = await self._once("ask", name, [name, messages, sampling], generate)
        answer = msgspec.convert(kept, Answer)
        if is_repeated:
            self.consumption.add(answer.usage)
        value = answer.text if kind is None else kind.parse(answer.text, answer.finish_reason)
        return Asked(text=answer.text, output=value, usage=answer.usage, finish_reason=answer.finish_reason)

    async def cite(self, text: str, question: str, passages: Sequence[SearchHit], model: str | None) -> Cited:
        each = [{index} for index in range(len(passages))]
        system = "\n\n".join(part for part in (self.system, PASSAGES_RULE) if part)
        prompts = [
            Prompt(messages=_messages(system, passages_text(passages, left_out) + question), options=self.options)
            for left_out in (set[int](), set(range(len(passages))), *each)
        ]
        name = model or self.model

        async def score() -> Any:
            async with self._places:
                scores = await (await self.live.server.model(name)).score(prompts, text)
            self.consumption.add(scores.usage, num_calls=0)
            if scores.problem:
                return Cited(sentences=(), problem=scores.problem)
            return Cited(sentences=ground(text, scores, [hit.citation for hit in passages]))

        what = [name, text, [prompt.messages for prompt in prompts]]
        kept, _ = await self._once("cite", name, what, score)
        return msgspec.convert(kept, Cited)

    async def search(self, name: str, question: str, settings: Mapping[str, Any]) -> SearchDescription:
        async def search() -> Any:
            return await self.live.server.search(name, question, **settings)

        kept, _ = await self._once("search", name, [name, question, settings], search)
        return msgspec.convert(kept, SearchDescription)

    async def _once(self, verb: str, name: str, what: Any, work: Callable[[], Awaitable[Any]]) -> tuple[Any, bool]:
        """Return the result of some work, as JSON, out of the journal if it has it, and whether it had it."""
        digest = digest_of(what)
        key = self.live.next_key(f"{verb}:{digest[:40]}")
        if (known := self.live.known(key)) is not None:
            return self.live.repeat(known).result, True
        result = msgspec.to_builtins(await work())
        step = StepDescription(key=key, kind="step", name=name[:128], digest=digest, state="done", result=result)
        self.live.record(step)
        await self.live.flush()
        return result, False


def _messages(system: str, question: str | Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    before: list[Mapping[str, Any]] = [{"role": "system", "content": system}] if system else []
    return [*before, {"role": "user", "content": question}] if isinstance(question, str) else [*before, *question]
