"""Nodes over HTTP: tokens, the list, and removal."""

import httpx
import pytest

from llmos.deployments.cluster.head import ClusterSettings, make_cluster
from llmos.deployments.cluster.joining import JoinToken
from llmos.deployments.cluster.nodes import Candidate
from llmos.gateway.services import Services

pytestmark = pytest.mark.anyio

NODES = "/llmos/v1/nodes"


async def test_without_a_cluster_the_error_has_the_next_command(http: httpx.AsyncClient) -> None:
    assert (await http.get(NODES)).json() == {"data": []}
    reply = await http.post(f"{NODES}/tokens", json={})
    assert (reply.status_code, "llmos cluster init" in reply.json()["error"]["message"]) == (409, True)


async def test_a_token_comes_with_the_command_that_joins(http: httpx.AsyncClient, services: Services) -> None:
    settings = ClusterSettings(listen="127.0.0.1", address="head.example", port=8001)
    authority = make_cluster(services.settings.cluster_path, settings)
    reply = await http.post(f"{NODES}/tokens", json={"minutes": 5})
    made = reply.json()
    assert reply.status_code == 201
    assert made["command"] == f"llmos node --join head.example:8001 --token {made['token']}"
    assert JoinToken.parse(made["token"]).fingerprint == authority.fingerprint
    assert (await http.post(f"{NODES}/tokens", json={"minutes": 0})).status_code == 400


async def test_a_node_that_is_away_is_listed_and_can_be_removed(http: httpx.AsyncClient, services: Services) -> None:
    token = services.nodes.make_token()
    candidate = Candidate(name="ada", key_digest="a" * 64, address="10.0.0.2")
    services.nodes.admit(token.id, token.secret, candidate)
    [node] = (await http.get(NODES)).json()["data"]
    assert (node["name"], node["state"], node["address"], node["since"]) == ("ada", "away", "10.0.0.2", None)
    assert (await http.delete(f"{NODES}/ada")).status_code == 204
    reply = await http.delete(f"{NODES}/ada")
    assert (reply.status_code, "There is no node ada" in reply.json()["error"]["message"]) == (404, True)


async def test_a_deployment_says_where_it_runs(http: httpx.AsyncClient) -> None:
    put = await http.put("/llmos/v1/deployments/smollm2", json={"placement": "zone=north"})
    assert put.json()["wanted"]["placement"] == "zone=north"
    assert (await http.put("/llmos/v1/deployments/smollm2", json={})).json()["wanted"]["placement"] is None


@pytest.mark.parametrize("placement", ["", "A node", "a=b=c", "ada,bob", "=x"])
async def test_what_is_no_placement(http: httpx.AsyncClient, placement: str) -> None:
    reply = await http.put("/llmos/v1/deployments/smollm2", json={"placement": placement})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "placement")
