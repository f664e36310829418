"""The answers of /v1/batches."""

from datetime import datetime
from typing import Literal

import msgspec

from llmos.data.batches import Batch, Status
from llmos.gateway.wires.openai.pages import ListPage


class BatchError(msgspec.Struct, kw_only=True):
    code: str
    message: str
    line: int | None
    param: str | None


class BatchErrors(msgspec.Struct, kw_only=True):
    object: Literal["list"] = "list"
    data: list[BatchError]


class RequestCounts(msgspec.Struct, kw_only=True):
    total: int
    completed: int
    failed: int


class InputTokensDetails(msgspec.Struct):
    cached_tokens: int


class OutputTokensDetails(msgspec.Struct):
    reasoning_tokens: int


class BatchUsage(msgspec.Struct, kw_only=True):
    """The tokens of the lines that were answered."""

    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int


class BatchObject(msgspec.Struct, kw_only=True):
    id: str
    object: Literal["batch"] = "batch"
    endpoint: str
    errors: BatchErrors | None
    """The reasons why no request of the batch was run."""
    input_file_id: str
    completion_window: Literal["24h"] = "24h"
    status: Status
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: RequestCounts
    usage: BatchUsage
    metadata: dict[str, str] | None


class BatchObjects(ListPage, kw_only=True):
    data: list[BatchObject]


def render_batch(batch: Batch) -> BatchObject:
    """Return the batch in OpenAI's format."""
    entered, used = batch.entered, batch.usage
    num_input, num_output = used.get("input_tokens", 0), used.get("output_tokens", 0)
    errors = [BatchError(code=p.code, message=p.message, line=p.line, param=p.param) for p in batch.problems]
    return BatchObject(
        id=batch.id,
        endpoint=batch.endpoint,
        errors=BatchErrors(data=errors) if errors else None,
        input_file_id=batch.input_file_id,
        status=batch.status,
        output_file_id=batch.output_file_id,
        error_file_id=batch.error_file_id,
        created_at=_seconds(batch.created_at),
        in_progress_at=entered.get("in_progress"),
        expires_at=_seconds(batch.expires_at),
        finalizing_at=entered.get("finalizing"),
        completed_at=entered.get("completed"),
        failed_at=entered.get("failed"),
        expired_at=entered.get("expired"),
        cancelling_at=entered.get("cancelling"),
        cancelled_at=entered.get("cancelled"),
        request_counts=RequestCounts(total=batch.num_total, completed=batch.num_completed, failed=batch.num_failed),
        usage=BatchUsage(
            input_tokens=num_input,
            input_tokens_details=InputTokensDetails(used.get("cached_tokens", 0)),
            output_tokens=num_output,
            output_tokens_details=OutputTokensDetails(used.get("reasoning_tokens", 0)),
            total_tokens=num_input + num_output,
        ),
        metadata=dict(batch.labels) if batch.labels is not None else None,
    )


def _seconds(instant: datetime) -> int:
    return int(instant.timestamp())
