"""Anthropic's messages, whose content is a list of blocks, and their conversion to messages for chat templates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import msgspec

from llmos.core.errors import BadRequest
from llmos.gateway.calls.conversation import NoArguments, left_out
from llmos.gateway.http.requests import Hint, RequestObject, Unsupported, Variants, described

_ROLES = ("user", "assistant", "system")

_TEXT_ONLY = "this server supports text only."

_SERVER_TOOL = "it belongs to a tool that runs on Anthropic's servers. Leave the block out, or send it as text."

_REFUSED = {
    "image": _TEXT_ONLY,
    "document": f"{_TEXT_ONLY} Send the document's text in a text block.",
    "search_result": f"{_TEXT_ONLY} Send the result's text in a text block.",
    "container_upload": _TEXT_ONLY,
    "server_tool_use": _SERVER_TOOL,
    "web_search_tool_result": _SERVER_TOOL,
    "web_fetch_tool_result": _SERVER_TOOL,
    "code_execution_tool_result": _SERVER_TOOL,
    "bash_code_execution_tool_result": _SERVER_TOOL,
    "text_editor_code_execution_tool_result": _SERVER_TOOL,
    "tool_search_tool_result": _SERVER_TOOL,
}


_LEFT_OUT = {
    kind: {"type": "text", "text": left_out(what)}
    for kind, what in (("image", "picture"), ("document", "document"), ("search_result", "search result"))
} | {"tool_reference": {"type": "text", "text": "[A tool was named here. It is among the tools that can be called.]"}}
"""The text in the place of a tool's result that the model can't read: the conversation keeps it for ever."""

_ENCRYPTED = {"redacted_thinking": {"type": "thinking", "thinking": ""}}
"""Reasoning that only Anthropic can decrypt, in conversations that began there."""


class AnthropicBlock(RequestObject, tag_field="type", kw_only=True):
    # The beginning of every prompt is cached anyway.
    unsupported: ClassVar = {"cache_control": Hint()}


class TextBlock(AnthropicBlock, tag="text", kw_only=True):
    text: str

    # The text itself is complete without them.
    harmless = frozenset({"citations"})


class ThinkingBlock(AnthropicBlock, tag="thinking", kw_only=True):
    """The reasoning before an earlier answer. The chat template decides how much of it the model sees again."""

    thinking: str

    harmless = frozenset({"signature"})


class ToolUseBlock(AnthropicBlock, tag="tool_use", kw_only=True):
    id: str
    name: str
    input: dict[str, Any] | NoArguments

    unsupported: ClassVar = {
        **AnthropicBlock.unsupported,
        "caller": Unsupported("only the model makes calls.", ({"type": "direct"},)),
        "toolset_name": Unsupported("toolsets are not supported."),
    }


class ToolResultBlock(AnthropicBlock, tag="tool_result", kw_only=True):
    tool_use_id: str
    content: str | list[TextBlock] = ""
    is_error: bool = False
    """Puts `Error: ` before the content."""

    variants: ClassVar = {"content": Variants({"text": TextBlock}, _REFUSED, replaced=_LEFT_OUT)}
    unsupported: ClassVar = {
        **AnthropicBlock.unsupported,
        "toolset_name": Unsupported("toolsets are not supported."),
    }


AnyBlock = TextBlock | ThinkingBlock | ToolUseBlock | ToolResultBlock


class AnthropicMessage(RequestObject, kw_only=True):
    role: Annotated[str, described(enum=["user", "assistant", "system"])]
    content: str | list[AnyBlock]
    """Texts are joined by line breaks."""

    variants: ClassVar = {
        "content": Variants(
            {"text": TextBlock, "thinking": ThinkingBlock, "tool_use": ToolUseBlock, "tool_result": ToolResultBlock},
            _REFUSED,
            replaced=_ENCRYPTED,
        )
    }


@dataclass(slots=True)
class _Turn:
    """Consecutive messages of one role, as Anthropic merges them."""

    role: str
    blocks: list[tuple[str, AnyBlock]] = field(default_factory=list)
    """Each with its path in the request."""


def to_template(system: str | Sequence[TextBlock], messages: Sequence[AnthropicMessage]) -> list[dict[str, Any]]:
    """Return the messages as chat templates take them. Consecutive messages of one role are merged, as Anthropic does.

    Raises BadRequest for a block in a message with the wrong role, and for calls and results that don't match.
    """
    turns = _results_after_calls(_turns(messages))
    _check_pairs(turns)
    converted: list[dict[str, Any]] = [{"role": "system", "content": join_text(system)}] if system else []
    for turn in turns:
        converted += [_assistant(turn)] if turn.role == "assistant" else _others(turn)
    return converted


def join_text(content: str | Sequence[TextBlock]) -> str:
    """Return the text of the content. Blocks are joined by line breaks."""
    return content if isinstance(content, str) else "\n".join(block.text for block in content)


def _turns(messages: Sequence[AnthropicMessage]) -> list[_Turn]:
    turns: list[_Turn] = []
    for i, message in enumerate(messages):
        if message.role not in _ROLES:
            raise BadRequest(
                f"`messages[{i}].role` is {message.role!r:.100}; it accepts user or assistant. Send the results of "
                "tools as tool_result blocks in a user message.",
                param=f"messages[{i}].role",
            )
        if not turns or turns[-1].role != message.role:
            turns.append(_Turn(message.role))
        blocks = [TextBlock(text=message.content)] if isinstance(message.content, str) else message.content
        for j, block in enumerate(blocks):
            path = f"messages[{i}].content[{j}]"
            _check_role(block, message.role, path)
            turns[-1].blocks.append((path, block))
    return turns


def _results_after_calls(turns: Sequence[_Turn]) -> list[_Turn]:
    """Return the turns with system messages between calls and their results behind those: templates want it so."""
    ordered: list[_Turn] = []
    held: list[_Turn] = []
    for turn in turns:
        if (
            turn.role == "system"
            and ordered
            and any(isinstance(block, ToolUseBlock) for _, block in ordered[-1].blocks)
        ):
            held.append(turn)
            continue
        ordered += [turn, *held]
        held = []
    return [*ordered, *held]


def _check_role(block: AnyBlock, role: str, path: str) -> None:
    owner = "user" if isinstance(block, ToolResultBlock) else "assistant"
    if not isinstance(block, TextBlock) and role != owner:
        raise BadRequest(
            f"`{path}` is a {block.__struct_config__.tag} block in a message with the role {role}; only {owner}"
            " messages may have it.",
            param=path,
        )


def _assistant(turn: _Turn) -> dict[str, Any]:
    """Return the assistant's turn. Text after a call continues the text before it: the model wrote it so."""
    text, reasoning, calls, is_after_call = "", [], [], False
    for _, block in turn.blocks:
        match block:
            case TextBlock():
                text += block.text if is_after_call or not text or not block.text else f"\n{block.text}"
                is_after_call = False
            case ThinkingBlock() if block.thinking:
                reasoning.append(block.thinking)
            case ToolUseBlock():
                function = {"name": block.name, "arguments": msgspec.json.encode(block.input or {}).decode()}
                calls.append({"id": block.id, "type": "function", "function": function})
                is_after_call = True
    converted: dict[str, Any] = {"role": "assistant", "content": text}
    if reasoning:
        converted["reasoning_content"] = "\n".join(reasoning)
    return {**converted, "tool_calls": calls} if calls else converted


def _others(turn: _Turn) -> list[dict[str, Any]]:
    """Return the turns of the user or the system: results of tools first, since they belong behind their calls."""
    results = [_result(block) for _, block in turn.blocks if isinstance(block, ToolResultBlock)]
    texts = [block.text for _, block in turn.blocks if isinstance(block, TextBlock)]
    if results and not texts:
        return results
    return [*results, {"role": turn.role, "content": "\n".join(text for text in texts if text)}]


def _result(block: ToolResultBlock) -> dict[str, Any]:
    content = join_text(block.content)
    return {
        "role": "tool",
        "tool_call_id": block.tool_use_id,
        "content": f"Error: {content}" if block.is_error else content,
    }


def _check_pairs(turns: Sequence[_Turn]) -> None:
    """Check that every call has its result in the next user message, and every result its call."""
    waiting: dict[str, str] = {}
    """The path of each call that has no result yet, by id."""
    for turn in turns:
        for path, block in turn.blocks:
            if isinstance(block, ToolResultBlock):
                _take_result(block, path, waiting)
        if waiting:
            raise _missing_result(waiting)
        for path, block in turn.blocks:
            if isinstance(block, ToolUseBlock):
                if block.id in waiting:
                    raise BadRequest(
                        f"`{path}.id` is {block.id!r:.100}, like that of another call. Give every call its own id.",
                        param=path,
                    )
                waiting[block.id] = path
    if waiting:
        raise _missing_result(waiting)


def _take_result(block: ToolResultBlock, path: str, waiting: dict[str, str]) -> None:
    if block.tool_use_id not in waiting:
        known = ", ".join(waiting) or "none"
        raise BadRequest(
            f"`{path}` is the result of {block.tool_use_id!r:.100}, but no call before it has this id and no result"
            f" yet. Calls without a result: {known:.500}.",
            param=f"{path}.tool_use_id",
        )
    del waiting[block.tool_use_id]


def _missing_result(waiting: Mapping[str, str]) -> BadRequest:
    (call_id, path), *_ = waiting.items()
    return BadRequest(
        f"`{path}` is a call without a result. Add a tool_result block with the tool_use_id {call_id!r:.100} to the"
        " next user message.",
        param=path,
    )
