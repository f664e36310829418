"""Structured output: the fields that constrain an answer's text, and their conversion to a Grammar."""

from typing import Any, ClassVar, Literal

from llmos.core.errors import BadRequest
from llmos.engine.messages import Grammar
from llmos.gateway.calls.grammars import json_object, json_schema, one_of
from llmos.gateway.http.requests import Hint, RequestObject, Unsupported
from llmos.gateway.wires.openai.fields import StreamFields


class JSONSchema(RequestObject, kw_only=True):
    schema: dict[str, Any]
    """JSON Schema, draft 2020-12. A keyword that can't be enforced is rejected, never ignored."""
    name: str = ""
    strict: bool = True
    """Ignored: the schema is always enforced."""

    unsupported: ClassVar = {"description": Hint()}


class ResponseFormat(RequestObject, kw_only=True):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JSONSchema | None = None
    schema: dict[str, Any] | None = None
    """The schema as llama.cpp takes it, instead of `json_schema`."""

    objects: ClassVar = {"json_schema": JSONSchema}

    def grammar(self) -> Grammar | None:
        """Return the grammar, or None for any text. Raises BadRequest for a missing or superfluous schema."""
        if self.schema is not None:
            if self.json_schema is not None or self.type == "text":
                raise BadRequest(
                    "`response_format.schema` belongs to the types json_object and json_schema, without `json_schema`.",
                    param="response_format.schema",
                )
            return json_schema(self.schema, "response_format")
        if self.type == "json_schema":
            if self.json_schema is None:
                raise BadRequest("`response_format.json_schema` is missing.", param="response_format.json_schema")
            return json_schema(self.json_schema.schema, "response_format")
        if self.json_schema is not None:
            raise BadRequest(
                f"`response_format.json_schema` requires the type json_schema; this one is {self.type}.",
                param="response_format.json_schema",
            )
        return json_object("response_format") if self.type == "json_object" else None


class StructuredOutputs(RequestObject, kw_only=True):
    """vLLM's field for all kinds of structured output. Exactly one of these must be given."""

    json: dict[str, Any] | None = None
    """A JSON schema."""
    json_object: bool = False
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None
    """A grammar in Lark's syntax."""

    unsupported: ClassVar = {
        "structural_tag": Unsupported("use `grammar`, or `tools`."),
        "disable_fallback": Unsupported("there is one backend and no fallback. Leave it out.", (False,)),
        "disable_any_whitespace": Unsupported(
            "JSON is always written with a space after , and : and no others.", (True, False)
        ),
        "disable_additional_properties": Unsupported("set `additionalProperties` in the schema.", (False,)),
        "whitespace_pattern": Unsupported("JSON is always written with a space after , and : and no others."),
    }


class FormatFields(StreamFields, kw_only=True):
    """The fields for structured output in OpenAI's chat and completions."""

    response_format: ResponseFormat | None = None
    """The form of the answer: {"type": "json_object"}, or {"type": "json_schema", "json_schema": {"schema": …}}."""
    structured_outputs: StructuredOutputs | None = None
    """vLLM's alternative to `response_format`: {"regex": …}, {"choice": […]}, {"grammar": …}, {"json": …}."""

    def grammar(self) -> Grammar | None:
        """Return the grammar of the answer. Raises BadRequest if both fields are given."""
        grammar = self.response_format.grammar() if self.response_format is not None else None
        more = self.structured_outputs
        if more is None:
            return grammar
        if grammar is not None:
            raise BadRequest(
                "`response_format` and `structured_outputs` both constrain the answer: send one of them.",
                param="structured_outputs",
            )
        return one_of(
            "structured_outputs",
            schema=more.json,
            is_json_object=more.json_object,
            regex=more.regex,
            choice=more.choice,
            lark=more.grammar,
        )


FORMAT_OBJECTS: dict[str, type[RequestObject]] = {
    "response_format": ResponseFormat,
    "structured_outputs": StructuredOutputs,
}

OLDER_NAMES = {
    f"guided_{old}": Unsupported(f'use `structured_outputs`: {{"{new}": …}}.')
    for old, new in (("json", "json"), ("regex", "regex"), ("choice", "choice"), ("grammar", "grammar"))
}
"""The field names of vLLM before 0.12."""
