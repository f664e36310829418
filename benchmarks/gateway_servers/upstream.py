"""An API in OpenAI's format that answers at once, for gateways to forward to; and an echo, the yardstick of a machine.

uvicorn gateway_servers.upstream:app
"""

import json
from typing import Any

from gateway_servers.instant_engine import NUM_TOKENS

_JSON, _EVENTS = (b"content-type", b"application/json"), (b"content-type", b"text/event-stream")

_SHARED = {"id": "chatcmpl-1", "created": 1, "model": "instant"}
_USAGE = {"prompt_tokens": 40, "completion_tokens": NUM_TOKENS, "total_tokens": 40 + NUM_TOKENS}


def _choice(finish_reason: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, **fields, "finish_reason": finish_reason}]}


def _event(document: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps({**_SHARED, "object": "chat.completion.chunk", **document}).encode() + b"\n\n"


PLAIN = json.dumps(
    {
        **_SHARED,
        "object": "chat.completion",
        **_choice("stop", message={"role": "assistant", "content": "word " * NUM_TOKENS}),
        "usage": _USAGE,
    }
).encode()
EVENTS = [
    _event(_choice(delta={"role": "assistant", "content": ""})),
    *(_event(_choice(delta={"content": "word "})) for _ in range(NUM_TOKENS)),
    _event(_choice("stop", delta={})),
    _event({"choices": [], "usage": _USAGE}),
    b"data: [DONE]\n\n",
]


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    body = b""
    while (message := await receive()).get("more_body"):
        body += message["body"]
    body += message["body"]
    if scope["path"] == "/echo":
        await _send(send, body)
    elif b'"stream":true' in body.replace(b" ", b""):
        await send({"type": "http.response.start", "status": 200, "headers": [_EVENTS]})
        for event in EVENTS:
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    else:
        await _send(send, PLAIN)


async def _send(send: Any, body: bytes) -> None:
    headers = [_JSON, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
