"""Anthropic's messages, whose content is a list of blocks, and their conversion to messages for chat templates."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from llmos.core.errors import BadRequest
from llmos.gateway.calls.conversation import check_numbers
from llmos.gateway.http.requests import RequestObject, Unsupported, Variants

_ROLES = ("user", "assistant", "system")

_TEXT_ONLY = "this server supports text only."

_SERVER_TOOL = "it belongs to a tool that runs on Anthropic's servers. Leave the block out, or send it as text."

_REFUSED = {
    "image": _TEXT_ONLY,
    "document": f"{_TEXT_ONLY} Send the document's text in a text block.",
    "search_result": f"{_TEXT_ONLY} Send the result's text in a text block.",
    "container_upload": _TEXT_ONLY,
    "redacted_thinking": "only Anthropic can decrypt it. Leave the block out.",
    "server_tool_use": _SERVER_TOOL,
    "web_search_tool_result": _SERVER_TOOL,
    "web_fetch_tool_result": _SERVER_TOOL,
    "code_execution_tool_result": _SERVER_TOOL,
    "bash_code_execution_tool_result": _SERVER_TOOL,
    "text_editor_code_execution_tool_result": _SERVER_TOOL,
    "tool_search_tool_result": _SERVER_TOOL,
}


class AnthropicBlock(RequestObject, tag_field="type", kw_only=True):
    # The beginning of every prompt is cached anyway.
    harmless = frozenset({"cache_control"})


class TextBlock(AnthropicBlock, tag="text", kw_only=True):
    text: str

    # The text itself is complete without them.
    harmless = AnthropicBlock.harmless | {"citations"}


class ThinkingBlock(AnthropicBlock, tag="thinking", kw_only=True):
    """The reasoning before an earlier answer. The chat template decides how much of it the model sees again."""

    thinking: str

    harmless = AnthropicBlock.harmless | {"signature"}


class ToolUseBlock(AnthropicBlock, tag="tool_use", kw_only=True):
    id: str
    name: str
    input: dict[str, Any]

    unsupported: ClassVar = {
        "caller": Unsupported("only the model makes calls.", ({"type": "direct"},)),
        "toolset_name": Unsupported("toolsets are not supported."),
    }


class ToolResultBlock(AnthropicBlock, tag="tool_result", kw_only=True):
    tool_use_id: str
    content: str | list[TextBlock] = ""
    is_error: bool = False
    """Puts `Error: ` before the content."""

    variants: ClassVar = {"content": Variants({"text": TextBlock}, _REFUSED)}
    unsupported: ClassVar = {"toolset_name": Unsupported("toolsets are not supported.")}


class AnthropicMessage(RequestObject, kw_only=True):
    role: str
    """user, assistant, or system."""
    content: str | list[TextBlock | ThinkingBlock | ToolUseBlock | ToolResultBlock]
    """Texts are joined by line breaks."""

    variants: ClassVar = {
        "content": Variants(
            {"text": TextBlock, "thinking": ThinkingBlock, "tool_use": ToolUseBlock, "tool_result": ToolResultBlock},
            _REFUSED,
        )
    }


def to_template(system: str | Sequence[TextBlock], messages: Sequence[AnthropicMessage]) -> list[dict[str, Any]]:
    """Return the messages as chat templates take them. Consecutive messages of one role are merged, as Anthropic does.

    Raises BadRequest for a block in a message with the wrong role, and for calls and results that don't match.
    """
    turns: list[dict[str, Any]] = []
    if system:
        turns.append({"role": "system", "content": join_text(system)})
    for i, message in enumerate(messages):
        if message.role not in _ROLES:
            raise BadRequest(
                f"`messages[{i}].role` is {message.role!r:.100}; it accepts user or assistant. Send the results of "
                "tools as tool_result blocks in a user message.",
                param=f"messages[{i}].role",
            )
        for turn in _turns(message, f"messages[{i}].content"):
            if turns and turns[-1]["role"] == turn["role"] != "tool":
                _merge(turns[-1], turn)
            else:
                turns.append(turn)
    _check_pairs(messages)
    return turns


def join_text(content: str | Sequence[TextBlock]) -> str:
    """Return the text of the content. Blocks are joined by line breaks."""
    return content if isinstance(content, str) else "\n".join(block.text for block in content)


def _turns(message: AnthropicMessage, path: str) -> list[dict[str, Any]]:
    """Return the turns of one message: several if it contains tool results."""
    if isinstance(message.content, str):
        return [{"role": message.role, "content": message.content}]
    turns: list[dict[str, Any]] = []
    for i, block in enumerate(message.content):
        turn = _turn(block, message.role, f"{path}[{i}]")
        if turns and turns[-1]["role"] == turn["role"] != "tool":
            _merge(turns[-1], turn)
        else:
            turns.append(turn)
    return turns or [{"role": message.role, "content": ""}]


def _turn(block: TextBlock | ThinkingBlock | ToolUseBlock | ToolResultBlock, role: str, path: str) -> dict[str, Any]:
    match block:
        case TextBlock():
            return {"role": role, "content": block.text}
        case ToolResultBlock() if role == "user":
            content = join_text(block.content)
            return {
                "role": "tool",
                "tool_call_id": block.tool_use_id,
                "content": f"Error: {content}" if block.is_error else content,
            }
        case ToolUseBlock() if role == "assistant":
            function = {"name": block.name, "arguments": block.input}
            return {
                "role": role,
                "content": "",
                "tool_calls": [{"id": block.id, "type": "function", "function": function}],
            }
        case ThinkingBlock() if role == "assistant":
            return {"role": role, "content": "", "reasoning_content": block.thinking}
    kind = block.__struct_config__.tag
    owner = "user" if kind == "tool_result" else "assistant"
    raise BadRequest(
        f"`{path}` is a {kind} block in a message with the role {role}; only {owner} messages may have it.", param=path
    )


def _check_pairs(messages: Sequence[AnthropicMessage]) -> None:
    """Check that every call has its result in the next user message, and every result its call."""
    waiting: dict[str, str] = {}
    """The path of each call that has no result yet, by id."""
    for i, message in enumerate(messages):
        blocks = [message.content] if isinstance(message.content, str) else message.content
        for j, block in enumerate(blocks):
            path = f"messages[{i}].content[{j}]"
            if isinstance(block, ToolResultBlock):
                if block.tool_use_id not in waiting:
                    known = ", ".join(waiting) or "none"
                    raise BadRequest(
                        f"`{path}` is the result of {block.tool_use_id!r:.100}, but no call before it has this id and "
                        f"no result yet. Calls without a result: {known:.500}.",
                        param=f"{path}.tool_use_id",
                    )
                del waiting[block.tool_use_id]
            elif waiting and not (isinstance(block, ToolUseBlock) and message.role == "assistant"):
                raise _missing_result(waiting)
            elif isinstance(block, ToolUseBlock):
                if block.id in waiting:
                    raise BadRequest(
                        f"`{path}.id` is {block.id!r:.100}, like that of another call. Give every call its own id.",
                        param=path,
                    )
                check_numbers(block.input, f"{path}.input")
                waiting[block.id] = path
    if waiting:
        raise _missing_result(waiting)


def _missing_result(waiting: Mapping[str, str]) -> BadRequest:
    (call_id, path), *_ = waiting.items()
    return BadRequest(
        f"`{path}` is a call without a result. Begin the next user message with a tool_result block with the "
        f"tool_use_id {call_id!r:.100}.",
        param=path,
    )


def _merge(turn: dict[str, Any], more: dict[str, Any]) -> None:
    turn["content"] = "\n".join(text for text in (turn["content"], more["content"]) if text)
    if "reasoning_content" in more:
        before = turn.get("reasoning_content")
        turn["reasoning_content"] = f"{before}\n{more['reasoning_content']}" if before else more["reasoning_content"]
    if "tool_calls" in more:
        turn["tool_calls"] = [*turn.get("tool_calls", []), *more["tool_calls"]]
