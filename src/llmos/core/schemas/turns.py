"""Turns: a question and all messages up to its complete answer. The server and the client share these rules.

    user       Where is AB123456?
    assistant  calls order_status(order_id="AB123456")
    tool       on its way
    assistant  Your order is on its way.

A conversation is a list of whole turns, so that it is valid wherever it ends.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from llmos.core.errors import BadRequest

Message = Mapping[str, Any]

INTERRUPTED = "The call was interrupted; its result is unknown."
"""The result that is inserted for a tool call without a result."""


def build_turn(question: Message, answers: Sequence[Message], results: Mapping[str, Message]) -> list[Message]:
    """Return the messages of a turn so far. `results` are the tool messages by the id of their call.

    A call without a result gets INTERRUPTED as its result, so that every call has one.
    """
    messages = [question]
    for answer in answers:
        messages.append(answer)
        messages += [results.get(id) or interrupted_result(id) for id in call_ids(answer)]
    return messages


def close_turn(messages: Sequence[Message], reason: str) -> list[Message]:
    """Return the turn with an answer that says why there is none, unless it has one."""
    is_closed = len(messages) > 1 and messages[-1]["role"] == "assistant"
    return [*messages] if is_closed else [*messages, {"role": "assistant", "content": f"[No answer: {reason}]"}]


def has_results(messages: Sequence[Message]) -> bool:
    """Return whether the turn has results of tools, which later answers may need."""
    return any(message["role"] == "tool" for message in messages)


def check_turn(messages: Sequence[Message]) -> None:
    """Raise BadRequest if the messages aren't exactly one whole turn."""
    if not messages or messages[0].get("role") != "user":
        raise _invalid(0, "a turn begins with a message of the role user")
    expected: list[str] = []
    for index, message in enumerate(messages[1:], 1):
        role = message.get("role")
        if expected and (role != "tool" or message.get("tool_call_id") not in expected):
            raise _invalid(index, f"the result of the call {expected[0]} belongs here")
        if role == "tool":
            if not expected:
                raise _invalid(index, "it is the result of no call before it")
            expected.remove(message["tool_call_id"])
        elif role == "assistant":
            if not _has_calls(message.get("tool_calls")):
                raise _invalid(index, "`tool_calls` is a list of objects, each with an `id`")
            expected = call_ids(message)
        else:
            raise _invalid(index, f"its role is {role!r:.80}; within a turn it is assistant or tool")
    if messages[-1].get("role") != "assistant" or expected:
        raise _invalid(len(messages) - 1, "a turn ends with an answer without calls")


def call_ids(message: Message) -> list[str]:
    """Return the ids of a message's calls."""
    return [str(call.get("id")) for call in message.get("tool_calls") or ()]


def _has_calls(calls: Any) -> bool:
    return calls is None or (
        isinstance(calls, list) and all(isinstance(each, dict) and isinstance(each.get("id"), str) for each in calls)
    )


def interrupted_result(call_id: str) -> Message:
    return {"role": "tool", "tool_call_id": call_id, "content": INTERRUPTED}


def _invalid(index: int, reason: str) -> BadRequest:
    return BadRequest(f"`messages[{index}]` is wrong: {reason}. Append whole turns only.", param=f"messages[{index}]")
