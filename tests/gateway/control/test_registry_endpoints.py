"""Aliases, labels, policies and cards over HTTP, on a real registry."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from llmos.core.config import load_settings
from llmos.core.errors import UntrustedModel
from llmos.deployments.desired.deployments import Deployments
from llmos.deployments.placing.local import LocalPlacer
from llmos.deployments.replicas.pool import Pool
from llmos.deployments.routing.routes import Routes
from llmos.gateway.app import create_app
from llmos.gateway.services import Services
from llmos.models import open_registry
from llmos.models.cards.cards import Cards
from llmos.models.policies import Policies
from llmos.models.queries import ensure_model
from llmos.models.registry import Registry
from llmos.models.signing.enforcement import open_signature_enforcer
from llmos.models.tables import VersionFileRow, VersionRow
from support.made_cards import card
from support.pipelines import with_parts
from support.scripted import KEY

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def registry(tmp_path: Path, database_url: str) -> Iterator[Registry]:
    """With two versions of a model whose files are nowhere."""
    settings = load_settings({"LLMOS_HOME": str(tmp_path / "home"), "LLMOS_DATABASE_URL": database_url})
    registry = open_registry(settings)
    with registry.database.transaction() as session:
        ensure_model(session, "tiny", NOON)
        for number in (1, 2):
            session.add(
                VersionRow(
                    model="tiny", number=number, digest=f"sha256:{number:064}", created_at=NOON, source="import:/",
                    format="gguf", family="llama", quantization="Q4_1", parameters=1, sampling={},
                    files=[VersionFileRow(name="model.gguf", digest=f"sha256:{number:064}", size=1)],
                )
            )  # fmt: skip
    yield registry
    registry.database.close()


@pytest.fixture
async def real(services: Services, registry: Registry) -> AsyncIterator[httpx.AsyncClient]:
    routes = Routes(registry)
    app = create_app(
        with_parts(
            services,
            registry=registry,
            routes=routes,
            deployments=Deployments(registry.database, registry),
        )
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://llmos/llmos/v1", headers=headers) as client:
        yield client


def error_of(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["error"]["message"]


@pytest.mark.process
async def test_an_alias_is_moved_read_and_removed(real: httpx.AsyncClient, registry: Registry) -> None:
    first = (await real.put("/models/tiny/aliases/prod", json={"version": "tiny@1"})).json()
    assert (first["name"], first["was"], first["now"], first["by"]) == ("tiny:prod", None, "tiny@1", "owner")
    body = {"version": "tiny@2", "expected": "tiny@1"}
    second = (await real.put("/models/tiny/aliases/prod", json=body)).json()
    assert (second["was"], second["now"]) == ("tiny@1", "tiny@2")
    assert (await real.get("/models/tiny:prod")).json()["version"] == "tiny@2"
    assert (await real.get("/models/tiny/aliases")).json() == {"data": [second]}
    assert (await real.get("/models/tiny/aliases/prod/history")).json() == {"data": [first, second]}
    status, message = error_of(await real.put("/models/tiny/aliases/prod", json=body))
    assert (status, "points at tiny@2, not at" in message) == (409, True)
    assert (await real.delete("/models/tiny/aliases/prod")).status_code == 204
    assert (await real.delete("/models/tiny/aliases/prod")).status_code == 404
    assert (await real.get("/models/tiny/aliases/prod/history")).json()["data"][-1]["now"] is None


@pytest.mark.process
async def test_an_alias_is_resolved_at_a_past_date(real: httpx.AsyncClient) -> None:
    move = (await real.put("/models/tiny/aliases/prod", json={"version": "tiny@1"})).json()
    path = "/models/tiny/aliases/prod/history"
    assert (await real.get(path, params={"at": "2026-03-03"})).json() == {"data": []}
    assert (await real.get(path, params={"at": move["at"]})).json() == {"data": [move]}
    assert error_of(await real.get(path, params={"at": "then"}))[0] == 400
    assert error_of(await real.get("/models/tiny/aliases/never/history"))[0] == 404


async def test_a_version_used_by_a_route_or_deployment_cannot_be_removed(
    real: httpx.AsyncClient, registry: Registry
) -> None:
    await real.put("/models/tiny/aliases/prod", json={"version": "tiny@1"})
    await real.put("/routes/chat", json={"target": "tiny:prod"})
    status, message = error_of(await real.delete("/models/tiny/aliases/prod"))
    assert (status, "llmos route set chat MODEL" in message) == (409, True)
    await real.delete("/routes/chat")
    Deployments(registry.database, registry).deploy("tiny:prod", actor="ada")
    status, message = error_of(await real.delete("/models/tiny/aliases/prod"))
    assert (status, "llmos undeploy tiny@1" in message) == (409, True)
    assert (await real.get("/models/tiny:prod")).json()["version"] == "tiny@1"


async def test_labels_are_set_shown_and_searched(real: httpx.AsyncClient) -> None:
    assert (await real.get("/models/tiny/labels")).json() == {"description": None, "tags": {}}
    change: dict[str, Any] = {"description": "Small", "tags": {"team": "search"}}
    assert (await real.patch("/models/tiny/labels", json=change)).json() == change
    await real.patch("/models/tiny@1/labels", json={"tags": {"approved": "", "old": ""}})
    labels = (await real.patch("/models/tiny@1/labels", json={"remove_tags": ["old"]})).json()
    assert labels == {"description": None, "tags": {"approved": ""}}
    version = (await real.get("/models/tiny@1")).json()
    assert (version["tags"], version["model_tags"], version["model_description"]) == (
        {"approved": ""}, {"team": "search"}, "Small"
    )  # fmt: skip

    async def tagged(tag: str) -> list[str]:
        return [each["version"] for each in (await real.get("/models", params={"tag": tag})).json()["data"]]

    assert await tagged("approved") == ["tiny@1"]
    assert await tagged("team=search") == ["tiny@1", "tiny@2"]
    assert await tagged("team=ads") == []
    changes = (await real.get("/models/tiny@1/labels/history")).json()["data"]
    assert [(each["what"], each["was"], each["now"], each["by"]) for each in changes] == [
        ("tag approved", None, "", "owner"), ("tag old", None, "", "owner"), ("tag old", "", None, "owner")
    ]  # fmt: skip


async def test_policies_are_set_and_unset(real: httpx.AsyncClient) -> None:
    assert (await real.get("/policies")).json() == {"data": []}
    policy = (await real.put("/policies/max_perplexity_increase", json={"value": "5%"})).json()
    assert (policy["value"], policy["updated_by"]) == (0.05, "owner")
    assert (await real.get("/policies")).json() == {"data": [policy]}
    assert (await real.delete("/policies/max_perplexity_increase")).status_code == 204
    assert (await real.get("/policies")).json() == {"data": []}


async def test_signatures_are_stored_and_listed(real: httpx.AsyncClient) -> None:
    bundle = '{"verificationMaterial": {"publicKey": {"hint": "abc"}}}'
    kept = {"data": [{"version": "tiny@1", "key": "abc", "signature": bundle}]}
    for _ in range(2):
        assert (await real.post("/models/tiny@1/signatures", json={"signature": bundle})).json() == kept
    assert (await real.get("/models/tiny@1/signatures")).json() == kept
    assert (await real.get("/models/tiny@2/signatures")).json() == {"data": []}


async def test_a_version_that_the_policy_forbids_is_rejected_with_the_reason(
    real: httpx.AsyncClient, registry: Registry, tmp_path: Path
) -> None:
    guard = open_signature_enforcer(load_settings({"LLMOS_HOME": str(tmp_path / "home")}), registry)
    pool = Pool(placer=LocalPlacer(["/bin/false"]), check=guard.check)
    await real.put("/policies/require_signature", json={"value": "on"})
    with pytest.raises(UntrustedModel, match=r"tiny@1 is not loaded because .* require_signature is on"):
        await pool.ensure("tiny@1", {})
    (status,) = pool.status()
    assert (status.state, "require_signature" in (status.error or "")) == ("failed", True)
    await pool.close()


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", "/models/tiny/aliases/prod", {"version": "tiny@9"}, 404),
        ("PUT", "/models/tiny/aliases/a b", {"version": "tiny@1"}, 400),
        ("PUT", "/models/tiny/aliases/prod", {"target": "tiny@1"}, 400),
        ("PUT", "/models/nobody/aliases/prod", {"version": "nobody@1"}, 404),
        ("GET", "/models/nobody/aliases", None, 404),
        ("PATCH", "/models/tiny@9/labels", {"tags": {"a": ""}}, 404),
        ("PATCH", "/models/tiny/labels", {"tags": {"a b": ""}}, 400),
        ("PATCH", "/models/tiny/labels", {"remove_tags": ["a"]}, 404),
        ("PUT", "/policies/require_signatur", {"value": True}, 404),
        ("PUT", "/policies/require_signature", {"value": "perhaps"}, 400),
        ("DELETE", "/policies/zzz", None, 404),
        ("POST", "/models/tiny@1/signatures", {"signature": "mine"}, 400),
        ("POST", "/models/tiny@9/signatures", {"signature": "mine"}, 404),
    ],
)
async def test_invalid_requests_are_rejected(
    real: httpx.AsyncClient, method: str, path: str, body: Any, status: int
) -> None:
    assert error_of(await real.request(method, path, json=body))[0] == status


async def test_a_card_is_shown_with_its_current_limits(real: httpx.AsyncClient, registry: Registry) -> None:
    version = registry.resolve("tiny@2")
    Cards(registry.database).put(version, card(version=version.ref, digest=version.digest))
    assert (await real.get("/models/tiny/card")).json()["limits"] == []
    Policies(registry.database).set("max_perplexity_increase", 0.05)
    found = (await real.get("/models/tiny@2/card")).json()
    assert (found["version"], found["comparison"]["perplexity_increase"]) == ("tiny@2", 0.075)
    assert [(limit["name"], limit["passes"]) for limit in found["limits"]] == [("max_perplexity_increase", False)]

    page = await real.get("/models/tiny@2/card.html")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "script" not in page.headers["content-security-policy"]
    assert "7.50 % more perplexity" in page.text


@pytest.mark.parametrize("path", ["card", "card.html"])
async def test_a_version_without_a_card_names_the_command_that_makes_one(real: httpx.AsyncClient, path: str) -> None:
    answer = await real.get(f"/models/tiny@1/{path}")
    assert answer.status_code == 404
    assert "llmos card tiny@1 --measure" in answer.json()["error"]["message"]
    assert (await real.get(f"/models/nobody/{path}")).status_code == 404
