"""The sessions, runs and handoffs that applications use: those of a server, or those in memory."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from llmos.client.app_calls import Written
from llmos.core.schemas.handoffs import HandoffDescription
from llmos.core.schemas.runs import RunDescription
from llmos.core.schemas.sessions import AppSessionDescription, TurnDescription


class Sessions(Protocol):
    """Conversations: a part of `client.sessions`."""

    async def open(self, app: str, name: str, *, user: str = "") -> AppSessionDescription: ...
    async def get(self, id: str) -> AppSessionDescription: ...
    async def turns(
        self, id: str, *, first: int = 0, before: int | None = None, limit: int = 100
    ) -> list[TurnDescription]: ...
    async def set_window(self, id: str, first_turn: int, summary: str | None = None) -> AppSessionDescription: ...


class Runs(Protocol):
    """The journal of runs: a part of `client.runs`."""

    async def begin(self, **fields: Any) -> RunDescription: ...
    async def get(self, id: str) -> RunDescription: ...
    async def list(self, *, app: str | None = None, abandoned: bool = False) -> list[RunDescription]: ...
    async def claim(self, id: str, lease: str, lease_seconds: float = 30) -> RunDescription: ...
    async def write(self, id: str, **fields: Any) -> Written: ...
    async def signal(self, id: str, name: str, value: Any = True) -> RunDescription: ...


class Handoffs(Protocol):
    """Questions for persons: a part of `client.handoffs`."""

    async def create(
        self,
        *,
        app: str,
        key: str,
        question: str,
        messages: Sequence[Mapping[str, Any]] = (),
        run: str | None = None,
        session: str | None = None,
        webhook: str | None = None,
    ) -> HandoffDescription: ...


class RunlessHandoffs:
    """Handoffs of runs that the server doesn't know."""

    def __init__(self, handoffs: Handoffs) -> None:
        self._handoffs = handoffs

    async def create(self, **fields: Any) -> HandoffDescription:
        return await self._handoffs.create(**{**fields, "run": None, "session": None})
