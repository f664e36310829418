"""Pages of deployments and nodes as a browser without scripts gets them: where versions run, and what may join."""

from collections.abc import Sequence

import httpx
import pytest

from llmos.client import AsyncClient
from llmos.core.schemas.nodes import NodeDescription, NodeReplicaDescription
from llmos.deployments.cluster.head import ClusterSettings, make_cluster
from llmos.deployments.cluster.nodes import Candidate
from llmos.gateway.control import nodes as nodes_endpoint
from llmos.gateway.services import Services
from llmos.models.transfer.transfers import Transfers
from support.chromium import HOSTILE
from support.console import send
from support.tiny_folders import write_folder

# The page starts the process that reads the file of a model.
pytestmark = [pytest.mark.anyio, pytest.mark.process]


@pytest.fixture(scope="module", autouse=True)
def _tiny(services: Services, tmp_path_factory: pytest.TempPathFactory) -> None:
    Transfers(services.registry).import_path(write_folder(tmp_path_factory.mktemp("tiny") / "tiny"), "tiny")


@pytest.fixture
def north(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that is connected, as its agent describes itself."""

    async def describe(*_: object) -> Sequence[NodeDescription]:
        replicas = [NodeReplicaDescription(version="tiny@1", pid=7)]
        labels = {"zone": "north", "note": HOSTILE[:40]}
        return [NodeDescription(name="b", state="connected", labels=labels, round_trip_ms=1.5, replicas=replicas)]

    monkeypatch.setattr(nodes_endpoint, "describe_nodes", describe)


@pytest.mark.usefixtures("north")
async def test_a_version_is_placed_on_nodes_and_stays_there(ann: httpx.AsyncClient, owner: AsyncClient) -> None:
    page = (await ann.get("/console/deployments")).text
    for value in ("", "nodes", "b", "zone=north"):
        assert f'<option value="{value}">' in page
    fields = {"version": "tiny@1", "min_replicas": "0", "max_replicas": "2"}
    assert "is deployed" in await send(ann, "/deployments/deploy", **fields, placement="zone=north", kv_bytes="4194304")
    assert '<span class="tag">zone=north</span>' in (await ann.get("/console/deployments/tiny@1")).text
    await send(ann, "/deployments/deploy", **fields)  # As a form without the field sends it.
    wanted = (await owner.deployments.get("tiny@1")).wanted
    assert wanted is not None
    assert (wanted.placement, wanted.options) == ("zone=north", {"kv_bytes": 4_194_304})
    await send(ann, "/deployments/deploy", **fields, placement="")
    wanted = (await owner.deployments.get("tiny@1")).wanted
    assert wanted is not None
    assert wanted.placement is None
    await owner.deployments.remove("tiny@1")


@pytest.mark.usefixtures("north")
async def test_nodes_are_shown_with_their_labels_and_replicas(ann: httpx.AsyncClient) -> None:
    page = (await ann.get("/console/deployments/nodes")).text
    assert '<span class="tag">zone=north</span>' in page
    assert 'href="/console/deployments/tiny@1"' in page
    assert "connected" in page
    assert "<img" not in page


async def test_a_token_is_shown_once_and_a_node_is_removed(ann: httpx.AsyncClient, services: Services) -> None:
    assert "llmos cluster init" in (await ann.get("/console/deployments/nodes")).text
    assert "has no cluster" in await send(ann, "/deployments/nodes/token", minutes="15")
    make_cluster(services.settings.cluster_path, ClusterSettings(listen="127.0.0.1", address="head.example", port=8001))
    page = await send(ann, "/deployments/nodes/token", minutes="15")
    assert "llmos node --join head.example:8001 --token" in page

    token = services.nodes.make_token()
    services.nodes.admit(token.id, token.secret, Candidate(name="c", key_digest="0" * 64, address="10.0.0.3"))
    page = (await ann.get("/console/deployments/nodes")).text
    assert "10.0.0.3" in page
    assert "--token" not in page
    assert "c is not a node any more." in await send(ann, "/deployments/nodes/c/remove")
    assert "There is no node c" in await send(ann, "/deployments/nodes/c/remove")


async def test_a_version_is_pushed_by_a_job(ann: httpx.AsyncClient, owner: AsyncClient) -> None:
    assert "is not a target to push to" in await send(ann, "/models/tiny@1/jobs/push", target=HOSTILE)
    page = await send(ann, "/models/tiny@1/jobs/push", target="oci:registry.example/tiny:v1", base="oci:busybox")
    assert "The job “Push” is started" in page
    (job,) = await owner.jobs.list(kind="push")
    assert job.request["target"] == "oci:registry.example/tiny:v1"
    assert f'id="job-{job.id}"' in page
