"""POST /api/chat, in Ollama's wire format."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import field

from llmos.core.errors import BadRequest
from llmos.engine.messages import Tools
from llmos.gateway.calls.answer import Answer, ToolCall, add_tool_call
from llmos.gateway.calls.call import Call, Prompt
from llmos.gateway.calls.conversation import check_conversation, check_functions
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response, services_of
from llmos.gateway.http.requests import RequestObject, parse_body
from llmos.gateway.wires.ollama.answers import (
    MEDIA_TYPE,
    Line,
    Lines,
    LinesResponse,
    ending,
    line,
    load_or_unload,
    piece,
)
from llmos.gateway.wires.ollama.fields import NO_IMAGES, RunFields, plain_name
from llmos.security.callers import Caller
from llmos.security.permissions import Permission

router = APIRouter()


class CalledFunction(RequestObject, kw_only=True):
    name: str
    arguments: dict[str, Any] = field(default_factory=dict)

    harmless = frozenset({"index", "description"})


class MadeCall(RequestObject, kw_only=True):
    function: CalledFunction
    id: str = ""

    harmless = frozenset({"type"})
    objects: ClassVar = {"function": CalledFunction}


class ChatMessage(RequestObject, kw_only=True):
    role: str
    """system, user, assistant or tool."""
    content: str = ""
    thinking: str = ""
    """What the model thought before it said this."""
    tool_calls: list[MadeCall] = field(default_factory=list)
    tool_name: str = ""
    """Whose result this is. Without it, that of the earliest call without one."""
    tool_call_id: str = ""
    """Which call's result this is, where the calls have ids."""

    lists: ClassVar = {"tool_calls": MadeCall}
    unsupported: ClassVar = {"images": NO_IMAGES}


class OllamaFunction(RequestObject, kw_only=True):
    name: str
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    """A JSON schema."""
    strict: bool = False


class OllamaTool(RequestObject, kw_only=True):
    function: OllamaFunction
    type: Literal["function"] = "function"

    harmless = frozenset({"items"})
    objects: ClassVar = {"function": OllamaFunction}


class OllamaChatRequest(RunFields, kw_only=True):
    messages: list[ChatMessage] = field(default_factory=list)
    """Without any, the model is loaded, or stopped where keep_alive is 0."""
    tools: list[OllamaTool] = field(default_factory=list)

    lists: ClassVar = {"messages": ChatMessage, "tools": OllamaTool}

    def call(self, caller: Caller) -> Call:
        """Raises BadRequest for what the types alone can't tell."""
        functions = [msgspec.to_builtins(tool.function) for tool in self.tools]
        check_functions(functions)
        return Call(
            model=plain_name(self.model),
            prompts=[Prompt(messages=conversation(self.messages), continues=self._continues)],
            sampling=self.sampling(),
            grammar=self.grammar(),
            tools=Tools(functions=functions) if functions else None,
            template_options=self.template_options(),
            caller=self.on_behalf_of(caller),
            cache_salt=self.cache_salt,
            id_prefix="ollama",
        )

    @property
    def _continues(self) -> bool:
        """Where the assistant has the last word, the model goes on with it."""
        return self.messages[-1].role == "assistant" and not self.messages[-1].tool_calls


def conversation(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """Return the messages as chat templates know them.

    Ollama's calls of tools need no ids: a result belongs to the earliest call of its tool that has none yet.
    Raises BadRequest for what is no conversation.
    """
    plain: list[dict[str, Any]] = []
    waiting: dict[str, str] = {}
    num_calls = 0
    for i, message in enumerate(messages):
        path = f"messages[{i}]"
        turn: dict[str, Any] = {"role": message.role, "content": message.content}
        for name, role in (("tool_calls", "assistant"), ("thinking", "assistant"), ("tool_name", "tool")):
            if getattr(message, name) and message.role != role:
                raise BadRequest(
                    f"`{path}.{name}` is of a message whose role is {message.role}; only {role} has it.",
                    param=f"{path}.{name}",
                )
        if message.thinking:
            turn["reasoning_content"] = message.thinking
        if message.tool_calls:
            turn["tool_calls"] = []
            for call in message.tool_calls:
                call_id = call.id or f"call_{num_calls}"
                num_calls += 1
                waiting[call_id] = call.function.name
                function = {"name": call.function.name, "arguments": call.function.arguments}
                turn["tool_calls"].append({"id": call_id, "type": "function", "function": function})
        if message.role == "tool":
            turn["tool_call_id"] = _answered(message, waiting, path)
            turn["name"] = waiting.pop(turn["tool_call_id"], message.tool_name)
        plain.append(turn)
    check_conversation(plain)
    return plain


def _answered(message: ChatMessage, waiting: Mapping[str, str], path: str) -> str:
    """Return the id of the call whose result the message is."""
    if message.tool_call_id:
        return message.tool_call_id
    for call_id, name in waiting.items():
        if message.tool_name in ("", name):
            return call_id
    of_which = f" of {message.tool_name[:80]}" if message.tool_name else ""
    raise BadRequest(
        f"`{path}` is a tool's result, but no call{of_which} waits for one."
        " Send the assistant's message with its `tool_calls` before it.",
        param=path,
    )


class SaidFunction(msgspec.Struct):
    name: str
    arguments: dict[str, Any]


class SaidCall(msgspec.Struct):
    id: str
    function: SaidFunction


class SaidMessage(msgspec.Struct, kw_only=True, omit_defaults=True):
    role: Literal["assistant"]
    content: str
    thinking: str = ""
    tool_calls: list[SaidCall] = []


class OllamaChatAnswer(Line, kw_only=True, omit_defaults=True):
    message: SaidMessage


@router.post(
    "/api/chat",
    tags=["ollama"],
    summary="Answer a conversation, for Ollama's clients",
    openapi_extra=openapi.body(
        OllamaChatRequest, {"model": "dialogue", "messages": [{"role": "user", "content": "Hello!"}], "stream": False}
    ),
    responses=openapi.answers(OllamaChatAnswer, OllamaChatAnswer, MEDIA_TYPE),
)
@requires(Permission.INFERENCE)
async def ollama_chat(request: Request) -> Response:
    chat = await parse_body(request, OllamaChatRequest)
    pipeline, caller = services_of(request).pipeline, caller_of(request)
    model, must_unload = plain_name(chat.model), chat.must_unload
    if not chat.messages:
        fields = await load_or_unload(pipeline, model, caller, must_unload)
        return json_response(OllamaChatAnswer(**fields, message=_said()))
    if must_unload:
        caller.check(Permission.DEPLOYMENTS_WRITE)
    call = chat.call(caller)
    await chat.check(pipeline)
    return LinesResponse(pipeline, call, ChatLines(), stream=chat.stream, must_unload=must_unload)


class ChatLines(Lines):
    """Spells an answer as one OllamaChatAnswer, or as a line for each of its pieces."""

    async def whole(self, answer: Answer) -> bytes:
        (choice,) = await answer.whole()
        message = _said(choice.text, choice.reasoning, choice.tool_calls)
        fields = piece(answer, choice.logprobs) | ending(answer, choice.finish_reason)
        return line(OllamaChatAnswer(**fields, message=message))

    async def events(self, answer: Answer) -> AsyncGenerator[bytes, None]:
        calls: list[ToolCall] = []
        num_told = 0
        async for delta in answer.deltas:
            for call in delta.tool_calls:
                add_tool_call(calls, call)
            # A call is told when it is whole: its arguments are an object here.
            num_whole = len(calls) if delta.finish_reason else max(0, len(calls) - 1)
            whole, num_told = calls[num_told:num_whole], num_whole
            if delta.text or delta.reasoning or delta.logprobs or whole:
                message = _said(delta.text, delta.reasoning, whole)
                yield line(OllamaChatAnswer(**piece(answer, delta.logprobs), message=message))
            if delta.finish_reason is not None:
                fields = piece(answer, []) | ending(answer, delta.finish_reason)
                yield line(OllamaChatAnswer(**fields, message=_said()))


def _said(text: str = "", thinking: str = "", calls: Sequence[ToolCall] = ()) -> SaidMessage:
    return SaidMessage(role="assistant", content=text, thinking=thinking, tool_calls=[*map(_said_call, calls)])


def _said_call(call: ToolCall) -> SaidCall:
    # One that was cut by num_predict is told as far as it is an object: not at all.
    try:
        arguments = msgspec.json.decode(call.arguments or "{}", type=dict[str, Any])
    except msgspec.MsgspecError:
        arguments = {}
    return SaidCall(call.id, SaidFunction(call.name, arguments))
