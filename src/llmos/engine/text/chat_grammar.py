"""The grammar of an answer that may call tools, whatever their schemas are.

A tool that isn't strict must not fail the request. What the grammar library rejects of its schema is dropped: first
part by part, then all but the names and types of the arguments, then everything.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from llmos.core.errors import BadRequest
from llmos.engine.messages import Grammar
from llmos.engine.text.grammar import SECONDS_TO_FIND_THE_FAULT, GrammarCompiler, GrammarMatcher, schema_source
from llmos.engine.text.schemas import PreparedSchema, SchemaError
from llmos.engine.text.tools import CallableFunction

_ANY_OBJECT = {"type": "object"}

MakeGrammar = Callable[[Sequence[CallableFunction]], Grammar]


def compile_tools_grammar(
    functions: Sequence[CallableFunction], make_grammar: MakeGrammar, compiler: GrammarCompiler
) -> tuple[GrammarMatcher, Sequence[CallableFunction]]:
    """Compile the grammar of an answer that may call these functions. Return it, and the functions as enforced.

    Raises BadRequest, naming the tool, if the schema of a strict one can't be enforced.
    """
    try:
        return compiler.compile(make_grammar(functions)), functions
    except BadRequest as error:
        failure = error
    # Other grammars wait for this thread.
    deadline = time.monotonic() + SECONDS_TO_FIND_THE_FAULT
    enforceable = [_enforceable(function, compiler, deadline) for function in functions]
    attempts = (
        enforceable,
        [_relaxed(each, _outline(each.arguments.schema)) for each in enforceable],
        [_relaxed(each, _ANY_OBJECT) for each in enforceable],
    )
    for attempt in attempts:
        try:
            return compiler.compile(make_grammar(attempt)), attempt
        except BadRequest:
            continue
    raise failure


def _enforceable(function: CallableFunction, compiler: GrammarCompiler, deadline: float) -> CallableFunction:
    """Return the function with the part of its schema that compiles. Raises BadRequest for a strict one."""
    arguments = function.arguments
    if time.monotonic() > deadline:
        return _relaxed(function, _outline(arguments.schema))
    reason = compiler.reason_against(schema_source(arguments.schema))
    if reason is None:
        return function
    if function.is_strict:
        where = compiler.locate(arguments.sites) or reason
        message = f"{function.field} can't be followed: in the JSON schema, {where}."
        raise BadRequest(message, param=function.field)
    for site in arguments.sites:
        if time.monotonic() > deadline:
            break
        if reason := compiler.reason_against(schema_source(site.probe())):
            site.drop()
            arguments.dropped.append(SchemaError(reason, site.path))
    for schema in (arguments.schema, _outline(arguments.schema)):
        if compiler.reason_against(schema_source(schema)) is None:
            return _relaxed(function, schema)
    return _relaxed(function, _ANY_OBJECT)


def _relaxed(function: CallableFunction, schema: Mapping[str, Any] | bool) -> CallableFunction:
    """Return the function with another grammar for its arguments, unless it is strict."""
    if function.is_strict or schema is function.arguments.schema:
        return function
    dropped = [*function.arguments.dropped, SchemaError("is too complex to be enforced as a whole")]
    return replace(
        function, arguments=PreparedSchema(dict(schema) if isinstance(schema, Mapping) else schema, dropped, [])
    )


def _outline(schema: Mapping[str, Any] | bool) -> Mapping[str, Any]:
    """Return a schema with the names and types of the arguments, and no more."""
    if not isinstance(schema, Mapping):
        return _ANY_OBJECT
    properties = {
        name: {"type": each["type"]} if isinstance(each, Mapping) and "type" in each else True
        for name, each in schema.get("properties", {}).items()
    }
    kept = {key: schema[key] for key in ("required",) if key in schema}
    closed = {"additionalProperties": False} if schema.get("additionalProperties") is False else {}
    return {"type": "object", "properties": properties, **kept, **closed}
