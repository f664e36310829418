"""Anthropic's messages, whose contents are blocks, as the conversation that chat templates know."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from llmos.core.errors import BadRequest
from llmos.gateway.calls.conversation import check_numbers
from llmos.gateway.http.requests import RequestObject, Unsupported, Variants

_ROLES = ("user", "assistant", "system")
_TEXT_ONLY = "this server reads and writes text only."
_THEIR_SERVERS = "it comes from a tool of Anthropic's servers. Leave the block out, or put it into words."
_REFUSED = {
    "image": _TEXT_ONLY,
    "document": f"{_TEXT_ONLY} Send the document's words in a text block.",
    "search_result": f"{_TEXT_ONLY} Send the result's words in a text block.",
    "container_upload": _TEXT_ONLY,
    "redacted_thinking": "only Anthropic can read it. Leave the block out.",
    "server_tool_use": _THEIR_SERVERS,
    "web_search_tool_result": _THEIR_SERVERS,
    "web_fetch_tool_result": _THEIR_SERVERS,
    "code_execution_tool_result": _THEIR_SERVERS,
    "bash_code_execution_tool_result": _THEIR_SERVERS,
    "text_editor_code_execution_tool_result": _THEIR_SERVERS,
    "tool_search_tool_result": _THEIR_SERVERS,
}


class AnthropicBlock(RequestObject, tag_field="type", kw_only=True):
    # Every prompt's beginning is cached anyway.
    harmless = frozenset({"cache_control"})


class TextBlock(AnthropicBlock, tag="text", kw_only=True):
    text: str

    # What a model said about its sources; the text has it in words.
    harmless = AnthropicBlock.harmless | {"citations"}


class ThinkingBlock(AnthropicBlock, tag="thinking", kw_only=True):
    """What the model thought before an answer of the history. Its template decides what of it the model sees again."""

    thinking: str

    harmless = AnthropicBlock.harmless | {"signature"}


class ToolUseBlock(AnthropicBlock, tag="tool_use", kw_only=True):
    id: str
    name: str
    input: dict[str, Any]

    unsupported: ClassVar = {
        "caller": Unsupported("the model is the only one who calls here.", ({"type": "direct"},)),
        "toolset_name": Unsupported("there are no toolsets."),
    }


class ToolResultBlock(AnthropicBlock, tag="tool_result", kw_only=True):
    tool_use_id: str
    content: str | list[TextBlock] = ""
    is_error: bool = False
    """The model then reads `Error: ` before the content."""

    variants: ClassVar = {"content": Variants({"text": TextBlock}, _REFUSED)}
    unsupported: ClassVar = {"toolset_name": Unsupported("there are no toolsets.")}


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


def conversation(system: str | Sequence[TextBlock], messages: Sequence[AnthropicMessage]) -> list[dict[str, Any]]:
    """Return the messages as chat templates know them. Neighbours of one role become one turn, as with Anthropic.

    Raises BadRequest for a block in a message of the wrong role, and for calls and results that don't pair.
    """
    turns: list[dict[str, Any]] = []
    if system:
        turns.append({"role": "system", "content": joined(system)})
    for i, message in enumerate(messages):
        if message.role not in _ROLES:
            raise BadRequest(
                f"`messages[{i}].role` is {message.role!r:.100}; it takes user or assistant. What tools gave back goes "
                "into tool_result blocks of the user's.",
                param=f"messages[{i}].role",
            )
        for turn in _turns(message, f"messages[{i}].content"):
            if turns and turns[-1]["role"] == turn["role"] != "tool":
                _merge(turns[-1], turn)
            else:
                turns.append(turn)
    _check_pairs(messages)
    return turns


def joined(content: str | Sequence[TextBlock]) -> str:
    return content if isinstance(content, str) else "\n".join(block.text for block in content)


def _turns(message: AnthropicMessage, path: str) -> list[dict[str, Any]]:
    """One message is several turns where it brings results of tools."""
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
            content = joined(block.content)
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
    raise BadRequest(f"`{path}` is a {kind} in a message of the {role}; only the {owner} has those.", param=path)


def _check_pairs(messages: Sequence[AnthropicMessage]) -> None:
    """Every call gets its result in the user's next message, and every result has its call."""
    waiting: dict[str, str] = {}
    """The calls without a result, and where each stands."""
    for i, message in enumerate(messages):
        blocks = [message.content] if isinstance(message.content, str) else message.content
        for j, block in enumerate(blocks):
            path = f"messages[{i}].content[{j}]"
            if isinstance(block, ToolResultBlock):
                if block.tool_use_id not in waiting:
                    known = ", ".join(waiting) or "none"
                    raise BadRequest(
                        f"`{path}` is the result of {block.tool_use_id!r:.100}, but no call before it waits for one "
                        f"under this id. Those that wait: {known:.500}.",
                        param=f"{path}.tool_use_id",
                    )
                del waiting[block.tool_use_id]
            elif waiting and not (isinstance(block, ToolUseBlock) and message.role == "assistant"):
                raise _without_result(waiting)
            elif isinstance(block, ToolUseBlock):
                if block.id in waiting:
                    raise BadRequest(
                        f"`{path}.id` is {block.id!r:.100} once more; each call needs its own.", param=path
                    )
                check_numbers(block.input, f"{path}.input")
                waiting[block.id] = path
    if waiting:
        raise _without_result(waiting)


def _without_result(waiting: Mapping[str, str]) -> BadRequest:
    (identity, path), *_ = waiting.items()
    return BadRequest(
        f"`{path}` is a call without a result. Begin the user's next message with a tool_result of the tool_use_id "
        f"{identity!r:.100}.",
        param=path,
    )


def _merge(turn: dict[str, Any], more: dict[str, Any]) -> None:
    turn["content"] = "\n".join(text for text in (turn["content"], more["content"]) if text)
    if "reasoning_content" in more:
        before = turn.get("reasoning_content")
        turn["reasoning_content"] = f"{before}\n{more['reasoning_content']}" if before else more["reasoning_content"]
    if "tool_calls" in more:
        turn["tool_calls"] = [*turn.get("tool_calls", []), *more["tool_calls"]]
