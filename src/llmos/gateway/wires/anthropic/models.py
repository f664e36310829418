"""The names that answer, as Anthropic lists them: for those who send the header `anthropic-version`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from llmos.core.errors import BadRequest
from llmos.deployments.served_model import ServedModel

MAX_LIMIT = 1000


class AnthropicModel(msgspec.Struct, tag_field="type", tag="model", kw_only=True):
    id: str
    display_name: str
    """The Version that the name leads to now, such as smollm2@1."""
    created_at: datetime
    max_input_tokens: int | None
    """The context window, which prompt and answer share."""
    max_tokens: int | None
    lifecycle: Literal["active"] = "active"


class AnthropicModels(msgspec.Struct, kw_only=True):
    data: list[AnthropicModel]
    has_more: bool
    first_id: str | None
    last_id: str | None


def render_model(name: str, version: ServedModel) -> AnthropicModel:
    return AnthropicModel(
        id=name,
        display_name=version.ref,
        created_at=version.created_at,
        max_input_tokens=version.context_length,
        max_tokens=version.context_length,
    )


def page(models: Sequence[AnthropicModel], query: Mapping[str, str]) -> AnthropicModels:
    """Return the part of the list that `limit`, `after_id` and `before_id` ask for. Raises BadRequest for others."""
    limit = _limit(query.get("limit", "20"))
    ids = [each.id for each in models]
    begin, end = 0, len(ids)
    if after := query.get("after_id"):
        begin = _index(ids, after, "after_id") + 1
    if before := query.get("before_id"):
        end = _index(ids, before, "before_id")
        chosen = models[max(begin, end - limit) : end]
        has_more = end - limit > begin
    else:
        chosen = models[begin : begin + limit]
        has_more = begin + limit < end
    return AnthropicModels(
        data=list(chosen),
        has_more=has_more,
        first_id=chosen[0].id if chosen else None,
        last_id=chosen[-1].id if chosen else None,
    )


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 9 and 1 <= int(text) <= MAX_LIMIT):
        raise BadRequest(f"`limit` is {text!r:.50}; it takes 1 to {MAX_LIMIT:,}.", param="limit")
    return int(text)


def _index(ids: Sequence[str], id: str, field: str) -> int:
    if id not in ids:
        raise BadRequest(f"`{field}` is {id!r:.100}, which is none of the models.", param=field)
    return ids.index(id)
