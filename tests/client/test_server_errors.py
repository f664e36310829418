"""Errors from a server: each arrives as the class that was raised there; a stranger's is known by its status."""

import pytest

from llmos.client.server_errors import parse_error
from llmos.core.errors import BadRequest, LLMOSError, NotFound, RateLimited, error_classes
from llmos.gateway.http.error_formats import openai_error


@pytest.mark.parametrize("kind", error_classes())
def test_an_error_that_the_server_sends_is_raised_as_the_same_class(kind):
    sent = kind("What is wrong. What to do.", param="model")
    received = parse_error(kind.status, openai_error(sent))
    assert type(received) is kind
    assert (received.message, received.param) == ("What is wrong. What to do.", "model")


def test_an_error_of_another_program_is_known_by_its_status():
    assert type(parse_error(404, {"error": {"message": "gone", "code": "strange"}})) is NotFound
    assert type(parse_error(429, "slow down", retry_after_seconds=2.5)) is RateLimited
    assert parse_error(429, None, retry_after_seconds=2.5).retry_after_seconds == 2.5
    assert type(parse_error(418, None)) is BadRequest
    assert type(parse_error(599, [])) is LLMOSError
