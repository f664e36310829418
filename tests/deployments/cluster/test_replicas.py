"""Replicas on nodes: where they start, what they answer, and what callers are told when a node is gone."""

import asyncio
import os
import signal
from contextlib import aclosing

import pytest

from llmos.core.errors import BadModelFile, BadRequest, ReplicaFailed, StoreFailed, Unavailable
from llmos.deployments.cluster import connected_node, head
from llmos.deployments.cluster.messages import StartWorker
from llmos.deployments.placing.placer import ReplicaSettings
from llmos.deployments.replicas.watchdog import ReplicaTimeouts
from llmos.engine.messages import AdapterFiles, Delta, Rate, Started
from support.cluster import ON_NODES
from support.fakes import continuation, generate, tokens_of
from support.looking import pause

pytestmark = pytest.mark.process

LONG = 50_000


async def collect(events):
    return [event async for event in events]


def on(placement):
    return ReplicaSettings(placement=placement)


async def open_stream(pool, files, number=1):
    """Return the stream of a request that has had its first token."""
    stream = pool.generate("m@1", files, generate(f"r{number}", max_tokens=LONG))
    while not isinstance(await anext(stream), Delta):
        pass
    return stream


def test_a_replica_on_a_node_answers_as_one_on_this_machine(run_with):
    async def test(cluster):
        await cluster.join("ada")
        files = cluster.model()
        await cluster.scaled(files, 1)
        started, *deltas = await collect(cluster.pool.generate("m@1", files, generate(max_tokens=9)))
        assert started == Started("r", 3)
        assert tokens_of(deltas) == continuation([1, 2, 3], 9)
        [status] = cluster.pool.status()
        assert (status.state, status.replicas[0].node) == ("ready", "ada")
        assert status.pid != os.getpid()

    run_with(test)


def test_a_version_without_a_placement_runs_on_this_machine(run_with):
    async def test(cluster):
        await cluster.join("ada")
        await cluster.scaled(cluster.model(), 1, ReplicaSettings())
        assert cluster.places() == [""]

    run_with(test)


def test_replicas_of_a_version_go_to_different_nodes_first(run_with):
    async def test(cluster):
        for name in ("ada", "bob"):
            await cluster.join(name)
        files = cluster.model()
        await cluster.scaled(files, 2)  # Both are placed at the same time.
        assert cluster.places() == ["ada", "bob"]

    run_with(test)


@pytest.mark.parametrize("placement", ["bob", "zone=north"])
def test_a_node_is_chosen_by_its_name_or_by_a_label(run_with, placement):
    async def test(cluster):
        await cluster.join("ada", labels={"zone": "south"})
        await cluster.join("bob", labels={"zone": "north"})
        await cluster.scaled(cluster.model(), 2, on(placement))
        assert cluster.places() == ["bob", "bob"]

    run_with(test)


def test_a_change_of_the_placement_moves_the_replicas(run_with):
    async def test(cluster):
        for name in ("ada", "bob"):
            await cluster.join(name)
        files = cluster.model()
        for name in ("ada", "bob"):
            await cluster.scaled(files, 1, on(name))
            await cluster.pool.replica_sets["m@1"].wait_until_gone()
            assert cluster.places() == [name]

    run_with(test)


def test_what_finds_no_node_is_pending_and_says_which_there_are(run_with):
    async def test(cluster):
        await cluster.join("ada")
        files = cluster.model()
        with pytest.raises(Unavailable, match=r"No connected node is bob; connected: ada\."):
            await cluster.scaled(files, 1, on("bob"))
        [status] = cluster.pool.status()
        assert status.state == "pending"
        await cluster.join("bob")
        await asyncio.gather(*(slot.load() for slot in cluster.pool.replica_sets["m@1"].slots))
        assert cluster.places() == ["bob"]

    run_with(test)


def test_without_a_node_the_reason_says_so(run_with):
    async def test(cluster):
        with pytest.raises(Unavailable, match=r"No node is connected; connected: none\. See: llmos cluster nodes"):
            await cluster.scaled(cluster.model(), 1)

    run_with(test)


def test_a_node_without_memory_is_passed_over_and_the_reason_is_in_bytes(run_with, monkeypatch):
    async def test(cluster):
        await cluster.join("ada")
        monkeypatch.setattr("llmos.engine.sizing.fit.usual_need", lambda *_: Big())
        with pytest.raises(
            Unavailable, match=r"ada: it needs 9,000,000,000,000,000 bytes \(all\), and [\d,]+ are free"
        ):
            await cluster.scaled(cluster.model(), 1)
        assert cluster.pool.status()[0].state == "pending"

    run_with(test)


class Big:
    total = 9 * 10**15

    def arithmetic(self):
        return "all"


def test_the_error_of_a_model_is_the_same_as_on_this_machine(run_with):
    async def test(cluster):
        await cluster.join("ada")
        with pytest.raises(BadModelFile, match="its header is torn"):
            await cluster.scaled(cluster.model(refuse="its header is torn"), 1)

    run_with(test)


def test_a_worker_that_dies_is_described_with_its_node_and_its_last_words(run_with):
    async def test(cluster):
        await cluster.join("ada")
        files = cluster.model()
        await cluster.scaled(files, 1)
        stream = await open_stream(cluster.pool, files)
        os.kill(cluster.pool.status()[0].pid, signal.SIGKILL)
        with pytest.raises(ReplicaFailed, match="was killed by signal 9 on the node ada"):
            await collect(stream)
        await cluster.pool.ensure("m@1", files)
        assert cluster.places() == ["ada"]

    run_with(test)


def test_the_last_words_of_a_process_that_could_not_start_are_in_the_reason(run_with):
    async def test(cluster):
        await cluster.join("ada", command=("/bin/sh", "-c", "echo no such library >&2; exit 3"))
        with pytest.raises(
            ReplicaFailed, match=r"exited with status 3 on the node ada \(its last output: no such library"
        ):
            await cluster.scaled(cluster.model(), 1)

    run_with(test)


def test_a_request_without_a_token_is_answered_by_another_node(run_with):
    async def test(cluster):
        for name in ("ada", "bob"):
            await cluster.join(name)
        files = cluster.model()
        await cluster.scaled(files, 2)
        waiting = []
        for number in range(6):
            waiting.append(
                asyncio.create_task(collect(cluster.pool.generate("m@1", files, generate(f"r{number}", max_tokens=3))))
            )
        await asyncio.sleep(0)
        await cluster.agents["ada"].end()
        for events in await asyncio.gather(*waiting):
            assert tokens_of(events[1:]) == continuation([1, 2, 3], 3)

    run_with(test)


def test_a_request_with_a_token_gets_an_error_with_the_name_of_the_node(run_with):
    async def test(cluster):
        await cluster.join("ada")
        files = cluster.model()
        await cluster.scaled(files, 1)
        stream = await open_stream(cluster.pool, files)
        await cluster.agents["ada"].end()
        with pytest.raises(ReplicaFailed, match="node ada"):
            await collect(stream)

    run_with(test)


def test_a_node_that_comes_back_is_used_again(run_with):
    async def test(cluster):
        node = await cluster.join("ada")
        files = cluster.model()
        await cluster.scaled(files, 1)
        await node.end()
        await cluster.until(lambda: "ada" not in cluster.head.nodes)
        await cluster.start("ada")
        await cluster.pool.ensure("m@1", files)
        assert cluster.places() == ["ada"]

    run_with(test)


def test_replicas_on_a_node_end_with_their_head(run_with):
    async def test(cluster):
        await cluster.join("ada")
        await cluster.scaled(cluster.model(), 2)
        pids = [slot.replica.pid for slot in cluster.pool.replica_sets["m@1"].slots]
        cluster.head.nodes["ada"].close()  # What the node sees of a head that was killed.
        for pid in pids:
            await gone(pid)

    run_with(test)


async def gone(pid):
    """Return when the process has ended."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().add_reader(process, ended.set_result, None)
    try:
        await ended
    finally:
        asyncio.get_running_loop().remove_reader(process)
        os.close(process)


def test_a_node_that_leaves_finishes_its_answers_first(run_with):
    async def test(cluster):
        for name in ("ada", "bob"):
            await cluster.join(name)
        files = cluster.model()
        await cluster.scaled(files, 1, on("nodes"))
        [name] = cluster.places()
        stream = cluster.pool.generate("m@1", files, generate(max_tokens=2_000))
        while not isinstance(event := await anext(stream), Delta):
            pass
        cluster.nodes.remove(name)
        await cluster.head.check_members()
        events = [event, *await collect(stream)]
        assert tokens_of(events) == continuation([1, 2, 3], 2_000)
        await cluster.pool.replica_sets["m@1"].wait_until_gone()
        await cluster.head.check_members()
        await cluster.agents[name].running
        await cluster.pool.ensure("m@1", files)
        assert cluster.places() == [{"ada": "bob", "bob": "ada"}[name]]

    run_with(test)


def test_a_stopped_worker_is_noticed_and_replaced(run_with):
    timeouts = ReplicaTimeouts(silence_seconds=0.2)

    async def test(cluster):
        await cluster.join("ada")
        files = cluster.model()
        await cluster.scaled(files, 1)
        stream = await open_stream(cluster.pool, files)
        os.kill(cluster.pool.status()[0].pid, signal.SIGSTOP)
        with pytest.raises(ReplicaFailed, match=r"no sign of life for .* seconds on the node ada"):
            await collect(stream)
        await cluster.pool.ensure("m@1", files)

    run_with(test, timeouts=timeouts)


def test_threads_are_shared_on_each_node(run_with):
    async def test(cluster):
        await cluster.join("ada")
        sent = []
        node = cluster.head.nodes["ada"]
        node.facts = connected_node.NodeFacts(num_cores=8, memory_bytes=10**12, available_bytes=10**12)
        node.ask_facts = do_nothing
        start = node.start_worker

        async def start_worker(order):
            sent.append(order.config["threads"])
            return await start(order)

        node.start_worker = start_worker
        for most, threads in ((1, 8), (3, 2)):
            await cluster.scaled(cluster.model(n=most), 1, ReplicaSettings(placement="nodes", max_replicas=most))
            await cluster.pool.stop("m@1")
            assert sent.pop() == threads

    run_with(test)


async def do_nothing():
    return True


def test_a_node_that_does_not_answer_gets_no_replicas(run_with, monkeypatch):
    monkeypatch.setattr(connected_node, "FACTS_SECONDS", 0.1)

    async def test(cluster):
        for name in ("ada", "bob"):
            await cluster.join(name)
        monkeypatch.setattr(cluster.head.nodes["ada"]._link, "send", lambda message: None)  # An agent that is stopped.
        await cluster.scaled(cluster.model(), 2)
        assert cluster.places() == ["bob", "bob"]
        with pytest.raises(Unavailable, match="ada: it doesn't answer"):
            await cluster.scaled(cluster.model(), 1, on("ada"))

    run_with(test)


def test_a_node_that_stops_answering_while_it_starts_a_worker_is_given_up(run_with, monkeypatch):
    monkeypatch.setattr(connected_node, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(connected_node, "FACTS_SECONDS", 0.1)

    async def test(cluster):
        await cluster.join("ada")
        node = cluster.head.nodes["ada"]
        send = node._link.send

        def stop(message):
            if isinstance(message, StartWorker):
                monkeypatch.setattr(node._link, "send", lambda message: None)
            else:
                send(message)

        monkeypatch.setattr(node._link, "send", stop)
        with pytest.raises(Unavailable, match="The node ada doesn't answer"):
            await cluster.scaled(cluster.model(), 1)

    run_with(test)


def test_an_adapter_is_refused_in_one_line(run_with):
    async def test(cluster):
        await cluster.join("ada")
        files = cluster.model()
        await cluster.scaled(files, 1)
        request = generate(max_tokens=3)
        request = type(request)(
            **{name: getattr(request, name) for name in request.__struct_fields__}
            | {"adapter": AdapterFiles("sha256:0", {})}
        )
        with pytest.raises(BadRequest, match="runs on the node ada, and adapters"):
            await collect(cluster.pool.generate("m@1", files, request))
        with pytest.raises(BadRequest, match="runs on the node ada, and adapters"):
            await cluster.pool.rate("m@1", files, Rate(request=request, scores_prompt=True))

    run_with(test)


def test_a_caller_that_hangs_up_while_the_files_are_sent_ends_the_worker(run_with):
    async def test(cluster):
        await cluster.join("ada")
        files = cluster.model(hang_loading=1)
        cluster.pool.scale("m@1", files, 1, ON_NODES)
        node = cluster.head.nodes["ada"]
        while not node.workers:
            await pause()
        [worker] = node.workers.values()
        await cluster.pool.close(drain=False)
        await gone(worker.pid)
        assert not node.workers

    run_with(test)


def test_the_second_load_of_a_version_sends_nothing(run_with):
    async def test(cluster):
        await cluster.join("ada")
        files = cluster.model(padding="x" * 100_000)
        fetched = []
        for _ in range(2):
            await cluster.scaled(files, 1)
            [worker] = cluster.head.nodes["ada"].workers.values()
            fetched.append(worker.num_fetched_bytes)
            await cluster.pool.stop("m@1")
        assert fetched == [files["model"].stat().st_size, 0]

    run_with(test)


def test_a_file_comes_from_a_node_that_has_it(run_with, monkeypatch):
    async def test(cluster):
        await cluster.join("ada")
        files = cluster.model(padding="x" * 100_000)
        await cluster.scaled(files, 1)
        await cluster.pool.stop("m@1")
        await cluster.join("bob")
        monkeypatch.setattr(head, "send_blob", refuse)
        await cluster.scaled(files, 1, on("bob"))
        [worker] = cluster.head.nodes["bob"].workers.values()
        assert worker.num_fetched_bytes == files["model"].stat().st_size

    run_with(test)


async def refuse(link, store, asked):
    link.close()


def test_wrong_bytes_on_a_neighbour_are_noticed_and_fetched_from_the_head(run_with):
    async def test(cluster):
        ada = await cluster.join("ada")
        files = cluster.model(padding="x" * 100_000)
        await cluster.scaled(files, 1)
        await cluster.pool.stop("m@1")
        blob = ada.store.blob_path(ada.store.digest_at(ada.store.path / "blobs" / "sha256" / files["model"].name))
        blob.chmod(0o644)
        content = blob.read_bytes()
        blob.write_bytes(b"y" * len(content))
        bob = await cluster.join("bob")
        await cluster.scaled(files, 1, on("bob"))
        assert bob.store.blob_path(f"sha256:{files['model'].name}").read_bytes() == content

    run_with(test)


def test_an_interrupted_file_is_continued(run_with):
    async def test(cluster):
        ada = await cluster.join("ada")
        files = cluster.model(padding="x" * 100_000)
        content = files["model"].read_bytes()
        part = ada.store.path / "incoming" / f"{files['model'].name}.part"
        part.parent.mkdir(parents=True)
        part.write_bytes(content[:90_000])
        await cluster.scaled(files, 1)
        [worker] = cluster.head.nodes["ada"].workers.values()
        assert worker.num_fetched_bytes == len(content) - 90_000
        assert ada.store.blob_path(f"sha256:{files['model'].name}").read_bytes() == content

    run_with(test)


def test_a_part_that_is_wrong_is_fetched_again(run_with):
    async def test(cluster):
        ada = await cluster.join("ada")
        files = cluster.model(padding="x" * 100_000)
        part = ada.store.path / "incoming" / f"{files['model'].name}.part"
        part.parent.mkdir(parents=True)
        part.write_bytes(b"y" * 90_000)
        await cluster.scaled(files, 1)
        assert cluster.places() == ["ada"]

    run_with(test)


def test_a_node_without_disk_is_passed_over_for_the_next(run_with, monkeypatch):
    async def test(cluster):
        ada, _ = await cluster.join("ada"), await cluster.join("bob")

        def check_room(needed_bytes, what):
            raise StoreFailed(f"{what} needs {needed_bytes:,} bytes, and 0 are free there.")

        monkeypatch.setattr(ada.store, "check_room", check_room)
        await cluster.scaled(cluster.model(), 2)
        assert cluster.places() == ["bob", "bob"]

    run_with(test)


def test_a_long_answer_does_not_fill_the_memory_of_a_slow_head(run_with):
    """Closing a stream aborts the request on the node, too."""

    async def test(cluster):
        await cluster.join("ada")
        files = cluster.model()
        await cluster.scaled(files, 1)
        async with aclosing(await open_stream(cluster.pool, files)):
            pass
        [replica] = [slot.replica for slot in cluster.pool.replica_sets["m@1"].slots]
        while replica.load.num_running:
            await pause()

    run_with(test)
