"""Models as programs exchange them: one of a server, or what a test puts in its place."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from llmos.client.answers import Answer, TokenCount, Usage
from llmos.core.errors import BadRequest
from llmos.core.money import format_nanos, parse_cost
from llmos.core.schemas.likelihood import LikelihoodUsage

if TYPE_CHECKING:
    from llmos.client import AsyncModel, AsyncStream

OnText = Callable[[str], None]
"""on_text(piece): called with each piece of an answer's text as it comes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """A question for a model."""

    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    """The options of `Model.chat`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """The likelihood of a text behind each of some prompts."""

    tokens: Sequence[Sequence[tuple[int, float]]] = ()
    """For each prompt, of each token of the text: the number of its bytes, and its log probability."""
    usage: Usage = field(default_factory=lambda: Usage(0, 0, 0))
    problem: str = ""
    """Why there are no scores: not every model gives them."""


class Model(Protocol):
    """A model that answers prompts: one of a server, or what a test puts in its place."""

    @property
    def context_length(self) -> int | None:
        """The most tokens of a prompt and its answer. None: unknown, as with a provider's models."""
        ...

    async def answer(self, prompt: Prompt, on_text: OnText) -> Answer: ...
    async def count(self, prompt: Prompt) -> TokenCount:
        """Return the tokens of a prompt, without an answer."""
        ...

    async def score(self, prompts: Sequence[Prompt], text: str) -> Scores:
        """Score a text as the answer to each of these prompts."""
        ...


class ServerModel:
    """A model of a server."""

    def __init__(self, model: "AsyncModel") -> None:
        self._model = model
        self.context_length = model.info.context_length or None

    async def answer(self, prompt: Prompt, on_text: OnText) -> Answer:
        options: Any = {**prompt.options, **({"tools": prompt.tools} if prompt.tools else {})}
        stream: AsyncStream = await self._model.chat(prompt.messages, stream=True, **options)
        async with stream:
            async for piece in stream:
                on_text(piece)
            return stream.answer

    async def count(self, prompt: Prompt) -> TokenCount:
        return await self._model.count_tokens(prompt.messages, tools=prompt.tools)

    async def score(self, prompts: Sequence[Prompt], text: str) -> Scores:
        names = ("chat_template_kwargs", "priority", "user", "cache_salt")
        options: Any = {name: value for name, value in prompts[0].options.items() if name in names}
        # At once, so that the server computes what the prompts have in common once.
        calls = [self._model.likelihood(each.messages, [text], tools=each.tools, **options) for each in prompts]
        try:
            scored = await asyncio.gather(*calls)
        except BadRequest as error:
            return Scores(problem=error.message)
        sizes = [each.usage.prompt_tokens for each in scored]
        return Scores(
            tokens=[[(len(token.bytes), token.logprob or 0.0) for token in each.options[0].tokens] for each in scored],
            usage=Usage(
                sum(sizes),
                0,
                sum(sizes),
                sum(each.usage.cached_tokens for each in scored),
                *_cost_of([each.usage for each in scored]),
            ),
        )


def _cost_of(usages: Sequence[LikelihoodUsage]) -> tuple[str | None, str]:
    """Return the cost of calls at once, and its currency."""
    found = [(str(each.cost), str(each.currency)) for each in usages if each.cost]
    if not found:
        return None, ""
    return format_nanos(sum(parse_cost(cost) for cost, _ in found)), found[0][1]
