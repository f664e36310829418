"""Chat: a conversation with any model, Route or application that the visitor may ask; and the receipt of an answer."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from llmos.console.api import quote_path
from llmos.console.code import reading
from llmos.console.page import Page
from llmos.console.view import View
from llmos.core.schemas.conversations import ConversationPage
from llmos.core.schemas.knowledge import KnowledgeDescription
from llmos.core.schemas.receipts import ReceiptDescription

PAGE = Page(name="chat", permission="inference")

_DEFAULT = "dialogue"
_NUM_RECENT = 12

WORDS = (
    "user", "assistant", "tool", "tokens", "seconds", "rate", "seed", "length", "stopped", "receipt", "retry", "failed",
    "lost", "running", "ended", "reasoning", "edit", "send", "cancel", "earlier", "later", "heat", "heat_label",
    "heat_legend", "result", "give_results", "bad_tools", "bad_schema", "removed", "not_kept", "page", "open_source",
    "steps", "no_steps", "up", "down", "correct", "correction", "send_correction", "thanks",
)  # fmt: skip
"""The texts that the script shows: chat.NAME."""


@PAGE.get()
async def show_chat(view: View) -> Response:
    return await _show(view, "")


@PAGE.get("/c/{id}")
async def show_conversation(view: View) -> Response:
    id = view.request.path_params["id"]
    await view.api.get(f"/llmos/v1/conversations/{id}")  # One that was removed is said so at once.
    return await _show(view, id)


async def _show(view: View, conversation: str) -> Response:
    names = [each["id"] for each in (await view.api.get("/v1/models"))["data"]]
    chosen = view.query("model") or (_DEFAULT if _DEFAULT in names else "")
    recent, knowledge = ConversationPage(), []
    if view.may("conversations:use"):
        recent = await view.api.read(ConversationPage, "/llmos/v1/conversations", limit=_NUM_RECENT)
    if view.may("knowledge:read"):
        found = await view.api.list(KnowledgeDescription, "/llmos/v1/knowledge")
        knowledge = sorted({each.name for each in found})
    return view.render(
        "chat.html",
        names=names,
        chosen=chosen,
        conversation=conversation,
        recent=recent.data,
        knowledge=knowledge,
        words=json.dumps({name: view.t(f"chat.{name}") for name in WORDS}, ensure_ascii=False),
        code=_code(chosen or _DEFAULT),
    )


@PAGE.get("/receipts/{id}")
async def show_receipt(view: View) -> Response:
    id = view.request.path_params["id"]
    receipt = await view.api.read(ReceiptDescription, f"/llmos/v1/answers/{id}/receipt")
    return view.render(
        "receipt.html",
        receipt=receipt,
        raw=json.dumps(receipt.raw, indent=2, ensure_ascii=False),
        code=reading(
            f"llmos receipt show {receipt.id}",
            f"/llmos/v1/answers/{quote_path(receipt.id)}/receipt",
            f'print(client.receipts.get("{receipt.id}").raw)',
        ),
    )


def _code(model: str) -> Mapping[str, Any]:
    """Return the code around the request, which the script puts in as the visitor changes it."""
    return {
        "command": f"llmos chat {model}",
        "curl": (
            'curl -N "$LLMOS_ENDPOINT/v1/chat/completions" -H "Authorization: Bearer $LLMOS_API_KEY" \\\n'
            "  -H 'Content-Type: application/json' -d '",
            "'",
        ),
        "python": (
            "import os\n\nfrom openai import OpenAI\n\n"
            'client = OpenAI(base_url=os.environ["LLMOS_ENDPOINT"] + "/v1", api_key=os.environ["LLMOS_API_KEY"])\n'
            "answer = client.chat.completions.create(**",
            ")\nprint(answer.choices[0].message.content)",
        ),
        "json": json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello!"}]}, indent=2),
    }
