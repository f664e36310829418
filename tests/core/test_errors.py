"""The error tree: what crosses the wire comes back as the same error."""

import pytest

from llmos.core import errors
from llmos.core.errors import BadRequest, LLMOSError, ModelNotFound, NotFound, RateLimited, error_from_body


def every_error():
    return list(errors._tree(LLMOSError))


def test_every_error_is_drawn_in_the_tree_with_its_status_and_code():
    for kind in every_error():
        line = next(line for line in errors.__doc__.splitlines() if f" {kind.__name__} " in f" {line} ")
        assert kind is errors.ConnectionFailed or f"{kind.status} {kind.code}" in line


def test_codes_are_unique():
    codes = [kind.code for kind in every_error()]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("kind", every_error())
def test_an_error_survives_the_wire(kind):
    sent = kind("What is wrong. What to do.", param="model")
    received = error_from_body(kind.status, sent.body())
    assert type(received) is kind
    assert (received.message, received.param) == ("What is wrong. What to do.", "model")


def test_a_strangers_error_is_known_by_its_status():
    assert type(error_from_body(404, {"error": {"message": "gone", "code": "strange"}})) is NotFound
    assert type(error_from_body(429, "slow down", retry_after_seconds=2.5)) is RateLimited
    assert error_from_body(429, None, retry_after_seconds=2.5).retry_after_seconds == 2.5
    assert type(error_from_body(418, None)) is BadRequest
    assert type(error_from_body(599, [])) is LLMOSError


def test_the_body_has_openais_shape():
    body = ModelNotFound("There is no model 'x'.", param="model").body()
    assert body == {
        "error": {
            "message": "There is no model 'x'.",
            "type": "invalid_request_error",
            "code": "model_not_found",
            "param": "model",
        }
    }
