"""Jobs: long-running work on the server, with its progress and result."""

from datetime import datetime
from typing import Any

import msgspec

from llmos.core.schemas.base import Description


class JobStep(Description, frozen=True, kw_only=True):
    """The progress of one part of a job, such as a file."""

    label: str = ""
    num_done: int = 0
    num_total: int | None = None
    """The total amount of work; null if unknown."""


class JobFailure(Description, frozen=True, kw_only=True):
    code: str = ""
    """A code from the table of errors, or `interrupted`."""
    message: str = ""
    """The problem and its remedy."""
    param: str | None = None
    """The field of the request that is wrong; null if it isn't about a field."""


class JobDescription(Description, frozen=True, kw_only=True):
    id: str = ""
    project: str = ""
    kind: str = ""
    """pull, push, quantize, prune, card, encrypt, verify, replay, dataset_import, model_import, dataset_clean,
    dataset_check, knowledge_sync or knowledge_eval."""
    state: str = ""
    """queued, running, succeeded, failed, cancelled or interrupted (the server stopped while it ran)."""
    request: dict[str, Any] = msgspec.field(default_factory=dict)
    """The request that started the job, with the exact Version in place of a name that can move to another."""
    progress: list[JobStep] = msgspec.field(default_factory=list)
    """One step for each part, in the order in which the parts began."""
    result: dict[str, Any] | None = None
    """The description of the Version that was pulled or made, the card, or the signature; null until it succeeds."""
    error: JobFailure | None = None
    """null unless the job failed or was interrupted."""
    actor: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
