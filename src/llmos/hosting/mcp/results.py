"""Results of MCP tools as an application gives them to a model: a text, or JSON. They are data, whatever they say."""

from typing import Any

import msgspec
from mcp.types import (
    AudioContent,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

from llmos.hosting.mcp.connection import ServerError


def data_of(result: CallToolResult) -> Any:
    """Return the text of a result, or its JSON if it has no text. Raises ServerError for one that is an error."""
    text = "\n".join(_text_of(block) for block in result.content)
    if result.is_error:
        raise ServerError(text or "the MCP server gave no reason.")
    data = result.structured_content
    return data if data is not None and (not text or _is_json_of(text, data)) else text


def _is_json_of(text: str, data: Any) -> bool:
    """Return whether a text says what the JSON has, as servers do for older clients."""
    try:
        return bool(msgspec.json.decode(text) == data)
    except ValueError:
        return False


def _text_of(block: ContentBlock) -> str:
    """Return a part of a result as text. What a model of text can't read is named."""
    match block:
        case TextContent():
            return block.text
        case ImageContent() | AudioContent():
            return f"[{block.type}: {block.mime_type}, {len(block.data) * 3 // 4:,} bytes]"
        case ResourceLink():
            return f"[{block.name}: {block.uri}]"
        case EmbeddedResource(resource=TextResourceContents() as resource):
            return resource.text
        case EmbeddedResource():
            return f"[resource: {block.resource.uri}]"
