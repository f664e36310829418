"""The answers of GET /v1/models in Anthropic's format, for requests with the header `anthropic-version`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from llmos.deployments.served_model import ServedModel
from llmos.gateway.http.pages import index_of
from llmos.gateway.http.requests import RequestObject, convert


class AnthropicModel(msgspec.Struct, tag_field="type", tag="model", kw_only=True):
    id: str
    display_name: str
    """The version that the name stands for now, such as smollm2@1."""
    created_at: datetime
    max_input_tokens: int | None
    """The context window, which the prompt and the answer share."""
    max_tokens: int | None
    lifecycle: Literal["active"] = "active"


class AnthropicModels(msgspec.Struct, kw_only=True):
    data: list[AnthropicModel]
    has_more: bool
    first_id: str | None
    last_id: str | None


def render_model(name: str, version: ServedModel) -> AnthropicModel:
    """Return the model that answers to `name`, in Anthropic's format."""
    return AnthropicModel(
        id=name,
        display_name=version.ref,
        created_at=version.created_at,
        max_input_tokens=version.context_length,
        max_tokens=version.context_length,
    )


class ModelQuery(RequestObject, kw_only=True):
    after_id: str | None = None
    before_id: str | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 20


def page(models: Sequence[AnthropicModel], query: Mapping[str, str]) -> AnthropicModels:
    """Return the part of the list that `limit`, `after_id` and `before_id` select. Raises BadRequest for invalid ones.

    Other parameters are ignored: clients send some, such as `beta`.
    """
    known = {name: value for name, value in query.items() if name in ModelQuery.__struct_fields__ and value}
    selection = convert(known, ModelQuery, is_text=True)
    ids = [model.id for model in models]
    begin = 0 if selection.after_id is None else index_of(ids, selection.after_id, "after_id") + 1
    end = len(ids)
    if selection.before_id is not None:
        end = index_of(ids, selection.before_id, "before_id")
        first = max(begin, end - selection.limit)
        selected, has_more = models[first:end], first > begin
    else:
        selected, has_more = models[begin : begin + selection.limit], begin + selection.limit < end
    return AnthropicModels(
        data=list(selected),
        has_more=has_more,
        first_id=selected[0].id if selected else None,
        last_id=selected[-1].id if selected else None,
    )
