"""Execution: one process's part of a run: from its beginning, or where another process left it, to its end.

However it ends, the journal is told: with an answer, an error, a limit, a caller who hung up, or something to wait for.
Only a process that dies says nothing, and then its lease expires.
"""

import asyncio
import dataclasses
import itertools
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from llmos.apps.answering import Answering, Plan, question_of
from llmos.apps.asking import Asking
from llmos.apps.errors import AppError, Paused
from llmos.apps.limits import Consumption
from llmos.apps.live import LiveRun
from llmos.apps.options import RunOptions
from llmos.apps.results import Event, Run, TextEvent
from llmos.apps.server import Server
from llmos.core.errors import LLMOSError, RunConflict
from llmos.core.prompt_text import PromptText
from llmos.core.schemas.runs import RunDescription, StepDescription
from llmos.core.schemas.sessions import AppSessionDescription

Started = tuple[RunDescription, AppSessionDescription | None]
Start = Callable[[Server, str, float], Awaitable[Started]]
"""start(server, lease, lease_seconds): begins a run, or claims one."""

_END_SECONDS = 5.0
"""The time for effects to end, and for the journal to be written, when a run fails or is cancelled."""
_OPTIONS = "options"
"""The step that keeps what a run was begun with besides its input."""
_PROMPT = "prompt"
"""The step that keeps which version of a prompt of the server it uses."""
_POLL_SECONDS = 0.2
_MAX_RESTARTS = 10
"""The limit of times that one process begins a run again at once, such as for an effect that is late each time."""


def begin(app: str, input: Any, options: RunOptions, *, version: int | None = None) -> Start:
    """Return what begins a run of an input, in the session that the options name."""

    async def start(server: Server, lease: str, lease_seconds: float) -> Started:
        session = None
        if options.session is not None:
            session = await server.sessions.open(app, options.session, user=options.user)
        fields = {
            "id": f"run-{os.urandom(12).hex()}",
            "app": app,
            "version": version,
            "lease": lease,
            "lease_seconds": lease_seconds,
            "input": question_of(input) if session is not None or isinstance(input, str) else input,
            "session": None if session is None else session.id,
            "user": options.user,
        }
        deadline = time.monotonic() + options.wait_seconds
        while True:
            try:
                run = await server.runs.begin(**{name: value for name, value in fields.items() if value is not None})
            except RunConflict:
                if time.monotonic() >= deadline:
                    raise
                await asyncio.sleep(_POLL_SECONDS)
                continue
            # Another run may have changed it before this one began.
            return run, None if session is None else await server.sessions.get(session.id)

    return start


def claim(run_id: str) -> Start:
    """Return what continues a run."""

    async def start(server: Server, lease: str, lease_seconds: float) -> Started:
        run = await server.runs.claim(run_id, lease, lease_seconds)
        return run, None if run.session is None else await server.sessions.get(run.session)

    return start


@dataclass(frozen=True, slots=True)
class Execution:
    """Executes runs of one plan."""

    plan: Plan
    options: RunOptions

    async def run(self, server: Server, start: Start, emit: Callable[[Event], None]) -> Run:
        """Return the run when it has an answer, or waits. Raises what it fails with, after the journal knows."""
        lease, seconds = os.urandom(8).hex(), self.plan.lease_seconds
        description, session = await start(server, lease, seconds)
        for number in itertools.count(1):
            options = self.options
            live = LiveRun(server, description, lease, seconds, emit, recorded=options.recorded, mocks=options.mocks)
            ended = await self._attempt(live, session)
            if ended.state != "ready" or number == _MAX_RESTARTS:
                return ended
            # The signal came before the run waited for it, or `reconcile` must decide about an effect: continue at
            # once.
            description, session = await claim(description.id)(server, lease, seconds)
        raise AssertionError("the loop returns")

    async def _attempt(self, live: LiveRun, session: AppSessionDescription | None) -> Run:
        """Return the run as run() does, or in the state `ready` if it can be continued at once."""
        consumption = Consumption(self.plan.limits, live.id)
        keeping = asyncio.create_task(live.keep_lease())
        token = live.enter()
        try:
            variables = await self._keep_options(live)
            plan = await self._planned(live)
            self._asking(plan, live, consumption, variables).enter()
            run = await self._answer_in_time(Answering(plan, live, session, consumption, variables))
            await live.write([], _end("succeeded", consumption, output=self.plan.dumped(run.output)))
        except Paused as paused:
            run = await self._pause(live, consumption, paused)
        except asyncio.CancelledError:
            await live.settle(_END_SECONDS)
            await self._give_up(live, consumption, "cancelled", "cancelled", "The caller hung up.")
            raise
        except Exception as error:
            await live.settle(_END_SECONDS)
            code, message = _reason_of(error)
            await self._give_up(live, consumption, "failed", code, message)
            error.add_note(f"In the run {live.id}.")
            if isinstance(error, AppError):
                error.run_id = live.id
            raise
        finally:
            live.leave(token)
            keeping.cancel()
        name = session.name if session else None
        run = self._with_disclaimer(run, live)
        usage = consumption.usage
        return dataclasses.replace(
            run, steps=live.steps, usage=usage, cost=usage.cost, currency=usage.currency, session=name
        )

    def _asking(self, plan: Plan, live: LiveRun, consumption: Consumption, variables: Mapping[str, Any]) -> Asking:
        return Asking(
            live=live,
            consumption=consumption,
            model=plan.model,
            options=plan.agent.options,
            system=plan.instructions(variables),
        )

    def _with_disclaimer(self, run: Run, live: LiveRun) -> Run:
        """Return an answer with the app's disclaimer behind its text. The session and objects don't have it."""
        if not self.plan.disclaimer or run.state != "succeeded" or self.plan.output is not None:
            return run
        added = f"\n\n{self.plan.disclaimer}"
        live.emit(TextEvent(text=added))
        output = run.output + added if run.output == run.text else run.output
        return dataclasses.replace(run, text=run.text + added, output=output)

    async def _keep_options(self, live: LiveRun) -> Mapping[str, Any]:
        """Return the variables of the prompt: of a run that is continued, those that it began with."""
        if (known := live.known(_OPTIONS)) is not None:
            kept = live.repeat(known).result
            live.is_dry, live.before = kept["dry_run"], kept["before"]
            variables: Mapping[str, Any] = kept["variables"]
            return variables
        given = self.options
        variables, live.is_dry, live.before = dict(given.variables or {}), given.dry_run, given.before
        if variables or live.is_dry or live.before:
            kept = {"variables": variables, "dry_run": live.is_dry, "before": [*live.before]}
            live.record(StepDescription(key=_OPTIONS, kind="step", name=_OPTIONS, state="done", result=kept))
            await live.flush()
        return variables

    async def _planned(self, live: LiveRun) -> Plan:
        """Return the plan with the prompt of the server: in a run that is continued, with the same version again."""
        if isinstance(stored := self.plan.prompt, PromptText):
            return self.plan
        known = live.known(_PROMPT)
        text = await live.server.prompt(stored.reference if known is None else live.repeat(known).result)
        if known is None:
            stored.latest = text
            live.record(StepDescription(key=_PROMPT, kind="step", name=_PROMPT, state="done", result=text.source))
        return dataclasses.replace(self.plan, prompt=text)

    async def _answer_in_time(self, answering: Answering) -> Run:
        timer = asyncio.timeout(self.plan.limits.seconds)
        try:
            async with timer:
                return await answering.answer()
        except TimeoutError:
            if timer.expired():
                raise answering.consumption.out_of_time() from None
            raise

    async def _pause(self, live: LiveRun, consumption: Consumption, paused: Paused) -> Run:
        waits = {"waits_for": paused.waits_for, "waits_with": paused.waits_with}
        state: Any = "ready" if await live.wait(_end("waiting", consumption) | waits) else "waiting"
        return Run(id=live.id, app=self.plan.app, state=state, **waits)

    async def _give_up(self, live: LiveRun, consumption: Consumption, state: str, code: str, message: str) -> None:
        """Tell the journal that there is no answer, if it can be told."""
        if live.is_lost:
            return
        end = _end(state, consumption) | {"error": {"code": code[:64], "message": message[:4000]}}
        with suppress(LLMOSError, TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                await live.write([], end)


def _end(state: str, consumption: Consumption, output: Any = None) -> dict[str, Any]:
    usage = {name: getattr(consumption.usage, name) for name in consumption.usage.__struct_fields__}
    return {"state": state, "output": output, "usage": usage, "num_tokens": consumption.last_tokens}


def _reason_of(error: Exception) -> tuple[str, str]:
    if isinstance(error, LLMOSError):
        return error.code, error.message
    return AppError.code, f"{type(error).__name__}: {error}"
