"""The answers of /v1/responses, and the events of its stream."""

from typing import Any, Literal

import msgspec

from llmos.gateway.calls.tool_calls import CallWarning
from llmos.gateway.http.answers import PromptTokensDetails
from llmos.gateway.wires.openai.pages import ListPage
from llmos.gateway.wires.openai.responses.items import Item

ErrorCode = Literal["server_error", "rate_limit_exceeded", "invalid_prompt"]


class OutputTokensDetails(msgspec.Struct):
    reasoning_tokens: int
    """The tokens of the reasoning before the answer; `output_tokens` includes them."""


class ResponseUsage(msgspec.Struct):
    input_tokens: int
    input_tokens_details: PromptTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int
    cost: str | msgspec.UnsetType = msgspec.UNSET
    """The cost of the answer, as a decimal text. Absent if no price applies."""
    currency: str | msgspec.UnsetType = msgspec.UNSET


class IncompleteDetails(msgspec.Struct):
    reason: Literal["max_output_tokens", "content_filter"]
    """max_output_tokens also stands for the end of the context window."""


class ResponseError(msgspec.Struct):
    code: ErrorCode
    message: str


class Response(msgspec.Struct, kw_only=True):
    id: str
    object: Literal["response"] = "response"
    created_at: int
    completed_at: int | None = None
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    error: ResponseError | None = None
    incomplete_details: IncompleteDetails | None = None
    model: str
    """The version that answered, such as smollm2@1."""
    output: list[Item]
    usage: ResponseUsage | None = None
    warnings: list[CallWarning] | msgspec.UnsetType = msgspec.UNSET
    """The calls whose arguments don't follow their schema. Absent without any."""
    receipts: list[str] | msgspec.UnsetType = msgspec.UNSET
    """The paths of the receipts of all calls to the model. Absent where one call made the response."""
    previous_response_id: str | None
    instructions: str | None
    max_output_tokens: int | None
    temperature: float
    top_p: float
    top_logprobs: int
    presence_penalty: float
    frequency_penalty: float
    max_tool_calls: int | None
    text: dict[str, Any]
    tools: list[dict[str, Any]]
    tool_choice: str | dict[str, Any]
    parallel_tool_calls: bool
    metadata: dict[str, str]
    prompt_cache_key: str | None
    safety_identifier: str | None
    user: str | None
    store: bool
    background: Literal[False] = False
    reasoning: dict[str, str | None]
    service_tier: Literal["default"] = "default"
    truncation: Literal["disabled"] = "disabled"


class ResponseEvent(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One event of a stream. The name of the event is its type."""

    type: str
    sequence_number: int
    response: Response | None = None
    output_index: int | None = None
    item: Item | None = None
    item_id: str | None = None
    content_index: int | None = None
    part: dict[str, Any] | None = None
    delta: str | None = None
    text: str | None = None
    name: str | None = None
    arguments: str | None = None
    logprobs: list[Any] | None = None
    annotation: dict[str, Any] | None = None
    """A file_citation: which file has what the sentence before `index` says."""
    annotation_index: int | None = None
    code: str | None = None
    message: str | None = None
    param: str | None = None


class InputTokens(msgspec.Struct):
    input_tokens: int
    """The number that the usage of an answer would have."""
    object: Literal["response.input_tokens"] = "response.input_tokens"


class Compaction(msgspec.Struct, kw_only=True):
    """A shorter conversation. Send its `output` as the `input` of the next request, before what the user says."""

    id: str
    object: Literal["response.compaction"] = "response.compaction"
    created_at: int
    model: str
    """The version that wrote the summary, such as smollm2@1."""
    output: list[Item]
    usage: ResponseUsage


class ResponseDeleted(msgspec.Struct):
    id: str
    object: Literal["response"] = "response"
    deleted: Literal[True] = True


class ResponseItems(ListPage, kw_only=True):
    data: list[Item]
