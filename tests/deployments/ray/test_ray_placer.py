"""Replicas with the placement `ray`: their leases, what they wait for, and what becomes of them without Ray."""

import pytest

from llmos.core.errors import NoNode
from llmos.deployments.cluster.messages import RAY, STARTED_BY
from llmos.deployments.placing.placer import ReplicaSettings
from llmos.engine.config import EngineConfig
from support.cluster import ON_NODES
from support.fake_ray import FakeRay
from support.fakes import continuation, generate, tokens_of
from support.looking import pause

pytestmark = pytest.mark.process

ON_RAY = ReplicaSettings(placement="ray")


@pytest.fixture
def ray():
    return FakeRay()


async def answer(cluster, files):
    events = [event async for event in cluster.pool.generate("m@1", files, generate(max_tokens=3))]
    return tokens_of(events[1:])


async def join(cluster, name):
    """Let a node join as an agent that was started for a lease does."""
    await cluster.join(name, labels={STARTED_BY: RAY})
    return name


async def until(is_so):
    while not is_so():
        await pause()


def test_a_replica_runs_where_ray_has_room_for_its_cpus(run_with, ray):
    async def test(cluster):
        ray.nodes = {await join(cluster, "ada"): 2, await join(cluster, "bob"): 8}
        files = cluster.model()
        await cluster.scaled(files, 1, ReplicaSettings(placement="ray", config=EngineConfig(threads=4)))
        assert cluster.places() == ["bob"]
        assert [each.num_cpus for each in ray.requests] == [4]
        assert await answer(cluster, files) == continuation([1, 2, 3], 3)

    run_with(test, ray=ray)


class Need:
    total, kv = 123_456_789, 1_000_000

    def arithmetic(self):
        return "all"


def test_a_lease_is_for_the_memory_that_the_model_takes_and_so_is_its_cache(run_with, ray, monkeypatch):
    async def test(cluster):
        monkeypatch.setattr("llmos.engine.sizing.fit.usual_need", lambda *_: Need())
        ray.nodes = {await join(cluster, "ada"): 1}
        await cluster.scaled(cluster.model(), 1, ON_RAY)
        assert ray.requests[0].memory_bytes == 123_456_789
        [worker] = cluster.head.nodes["ada"].workers.values()
        assert worker.command.config["kv_bytes"] == 1_000_000

    run_with(test, ray=ray)


def test_what_has_no_place_is_pending_with_the_reason_and_starts_when_a_node_comes(run_with, ray):
    async def test(cluster):
        ray.nodes = {await join(cluster, "ada"): 1}
        files = cluster.model()
        with pytest.raises(NoNode, match=r"waits for a node of Ray with 1 CPU and 0 bytes\. ada has 1 CPU and"):
            await cluster.scaled(files, 2, ON_RAY)
        await until(lambda: cluster.places() == ["ada"])
        assert cluster.pool.status()[0].error.endswith("1,000,000,000 bytes, of which replicas hold 1 and 0.")
        ray.add(await join(cluster, "bob"))
        await until(lambda: cluster.places() == ["ada", "bob"])
        assert len(ray.requests) == 2

    run_with(test, ray=ray)


def test_a_replica_that_dies_starts_again_with_the_same_lease(run_with, ray):
    async def test(cluster):
        ray.nodes = {await join(cluster, "ada"): 1}
        files = cluster.model()
        await cluster.scaled(files, 1, ON_RAY)
        [worker] = cluster.head.nodes["ada"].workers.values()
        worker.kill()
        await until(lambda: worker.pid not in [each.pid for each in cluster.head.nodes["ada"].workers.values()])
        await cluster.pool.ensure("m@1", files)
        await until(lambda: [*ray.held] == [ray.requests[0].lease])

    run_with(test, ray=ray)


def test_the_last_replica_gives_back_its_lease_its_node_and_the_driver(run_with, ray):
    ray.linger_seconds = 0

    async def test(cluster):
        name = await join(cluster, "ray-0123456789ab")
        ray.nodes = {name: 1}
        files = cluster.model()
        await cluster.scaled(files, 1, ON_RAY)
        cluster.pool.scale("m@1", files, 0, ON_RAY)
        await until(lambda: ray.num_stops)
        assert ray.held == {}
        await until(lambda: cluster.nodes.list() == [])
        await cluster.head.check_members()
        await cluster.until(lambda: name not in cluster.head.nodes)

    run_with(test, ray=ray)


def test_replicas_outlive_ray_say_so_and_keep_their_place_when_it_is_back(run_with, ray):
    async def test(cluster):
        ray.nodes = {await join(cluster, "ada"): 1, await join(cluster, "bob"): 1}
        files = cluster.model()
        await cluster.scaled(files, 2, ON_RAY)
        [before] = [[each.pid for each in cluster.pool.status()[0].replicas]]
        ray.lose("Ray at head:6379 was lost.")
        assert await answer(cluster, files) == continuation([1, 2, 3], 3)
        assert cluster.pool.status()[0].error == "Ray at head:6379 was lost."
        ray.come_back()
        await until(lambda: len(ray.held) == 2)
        assert sorted(each.address for each, _ in ray.held.values()) == ["ada", "bob"]
        assert [each.pid for each in cluster.pool.status()[0].replicas] == before
        assert cluster.pool.status()[0].error is None

    run_with(test, ray=ray)


def test_a_node_without_replicas_leaves_when_ray_comes_back(run_with, ray):
    ray.linger_seconds = 3600

    async def test(cluster):
        name = await join(cluster, "ray-0123456789ab")
        ray.nodes = {name: 1}
        files = cluster.model()
        await cluster.scaled(files, 1, ON_RAY)
        cluster.pool.scale("m@1", files, 0, ON_RAY)
        await until(lambda: not cluster.head.nodes[name].workers)
        ray.lose("Ray at head:6379 was lost.")
        ray.come_back()
        await until(lambda: cluster.nodes.list() == [])
        assert ray.held == {}

    run_with(test, ray=ray)


def test_a_lease_that_ray_has_ended_is_asked_for_again_at_the_place_of_its_replica(run_with, ray, monkeypatch):
    monkeypatch.setattr("llmos.deployments.ray.leases.AGAIN_SECONDS", 0)

    async def test(cluster):
        ray.nodes = {await join(cluster, "ada"): 1}
        files = cluster.model()
        await cluster.scaled(files, 1, ON_RAY)
        ray.end_leases()
        await until(lambda: len(ray.held) == 1)
        assert ray.requests[-1].address == "ada"
        assert await answer(cluster, files) == continuation([1, 2, 3], 3)

    run_with(test, ray=ray)


def test_a_node_that_is_gone_is_no_place_for_the_next_replica(run_with, ray):
    async def test(cluster):
        ray.nodes = {await join(cluster, "ada"): 1}
        await join(cluster, "bob")
        files = cluster.model()
        await cluster.scaled(files, 1, ON_RAY)
        ray.nodes = {"bob": 1}
        await cluster.agents.pop("ada").end()
        await until(lambda: cluster.places() == ["bob"])

    run_with(test, ray=ray)


def test_a_node_that_can_not_be_used_says_why(run_with, ray):
    async def test(cluster):
        ray.nodes, ray.refusal = {await join(cluster, "ada"): 1}, "The versions differ."
        with pytest.raises(NoNode, match="The node ada of Ray can't be used: The versions differ"):
            await cluster.scaled(cluster.model(), 1, ON_RAY)

    run_with(test, ray=ray)


def test_ray_that_is_not_there_is_the_reason(run_with, ray):
    async def test(cluster):
        ray.is_there = False
        with pytest.raises(NoNode, match="Ray doesn't answer yet"):
            await cluster.scaled(cluster.model(), 1, ON_RAY)
        ray.nodes = {await join(cluster, "ada"): 1}
        ray.come_back()
        await until(lambda: cluster.places() == ["ada"])

    run_with(test, ray=ray)


def test_a_server_without_ray_says_how_to_start_it(run_with):
    async def test(cluster):
        with pytest.raises(NoNode, match="LLMOS_RAY_ADDRESS"):
            await cluster.scaled(cluster.model(), 1, ON_RAY)

    run_with(test)


def test_nodes_of_ray_run_nothing_that_ray_does_not_know(run_with, ray):
    async def test(cluster):
        await join(cluster, "ada")
        with pytest.raises(NoNode, match="No node is connected"):
            await cluster.scaled(cluster.model(), 1, ON_NODES)

    run_with(test, ray=ray)
