"""docs/api.md matches the server."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from llmos.core import errors
from llmos.gateway.http.errors import known_paths
from llmos.gateway.wires.openai.chat.fields import ChatRequest

pytestmark = pytest.mark.anyio

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
EXAMPLES = re.findall(r"^`([A-Z]+) (/\S+)`\n\n```json\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_api_page_lists_exactly_the_existing_paths(app: FastAPI) -> None:
    listed = set(re.findall(r"^\| `([A-Z]+) (/\S+)` \|", PAGE, re.MULTILINE))
    assert listed == {(method, path) for path, methods in known_paths(app).items() for method in methods}


@pytest.mark.parametrize(("method", "path", "body"), EXAMPLES)
async def test_every_example_is_answered(http: httpx.AsyncClient, method: str, path: str, body: str) -> None:
    reply = await http.request(method, path, json=json.loads(body))
    assert reply.status_code == 200, reply.text


def test_there_are_examples() -> None:
    assert {path for _, path, _ in EXAMPLES} >= {"/v1/chat/completions", "/v1/completions", "/llmos/v1/generate"}


def test_the_api_page_lists_existing_error_codes() -> None:
    table = PAGE.partition("| status | code |")[2].partition("\n\n")[0]
    kinds: list[Any] = [each for each in vars(errors).values() if isinstance(each, type)]
    known = {(str(kind.status), kind.code) for kind in kinds if issubclass(kind, errors.LLMOSError)}
    for status, codes in re.findall(r"^\| (\d+) \| (.+?) \|", table, re.MULTILINE):
        assert {(status, code) for code in re.findall(r"`(\w+)`", codes)} <= known


def test_the_api_page_describes_every_sampling_field() -> None:
    fields = set(ChatRequest.__struct_fields__) - {"model", "messages", "n", "stream", "stream_options"}
    assert {field for field in fields if f"`{field}`" not in PAGE and f'"{field}"' not in PAGE} == set()
