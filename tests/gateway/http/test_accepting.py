"""The format that a caller asks for by the header Accept."""

import pytest
from fastapi import Request

from llmos.gateway.http.accepting import accepted_format

FORMATS = {"json": "application/json", "html": "text/html", "pdf": "application/pdf"}


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, "json"),
        ("*/*", "json"),
        ("", "json"),
        ("text/html", "html"),
        ("Application/PDF", "pdf"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "html"),
        ("text/html;q=0.5, application/pdf", "pdf"),
        ("text/*", "html"),
        ("application/*;q=0.2, text/html;q=0.1, application/json;q=0", "pdf"),
        ("image/png", "json"),
        ("text/html;q=wrong", "json"),
        ("text/html;q=0, application/pdf;q=9", "pdf"),
        (";;,,=;q", "json"),
    ],
)
def test_the_format_is_the_one_that_is_accepted_most_gladly(accept: str | None, expected: str) -> None:
    headers = [] if accept is None else [(b"accept", accept.encode())]
    request = Request({"type": "http", "headers": headers})
    assert accepted_format(request, FORMATS, asked=None) == expected
    assert accepted_format(request, FORMATS, asked="pdf") == "pdf", "a parameter says more than a header"
