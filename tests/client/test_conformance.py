"""The requests, replies and streams that all clients agree on: the files in sdk/conformance."""

import json
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest

from llmos.core.errors import LLMOSError

FOLDER = Path(__file__).parents[2] / "sdk" / "conformance"
FILES = ("text", "conversations", "streams", "errors", "control")


@pytest.mark.parametrize("file", FILES)
def test_the_client_sends_and_reads_what_the_file_says(connect: Any, server: Any, model: Any, file: str) -> None:
    client = connect()
    for case in json.loads((FOLDER / f"{file}.json").read_text()):
        server.replies(*(reply_of(server, each["reply"]) for each in case["exchanges"]))
        outcome = run(client, model, case)
        sent = [(each.method, split(each.path), without_nulls(each.body)) for each in server.received]
        assert sent == [request_of(each["request"]) for each in case["exchanges"]], case["name"]
        server.received.clear()
        expected = {name: case[name] for name in ("pieces", "result", "error") if name in case}
        assert {name: outcome.get(name) for name in expected} == expected, case["name"]
        assert ("error" in outcome) == ("error" in case), case["name"]


def test_a_streamed_conversation_with_tools_consists_of_whole_turns(model: Any, server: Any) -> None:
    (case,) = json.loads((FOLDER / "history.json").read_text())
    history: list[Any] = []
    for turn in case["turns"]:
        for exchange in turn["exchanges"]:
            server.replies(server.stream(*exchange["events"], then="die" if turn.get("breaks") else "end"))
        server.received.clear()
        pieces, messages = stream_turn(model, case, [*history, {"role": "user", "content": turn["text"]}])
        history = history if turn.get("breaks") else messages
        assert pieces == turn["pieces"]
        sent = [[without_own_text(message) for message in each.body["messages"]] for each in server.received]
        assert sent == [exchange["messages"] for exchange in turn["exchanges"]]


def stream_turn(model: Any, case: Any, messages: list[Any]) -> tuple[list[str], list[Any]]:
    """Return the pieces of a turn's answers, and the conversation with them."""
    pieces: list[str] = []
    while True:
        with model.chat(messages, stream=True, tools=[case["tool"]]) as stream:
            try:
                pieces += stream
            except LLMOSError:
                return pieces, messages
            messages = [*messages, stream.answer.message]
            if not stream.tool_calls:
                return pieces, messages
            messages += [
                {"role": "tool", "tool_call_id": call.id, "content": result_of(call, case)}
                for call in stream.tool_calls
            ]


def result_of(call: Any, case: Any) -> str:
    try:
        call.json()
    except ValueError:
        return "The arguments can't be used."
    return str(case["result"])


def without_own_text(message: Mapping[str, Any]) -> dict[str, Any]:
    is_own = message["role"] == "tool" and message["content"].startswith("The arguments can't be used")
    return {name: value for name, value in message.items() if not (is_own and name == "content")}


# Running a case


def run(client: Any, model: Any, case: Mapping[str, Any]) -> dict[str, Any]:
    """Return the pieces, and the result or the error, in the words of the file."""
    outcome: dict[str, Any] = {}
    try:
        if case["call"].startswith("stream_"):
            outcome["pieces"] = []
            with call(client, model, case) as stream:
                outcome["pieces"].extend(stream)
                outcome["result"] = plain(stream.answer)
        else:
            outcome["result"] = plain(call(client, model, case))
    except LLMOSError as error:
        part = case.get("error", {}).get("message", "")
        message = part if part in error.message else error.message
        outcome["error"] = {"code": error.code, "status": error.status, "message": message}
    return outcome


def call(client: Any, model: Any, case: Mapping[str, Any]) -> Any:
    name, arguments = case["call"], dict(case["arguments"])
    options = arguments.pop("options", {})
    if "." in name:
        noun, _, method = name.partition(".")
        return getattr(getattr(client, noun), method)(*arguments["positional"], **arguments.get("settings", {}))
    if name.startswith("stream_"):
        method = {"stream_text": model.generate_text, "stream_chat": model.chat}[name]
        return method(**arguments, **options, stream=True)
    return getattr(model, name)(**arguments, **options)


def plain(value: Any) -> Any:
    return json.loads(msgspec.json.encode(value))


def request_of(request: Mapping[str, Any]) -> tuple[str, Any, Any]:
    return request["method"], split(request["path"]), without_nulls(request.get("body"))


def split(path: str) -> tuple[str, list[tuple[str, str]]]:
    parts = urlsplit(path)
    return parts.path, sorted(parse_qsl(parts.query))


def without_nulls(body: Any) -> Any:
    if isinstance(body, dict):
        return {name: value for name, value in body.items() if value is not None} or None
    return body


def reply_of(server: Any, reply: Mapping[str, Any]) -> Callable[[BaseHTTPRequestHandler], None]:
    if "events" in reply:
        return server.stream(*reply["events"], then=reply["end"])  # type: ignore[no-any-return]
    content: Sequence[Any] = [reply["text"]] if "text" in reply else [json.dumps(reply["json"])]

    def write(handler: BaseHTTPRequestHandler) -> None:
        data = content[0].encode()
        handler.send_response(reply["status"])
        for name, value in reply.get("headers", {"Content-Type": "application/json"}).items():
            handler.send_header(name, value)
        if reply["status"] != 204:
            handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return write
