"""Validation of conversations: known roles, text where text belongs, and a result for every tool call.

Every wire format has its own form of messages and turns them into the dicts that chat templates know
(engine.messages.Generate.messages). They are checked here, once for all formats.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Annotated, Any

from msgspec import Meta

from llmos.core.errors import BadRequest

ROLES = ("system", "user", "assistant", "tool")
MAX_ID_LENGTH = 512
MAX_FUNCTIONS = 128

_FUNCTION_NAME = re.compile("[a-zA-Z0-9_-]+")


def check_conversation(messages: Sequence[Mapping[str, Any]], *, needs_every_result: bool = True) -> None:
    """Raise BadRequest, naming `messages[i]…`, for messages that don't have this form:

        {"role": "system" | "user", "content": str}
        {"role": "assistant", "content": str | None, "reasoning_content"?: str, "tool_calls"?: [
            {"id": str, "type": "function", "function": {"name": str, "arguments": str}}]}
        {"role": "tool", "content": str, "tool_call_id": str}

    and in each a "name", if it has one. `needs_every_result`: a call without a result is an error, too, unless it was
    cut off: nobody could run such a call.
    """
    if not messages:
        raise BadRequest("`messages` is empty: send at least one message.", param="messages")
    open_calls: dict[str, str] = {}
    """The calls of the last assistant message that have no result yet -> the path of each in the request."""
    answered: set[str] = set()
    cut: set[str] = set()
    """The ids of calls that were cut off."""
    for i, message in enumerate(messages):
        path = f"messages[{i}]"
        role = message.get("role")
        if role not in ROLES:
            raise _wrong(f"{path}.role", f"is {role!r}; it takes {', '.join(ROLES[:-1])} or {ROLES[-1]}.")
        if not isinstance(message.get("name", ""), str):
            raise _wrong(f"{path}.name", "must be a string.")
        if role == "tool":
            _check_result(message, path, open_calls, answered)
            continue
        if needs_every_result:
            _refuse_open(open_calls, cut)
        _check_content(message, path)
        answered = set()
        open_calls = _calls(message, path)
        cut = {call["id"] for call in message.get("tool_calls") or () if is_cut(call["function"]["arguments"])}
    if needs_every_result:
        _refuse_open(open_calls, cut)


def check_functions(
    functions: Sequence[Mapping[str, Any]],
    path_template: str = "tools[{}].function",
    schema_name: str = "parameters",
    max_name_length: int = 64,
) -> None:
    """Raise BadRequest for too many functions, invalid or repeated names, and parameters that aren't an object.

    `path_template`: the path of function i in the request. `schema_name`: what the request calls the parameters. The
    schemas themselves are checked later.
    """
    if len(functions) > MAX_FUNCTIONS:
        raise BadRequest(
            f"There are {len(functions)} tools; at most {MAX_FUNCTIONS} can be. Send fewer.", param="tools"
        )
    path_of: dict[str, str] = {}
    for i, function in enumerate(functions):
        path = path_template.format(i)
        name = function.get("name")
        advice = f"must be 1 to {max_name_length} letters, digits, _ and - of ASCII."
        _expect(name, f"{path}.name", _is_function_name, advice)
        assert isinstance(name, str)
        if len(name) > max_name_length:
            raise _wrong(f"{path}.name", advice)
        if name in path_of:
            raise _wrong(f"{path}.name", f"is {name!r}, like that of {path_of[name]}. Give every tool its own.")
        path_of[name] = path
        if not isinstance(function.get("description", ""), str):
            raise _wrong(f"{path}.description", "must be a string.")
        parameters = {} if function.get("parameters") is None else function["parameters"]
        if not isinstance(parameters, Mapping):
            raise _wrong(f"{path}.{schema_name}", "must be a JSON schema, which is an object.")
        kind = parameters.get("type")
        # As everywhere in schemas, types may be in capitals, and null beside others.
        kinds = {str(each).lower() for each in kind} if isinstance(kind, list) else {str(kind).lower()}
        if kind is not None and "object" not in kinds:
            raise _wrong(
                f"{path}.{schema_name}.type", f"is {kind!r:.100}; arguments have names, so it must be 'object'."
            )


NoArguments = Annotated[list[Any], Meta(max_length=0)]
"""An empty list in the place of an empty object: PHP has one type for both."""


def left_out(what: str) -> str:
    """Return the text that stands for a part of a tool's result that the model can't read, such as a picture."""
    return f"[A {what} was here. It was left out, since this model reads text only.]"


def check_arguments(text: str, path: str) -> str:
    """Return the arguments of a call as a message for a chat template carries them: JSON, or the piece of it that was
    written before the answer was cut off. Raises BadRequest naming `path`.

    null and [] stand for no arguments: Go and PHP programs write empty objects so.
    """
    try:
        arguments = json.loads(text or "{}")
    except ValueError:
        return text
    except RecursionError:
        raise _wrong(path, "is nested too deeply.") from None
    if arguments in (None, [], ""):
        return "{}"
    if not isinstance(arguments, dict):
        raise _wrong(path, "must be a JSON object, such as {}.")
    return text or "{}"


def is_cut(arguments: str) -> bool:
    """Return whether arguments that check_arguments() has accepted end too early."""
    try:
        json.loads(arguments)
    except ValueError:
        return True
    return False


def check_numbers(value: Any, path: str) -> None:
    """Raise BadRequest for JSON with a whole number beyond 64 bits, which can't be carried to the model's process."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
        elif isinstance(each, int) and not -(2**63) <= each < 2**64:
            raise _wrong(path, f"holds the number {each!s:.30}, which is beyond 64 bits. Send it as a string.")


def _check_content(message: Mapping[str, Any], path: str) -> None:
    content, is_assistant = message.get("content"), message["role"] == "assistant"
    if is_assistant:
        if not isinstance(message.get("reasoning_content", ""), str):
            raise _wrong(f"{path}.reasoning_content", "must be a string.")
    elif message.get("tool_calls"):
        raise _wrong(f"{path}.tool_calls", f"is in a message of the role {message['role']}: only an assistant calls.")
    if not isinstance(content, str) and not (is_assistant and content is None):
        raise _wrong(f"{path}.content", "is missing." if content is None else "must be a string.")


def _calls(message: Mapping[str, Any], path: str) -> dict[str, str]:
    """Return the ids of the message's calls, each with its path in the request."""
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list):
        raise _wrong(f"{path}.tool_calls", "must be an array.")
    path_of: dict[str, str] = {}
    for j, call in enumerate(calls):
        call_path = f"{path}.tool_calls[{j}]"
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping):
            raise _wrong(f"{call_path}.function", "is missing: it has the `name` and the `arguments` of the call.")
        if call.get("type", "function") != "function":
            raise _wrong(f"{call_path}.type", f"is {call['type']!r}; there are calls of the type function only.")
        _expect(function.get("name"), f"{call_path}.function.name", _is_name, "must say which function is called.")
        _expect(function.get("arguments"), f"{call_path}.function.arguments", _is_text, "must be a JSON object.")
        identity = call.get("id")
        _expect(identity, f"{call_path}.id", _is_name, "must be a string, by which the call's result names it.")
        if identity in path_of:
            raise _wrong(
                f"{call_path}.id", f"is {identity!r}, like that of {path_of[identity]}. Give every call its own."
            )
        path_of[identity] = call_path
    return path_of


def _check_result(message: Mapping[str, Any], path: str, open_calls: dict[str, str], answered: set[str]) -> None:
    """Remove the call that the result belongs to from the open calls. Raises BadRequest if there is none."""
    identity = message.get("tool_call_id")
    _expect(identity, f"{path}.tool_call_id", _is_name, "must say which call this is the result of.")
    assert isinstance(identity, str)
    if identity in answered:
        raise _wrong(f"{path}.tool_call_id", f"is {identity!r}, a call that has its result already. Send one of them.")
    if identity not in open_calls:
        known = ", ".join(sorted(map(repr, open_calls))[:5])
        advice = (
            f"The calls before it that wait for a result are {known}."
            if known
            else "Before it comes the assistant's message with that call in its `tool_calls`."
        )
        raise _wrong(f"{path}.tool_call_id", f"is {identity!r:.100}, and there is no such call. {advice}")
    if not isinstance(message.get("content"), str):
        raise _wrong(f"{path}.content", "must be a string: what the tool gave back.")
    answered.add(identity)
    del open_calls[identity]


def _refuse_open(open_calls: Mapping[str, str], cut: Set[str]) -> None:
    for identity, call_path in open_calls.items():
        if identity in cut:
            continue
        raise _wrong(
            call_path,
            f"has no result. Behind the assistant's message, send one of the role tool with the `tool_call_id` "
            f"{identity!r:.100}, before anything else.",
        )


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_ID_LENGTH


def _is_function_name(value: Any) -> bool:
    return isinstance(value, str) and _FUNCTION_NAME.fullmatch(value) is not None


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _expect(value: Any, path: str, is_right: Callable[[Any], bool], advice: str) -> None:
    if value is None:
        raise BadRequest(f"`{path}` is missing.", param=path)
    if not is_right(value):
        raise _wrong(path, advice)


def _wrong(path: str, what: str) -> BadRequest:
    return BadRequest(f"`{path}` {what}", param=path)
