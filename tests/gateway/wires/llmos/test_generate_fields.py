"""The fields of a generate request: what they mean, and how invalid ones are rejected."""

import json
from typing import Any

import pytest

from llmos.core.errors import BadRequest
from llmos.gateway.http.requests import decode
from llmos.gateway.wires.llmos.generate.fields import GenerateRequest
from llmos.security.callers import owner

pytestmark = pytest.mark.shared_gateway


def refused(body: bytes | dict[str, Any], kind: Any = GenerateRequest) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        decode(body if isinstance(body, bytes) else json.dumps(body).encode(), kind).call(owner())
    return caught.value


def test_generate_uses_the_chat_template_unless_the_prompt_is_raw() -> None:
    (prompt,) = decode(b'{"model": "m", "prompt": "x"}', GenerateRequest).call(owner()).prompts
    assert (prompt.text, prompt.user_text, prompt.messages) == (None, "x", None)
    (raw,) = decode(b'{"model": "m", "prompt": "x", "raw": true}', GenerateRequest).call(owner()).prompts
    assert (raw.text, raw.user_text, raw.messages) == ("x", None, None)


@pytest.mark.parametrize("field", ["n", "messages", "logprobs", "echo"])
def test_generate_names_the_endpoint_that_supports_a_field(field: str) -> None:
    assert "/v1/" in refused({"model": "m", "prompt": "x", field: 2}, GenerateRequest).message
