"""Tools reach the model's process whatever numbers their schemas hold."""

import msgspec

from llmos.engine.messages import Tools
from llmos.gateway.calls.carried_tools import carryable_tools


def test_whole_numbers_beyond_64_bits_become_floats() -> None:
    schema = {"minimum": -(10**400), "anyOf": [{"maximum": 18446744073709552000}, {"const": 2**64 - 1, "enum": [True]}]}
    carried = carryable_tools(Tools(functions=[{"name": "f", "parameters": schema}]))
    decoded = msgspec.msgpack.decode(msgspec.msgpack.encode(carried), type=Tools)
    assert decoded.functions[0]["parameters"] == {
        "minimum": -1.7976931348623157e308,
        "anyOf": [{"maximum": 1.8446744073709552e19}, {"const": 2**64 - 1, "enum": [True]}],
    }
