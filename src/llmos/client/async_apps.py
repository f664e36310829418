"""Sessions, runs and handoffs on a server, for asyncio programs: the same calls as in apps.py, awaited."""

import builtins
from collections.abc import Mapping, Sequence
from typing import Any

from llmos.client import app_calls as calls
from llmos.client.async_control import AsyncNoun
from llmos.core.schemas.handoffs import HandoffDescription
from llmos.core.schemas.runs import RunCount, RunDescription
from llmos.core.schemas.sessions import AppSessionDescription, TurnDescription


class AsyncSessions(AsyncNoun):
    """The conversations of applications."""

    async def open(self, app: str, name: str, *, user: str = "") -> AppSessionDescription:
        """Return the application's session with this name, which is created if there is none."""
        return await self._client._request(calls.open_session(app, name, user))

    async def list(
        self, *, app: str | None = None, after: str | None = None, limit: int = 100
    ) -> builtins.list[AppSessionDescription]:
        """Return sessions, newest first. `after`: the id of a session, to continue a list behind it."""
        return await self._client._request(calls.list_sessions(app, after, limit))

    async def get(self, id: str) -> AppSessionDescription:
        return await self._client._request(calls.get_session(id))

    async def turns(
        self, id: str, *, first: int = 0, before: int | None = None, limit: int = 100
    ) -> builtins.list[TurnDescription]:
        """Return the newest `limit` turns from `first` on and before `before`, oldest first."""
        return await self._client._request(calls.read_turns(id, first, before, limit))

    async def append(self, id: str, messages: Sequence[Mapping[str, Any]]) -> AppSessionDescription:
        """Append one whole turn. Raises Conflict while a run is in the session."""
        return await self._client._request(calls.append_turn(id, messages))

    async def set_window(self, id: str, first_turn: int, summary: str | None = None) -> AppSessionDescription:
        """Let prompts begin with a later turn, behind a summary of those before it."""
        return await self._client._request(calls.set_window(id, first_turn, summary))

    async def remove(self, id: str) -> None:
        """Remove a session with its turns and runs."""
        await self._client._request(calls.remove_session(id))


class AsyncRuns(AsyncNoun):
    """The runs of applications. `llmos.apps` begins and continues them; this is for those who watch and decide."""

    async def list(
        self,
        *,
        app: str | None = None,
        state: str | None = None,
        session: str | None = None,
        abandoned: bool = False,
        after: str | None = None,
        limit: int = 100,
    ) -> builtins.list[RunDescription]:
        """Return runs without their steps, newest first. `abandoned`: those that no process has."""
        given = {"app": app, "state": state, "session": session, "abandoned": abandoned or None}
        return await self._client._request(calls.list_runs(**given, after=after, limit=limit))

    async def count(self) -> builtins.list[RunCount]:
        """Return the number of runs of each application in each state."""
        return await self._client._request(calls.count_runs())

    async def get(
        self, id: str, *, first_step: int | None = None, max_steps: int | None = None, step_state: str | None = None
    ) -> RunDescription:
        """Return a run with its steps: all, or `max_steps` from the number `first_step` on, in one state or in any."""
        part = {"first_step": first_step, "max_steps": max_steps, "step_state": step_state}
        return await self._client._request(calls.get_run(id, **part))

    async def signal(self, id: str, name: str, value: Any = True) -> RunDescription:
        """Give a run what it waits for, such as an approval. Raises Conflict if it has got it."""
        return await self._client._request(calls.signal_run(id, name, value))

    async def resolve(self, id: str, step: str, *, has_happened: bool, result: Any = None) -> RunDescription:
        """Say what became of an effect in doubt. `result`: what it would have returned."""
        return await self._client._request(calls.resolve_step(id, step, has_happened, result))

    async def cancel(self, id: str) -> RunDescription:
        """Raises Conflict if the run has ended."""
        return await self._client._request(calls.cancel_run(id))

    async def remove(self, id: str) -> None:
        """Raises Conflict if the run hasn't ended."""
        await self._client._request(calls.remove_run(id))

    async def begin(self, **fields: Any) -> RunDescription:
        """Begin a run: `id`, `lease`, `app`, and what else the API's page lists. Raises RunConflict."""
        return await self._client._request(calls.begin_run(fields))

    async def claim(self, id: str, lease: str, lease_seconds: float = 30) -> RunDescription:
        """Continue a run that no process has. Raises RunConflict if one has."""
        return await self._client._request(calls.claim_run(id, lease, lease_seconds))

    async def write(self, id: str, **fields: Any) -> calls.Written:
        """Write to the journal of a run. Raises RunConflict for a process that doesn't have it."""
        return await self._client._request(calls.write_journal(id, fields))


class AsyncHandoffs(AsyncNoun):
    """The questions that applications handed over to a person."""

    async def create(
        self,
        *,
        app: str,
        key: str,
        question: str,
        messages: Sequence[Mapping[str, Any]] = (),
        run: str | None = None,
        session: str | None = None,
        user: str = "",
        webhook: str | None = None,
    ) -> HandoffDescription:
        """Hand a question over, once for each `key`.

        session: the id of the session that an answer becomes a turn of. webhook: the name or the URL of one that is
        told it, besides those that are told every handoff.
        """
        fields = {"app": app, "key": key, "question": question, "messages": [*messages], "run": run}
        fields |= {"session": session, "user": user, "webhook": webhook}
        return await self._client._request(calls.create_handoff(fields))

    async def list(
        self, *, app: str | None = None, state: str | None = None, after: str | None = None, limit: int = 100
    ) -> builtins.list[HandoffDescription]:
        """Return handoffs without their conversations, newest first. `state`: open, taken, answered or closed."""
        return await self._client._request(calls.list_handoffs(app=app, state=state, after=after, limit=limit))

    async def get(self, id: str) -> HandoffDescription:
        """Return a handoff with the conversation before the question."""
        return await self._client._request(calls.get_handoff(id))

    async def take(self, id: str) -> HandoffDescription:
        """Say that you look after it. Raises Conflict if somebody else does."""
        return await self._client._request(calls.take_handoff(id))

    async def answer(self, id: str, text: str) -> HandoffDescription:
        """Answer it: the question and the answer become a turn of its session.

        Raises Conflict while a run is in the session.
        """
        return await self._client._request(calls.answer_handoff(id, text))

    async def close(self, id: str, *, reason: str = "") -> HandoffDescription:
        """End it without an answer."""
        return await self._client._request(calls.close_handoff(id, reason))
