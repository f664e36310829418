"""One model over two nodes: the same tokens as on this machine, and what callers are told when a stage is gone."""

import asyncio
import os
import signal

import pytest

from llmos.core.errors import ReplicaFailed, Unavailable
from llmos.deployments.placing.local import WORKER_COMMAND
from llmos.deployments.placing.placer import ReplicaSettings
from llmos.engine.config import EngineConfig
from llmos.engine.messages import Delta, Generate, SamplingParams
from support.fakes import tokens_of

pytestmark = pytest.mark.process

CONFIG = EngineConfig(kv_bytes=16 << 20, max_sequences=4, max_batched_tokens=64, threads=1)
SPLIT = "ada:0-9,bob:10-29"


def on(placement):
    return ReplicaSettings(placement=placement, config=CONFIG)


def ask(id, max_tokens=12):
    sampling = SamplingParams(temperature=0, max_tokens=max_tokens, ignore_eos=True)
    return Generate(id=id, text="Once upon a time", sampling=sampling)


async def two_nodes(cluster, smollm2_path):
    """Let ada and bob join, who have the model's file. Return its files at the head."""
    for name in ("ada", "bob"):
        node = await cluster.join(name, command=WORKER_COMMAND)
        node.store.add(smollm2_path)
    digest, _ = cluster.store.add(smollm2_path)
    return {"model.gguf": cluster.store.blob_path(digest)}


async def answer(cluster, files, id):
    deltas = [event async for event in cluster.pool.generate("m@1", files, ask(id)) if isinstance(event, Delta)]
    return tokens_of(deltas)


def processes(cluster):
    return {name: [worker.pid for worker in node.workers.values()] for name, node in cluster.head.nodes.items()}


def test_a_model_over_two_nodes_answers_as_on_one_and_is_restarted_when_a_stage_is_gone(run_with, smollm2_path):
    async def test(cluster):
        files = await two_nodes(cluster, smollm2_path)
        await cluster.scaled(files, 1, on("bob"))
        expected = await answer(cluster, files, "whole")
        await cluster.scaled(files, 1, on(f"{SPLIT}!"))
        await cluster.pool.replica_sets["m@1"].wait_until_gone()
        assert cluster.places() == [SPLIT]
        assert await answer(cluster, files, "split") == expected

        before = processes(cluster)
        assert [len(each) for each in before.values()] == [1, 1]
        stream = cluster.pool.generate("m@1", files, ask("cut", 2000))
        while not isinstance(await anext(stream), Delta):
            pass
        os.kill(before["bob"][0], signal.SIGKILL)
        with pytest.raises(ReplicaFailed, match=r"The stage of the layers 10-29 on bob"):
            async for _ in stream:
                pass
        assert await answer(cluster, files, "again") == expected, "a request without a token is tried again"
        after = processes(cluster)
        assert not {*before["ada"], *before["bob"]} & {*after["ada"], *after["bob"]}

        os.kill(after["ada"][0], signal.SIGKILL)
        assert await answer(cluster, files, "once more") == expected

    run_with(test)


@pytest.mark.parametrize(
    ("placement", "message"),
    [
        (SPLIT, "The node ada alone has room for m@1: llmos deploy m@1 --on ada. To split it anyway, add"),
        ("split", "The node ada alone has room for m@1"),
        ("ada:0-9,cy:10-29!", r"No connected node is cy; connected: ada, bob\."),
        ("ada:0-9,bob:10-30!", "The stages end behind layer 30; the model's last layer is 29"),
    ],
)
def test_splits_that_cannot_be_are_refused_in_a_line(run_with, smollm2_path, placement, message):
    async def test(cluster):
        files = await two_nodes(cluster, smollm2_path)
        with pytest.raises(Exception, match=message):
            await cluster.scaled(files, 1, on(placement))
        assert [*processes(cluster).values()] == [[], []]

    run_with(test)


def test_a_node_that_cannot_start_its_stage_leaves_no_other_behind(run_with, smollm2_path):
    async def test(cluster):
        files = await two_nodes(cluster, smollm2_path)
        ada = cluster.agents["ada"]
        ada.agent._settings = type(ada.agent._settings)(
            **{
                name: getattr(ada.agent._settings, name)
                for name in ada.agent._settings.__dataclass_fields__
                if name != "command"
            },
            command=["/no/such/program"],
        )
        with pytest.raises(Unavailable, match="can't be started on this node"):
            await cluster.scaled(files, 1, on("ada:0-9,bob:10-29!"))
        bob = cluster.head.nodes["bob"]
        while bob.workers:
            await asyncio.sleep(0)
        assert not bob.reservations

    run_with(test)
