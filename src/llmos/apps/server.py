"""What an application needs of a server, as protocols, and the connections to a real one, one for each event loop."""

import asyncio
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from llmos.client.answers import Answer, TokenCount, Usage
from llmos.client.app_calls import Written
from llmos.client.asynchronous import AsyncClient, AsyncModel, AsyncStream
from llmos.core.errors import BadRequest
from llmos.core.schemas.knowledge import SearchDescription
from llmos.core.schemas.runs import RunDescription
from llmos.core.schemas.sessions import AppSessionDescription, TurnDescription

OnText = Callable[[str], None]
"""on_text(piece): called with each piece of an answer's text as it comes."""


class Sessions(Protocol):
    """The part of `client.sessions` that applications use."""

    async def open(self, app: str, name: str, *, user: str = "") -> AppSessionDescription: ...
    async def get(self, id: str) -> AppSessionDescription: ...
    async def turns(
        self, id: str, *, first: int = 0, before: int | None = None, limit: int = 100
    ) -> list[TurnDescription]: ...
    async def set_window(self, id: str, first_turn: int, summary: str | None = None) -> AppSessionDescription: ...


class Runs(Protocol):
    """The part of `client.runs` that applications use."""

    async def begin(self, **fields: Any) -> RunDescription: ...
    async def get(self, id: str) -> RunDescription: ...
    async def list(self, *, app: str | None = None, abandoned: bool = False) -> list[RunDescription]: ...
    async def claim(self, id: str, lease: str, lease_seconds: float = 30) -> RunDescription: ...
    async def write(self, id: str, **fields: Any) -> Written: ...
    async def signal(self, id: str, name: str, value: Any = True) -> RunDescription: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """What a model is asked."""

    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    """Those of `Model.chat`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """How likely a text is behind each of some prompts."""

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


class Server(Protocol):
    """What an application works with."""

    @property
    def sessions(self) -> Sessions: ...
    @property
    def runs(self) -> Runs: ...
    async def model(self, name: str) -> Model: ...
    async def search(self, name: str, question: str, **settings: Any) -> SearchDescription:
        """Return passages of knowledge. The settings are those of `client.knowledge.search`."""
        ...


class ServerModel:
    """A model of a server."""

    def __init__(self, model: AsyncModel) -> None:
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
            usage=Usage(sum(sizes), 0, sum(sizes), sum(each.usage.cached_tokens for each in scored)),
        )


class RealServer:
    """A server behind a client."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client
        self.sessions: Sessions = client.sessions
        self.runs: Runs = client.runs
        self._models: dict[str, ServerModel] = {}

    async def model(self, name: str) -> Model:
        """Return the model of this name. Raises ModelNotFound."""
        if name not in self._models:
            self._models[name] = ServerModel(await self.client.models.get(name))
        return self._models[name]

    async def search(self, name: str, question: str, **settings: Any) -> SearchDescription:
        return await self.client.knowledge.search(name, question, **settings)


class Unkept:
    """A server whose models answer, and which keeps nothing of it: another one does."""

    def __init__(self, server: Server, keeper: Server) -> None:
        self.model, self.search = server.model, server.search
        self.sessions, self.runs = keeper.sessions, keeper.runs


class Connections:
    """Connects to a server once for each event loop, which a connection belongs to."""

    def __init__(self, connect: Callable[[], AsyncClient]) -> None:
        self._connect = connect
        self._servers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, RealServer] = weakref.WeakKeyDictionary()

    def server(self) -> Server:
        loop = asyncio.get_running_loop()
        if loop not in self._servers:
            self._servers[loop] = RealServer(self._connect())
        return self._servers[loop]

    async def close(self) -> None:
        """Close the connections of this loop. The next use opens new ones."""
        server = self._servers.pop(asyncio.get_running_loop(), None)
        if server is not None:
            await server.client.close()
