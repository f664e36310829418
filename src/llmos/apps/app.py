"""App: a prompt, tools and steps around a model, with sessions that stay valid and runs that are continued.

app = App("support", model="dialogue", prompt="prompts/support.md")

@app.tool
def order_status(order_id: Annotated[str, Field(pattern="[A-Z]{2}[0-9]{6}")]) -> str:
    "Where an order is."

run = app.run("Where is AB123456?", session="u42")
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec, Self, TypeVar, overload

from llmos.apps import steps as steps_module
from llmos.apps.agent import Agent, Output
from llmos.apps.answering import Plan
from llmos.apps.execution import Execution, Start, begin, claim
from llmos.apps.history import History
from llmos.apps.knowledge import Source
from llmos.apps.limits import Limits
from llmos.apps.memory import MemoryServer
from llmos.apps.options import RunOptions, run_options
from llmos.apps.portal import portal
from llmos.apps.prompts import PromptText
from llmos.apps.results import DoneEvent, Event, Run
from llmos.apps.server import Connections, Server, Unkept
from llmos.apps.steps import Step
from llmos.apps.tools import Tool, ToolOptions
from llmos.client.asynchronous import AsyncClient
from llmos.core.errors import BadRequest

_log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

_NOTHING: Any = object()


class App:
    """An application.

    model: a route or a model. prompt: a text, or a file (.md, .txt), with variables such as {{shop}}.
    output: the type of answers: a pydantic model, or any type that has a JSON schema.
    knowledge: what it answers from. handoff: called as handoff(question, messages) when the documents don't answer.
    brain: a function, or an agent of another framework, in place of the model.
    options: of sampling, as in `Model.chat`. journal: keep runs on the server; without it, none is continued, and there
    are no sessions. lease_seconds: how long after its process died a run may be continued by another one.
    connect: makes the client; by default the one that the settings name.
    """

    def __init__(
        self,
        name: str,
        *,
        model: str = "dialogue",
        prompt: str | Path = "",
        output: Any = None,
        knowledge: Source | None = None,
        limits: Limits | None = None,
        history: History | None = None,
        brain: Callable[..., Any] | None = None,
        handoff: Callable[..., Any] | None = None,
        options: Mapping[str, Any] | None = None,
        journal: bool = True,
        lease_seconds: float = 30.0,
        connect: Callable[[], AsyncClient] = AsyncClient,
    ) -> None:
        if output is not None and knowledge is not None and knowledge.answer == "quote":
            raise BadRequest(
                "An app that quotes has no `output`: choose Knowledge(…, answer='compose').", param="output"
            )
        self.name = name
        self.tools: dict[str, Tool] = {}
        kind, sampling = None if output is None else Output(output), dict(options or {})
        if kind is not None and brain is None:
            sampling["format"] = kind.schema
        self._plan = Plan(
            app=name,
            model=model,
            prompt=PromptText.read(prompt),
            agent=Agent(tools=self.tools, options=sampling, history=history or History()),
            limits=limits or Limits(),
            output=kind,
            brain=brain,
            knowledge=knowledge,
            handoff=None if handoff is None else Step(handoff, effect=True, seconds=None),
            lease_seconds=lease_seconds,
        )
        self._journal, self._connections = journal, Connections(connect)
        self._replacement: Server | None = None

    # What it is made of

    @overload
    def tool(self, function: F) -> F: ...
    @overload
    def tool(
        self, *, seconds: float | None = 60.0, max_chars: int = 20_000, confirm: bool = False
    ) -> Callable[[F], F]: ...
    def tool(self, function: Any = None, **options: Any) -> Any:
        """Let the model call a function, sync or async, or a step.

        Its docstring says what it is for, and its annotations, read by pydantic, what it takes. `seconds`: a call that
        takes longer is given up. `max_chars`: a longer result is an error. `confirm`: each call waits for a person.
        """

        def add(function: F) -> F:
            tool = Tool(function, ToolOptions(**options))
            if tool.name in self.tools:
                raise BadRequest(f"The app {self.name} has a tool {tool.name} already. Give the function another name.")
            self.tools[tool.name] = tool
            return function

        return add if function is None else add(function)

    @overload
    def step(self, function: Callable[P, R]) -> Step[P, R]: ...
    @overload
    def step(self, *, effect: bool = False, seconds: float | None = None) -> Callable[[Callable[P, R]], Step[P, R]]: ...
    def step(self, function: Any = None, *, effect: bool = False, seconds: float | None = None) -> Any:
        """Make a function a step: its result is kept, and a run that is continued doesn't do it again.

        `effect`: it changes something outside; it is done once, or it is in doubt, never twice.
        """

        def add(function: Callable[P, R]) -> Step[P, R]:
            return Step(function, effect=effect, seconds=seconds)

        return add if function is None else add(function)

    wait_for = staticmethod(steps_module.wait_for)

    # What it does

    def run(self, input: Any, **options: Any) -> Run:
        """Return the answer to an input, or the run that waits. Options: those of RunOptions.

        Raises LimitReached, WrongOutput, RunConflict for a session with another run, and the errors of the server.
        """
        return portal.call(self._result(self._beginning(input, options)))

    async def arun(self, input: Any, **options: Any) -> Run:
        """run(), awaited."""
        return await self._result(self._beginning(input, options))

    def stream(self, input: Any, **options: Any) -> Iterator[Event]:
        """Yield events: pieces of text, tools, citations, steps, and last the run. Closing it cancels the run."""
        return portal.iterate(lambda: self.astream(input, **options))

    async def astream(self, input: Any, **options: Any) -> AsyncGenerator[Event, None]:
        """stream(), for asyncio programs."""
        events: asyncio.Queue[Event | None] = asyncio.Queue()
        start, given = self._beginning(input, options)
        work = asyncio.create_task(Execution(self._plan, given).run(self._server(), start, events.put_nowait))
        work.add_done_callback(lambda _: events.put_nowait(None))
        try:
            while (event := await events.get()) is not None:
                yield event
            yield DoneEvent(run=work.result())
        finally:
            if not work.done():
                work.cancel()
                await asyncio.wait([work])

    def resume(self, run_id: str, value: Any = _NOTHING) -> Run:
        """Continue a run whose process died, or that has got what it waits for.

        `value`: gives it what it waits for first, such as True for an approval.
        """
        return portal.call(self.aresume(run_id, value))

    async def aresume(self, run_id: str, value: Any = _NOTHING) -> Run:
        """resume(), awaited."""
        runs = self._server().runs
        found = await runs.get(run_id)
        if found.app != self.name:
            raise BadRequest(f"{run_id} is a run of the app {found.app}, and this is {self.name}.", param="run_id")
        if value is not _NOTHING:
            if found.waits_for is None:
                raise BadRequest(f"{run_id} waits for nothing.", param="value")
            await runs.signal(run_id, found.waits_for, value)
        return await self._result(claim(run_id))

    def resume_all(self) -> list[Run]:
        """Continue the runs of the app that no process has, one after another, and return them.

        One that fails is logged, and left out.
        """

        async def resume() -> list[Run]:
            continued = []
            for found in reversed(await self._server().runs.list(app=self.name, abandoned=True)):
                try:
                    continued.append(await self._result(claim(found.id)))
                except Exception as error:  # It keeps no other run from being continued.
                    _log.warning("The run %s was continued and failed: %s", found.id, error)
            return continued

        return portal.call(resume())

    @contextmanager
    def replaced(self, server: Server) -> Iterator[None]:
        """Work with another server within the block: what `llmos.apps.testing` does."""
        before, self._replacement = self._replacement, server
        try:
            yield
        finally:
            self._replacement = before

    def close(self) -> None:
        """Close the connections of the blocking calls. The app may be used again."""
        portal.call(self._connections.close())

    async def aclose(self) -> None:
        """Close the connections of this event loop."""
        await self._connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def real_server(self) -> Server:
        """Return the server that the settings name, whatever replaces it now."""
        return self._connections.server()

    def _server(self) -> Server:
        server = self._replacement or self.real_server()
        return server if self._journal else Unkept(server, MemoryServer())

    def _beginning(self, input: Any, options: Mapping[str, Any]) -> tuple[Start, RunOptions]:
        given = run_options(options)
        if given.session is not None and not self._journal:
            raise BadRequest("An app without a journal has no sessions.", param="session")
        self._plan.prompt.fill(given.variables or {})  # An error is raised before a run begins.
        return begin(self.name, input, given), given

    async def _result(self, beginning: Any) -> Run:
        start, options = beginning if isinstance(beginning, tuple) else (beginning, RunOptions())
        return await Execution(self._plan, options).run(self._server(), start, lambda event: None)
