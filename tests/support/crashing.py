"""Applications whose process dies, fails or is left at a chosen point, over the real rooms of sessions and runs.

Points are where a process may die: before and after each request to the server, each piece of text, and within each
function of the application. After a crash nothing of that process reaches the server any more, as after kill -9.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmos.apps.server import OnText, Prompt
from llmos.client.answers import Answer, TokenCount, ToolCall, Usage
from llmos.client.app_calls import Written
from llmos.core.errors import ConnectionFailed
from llmos.core.schemas.knowledge import SearchDescription
from llmos.core.schemas.runs import RunDescription, RunFailure, RunUsage
from llmos.core.schemas.sessions import AppSessionDescription, TurnDescription
from llmos.data.apps.journal import Entry
from llmos.data.apps.runs import AppRuns, End, Lease, NewRun
from llmos.data.apps.sessions import AppSessions, Window

PROJECT = "acme"


class Crashed(BaseException):
    """The process is dead."""


@dataclass
class Process:
    """One process of an application, which dies at a point."""

    crash_at: int | None = None
    fail_at: int | None = None
    """Something goes wrong there: a connection is lost, a function raises."""
    hang_up_at: int | None = None
    """The caller leaves there."""
    num_points: int = 0
    is_dead: bool = False
    task: "asyncio.Task[Any] | None" = None

    def point(self, *, is_request: bool = False) -> None:
        """Pass a point, or don't."""
        if self.is_dead:
            raise Crashed
        number = self.num_points
        self.num_points += 1
        if number == self.crash_at:
            self.is_dead = True
            raise Crashed
        if number == self.fail_at:
            raise ConnectionFailed("The connection was lost.") if is_request else RuntimeError("it went wrong")
        if number == self.hang_up_at and self.task is not None:
            self.task.cancel()


class CrashingSessions:
    def __init__(self, sessions: AppSessions, process: Process) -> None:
        self._sessions, self._process = sessions, process

    async def open(self, app: str, name: str, *, user: str = "") -> AppSessionDescription:
        return await _asked(self._process, lambda: self._sessions.open(PROJECT, app, name, user=user))

    async def get(self, id: str) -> AppSessionDescription:
        return await _asked(self._process, lambda: self._sessions.get(PROJECT, id))

    async def turns(
        self, id: str, *, first: int = 0, before: int | None = None, limit: int = 100
    ) -> list[TurnDescription]:
        read = lambda: [*self._sessions.turns(PROJECT, id, first=first, before=before, limit=limit)]  # noqa: E731
        return await _asked(self._process, read)

    async def set_window(self, id: str, first_turn: int, summary: str | None = None) -> AppSessionDescription:
        window = Window(first_turn=first_turn, summary=summary)
        return await _asked(self._process, lambda: self._sessions.set_window(PROJECT, id, window))


class CrashingRuns:
    def __init__(self, runs: AppRuns, process: Process) -> None:
        self._runs, self._process = runs, process

    async def begin(self, *, session: str | None = None, **fields: Any) -> RunDescription:
        return await _asked(self._process, lambda: self._runs.begin(PROJECT, NewRun(session_id=session, **fields)))

    async def get(self, id: str) -> RunDescription:
        return await _asked(self._process, lambda: self._runs.get(PROJECT, id))

    async def list(self, *, app: str | None = None, abandoned: bool = False) -> list[RunDescription]:
        return await _asked(self._process, lambda: self._runs.list(PROJECT, app=app, abandoned=abandoned))

    async def claim(self, id: str, lease: str, lease_seconds: float = 30) -> RunDescription:
        taken = Lease(lease=lease, seconds=lease_seconds)
        return await _asked(self._process, lambda: self._runs.claim(PROJECT, id, taken))

    async def signal(self, id: str, name: str, value: Any = True) -> RunDescription:
        return await _asked(self._process, lambda: self._runs.signal(PROJECT, id, name, value))

    async def write(
        self, id: str, *, lease: str, lease_seconds: float, steps: Sequence[Any], end: Any = None
    ) -> Written:
        taken, entries = Lease(lease=lease, seconds=lease_seconds), [Entry(**each) for each in steps]
        ended = None if end is None else _end(end)
        return await _asked(self._process, lambda: Written(*self._runs.write(PROJECT, id, taken, entries, ended)))


@dataclass
class CrashingServer:
    """The collaborators of an app in one process."""

    sessions: CrashingSessions
    runs: CrashingRuns
    played: "PlayedModel"

    async def model(self, name: str) -> "PlayedModel":
        return self.played

    async def search(self, name: str, question: str, **settings: Any) -> SearchDescription:
        raise AssertionError("the app has no knowledge")


@dataclass
class PlayedModel:
    """Answers by what the turn has so far: calls, one answer after another, and then a text."""

    plan: Sequence[Sequence[tuple[str, dict[str, Any]]]]
    """The calls of each answer: (tool, arguments)."""
    process: Process
    prompts: list[Prompt] = field(default_factory=list)
    context_length: int | None = None
    _num_calls: int = 0

    async def answer(self, prompt: Prompt, on_text: OnText) -> Answer:
        self.prompts.append(prompt)
        self.process.point(is_request=True)
        await asyncio.sleep(0)
        roles = [message["role"] for message in prompt.messages]
        number = roles[len(roles) - roles[::-1].index("user") :].count("assistant")
        calls = self.plan[number] if number < len(self.plan) else ()
        text = "" if calls else "All is done."
        for piece in (text[:4], text[4:]) if text else ():
            self.process.point(is_request=True)
            on_text(piece)
            await asyncio.sleep(0)
        made = tuple(
            ToolCall(id=f"call_{number}_{index}_{id(prompt):x}", name=name, arguments=json.dumps(arguments))
            for index, (name, arguments) in enumerate(calls)
        )
        return Answer(
            id="answer", text=text, model="played", version="played@1", finish_reason="tool_calls" if made else "stop",
            usage=Usage(10, 2, 12), tool_calls=made,
        )  # fmt: skip

    async def count(self, prompt: Prompt) -> TokenCount:
        raise AssertionError("nothing is counted while everything fits")


async def _asked(process: Process, request: Callable[[], Any]) -> Any:
    """Send a request: the process may die before it arrives, and before it is answered."""
    process.point(is_request=True)
    await asyncio.sleep(0)
    answer = request()
    process.point(is_request=True)
    await asyncio.sleep(0)
    return answer


def _end(end: dict[str, Any]) -> End:
    error, usage = end.get("error"), RunUsage(**end["usage"])
    return End(**{**end, "usage": usage, "error": None if error is None else RunFailure(**error)})
