"""Sessions, runs and handoffs in this process, by the server's rules: for tests, and for what nobody keeps."""

from collections.abc import Sequence
from typing import Any

import msgspec

from llmos.client.app_calls import Written
from llmos.core.errors import NotFound, RunConflict
from llmos.core.schemas.handoffs import HandoffDescription
from llmos.core.schemas.runs import (
    LIVE_STATES,
    RunDescription,
    RunFailure,
    RunUsage,
    SignalDescription,
    StepDescription,
    turn_of,
)
from llmos.core.schemas.sessions import AppSessionDescription, TurnDescription
from llmos.core.schemas.turns import close_turn, has_results


class MemorySessions:
    """As `client.sessions`."""

    def __init__(self) -> None:
        self._sessions: dict[str, AppSessionDescription] = {}
        self._turns: dict[str, list[TurnDescription]] = {}

    async def open(self, app: str, name: str, *, user: str = "") -> AppSessionDescription:
        id = f"session-{app}-{name}"
        return self._sessions.setdefault(id, AppSessionDescription(id=id, app=app, name=name))

    async def get(self, id: str) -> AppSessionDescription:
        if id not in self._sessions:
            raise NotFound(f"There is no session {id!r}.")
        return self._sessions[id]

    async def turns(
        self, id: str, *, first: int = 0, before: int | None = None, limit: int = 100
    ) -> list[TurnDescription]:
        return self._turns.get(id, [])[first:before][-limit:]

    async def set_window(self, id: str, first_turn: int, summary: str | None = None) -> AppSessionDescription:
        return self._change(id, first_turn=first_turn, summary=summary)

    def append(self, id: str, run: str, messages: Sequence[Any], num_tokens: int) -> None:
        turns = self._turns.setdefault(id, [])
        turns.append(TurnDescription(index=len(turns), run=run, messages=[*messages]))
        self._change(id, num_turns=len(turns), num_tokens=num_tokens or self._sessions[id].num_tokens)

    def _change(self, id: str, **changes: Any) -> AppSessionDescription:
        self._sessions[id] = msgspec.structs.replace(self._sessions[id], **changes)
        return self._sessions[id]


class MemoryRuns:
    """As `client.runs`. One process has all runs, so leases don't expire."""

    def __init__(self, sessions: MemorySessions) -> None:
        self._sessions = sessions
        self._runs: dict[str, RunDescription] = {}
        self._steps: dict[str, dict[str, StepDescription]] = {}

    async def begin(self, **fields: Any) -> RunDescription:
        session = fields.get("session")
        for run in self._runs.values():
            if session is not None and run.session == session and run.state in LIVE_STATES:
                raise RunConflict(f"The run {run.id} is in this session. Wait until it has ended, or cancel it.")
        id = fields["id"]
        self._runs[id] = RunDescription(
            id=id,
            app=fields["app"],
            version=fields.get("version"),
            session=session,
            state="running",
            input=fields.get("input"),
            lease=fields["lease"],
        )
        self._steps[id] = {}
        return self._runs[id]

    async def get(self, id: str) -> RunDescription:
        if id not in self._runs:
            raise NotFound(f"There is no run {id!r}.")
        return msgspec.structs.replace(self._runs[id], steps=[*self._steps[id].values()])

    async def list(self, *, app: str | None = None, abandoned: bool = False) -> list[RunDescription]:
        return [run for run in self._runs.values() if run.app == app and (run.state == "ready" or not abandoned)]

    async def claim(self, id: str, lease: str, lease_seconds: float = 30) -> RunDescription:
        run = await self.get(id)
        if run.state != "ready":
            raise RunConflict(f"{id} can't be continued: it is {run.state}.")
        for step in run.steps:
            if step.is_effect and step.state == "begun":
                self._steps[id][step.key] = msgspec.structs.replace(step, state="in_doubt")
        self._change(id, state="running", waits_for=None, lease=lease)
        return await self.get(id)

    async def signal(self, id: str, name: str, value: Any = True) -> RunDescription:
        run = await self.get(id)
        is_ready = run.state == "waiting" and run.waits_for == name
        signals = [*run.signals, SignalDescription(name=name, value=value)]
        return self._change(id, signals=signals, state="ready" if is_ready else run.state)

    async def write(self, id: str, **fields: Any) -> Written:
        run = await self.get(id)
        if run.state != "running" or run.lease != fields["lease"]:
            raise RunConflict(f"{id} isn't this process's: it is {run.state}.")
        written = [self._write(id, entry) for entry in fields.get("steps", ())]
        if (end := fields.get("end")) is not None:
            self._end(run, end)
        return Written(self._runs[id], written)

    def _write(self, id: str, entry: dict[str, Any]) -> StepDescription:
        steps = self._steps[id]
        known = steps.get(entry["key"])
        if known is None or known.state == "begun" or (known.state == "in_doubt" and entry["reconciled"]):
            given = {name: value for name, value in entry.items() if name != "reconciled"}
            steps[entry["key"]] = StepDescription(number=len(steps) if known is None else known.number, **given)
        return steps[entry["key"]]

    def _end(self, run: RunDescription, end: dict[str, Any]) -> None:
        state, waits_for = end["state"], end.get("waits_for")
        error = RunFailure(**end["error"]) if end.get("error") else None
        if state == "waiting" and self._is_answered(run, waits_for):
            state = "ready"
        kept = {name: end.get(name) for name in ("output", "waits_for", "waits_with")}
        self._change(run.id, state=state, error=error, usage=RunUsage(**end.get("usage", {})), **kept)
        if run.session is None or state in LIVE_STATES:
            return
        messages = turn_of(run.input, self._steps[run.id].values())
        if state == "succeeded" or has_results(messages):
            messages = close_turn(messages, error.message if error else "the run ended without one.")
            self._sessions.append(run.session, run.id, messages, end.get("num_tokens", 0))

    def _is_answered(self, run: RunDescription, waits_for: Any) -> bool:
        key = waits_for.removeprefix("in_doubt:")
        if key != waits_for:
            return self._steps[run.id][key].state != "in_doubt"
        return any(signal.name == waits_for for signal in run.signals)

    def _change(self, id: str, **changes: Any) -> RunDescription:
        self._runs[id] = msgspec.structs.replace(self._runs[id], **changes)
        return self._runs[id]


class MemoryHandoffs:
    """As `client.handoffs`, as far as applications use it."""

    def __init__(self) -> None:
        self.made: dict[str, HandoffDescription] = {}
        """By their keys."""

    async def create(
        self, *, key: str, webhook: str | None = None, user: str = "", **fields: Any
    ) -> HandoffDescription:
        made = HandoffDescription(id=f"handoff-{len(self.made) + 1}", state="open", **fields)
        return self.made.setdefault(key, made)
