"""Compaction: a summary takes the place of a conversation, so that there is room to go on.

The summary travels with the caller, in an item that only its `encrypted_content` tells apart from others. It is encoded
and not encrypted: whoever may read the conversation may read its summary.
"""

import base64
from collections.abc import Sequence
from typing import Any

from llmos.core.errors import BadRequest
from llmos.core.ids import new_id

Item = dict[str, Any]
MAX_SUMMARY_TOKENS = 1024
"""The length of a summary, if the request sets no other limit."""

INSTRUCTION = (
    "Summarise this conversation for somebody who continues it and can't read it. Say what the user wants, what was"
    " found and done, which decisions were made and why, which names, files and numbers matter, and what is left to do."
    " Write the summary only."
)

_PREFIX = "llmos-summary-1:"


def compacted(items: Sequence[Item], summary: str) -> list[Item]:
    """Return the items that stand for the conversation: what the user wrote, and the summary of all of it."""
    kept = [item for item in items if item["type"] == "message" and item["role"] == "user"]
    content = _PREFIX + base64.b64encode(summary.encode()).decode()
    return [*kept, {"id": new_id("cmp_"), "type": "compaction", "encrypted_content": content}]


def read_summary(content: str, path: str) -> str:
    """Return the summary in a compaction item. Raises BadRequest for one of another server's."""
    try:
        if content.startswith(_PREFIX):
            return base64.b64decode(content.removeprefix(_PREFIX), validate=True).decode()
    except ValueError:
        pass
    raise BadRequest(
        f"`{path}` was not written by this server, which can't read it. Send the items that it replaces.", param=path
    )


def summary_message(item: Item) -> dict[str, Any]:
    """Return the message with which the model reads a summary."""
    summary = read_summary(item["encrypted_content"], "input")
    return {"role": "user", "content": f"A summary of the conversation so far:\n\n{summary}"}
