"""Calls on every wire format, and what the ledger has of them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from llmos.billing.tables import LedgerRow
from llmos.gateway.services import Services

CHAT: dict[str, Any] = {"model": "dialogue", "messages": [{"role": "user", "content": "Hi"}]}
PATH = "/v1/chat/completions"
INPUTS = [{"name": "text_input", "shape": [1], "datatype": "BYTES", "data": ["Hi"]}]
WIRES = {
    "chat": (PATH, CHAT),
    "completions": ("/v1/completions", {"model": "dialogue", "prompt": "Hi"}),
    "responses": ("/v1/responses", {"model": "dialogue", "input": "Hi"}),
    "anthropic": ("/v1/messages", {**CHAT, "max_tokens": 9}),
    "llmos": ("/llmos/v1/generate", {"model": "dialogue", "prompt": "Hi"}),
    "ollama chat": ("/api/chat", {**CHAT, "stream": False}),
    "ollama": ("/api/generate", {"model": "dialogue", "prompt": "Hi", "stream": False}),
    "open inference": ("/v2/models/dialogue/generate", {"text_input": "Hi"}),
    "tensors": ("/v2/models/dialogue/infer", {"inputs": INPUTS}),
    "chat, streamed": (PATH, CHAT | {"stream": True}),
    "completions, streamed": ("/v1/completions", {"model": "dialogue", "prompt": "Hi", "stream": True}),
    "responses, streamed": ("/v1/responses", {"model": "dialogue", "input": "Hi", "stream": True}),
    "anthropic, streamed": ("/v1/messages", CHAT | {"max_tokens": 9, "stream": True}),
    "llmos, streamed": ("/llmos/v1/generate", {"model": "dialogue", "prompt": "Hi", "stream": True}),
    "ollama chat, streamed": ("/api/chat", CHAT),
    "ollama, streamed": ("/api/generate", {"model": "dialogue", "prompt": "Hi"}),
    "open inference, streamed": ("/v2/models/dialogue/generate_stream", {"text_input": "Hi"}),
}


def entries(services: Services) -> Sequence[LedgerRow]:
    services.billing.ledger_writer.flush()
    with services.receipts._database.session() as session:
        return session.scalars(select(LedgerRow).order_by(LedgerRow.number)).all()


def tokens(row: LedgerRow) -> tuple[int, int, int]:
    return row.input_tokens, row.cached_input_tokens, row.output_tokens


def deny(services: Services) -> None:
    deny = {"guardrail": "denied_topics", "phrases": ["Zanzibar"], "topic": "zanzibar"}
    services.guardrails.set("safe", {"both": [deny]})
    services.guardrails.apply("safe", "installation")
