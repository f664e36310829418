"""An application as an MCP server: one tool that asks it, and on demand its own tools.

What a client gets is the text, and as structured content what the text rests on.
"""

import logging
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
from jsonschema.validators import Draft202012Validator  # type: ignore[import-untyped]
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
)
from pydantic_core import to_jsonable_python

from llmos.apps import App, CitationEvent, DoneEvent, Event, Run, StepEvent, TextEvent, ToolEvent
from llmos.apps.tools import MAX_NAME, ToolFailed
from llmos.core.errors import BadRequest, LLMOSError
from llmos.core.schemas.knowledge import Citation

_log = logging.getLogger(__name__)

_ARGUMENTS = ("question", "session")
_SESSION_PREFIX = "mcp:"
"""Before the names of sessions, so that no client reads the conversations of the app's other users."""

Context = ServerRequestContext[Any, Any]


class McpAnswer(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An answer, as structured content."""

    run: str
    state: str
    """succeeded; or waiting: somebody must decide first."""
    text: str = ""
    output: Any = None
    """An object, if the app answers with one."""
    citations: list[Citation] = []
    """The places in documents that the answer quotes, or rests on."""
    abstained: bool = False
    """The documents don't answer this."""
    notes: list[str] = []
    waits_for: str | None = None
    waits_with: Any = None
    """The information for the person who decides about the signal."""


class AppServer:
    """Answers the requests of MCP clients with an app."""

    def __init__(self, app: App, *, description: str = "", offers_tools: bool = False) -> None:
        self._app, self._offers_tools = app, offers_tools
        self._ask = ask_tool(app, description)
        self._checker = Draft202012Validator(self._ask.input_schema)

    def server(self) -> "Server[Any]":
        """Return what transports are given."""
        return Server(self._app.name, on_list_tools=self._list, on_call_tool=self._call)

    async def _list(self, context: Context, params: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=[self._ask, *[_described(each) for each in (await self._own()).values()]])

    async def _call(self, context: Context, params: CallToolRequestParams) -> CallToolResult:
        """Return the result of a call. What an app can't do is a result, too: the model of the client reads it."""
        arguments = params.arguments or {}
        try:
            if params.name == self._ask.name:
                return await self._answer(context, arguments)
            tool = (await self._own()).get(params.name)
            if tool is None:
                return _failed(f"There is no tool {params.name[:64]!r}.")
            return CallToolResult(content=[_text(await tool.result(msgspec.json.encode(arguments).decode()))])
        except LLMOSError as error:
            return _failed(error.message)
        except ToolFailed as error:
            return _failed(f"Error: {error}")
        except Exception:
            _log.exception("A call of %s failed.", params.name)
            return _failed("The application failed. Its log says why.")

    async def _own(self) -> Mapping[str, Any]:
        """Return the app's tools that need no run."""
        if not self._offers_tools:
            return {}
        tools = await self._app.current_tools()
        return {name: tool for name, tool in tools.items() if not tool.needs_run and name != self._ask.name}

    async def _answer(self, context: Context, arguments: Mapping[str, Any]) -> CallToolResult:
        if fault := next(self._checker.iter_errors(arguments), None):
            where = ".".join(map(str, fault.absolute_path)) or "the arguments"
            return _failed(f"The call is wrong: {where}: {fault.message[:500]}")
        variables = {name: value for name, value in arguments.items() if name not in _ARGUMENTS}
        session = arguments.get("session")
        events = self._app.astream(
            arguments["question"],
            session=None if session is None else _SESSION_PREFIX + session,
            variables=variables,
        )
        run = await _followed(context, events)
        waits = f"This waits for a person: {run.waits_for}. The run is {run.id}."
        return CallToolResult(
            content=[_text(run.text if run.state == "succeeded" else waits)], structured_content=_structured(run)
        )


def ask_tool(app: App, description: str = "") -> Tool:
    """Return the tool that asks an app. The variables of its prompt and its brain are arguments, too.

    Raises BadRequest for a variable with the name of another argument.
    """
    variables = app.variables_schema
    if taken := sorted({*variables["properties"]} & {*_ARGUMENTS}):
        raise BadRequest(f"The app {app.name} has a variable {taken[0]!r}, an argument of its tool. Rename it.")
    properties = {
        "question": {"type": "string", "minLength": 1, "description": "What to ask."},
        "session": {
            "type": "string",
            "minLength": 1,
            "maxLength": 200,
            "description": "A name for the conversation. With the same name, it remembers what was said.",
        },
        **variables["properties"],
    }
    schema = {**variables, "properties": properties, "required": ["question", *variables["required"]]}
    text = description or f"Ask the application {app.name}."
    name = f"ask_{re.sub('[^A-Za-z0-9_]', '_', app.name)}"[:MAX_NAME]
    return Tool(name=name, description=text, input_schema=schema, output_schema=_answer_schema())


async def _followed(context: Context, events: AsyncIterator[Event]) -> Run:
    """Return the run of a stream, and report its progress to the client that asked for it."""
    number, writes = 0, False
    async for event in events:
        if isinstance(event, DoneEvent):
            return event.run
        if isinstance(event, TextEvent) and writes:
            continue
        writes = writes or isinstance(event, TextEvent)
        number += 1
        await context.session.report_progress(number, message=_progress_of(event))
    raise AssertionError("the last event has the run")


def _progress_of(event: Event) -> str:
    match event:
        case ToolEvent(state="begun"):
            return f"Calling {event.name}."
        case ToolEvent():
            return f"{event.name} is done." if event.state == "done" else f"{event.name} failed."
        case StepEvent():
            return f"The step {event.name} is done." if event.state == "done" else f"The step {event.name} failed."
        case CitationEvent():
            return f"It rests on {event.citation.document}."
    return "Writing the answer."


def _structured(run: Run) -> dict[str, Any]:
    answer = McpAnswer(
        run=run.id,
        state=run.state,
        text=run.text,
        output=None if isinstance(run.output, str) else to_jsonable_python(run.output),
        citations=[*run.citations],
        abstained=run.abstained,
        notes=[*run.notes],
        waits_for=run.waits_for,
        waits_with=run.waits_with,
    )
    structured: dict[str, Any] = msgspec.to_builtins(answer)
    return structured


def _answer_schema() -> dict[str, Any]:
    """Return the JSON schema of McpAnswer, whose root is an object, as MCP wants it."""
    definitions = msgspec.json.schema(McpAnswer)["$defs"]
    return {**definitions.pop(McpAnswer.__name__), "$defs": definitions}


def _described(tool: Any) -> Tool:
    operation = tool.operation
    return Tool(name=tool.name, description=operation.description, input_schema=dict(operation.parameters))


def _text(text: str) -> TextContent:
    return TextContent(text=text)


def _failed(message: str) -> CallToolResult:
    return CallToolResult(content=[_text(message)], is_error=True)
