"""An answer with everything that a model can write, step by step: reasoning, text and two calls of functions."""

from typing import Any

from llmos.engine.messages import Delta, ToolCallDelta
from support.fake_backend import FakeModel

ADD = {"type": "function", "name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}


def delta(**fields: Any) -> Delta:
    return Delta(id="any", **fields)


def thinking_and_calling(model: FakeModel) -> None:
    """Have the model answer its next request with it."""
    model.enqueue(
        delta(reasoning="One and ", num_output_tokens=2),
        delta(reasoning="one.", num_output_tokens=3),
        delta(text="I ", num_output_tokens=4),
        delta(text="add.", num_output_tokens=5),
        delta(tool_calls=[ToolCallDelta(0, "call_1", "add", '{"a"')], num_output_tokens=6),
        delta(tool_calls=[ToolCallDelta(0, arguments=":1}"), ToolCallDelta(1, "call_2", "sub")], num_output_tokens=7),
        delta(tool_calls=[ToolCallDelta(1, arguments="{}")], num_output_tokens=8),
        delta(finish_reason="tool_calls", num_output_tokens=9),
    )
