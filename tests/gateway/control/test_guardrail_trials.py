"""Policies of guardrails tried on a text, and the roles, over HTTP and through both clients."""

import httpx
import pytest
from fastapi import FastAPI

from llmos.client import AsyncClient, Client
from llmos.core.errors import BadRequest, NotFound
from llmos.gateway.services import Services
from support.scripted import KEY
from support.scripted_gateway import serve_app

pytestmark = pytest.mark.anyio

SHORT = {"both": [{"guardrail": "max_length", "characters": 10}]}
LONG = {"both": [{"guardrail": "max_length", "characters": 100}]}


async def test_a_text_is_tried_with_a_stored_policy_or_a_new_one(
    app: FastAPI, services: Services, http: httpx.AsyncClient
) -> None:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with AsyncClient("http://127.0.0.1:9", api_key=KEY, transport=transport) as client:
        await client.guardrails.set("fruit", SHORT)
        trial = await client.guardrails.try_out("fruit", "the forbidden fruit")
        assert (trial.policy, trial.side, trial.verdict, trial.text) == ("fruit@1", "input", "block", None)
        assert trial.found[0].startswith("max_length:")
        draft = await client.guardrails.try_out("draft", "the forbidden fruit", document=LONG)
        assert (draft.policy, draft.verdict, draft.text) == ("draft@0", "allow", "the forbidden fruit")
        with pytest.raises(NotFound, match="unknown"):
            await client.guardrails.try_out("unknown", "x")
        with pytest.raises(BadRequest, match="side"):
            await client.guardrails.try_out("fruit", "x", side="both")
        with pytest.raises(BadRequest, match="max_length"):
            await client.guardrails.try_out("draft", "x", document={"both": [{"guardrail": "max_lenght"}]})
    with serve_app(app, services) as address, Client(address, api_key=KEY) as blocking:
        assert blocking.guardrails.try_out("fruit", "an apple", side="output").verdict == "allow"
        roles = {role.name: role for role in blocking.users.roles()}
    assert list(roles) == ["viewer", "developer", "operator", "owner"]
    assert "models:write" in roles["operator"].permissions
    assert "models:write" not in roles["operator"].project_permissions
    assert set(roles["developer"].project_permissions) < set(roles["developer"].permissions)
