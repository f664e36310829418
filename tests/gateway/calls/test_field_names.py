"""Errors of the engine name the fields of the caller's own format."""

import pytest

from llmos.core.errors import BadRequest
from llmos.gateway.calls.field_names import OPENAI, FieldNames

NAMES = FieldNames(
    {
        "max_tokens": "max_output_tokens",
        "stop": "stop_sequences",
        "tools[{}].function.parameters": "tools[{}].input_schema",
        "tools[{}].function": "tools[{}]",
        "top_k": "options.top_k",
    }
)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("max_tokens", "max_output_tokens"),
        ("stop", "stop_sequences"),
        ("stop_token_ids", "stop_token_ids"),
        ("tools[12].function.parameters.type", "tools[12].input_schema.type"),
        ("tools[0].function.name", "tools[0].name"),
        ("temperature", "temperature"),
    ],
)
def test_a_name(ours: str, theirs: str) -> None:
    assert NAMES.name(ours) == theirs
    assert OPENAI.name(ours) == ours


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("max_tokens is 0; it takes 1.", "max_output_tokens is 0; it takes 1."),
        ("stop has an empty string. Answers stop.", "stop_sequences has an empty string. Answers stop."),
        ("`tools[3].function.name` is wrong.", "`tools[3].name` is wrong."),
        ("min_tokens is 9 and max_tokens is 3.", "min_tokens is 9 and max_output_tokens is 3."),
        ("`options.top_k` is fine, `top_k` is not.", "`options.top_k` is fine, `options.top_k` is not."),
    ],
)
def test_a_message(ours: str, theirs: str) -> None:
    error = BadRequest(ours, param="stop")
    NAMES.rename(error)
    assert (error.message, error.param) == (theirs, "stop_sequences")
