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
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, overload

from llmos.apps import steps as steps_module
from llmos.apps.agent import Agent
from llmos.apps.answering import Plan
from llmos.apps.brains import Brain
from llmos.apps.execution import Execution, Start, begin, claim
from llmos.apps.functions import Function
from llmos.apps.handoffs import HandoffTo, handoff_step
from llmos.apps.history import History
from llmos.apps.knowledge import Source
from llmos.apps.limits import Limits
from llmos.apps.live import run_headers
from llmos.apps.manifest import arguments_of, folder_of
from llmos.apps.memory import MemoryServer
from llmos.apps.options import RunOptions, run_options
from llmos.apps.outputs import Output
from llmos.apps.results import DoneEvent, Event, Run
from llmos.apps.server import RealServer, Server, Unkept
from llmos.apps.steps import Step
from llmos.apps.tools import Tool, Toolbox, ToolOptions, ToolSource
from llmos.core.app_manifest import read_manifest
from llmos.core.errors import BadRequest
from llmos.core.per_loop import PerLoop
from llmos.core.portal import portal
from llmos.core.prompt_text import PromptText, StoredPrompt

if TYPE_CHECKING:
    from llmos.client import AsyncClient

_log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

_NOTHING: Any = object()


class App:
    """An application.

    model: a route or a model. prompt: a text, or a file (.md, .txt), with variables such as {{shop}},
    or StoredPrompt("support:prod").
    output: the type of answers: a pydantic model, or any type that has a JSON schema.
    knowledge: what it answers from. handoff: who is told when the documents don't answer: "queue",
    {"webhook": NAME}, or a function that is called as handoff(question, messages).
    brain: a function, or an agent of another framework, in place of the model.
    options: of sampling, as in `Model.chat`. journal: keep runs on the server; without it, none is continued, and there
    are no sessions. lease_seconds: how long after its process died a run may be continued by another one.
    variables: those of the prompt and of the brain that a run doesn't give. disclaimer: stands behind every text.
    connect: makes the client; by default the one that the settings name.
    """

    def __init__(
        self,
        name: str,
        *,
        model: str = "dialogue",
        prompt: str | Path | StoredPrompt = "",
        output: Any = None,
        knowledge: Source | None = None,
        limits: Limits | None = None,
        history: History | None = None,
        brain: Callable[..., Any] | None = None,
        handoff: HandoffTo = None,
        options: Mapping[str, Any] | None = None,
        journal: bool = True,
        lease_seconds: float = 30.0,
        variables: Mapping[str, Any] | None = None,
        disclaimer: str = "",
        connect: "Callable[[], AsyncClient] | None" = None,
    ) -> None:
        if output is not None and knowledge is not None and knowledge.answer == "quote":
            raise BadRequest(
                "An app that quotes has no `output`: choose Knowledge(…, answer='compose').", param="output"
            )
        self.name = name
        self.version: int | None = None
        """The number of the version that this process runs, where a server has started it."""
        self._toolbox = Toolbox()
        kind, sampling = None if output is None else Output(output), dict(options or {})
        if kind is not None and brain is None:
            sampling["format"] = kind.schema
        self._plan = Plan(
            app=name,
            model=model,
            prompt=prompt if isinstance(prompt, StoredPrompt) else PromptText.read(prompt),
            agent=Agent(toolbox=self._toolbox, options=sampling, history=history or History()),
            limits=limits or Limits(),
            output=kind,
            brain=None if brain is None else Brain(brain),
            knowledge=knowledge,
            handoff=handoff_step(handoff),
            lease_seconds=lease_seconds,
            variables=dict(variables or {}),
            disclaimer=disclaimer,
        )
        self._journal, self._connections = (
            journal,
            PerLoop(lambda: RealServer((connect or _connect)()), RealServer.close),
        )
        self._replacement: Server | None = None

    @classmethod
    def from_folder(cls, path: str | Path, **options: Any) -> Self:
        """Make the app that app.yaml describes, in a folder or beside a file: `App.from_folder(__file__)`.

        `options`: those of App that a file can't say, such as `brain`; they go before what app.yaml says.
        Raises BadRequest that names the file, and the field or the line.
        """
        folder = folder_of(path)
        return cls(**{**arguments_of(read_manifest(folder), folder), **options})

    @property
    def variables(self) -> frozenset[str]:
        """The names of those that a run may give. Of a prompt of the server, as ready() found it."""
        brain = self._plan.brain
        return frozenset(self._plan.prompt.variables) | (frozenset() if brain is None else brain.variables)

    @property
    def variables_schema(self) -> dict[str, Any]:
        """The JSON schema of the variables of a run: an object."""
        return self._plan.variables_schema()

    @property
    def output_schema(self) -> Any:
        """The JSON schema of its answers; None: they are texts."""
        return None if self._plan.output is None else self._plan.output.schema

    # Parts of the app

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
            operation = function if isinstance(function, Step) else Function(function)
            tool = Tool(operation, ToolOptions(**options))
            if tool.name in self._toolbox.functions:
                raise BadRequest(f"The app {self.name} has a tool {tool.name} already. Give the function another name.")
            self._toolbox.functions[tool.name] = tool
            return function

        return add if function is None else add(function)

    def add_tools(self, source: ToolSource) -> None:
        """Let the model call what a source has, such as an MCP server: `llmos.hosting.mcp`."""
        self._toolbox.sources.append(source)

    def check_questions(self, check: Callable[[Any], Any]) -> None:
        """Let a function see each input before a run begins. It returns the input as it may be taken, or raises."""
        self._plan = replace(self._plan, check_question=check)

    def check_answers(self, check: Callable[[str], str | None]) -> None:
        """Let a function see each answer before anybody else, and before the session has it.

        It returns the text as it may be seen. None: nobody may see it, and the app abstains in its place. Answers of
        a type are checked as JSON, and may only be seen as they are.
        """
        self._plan = replace(self._plan, check=check)

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

    @property
    def tools(self) -> Mapping[str, Tool]:
        """The tools that are functions of the program, by name."""
        return self._toolbox.functions

    async def current_tools(self) -> Mapping[str, Tool]:
        """Return all tools, as they are now, by name."""
        return await self._toolbox.current()

    # Runs

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
        execution = Execution(self._plan_for(given), given)
        work = asyncio.create_task(execution.run(self._server(given), start, events.put_nowait))
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
                raise BadRequest(f"The run {run_id} isn't waiting for a value.", param="value")
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
        portal.call(self.aclose())

    async def aclose(self) -> None:
        """Close the connections of this event loop."""
        await self._connections.close()
        for source in self._toolbox.sources:
            await source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def ready(self) -> None:
        """Get the prompt that the server keeps, if it is one, so that `variables` are those of its version now."""
        if isinstance(stored := self._plan.prompt, StoredPrompt):
            stored.latest = await self._server().prompt(stored.reference)

    def real_server(self) -> Server:
        """Return the server that the settings name, whatever replaces it now."""
        return self._connections.get()

    def _server(self, options: RunOptions | None = None) -> Server:
        server = self._replacement or self.real_server()
        is_kept = self._journal and (options is None or options.is_kept)
        return server if is_kept else Unkept(server, MemoryServer())

    def _plan_for(self, options: RunOptions) -> Plan:
        """Return the plan of a run. One that isn't kept, such as a case of an eval, tells no person."""
        return self._plan if options.is_kept else replace(self._plan, handoff=None)

    def _beginning(self, input: Any, options: Mapping[str, Any]) -> tuple[Start, RunOptions]:
        given = run_options(options)
        if given.session is not None and (not self._journal or given.before):
            why = "Its session has the messages before" if self._journal else "An app without a journal has no sessions"
            raise BadRequest(f"{why}.", param="session")
        if isinstance(self._plan.prompt, PromptText):
            self._plan.instructions(given.variables or {})  # An error is raised before a run begins.
        if self._plan.check_question is not None:
            input = self._plan.check_question(input)
        return begin(self.name, input, given, version=self.version), given

    async def _result(self, beginning: Any) -> Run:
        start, options = beginning if isinstance(beginning, tuple) else (beginning, RunOptions())
        execution = Execution(self._plan_for(options), options)
        return await execution.run(self._server(options), start, lambda event: None)


def _connect() -> "AsyncClient":
    from llmos.client import AsyncClient  # Its HTTP library takes a third of the time of importing this framework.

    client = AsyncClient()
    client.add_headers(run_headers)
    return client
