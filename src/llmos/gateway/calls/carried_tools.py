"""Tools as they are carried to the model's process, whose frames hold whole numbers of at most 64 bits."""

import sys
from typing import Any

import msgspec

from llmos.engine.messages import Tools


def carryable_tools(tools: Tools) -> Tools:
    """Return the tools with floats for whole numbers beyond 64 bits, which some languages write as bounds."""
    functions: list[dict[str, Any]] = [_carryable(function) for function in tools.functions]
    return msgspec.structs.replace(tools, functions=functions)


def _carryable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _carryable(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_carryable(each) for each in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        largest = int(sys.float_info.max)
        return float(max(-largest, min(value, largest)))
    return value
