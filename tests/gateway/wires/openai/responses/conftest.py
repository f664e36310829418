"""The official client of OpenAI, joined to the server."""

from collections.abc import Iterator

import openai
import pytest

from support.scripted import KEY


@pytest.fixture
def client(served: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served}/v1", api_key=KEY, max_retries=0) as client:
        yield client
