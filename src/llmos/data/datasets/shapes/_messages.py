"""Helpers of the shapes of conversations: texts or messages, and the turns of a user and an assistant."""

from collections.abc import Sequence

from llmos.core.errors import BadRequest
from llmos.data.datasets.contents import ChatContent, Message

TextOrMessages = str | list[Message]


def as_messages(value: TextOrMessages, role: str) -> list[Message]:
    """Return messages, of a text as one of this role."""
    return [Message(role=role, content=value)] if isinstance(value, str) else value  # type: ignore[arg-type]


def as_text_or_messages(messages: Sequence[Message], role: str) -> TextOrMessages:
    """Return the text of a single message that has nothing but a text and this role, else the messages."""
    if len(messages) == 1 and messages[0] == Message(role=role, content=messages[0].content):  # type: ignore[arg-type]
        content = messages[0].content
        if isinstance(content, str):
            return content
    return list(messages)


def plain_turns(content: ChatContent, shape: str) -> list[tuple[str, str]]:
    """Return [(role, text)] of a conversation. Raises BadRequest where it has more, which the shape can't write."""
    if content.tools:
        raise _cannot(shape, "tools")
    turns: list[tuple[str, str]] = []
    for message in content.messages:
        if message != Message(role=message.role, content=message.content) or not isinstance(message.content, str):
            raise _cannot(shape, "messages with tool calls, names or parts")
        turns.append((message.role, message.content))
    return turns


def one_turn(content: ChatContent, shape: str) -> tuple[str | None, str, str]:
    """Return (system prompt, question, answer). Raises BadRequest for a conversation that is another one."""
    turns = plain_turns(content, shape)
    system = turns.pop(0)[1] if turns and turns[0][0] == "system" else None
    if [role for role, _ in turns] != ["user", "assistant"]:
        raise _cannot(shape, "conversations with more than one question and one answer")
    return system, turns[0][1], turns[1][1]


def _cannot(shape: str, what: str) -> BadRequest:
    return BadRequest(f"The shape {shape} has no place for {what}. Export as messages instead.", param="as")
