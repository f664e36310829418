"""The server as applications need it, as a protocol, and a real one behind it."""

from typing import TYPE_CHECKING, Any, Protocol

from llmos.client.app_protocols import Handoffs, RunlessHandoffs, Runs, Sessions
from llmos.client.prompted_models import Model, OnText, Prompt, Scores, ServerModel
from llmos.core.prompt_text import PromptText
from llmos.core.schemas.knowledge import SearchDescription

if TYPE_CHECKING:
    from llmos.client import AsyncClient

__all__ = ["Model", "OnText", "Prompt", "RealServer", "Runs", "Scores", "Server", "Sessions", "Unkept"]


class Server(Protocol):
    """The server that an application works with."""

    @property
    def sessions(self) -> Sessions: ...
    @property
    def runs(self) -> Runs: ...
    @property
    def handoffs(self) -> Handoffs: ...
    async def model(self, name: str) -> Model: ...
    async def search(self, name: str, question: str, **settings: Any) -> SearchDescription:
        """Return passages of knowledge. The settings are those of `client.knowledge.search`."""
        ...

    async def prompt(self, reference: str) -> PromptText:
        """Return a prompt that the server keeps; its `source` is the version."""
        ...


class RealServer:
    """A server behind a client."""

    def __init__(self, client: "AsyncClient") -> None:
        self.client = client
        self.sessions: Sessions = client.sessions
        self.runs: Runs = client.runs
        self.handoffs: Handoffs = client.handoffs
        self._models: dict[str, ServerModel] = {}
        self._prompts: dict[str, PromptText] = {}

    async def model(self, name: str) -> Model:
        """Return the model of this name. Raises ModelNotFound."""
        if name not in self._models:
            self._models[name] = ServerModel(await self.client.models.get(name))
        return self._models[name]

    async def search(self, name: str, question: str, **settings: Any) -> SearchDescription:
        return await self.client.knowledge.search(name, question, **settings)

    async def prompt(self, reference: str) -> PromptText:
        """A version never changes, so it is asked for once; a name or an alias may move."""
        if reference not in self._prompts:
            found = await self.client.prompts.get(reference)
            self._prompts[found.version] = PromptText(found.text, found.types, found.version)
            reference = found.version
        return self._prompts[reference]

    async def close(self) -> None:
        await self.client.close()


class Unkept:
    """A server whose models answer, and which keeps nothing of it: another one does."""

    def __init__(self, server: Server, keeper: Server) -> None:
        self.model, self.search, self.prompt = server.model, server.search, server.prompt
        self.sessions, self.runs = keeper.sessions, keeper.runs
        self.handoffs: Handoffs = RunlessHandoffs(server.handoffs)
