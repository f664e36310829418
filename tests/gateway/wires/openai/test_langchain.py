"""langchain-openai against the real server and model, by langchain's own suite, over both of OpenAI's formats.

The suite's own switches leave off what a model of text can't do (images, audio, files) and what needs a recording.
"""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests

from support.real_server import KEY, Running

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.process,
    # langchain's own, about what its suite asks for and what it does with the client's answers.
    pytest.mark.filterwarnings("ignore:Received a Pydantic BaseModel V1 schema"),
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),
]


@pytest.fixture
def benchmark() -> Callable[..., Any]:
    """In place of pytest-benchmark's, which costs every other test time."""
    return lambda run: run()


@pytest.fixture
def vcr() -> None:
    """In place of pytest-recording's, which costs every other test time, too. The test that asks for it is skipped."""


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
        # Without the penalty, what a small model says most probably never comes to an end.
        more = {"frequency_penalty": 0.6, "parallel_tool_calls": False}
        asked = {"model": "dialogue", "temperature": 0, "max_tokens": 200, "extra_body": more}
        return asked | self._where

    @property
    def model_override_value(self) -> str:
        return "smollm2@1"

    @property
    def supports_json_mode(self) -> bool:
        return False  # It is JSON; but which keys it has is then up to the model, and this one is small.

    @pytest.mark.xfail(reason="Nothing makes the model call here, and this one is small.")
    def test_agent_loop(self, model: BaseChatModel) -> None:
        super().test_agent_loop(model)


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
