"""Every error has the format that the sender's client parses, wherever it is raised."""

import httpx
import pytest
from fastapi import FastAPI

from llmos.core.errors import ModelNotFound
from llmos.gateway.http import requests as wire
from llmos.gateway.http.error_formats import ErrorFormat, openai_error
from llmos.gateway.services import Services
from support.scripted import KEY, FakePool

pytestmark = pytest.mark.anyio

PATH = "/v1/completions"


@pytest.fixture(autouse=True)
def plain_words(app: FastAPI) -> None:
    """One path, and one header on any path, speak a format whose errors are a list."""
    error_format = ErrorFormat(
        paths=(PATH,),
        header="plain-words",
        body=list,
        render=lambda error, number: [error.status, error.message, number],
        id_header="number",
    )
    app.state.error_formats = [*app.state.error_formats, error_format]  # All apps share the list of their formats.


async def refused(reply: httpx.Response, status: int) -> str:
    told, message, number = reply.json()
    assert told == reply.status_code == status
    assert number == reply.headers["x-request-id"] == reply.headers["number"]
    return message


async def test_errors_of_authentication_and_shutdown_use_the_format_of_the_api(
    http: httpx.AsyncClient, services: Services
) -> None:
    reply = await http.post(PATH, json={}, headers={"authorization": "Bearer wrong"})
    assert "LLMOS_HOME/keys/owner" in await refused(reply, 401)
    assert reply.headers["www-authenticate"] == "Bearer"
    services.readiness.is_draining = True
    reply = await http.post(PATH, json={})
    assert "shutting down" in await refused(reply, 503)
    assert reply.headers["retry-after"] == "2"


async def test_errors_of_the_router_use_the_format_of_the_api(http: httpx.AsyncClient) -> None:
    assert "POST, not GET" in await refused(await http.get(PATH), 405)
    assert "Did you mean" in await refused(await http.post(f"{PATH}x"), 404)


async def test_errors_of_endpoints_use_the_format_of_the_api(http: httpx.AsyncClient, pool: FakePool) -> None:
    assert "`model` is missing" in await refused(await http.post(PATH, json={}), 400)
    pool.enqueue(ModelNotFound("There is no such model."))
    assert "no such" in await refused(await http.post(PATH, json={"model": "dialogue", "prompt": "Hello"}), 404)
    too_long = b" " * (wire.MAX_BODY_BYTES + 1)
    assert "larger than" in await refused(await http.post(PATH, content=too_long), 413)


async def test_internal_errors_use_the_format_of_the_api(http: httpx.AsyncClient, pool: FakePool) -> None:
    pool.enqueue(RuntimeError("a bug"))
    reply = await http.post(PATH, json={"model": "dialogue", "prompt": "Hello"})
    status, message, number = reply.json()
    assert status == reply.status_code == 500
    assert number in message
    assert "a bug" not in message


async def test_a_header_selects_the_format_on_a_shared_path(http: httpx.AsyncClient) -> None:
    own = await http.get("/v1/models/nobody", headers={"plain-words": "2"})
    assert "nobody" in await refused(own, 404)
    assert (await http.get("/v1/models/nobody")).json()["error"]["code"] == "model_not_found"


async def test_other_paths_keep_the_format_of_openai(http: httpx.AsyncClient) -> None:
    reply = await http.get("/v1/models", headers={"authorization": f"Bearer {KEY}x"})
    assert reply.json()["error"]["code"] == "invalid_api_key"
    assert "number" not in reply.headers


async def test_an_openai_error_has_openais_fields():
    assert openai_error(ModelNotFound("There is no model 'x'.", param="model")) == {
        "error": {
            "message": "There is no model 'x'.",
            "type": "invalid_request_error",
            "code": "model_not_found",
            "param": "model",
        }
    }
