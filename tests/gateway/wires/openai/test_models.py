"""GET /v1/models lists every route and model that answers."""

from typing import Any

import httpx
import pytest

from support.scripted import fake_route

pytestmark = [pytest.mark.anyio, pytest.mark.shared_gateway]


async def test_routes_and_models_are_listed(http: httpx.AsyncClient) -> None:
    listed = (await http.get("/v1/models")).json()
    assert listed["object"] == "list"
    assert [each["id"] for each in listed["data"]] == ["dialogue", "smollm2"]
    assert listed["data"][0] == {
        "id": "dialogue",
        "object": "model",
        "created": 1767312000,
        "owned_by": "llmos",
        "version": "smollm2@1",
        "max_model_len": 8192,
    }


async def test_a_route_whose_model_is_missing_is_not_listed(http: httpx.AsyncClient, services: Any) -> None:
    services.routes.routes["lost"] = fake_route("lost", "removed")
    assert [each["id"] for each in (await http.get("/v1/models")).json()["data"]] == ["dialogue", "smollm2"]
