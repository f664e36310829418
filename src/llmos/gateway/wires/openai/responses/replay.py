"""The events of a stored response: a stream of it can be read again, from the beginning or from behind an event."""

from collections.abc import Iterator
from typing import Any

from llmos.gateway.wires.openai.responses.items import Item
from llmos.gateway.wires.openai.responses.output import Event


def replay(response: dict[str, Any]) -> Iterator[Event]:
    """Yield the events, numbered, each text and each call's arguments in one piece."""
    for number, event in enumerate(_events(response)):
        yield {**event, "sequence_number": number}


def _events(response: dict[str, Any]) -> Iterator[Event]:
    empty: dict[str, Any] = {
        "status": "in_progress",
        "output": [],
        "usage": None,
        "completed_at": None,
        "incomplete_details": None,
    }
    for kind in ("response.created", "response.in_progress"):
        yield {"type": kind, "response": response | empty}
    for index, item in enumerate(response["output"]):
        at = {"output_index": index}
        unwritten = _UNWRITTEN.get(item["type"], {"content": []})
        yield {"type": "response.output_item.added", **at, "item": {**item, **unwritten, "status": "in_progress"}}
        yield from _content_events(item, {"item_id": item["id"], **at})
        yield {"type": "response.output_item.done", **at, "item": item}
    yield {"type": f"response.{response['status']}", "response": response}


_UNWRITTEN: dict[str, Item] = {"function_call": {"arguments": ""}, "file_search_call": {"queries": [], "results": None}}


def _content_events(item: Item, where: dict[str, Any]) -> Iterator[Event]:
    if item["type"] == "function_call":
        arguments = item["arguments"]
        yield {"type": "response.function_call_arguments.delta", **where, "delta": arguments}
        yield {
            "type": "response.function_call_arguments.done", **where, "name": item["name"], "arguments": arguments,
        }  # fmt: skip
        return
    if item["type"] == "file_search_call":
        for stage in ("in_progress", "searching", "completed"):
            yield {"type": f"response.file_search_call.{stage}", **where}
        return
    for index, part in enumerate(item["content"]):
        at = {**where, "content_index": index}
        logprobs = {"logprobs": part["logprobs"]} if "logprobs" in part else {}
        annotations = part.get("annotations", [])
        unwritten = {"text": "", **({"logprobs": []} if logprobs else {})}
        unwritten |= {"annotations": []} if "annotations" in part else {}
        yield {"type": "response.content_part.added", **at, "part": {**part, **unwritten}}
        yield {"type": f"response.{part['type']}.delta", **at, "delta": part["text"], **logprobs}
        for number, annotation in enumerate(annotations):
            added = {"annotation_index": number, "annotation": annotation}
            yield {"type": f"response.{part['type']}.annotation.added", **at, **added}
        yield {"type": f"response.{part['type']}.done", **at, "text": part["text"], **logprobs}
        yield {"type": "response.content_part.done", **at, "part": part}
