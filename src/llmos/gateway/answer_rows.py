"""Rows of datasets out of answers: the conversation of a stored response, with where it comes from."""

from collections.abc import Callable, Sequence
from typing import Any

from llmos.core.errors import BadRequest
from llmos.core.schemas.answers import AnswerDetails, KeptText
from llmos.data.datasets.appending import append_rows
from llmos.data.datasets.datasets import ProjectDatasets
from llmos.data.datasets.rows import Consent, Row, make_row
from llmos.data.datasets.versions import DatasetVersion

MAX_ANSWERS = 100


def add_answers(
    datasets: ProjectDatasets,
    name: str,
    answers: Sequence[AnswerDetails],
    *,
    hash_subject: Callable[[str], str],
    consent: Consent | None = None,
    actor: str | None = None,
) -> DatasetVersion:
    """Make the next version of the dataset `name`, with the conversations of these answers.

    `hash_subject`: returns the keyed hash of an end user, by which `forget` finds the rows. Raises BadRequest for an
    answer whose text isn't stored.
    """
    rows = [_row(answer, hash_subject, consent) for answer in answers]
    return append_rows(datasets, name, rows, source=f"answers:{answers[0].id}", actor=actor)


def _row(answer: AnswerDetails, hash_subject: Callable[[str], str], consent: Consent | None) -> Row:
    """Return the row of an answer. Its origin is the answer's id."""
    if answer.text is None:
        raise BadRequest(
            f"The text of the answer {answer.id} isn't stored, or isn't this project's. Calls of /v1/responses are"
            " stored, unless they say otherwise or the project stores no data.",
            param="answers",
        )
    text = answer.text
    content: dict[str, Any] = {"messages": messages_of(answer.id, text)}
    if tools := [_tool(tool) for tool in text.tools if tool.get("type") == "function"]:
        content["tools"] = tools
    return make_row(
        "chat",
        content,
        origin=answer.id,
        consent=consent,
        subject=hash_subject(answer.user) if answer.user else None,
    )


def messages_of(id: str, text: KeptText) -> list[dict[str, Any]]:
    """Return the messages of a conversation. What the assistant thinks, says and calls at once is one message.

    Raises BadRequest for an item that chats have no place for.
    """
    messages: list[dict[str, Any]] = []
    if text.instructions:
        messages.append({"role": "system", "content": text.instructions})
    for item in [*text.input, *text.output]:
        kind = item["type"]
        if kind == "function_call_output":
            messages.append({"role": "tool", "tool_call_id": item["call_id"], "content": item["output"]})
        elif kind == "message" and item["role"] != "assistant":
            messages.append({"role": item["role"], "content": _joined(item)})
        elif kind in ("message", "reasoning", "function_call"):
            _add_to_turn(_assistants_turn(messages), item)
        else:
            raise BadRequest(f"The answer {id} has an item of the type {kind}, which rows have no place for.")
    return messages


def _assistants_turn(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the message that the assistant is at; a new one if somebody else had the last word."""
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": ""})
    return messages[-1]


def _add_to_turn(message: dict[str, Any], item: dict[str, Any]) -> None:
    if item["type"] == "function_call":
        function = {"name": item["name"], "arguments": item["arguments"] or "{}"}
        calls = message.setdefault("tool_calls", [])
        calls.append({"id": item["call_id"], "type": "function", "function": function})
        return
    name = "reasoning_content" if item["type"] == "reasoning" else "content"
    message[name] = "\n".join(part for part in (message.get(name), _joined(item)) if part)


def _joined(item: dict[str, Any]) -> str:
    return "\n".join(part.get("text") or part.get("refusal") or "" for part in item["content"])


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    """Return a function as chats have it, from the flat one of a response."""
    names = ("name", "description", "parameters", "strict")
    return {"type": "function", "function": {name: tool[name] for name in names if tool.get(name) is not None}}
