"""KeptTraffic: the calls whose prompts and answers are kept, because they are stored responses or lines of batches."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import NotFound
from llmos.data import queries
from llmos.data.files import Files
from llmos.data.responses import KeptResponse, KeptResponses
from llmos.data.tables import BatchRow

_AT_ONCE = 100
"""Responses that are read from the database at once."""

_ROLES = {"system": "system", "developer": "system", "assistant": "assistant", "tool": "tool", "function": "tool"}
_TYPES = {"function_call": "assistant", "function_call_output": "tool", "reasoning": "assistant"}


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptCall:
    """A call that was answered."""

    id: str
    """The id of the response, or BATCH/LINE."""
    project: str
    model: str
    """The name that was asked for."""
    created_at: datetime
    prompt: Sequence[tuple[str, str]] = field(default_factory=list)
    """(system, user, assistant or tool, text)"""
    answer: Sequence[tuple[str, str]] = field(default_factory=list)
    """(text, reasoning or arguments, text)"""


class KeptTraffic:
    """Any thread may use it. Blocks on the database and the disk."""

    def __init__(self, database: Database, files: Files, *, clock: Clock = utc_now) -> None:
        self._database, self._files, self._clock = database, files, clock
        self._responses = KeptResponses(database, files.encryption, clock=clock)

    def count(self, since: datetime, project: str | None = None) -> int:
        """Return the number of calls since a moment."""
        with self._database.session() as session:
            num_responses = queries.num_responses_since(session, since, self._clock(), project)
            batches = queries.batches_since(session, since, project)
            return num_responses + sum(batch.num_completed for batch in batches)

    def calls(self, since: datetime, project: str | None = None) -> Iterator[KeptCall]:
        """Yield the calls since a moment: responses by id, and then batches, oldest first."""
        after = ""
        while True:
            with self._database.session() as session:
                rows = queries.responses_since(session, since, self._clock(), project, after=after, limit=_AT_ONCE)
            for id, tenant, created_at in rows:
                with suppress(NotFound):  # It was deleted at this moment.
                    yield _of_response(self._responses.get(tenant, id), tenant, created_at)
            if not rows:
                break
            after = rows[-1][0]
        with self._database.session() as session:
            batches = [_BatchFiles.of(row, self._files) for row in queries.batches_since(session, since, project)]
        for batch in batches:
            yield from batch.calls()


@dataclass(frozen=True, slots=True)
class _BatchFiles:
    id: str
    project: str
    created_at: datetime
    files: Files
    input_id: str
    output_id: str

    @classmethod
    def of(cls, row: BatchRow, files: Files) -> "_BatchFiles":
        assert row.output_file_id is not None, "the query returns batches with answers"
        return cls(row.id, row.tenant, row.created_at, files, row.input_file_id, row.output_file_id)

    def calls(self) -> Iterator[KeptCall]:
        """Yield the answered lines. None, if a file of the batch has been deleted."""
        answers = {
            str(line.get("custom_id")): _texts_of_answer((line.get("response") or {}).get("body") or {})
            for line in _lines(self.files, self.output_id)
        }
        for line in _lines(self.files, self.input_id):
            answer = answers.get(str(line.get("custom_id")))
            body = line.get("body")
            if answer is not None and isinstance(body, dict):
                yield KeptCall(
                    id=f"{self.id}/{line.get('custom_id')}",
                    project=self.project,
                    model=str(body.get("model", "")),
                    created_at=self.created_at,
                    prompt=_texts_of_request(body),
                    answer=answer,
                )


def _of_response(kept: KeptResponse, project: str, created_at: datetime) -> KeptCall:
    body = json.loads(kept.body)
    return KeptCall(
        id=kept.id,
        project=project,
        model=str(body.get("model", "")),
        created_at=created_at,
        prompt=_texts_of_request({"instructions": body.get("instructions"), "input": json.loads(kept.items)}),
        answer=_texts_of_answer(body),
    )


def _lines(files: Files, id: str) -> Iterator[dict[str, Any]]:
    try:
        with files.open(id) as file:
            for line in file:
                if line.strip():
                    yield json.loads(line)
    except (FileNotFoundError, NotFound):
        return


def _texts_of_request(body: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the texts of a request to chat/completions, completions, embeddings, responses or likelihood."""
    found = [("system", text) for text in _texts(body.get("instructions"))]
    for name in ("messages", "input", "prompt", "continuations"):
        value = body.get(name)
        for item in value if isinstance(value, list) else [value]:
            source = "user"
            if isinstance(item, dict):
                source = _ROLES.get(str(item.get("role"))) or _TYPES.get(str(item.get("type"))) or "user"
            found += [(source, text) for text in _texts(item)]
    return found


def _texts_of_answer(body: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the texts of an answer, each with the channel that it came in."""
    found: list[tuple[str, str]] = []
    for item in body.get("output") or ():
        channel = {"function_call": "arguments", "reasoning": "reasoning"}.get(item.get("type"), "text")
        found += [(channel, text) for text in _texts(item)]
    for choice in body.get("choices") or ():
        message = choice.get("message") or choice
        found += [("reasoning", text) for text in _texts(message.get("reasoning_content"))]
        found += [("text", text) for text in (*_texts(message.get("content")), *_texts(message.get("text")))]
        for call in message.get("tool_calls") or ():
            found += [("arguments", text) for text in _texts(call.get("function"))]
    return found


def _texts(value: Any) -> list[str]:
    """Return the texts in a message, an item or one of their parts."""
    if isinstance(value, str):
        return [value] if value else []
    if isinstance(value, list):
        return [text for each in value for text in _texts(each)]
    if isinstance(value, dict):
        names = ("text", "content", "summary", "output", "arguments", "function", "tool_calls")
        return [text for name in names for text in _texts(value.get(name))]
    return []
