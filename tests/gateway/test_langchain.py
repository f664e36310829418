"""langchain-openai against the real server and model, by langchain's own suite, over both of OpenAI's formats.

The suite's own switches leave off what a model of text can't do (images, audio, files) and what needs a recording.
"""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests
from real_server import KEY, Running

pytestmark = pytest.mark.anyio


@pytest.fixture
def benchmark() -> Callable[..., Any]:
    """In place of pytest-benchmark's, which costs every other test time."""
    return lambda run: run()


class OverOneServer(ChatModelIntegrationTests):
    @pytest.fixture(autouse=True)
    def _served(self, running: Running) -> None:
        # langchain's own HTTP clients are kept for good, with connections that belong to the loop of an earlier test.
        at_once = httpx.Limits(max_keepalive_connections=0)
        self._where = {
            "base_url": f"{running.url}/v1",
            "api_key": KEY,
            "http_client": httpx.Client(limits=at_once),
            "http_async_client": httpx.AsyncClient(limits=at_once),
        }

    @property
    def chat_model_class(self) -> type[ChatOpenAI]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        # Greedy and short: what is tested is the form, and a small model has little to say.
        return {"model": "dialogue", "temperature": 0, "max_tokens": 48, **self._where}

    @property
    def model_override_value(self) -> str:
        return "smollm2@1"

    @property
    def has_tool_calling(self) -> bool:
        return False

    @property
    def has_structured_output(self) -> bool:
        return False

    @property
    def supports_json_mode(self) -> bool:
        return False


class TestChatCompletions(OverOneServer):
    @property
    def chat_model_params(self) -> dict[str, Any]:
        # Asked for by itself only where the address is OpenAI's own.
        return super().chat_model_params | {"stream_usage": True}

    @property
    def supported_usage_metadata_details(self) -> dict[Any, Any]:
        return {"invoke": ["cache_read_input"], "stream": ["cache_read_input"]}

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> Any:
        model = self.chat_model_class(**self.chat_model_params)
        prompt = "Say in one word what this is a list of: " + ", ".join(str(number) for number in range(60))
        model.invoke(prompt)
        if not stream:
            return model.invoke(prompt)
        first, *rest = model.stream(prompt)
        return sum(rest, first)


class TestResponses(OverOneServer):
    @property
    def chat_model_params(self) -> dict[str, Any]:
        return super().chat_model_params | {"use_responses_api": True}
