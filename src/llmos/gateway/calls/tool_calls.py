"""The tool calls of an answer: put together from deltas, and checked against the schemas of their functions.

A model of this machine can't break what its grammar enforces. The check finds what a grammar can't enforce, and what a
provider's model wrote.
"""

import json
from dataclasses import dataclass
from typing import Literal

import msgspec

from llmos.engine.messages import Delta, ToolCallDelta, Tools
from llmos.engine.text.schemas import SchemaError, SchemaValidator
from llmos.gateway.calls.field_names import FieldNames

_MAX_VIOLATIONS = 3


@dataclass(slots=True)
class ToolCall:
    """One complete call of a function."""

    id: str
    name: str
    arguments: str
    """A JSON object."""


class CallWarning(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A fault of an answer: a call whose arguments don't follow the schema of its function, or an end that a budget
    forced. Every format's answer lists it as `warnings`."""

    code: Literal["invalid_tool_arguments", "budget_exceeded"]
    message: str
    """The faults, with the path of each value in the arguments; or the budget."""
    param: str = ""
    """The field of the request that has the schema."""
    tool_call_id: str = ""


class ArgumentChecker:
    """Checks the calls of an answer's choices as soon as a choice is complete."""

    def __init__(self, tools: Tools, field_names: FieldNames) -> None:
        self._tools, self._field_names = tools, field_names
        self._calls: dict[int, list[ToolCall]] = {}
        """The calls of each choice that isn't complete."""
        self._validators: dict[int, SchemaValidator | None] = {}
        """The validators of the called functions, by index. None for a schema that nothing can be checked against."""

    def push(self, delta: Delta) -> list[CallWarning]:
        """Add a delta. Return the warnings about a choice that is complete with it."""
        for piece in delta.tool_calls:
            add_tool_call(self._calls.setdefault(delta.index, []), piece)
        if delta.finish_reason is None:
            return []
        is_cut = delta.finish_reason == "length"
        calls = self._calls.pop(delta.index, [])
        return [warning for call in calls if (warning := self._check(call, is_cut=is_cut)) is not None]

    def _check(self, call: ToolCall, *, is_cut: bool) -> CallWarning | None:
        index = next((i for i, each in enumerate(self._tools.functions) if each["name"] == call.name), None)
        if index is None:
            return None
        try:
            arguments = json.loads(call.arguments or "{}")
        except (ValueError, RecursionError):
            # The last call of an answer that was cut off is incomplete, which its finish reason already says.
            violations = [] if is_cut else ["they are not valid JSON"]
        else:
            validator = self._validator(index)
            violations = validator.violations(arguments, _MAX_VIOLATIONS + 1) if validator is not None else []
        if not violations:
            return None
        more = ["and more"] if len(violations) > _MAX_VIOLATIONS else []
        return CallWarning(
            code="invalid_tool_arguments",
            message=f"The arguments of {call.name} don't follow its schema: "
            + "; ".join([*violations[:_MAX_VIOLATIONS], *more])
            + ".",
            param=self._field_names.name(f"tools[{index}].function.parameters"),
            tool_call_id=call.id,
        )

    def _validator(self, index: int) -> SchemaValidator | None:
        if index not in self._validators:
            schema = {**(self._tools.functions[index].get("parameters") or {}), "type": "object"}
            try:
                self._validators[index] = SchemaValidator(schema)
            except SchemaError:
                self._validators[index] = None
        return self._validators[index]


def add_tool_call(calls: list[ToolCall], delta: ToolCallDelta) -> None:
    """Add what a step added to the tool calls of a choice."""
    if delta.index == len(calls):
        calls.append(ToolCall(delta.id, delta.name, ""))
    calls[delta.index].arguments += delta.arguments
