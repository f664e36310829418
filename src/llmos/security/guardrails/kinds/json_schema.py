"""JSON that follows a schema. The answer's text is held back to its end."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from llmos.core.errors import BadRequest
from llmos.engine.text.schemas import SchemaError
from llmos.engine.text.schemas.validation import SchemaValidator
from llmos.security.guardrails import guardrail
from llmos.security.guardrails.guardrail import ALL_SOURCES, Action, Channel, Hit, Piece, Side, Source, pieces_of


class Options(guardrail.Options, frozen=True, kw_only=True):
    schema: Mapping[str, Any]
    """The JSON schema. Nothing that it refers to is fetched."""


class JsonSchema:
    actions: ClassVar[Sequence[Action]] = ("block", "flag")
    sides: ClassVar[Sequence[Side]] = ("output",)
    channels: ClassVar[Sequence[Channel]] = ("text",)
    sources: Sequence[Source] = ALL_SOURCES
    waits: ClassVar[bool] = False

    def __init__(self, validator: SchemaValidator) -> None:
        self._validator = validator

    def screen_prompt(self, texts: Sequence[str], sources: Sequence[Source]) -> Iterator[Iterable[Piece]]:
        for text in texts:
            yield pieces_of(self.screen_stream(), text)

    def screen_stream(self) -> "_Stream":
        return _Stream(self._validator)


class _Stream:
    def __init__(self, validator: SchemaValidator) -> None:
        self._validator = validator
        self._chunks: list[str] = []

    def push(self, chunk: str) -> Iterator[Piece]:
        self._chunks.append(chunk)
        return iter(())

    def finish(self) -> Iterator[Piece]:
        text, self._chunks = self.held(), []
        if (rule := self._violation(text)) is not None:
            yield Hit(rule)
        yield text

    def held(self) -> str:
        return "".join(self._chunks)

    def _violation(self, text: str) -> str | None:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return "invalid_json"
        return "schema_violation" if self._validator.violations(value, 1) else None


GUARDRAIL = JsonSchema


def open(options: Options) -> JsonSchema:
    try:
        return JsonSchema(SchemaValidator(options.schema))
    except SchemaError as error:
        raise BadRequest(f"`schema` {error}", param="schema") from None
