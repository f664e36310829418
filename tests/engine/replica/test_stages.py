"""A model whose stages are behind sockets answers as on one machine, and says which stage is at fault."""

import signal
import socket
import struct
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest

from llmos.core.errors import BadModelFile, BadRequest, InsufficientMemory, UnsupportedModel
from llmos.engine.checkpoint.adapters import LowRankUpdate
from llmos.engine.config import EngineConfig
from llmos.engine.loading import load, load_engine
from llmos.engine.messages import Generate, SamplingParams
from llmos.engine.runner import StageLost
from llmos.engine.runner.split import StageLink
from llmos.engine.runner.stage import Stage, StageBatch
from llmos.engine.runner.stage_frames import HEADER, BadFrame, FrameSocket, Kind, read_step, step_parts
from support.fakes import drain, tokens_of
from support.random_models import batch_of
from support.stages import order_of, stage_in_thread, stage_process

CONFIG = {"kv_bytes": 40 << 20, "max_sequences": 8, "max_batched_tokens": 64, "threads": 1}
PROMPT = "Tell me about these numbers: " + " ".join(map(str, range(40)))


def answers_of(engine):
    """Return the tokens of three requests at once, one of which repeats itself, and one of which has a seed."""
    for id, text, temperature in (("a", PROMPT, 0), ("b", "la la la la la la", 0), ("c", PROMPT, 1)):
        sampling = SamplingParams(temperature=temperature, max_tokens=24, ignore_eos=True, seed=7, logprobs=2)
        engine.submit(Generate(id=id, text=text, sampling=sampling))
    return {choice: tokens_of(deltas) for choice, deltas in drain(engine).items()}


def split_engine(path, *cuts, **options):
    """Return an engine with the stages [0, cut), [cut, next cut), ... of smollm2, whose layers are 0 to 29."""
    files = {"model.gguf": path}
    config = CONFIG | options
    edges = [*cuts, 30]
    stages = [
        order_of(stage_in_thread(), first, end - 1, files, f"node-{i}", **config)
        for i, (first, end) in enumerate(pairwise(edges))
    ]
    engine, ready = load(files, EngineConfig(**config), stages=stages)
    return engine, ready


@pytest.fixture(scope="module")
def expected(smollm2_path):
    return answers_of(load_engine({"model.gguf": smollm2_path}, EngineConfig(**CONFIG))[0])


@pytest.mark.parametrize("cuts", [(14,), (3, 29)], ids=str)
def test_a_model_in_stages_gives_the_same_tokens(smollm2_path, expected, cuts):
    engine, ready = split_engine(smollm2_path, *cuts)
    assert answers_of(engine) == expected
    assert ready.weight_bytes > 50_000_000
    engine.runner.close()


def test_all_stages_have_as_many_blocks_as_the_one_with_the_least_room(smollm2_path):
    files = {"model.gguf": smollm2_path}
    least = order_of(stage_in_thread(), 20, 29, files, **CONFIG | {"kv_bytes": 4 << 20})
    engine, ready = load(files, EngineConfig(**CONFIG), stages=[least])
    whole = load_engine(files, EngineConfig(**CONFIG))[1]
    assert ready.num_blocks == (4 << 20) * 3 // (whole.kv_bytes // whole.num_blocks)
    engine.runner.close()


@pytest.mark.parametrize(
    ("stage", "error", "message"),
    [
        ((15, 28), BadRequest, "end behind layer 28"),
        ((30, 40), BadRequest, "end behind layer 40"),
    ],
)
def test_stages_that_are_not_the_layers_are_refused_before_anything_is_loaded(smollm2_path, stage, error, message):
    files = {"model.gguf": smollm2_path}
    order = order_of(stage_in_thread(), *stage, files, **CONFIG)
    with pytest.raises(error, match=message):
        load(files, EngineConfig(**CONFIG), stages=[order])


def test_what_a_stage_says_is_wrong_names_its_node(smollm2_path, tmp_path):
    files = {"model.gguf": smollm2_path}
    (tmp_path / "model.gguf").write_bytes(b"no model")
    order = order_of(stage_in_thread(), 15, 29, {"model.gguf": tmp_path / "model.gguf"}, "node-b", **CONFIG)
    with pytest.raises(BadModelFile, match=r"^node-b: "):
        load(files, EngineConfig(**CONFIG), stages=[order])
    order = order_of(stage_in_thread(), 15, 29, files, "node-b", **CONFIG | {"kv_bytes": 1 << 60})
    with pytest.raises(InsufficientMemory, match=r"^node-b: kv_bytes is"):
        load(files, EngineConfig(**CONFIG), stages=[order])


def test_a_stage_without_homes_kernels_is_refused(smollm2_path, monkeypatch):
    from llmos.engine import stages

    files = {"model.gguf": smollm2_path}
    room_for = stages.room_for

    def without(checkpoint, config, stage):
        room = room_for(checkpoint, config, stage)
        return type(room)(
            num_blocks=room.num_blocks, num_states=room.num_states, num_snapshots=room.num_snapshots, isas=["portable"]
        )

    monkeypatch.setattr("llmos.engine.replica.stage_worker.room_for", without)
    order = order_of(stage_in_thread(), 15, 29, files, "node-b", **CONFIG)
    with pytest.raises(UnsupportedModel, match="node-b has no kernels for"):
        load(files, EngineConfig(**CONFIG), stages=[order])


class Plain:
    """Sends frames as they are."""

    def __init__(self, frames):
        self.connection = frames._connection
        self.send = partial(FrameSocket.send, frames)
        self.close = frames.close


class Faulty:
    """A stage that computes, but answers the second step of its life as `answer` says: given the frames, the step, and
    the rows that would be right."""

    def __init__(self, answer):
        self._answer, self._num_rows_sent = answer, 0

    def serve(self, connection):
        from llmos.engine.replica import stage_worker

        class Frames(FrameSocket):
            def send(frames, kind, step, *parts):
                if kind == Kind.ROWS:
                    self._num_rows_sent += 1
                    if self._num_rows_sent == 2:
                        return self._answer(Plain(frames), step, parts[0])
                return super().send(kind, step, *parts)

        frames = Frames(connection)
        if (runner := stage_worker._load(frames)) is not None:
            with suppress(OSError):  # Home has ended the connection.
                stage_worker._serve(frames, runner)


FAULTS = {
    "too many rows": (lambda f, step, rows: f.send(Kind.ROWS, step, rows, rows[:1].copy()), "bytes for 1 rows"),
    "too few rows": (lambda f, step, rows: f.send(Kind.ROWS, step, rows[:0].copy()), "0 bytes for 1 rows"),
    "another step's rows": (lambda f, step, rows: f.send(Kind.ROWS, step - 1, rows), "sent step 1 instead of 2"),
    "rows twice": (
        lambda f, step, rows: (f.send(Kind.ROWS, step, rows), f.send(Kind.ROWS, step, rows)),
        "nobody asked for|instead of 3",
    ),
    "no frame": (lambda f, step, rows: f.connection.sendall(b"x" * 16), "no frame"),
    "a frame of another kind": (lambda f, step, rows: f.send(Kind.READY, step, rows), "sent step 2 instead"),
    "half a frame": (
        lambda f, step, rows: (f.connection.sendall(HEADER.pack(Kind.ROWS, 99, step)), f.close()),
        "ended within a frame",
    ),
    "the end": (lambda f, step, rows: f.close(), "has ended|gone"),
}


@pytest.mark.parametrize(("answer", "message"), FAULTS.values(), ids=FAULTS)
def test_a_stage_that_cannot_be_right_ends_the_replica_with_its_name(smollm2_path, answer, message):
    files = {"model.gguf": smollm2_path}
    order = order_of(stage_in_thread(Faulty(answer).serve), 1, 29, files, "node-b", **CONFIG)
    engine, _ = load(files, EngineConfig(**CONFIG), stages=[order])
    engine.submit(Generate(id="a", text="Once", sampling=SamplingParams(temperature=0, max_tokens=9, ignore_eos=True)))
    with pytest.raises(StageLost, match=rf"The stage of the layers 1-29 on node-b.*({message})"):
        drain(engine)
    engine.runner.close()


def test_rows_that_are_not_finite_end_only_the_request(smollm2_path):
    def send(frames, step, rows):
        frames.send(Kind.ROWS, step, np.full_like(rows, np.nan))

    files = {"model.gguf": smollm2_path}
    order = order_of(stage_in_thread(Faulty(send).serve), 15, 29, files, **CONFIG)
    engine, _ = load(files, EngineConfig(**CONFIG), stages=[order])
    params = SamplingParams(temperature=0, max_tokens=9, ignore_eos=True)
    engine.submit(Generate(id="a", text="Once", sampling=params))
    events = []
    while engine.has_work:
        events += engine.step()
    assert "not finite" in events[-1].message
    engine.submit(Generate(id="b", text="Once", sampling=params))
    assert len(tokens_of(drain(engine)["b", 0])) == 9
    engine.runner.close()


def test_an_adapter_reaches_the_layers_of_each_stage(smollm2_path):
    whole = load_engine({"model.gguf": smollm2_path}, EngineConfig(**CONFIG))[0].runner
    engine, _ = split_engine(smollm2_path, 10)
    rng = np.random.default_rng(1)
    size = whole.spec.hidden_size

    def update(has_gain):
        down, up = rng.normal(0, 0.1, (2, size)), rng.normal(0, 0.1, (size, 2))
        gain = rng.uniform(0.5, 1.5, size).astype(np.float32) if has_gain else None
        return LowRankUpdate(down.astype(np.float32), up.astype(np.float32), gain)

    adapter = {"layers.2.q": update(True), "layers.20.q": update(False), "layers.29.o": update(True)}
    batch = replace(batch_of([(0, [5, 6, 7], [0])]), adapters=np.array([0], np.int32))
    plain = whole.forward(replace(batch, adapters=None)).copy()
    for runner in (whole, engine.runner):
        runner.set_adapter(0, adapter)
    expected = whole.forward(batch).copy()
    assert (expected != plain).any()
    np.testing.assert_array_equal(engine.runner.forward(batch), expected)
    engine.runner.set_adapter(0, None)
    np.testing.assert_array_equal(engine.runner.forward(replace(batch, adapters=None)), plain)
    engine.runner.close()


@pytest.mark.process
def test_a_stage_that_was_killed_is_named(smollm2_path):
    files = {"model.gguf": smollm2_path}
    connection, process = stage_process()
    engine, _ = load(files, EngineConfig(**CONFIG), stages=[order_of(connection, 10, 29, files, "node-b", **CONFIG)])
    engine.submit(Generate(id="a", text="Once", sampling=SamplingParams(temperature=0, max_tokens=9)))
    engine.step()
    process.send_signal(signal.SIGKILL)
    process.wait()
    with pytest.raises(StageLost, match="The stage of the layers 10-29 on node-b"):
        drain(engine)
    engine.runner.close()
    process.stderr.close()


@pytest.mark.process
def test_a_stage_ends_with_home(smollm2_path):
    connection, process = stage_process()
    connection.close()
    assert process.wait(60) == 0
    process.stderr.close()


def test_frames_say_what_is_wrong_with_them():
    ours, theirs = socket.socketpair()
    sender, receiver = FrameSocket(ours), FrameSocket(theirs)
    ours.sendall(struct.pack("<B3xIQ", 99, 0, 1))
    with pytest.raises(BadFrame, match="no frame"):
        receiver.receive()
    ours.sendall(HEADER.pack(Kind.ROWS, 0xFFFFFFFF, 1))
    with pytest.raises(BadFrame, match="no frame"):
        receiver.receive()
    sender.send(Kind.ROWS, 5, b"abcd", b"", b"ef")
    frame = receiver.receive()
    assert (frame.kind, frame.step, bytes(frame.payload)) == (Kind.ROWS, 5, b"abcdef")
    sender.close()
    assert receiver.receive() is None
    theirs.close()


def test_a_step_comes_out_as_it_went_in_and_every_cut_of_it_is_noticed():
    batch = StageBatch.of(batch_of([(0, [1, 2, 3], [4, 5]), (7, [1], [6])]))
    rows = np.arange(8, dtype=np.float32).reshape(4, 2)
    payload = b"".join(bytes(memoryview(part).cast("B")) for part in step_parts(batch, rows))
    found, found_rows = read_step(memoryview(payload), 2)
    np.testing.assert_array_equal(found_rows, rows)
    for name in ("starts", "context_lengths", "block_tables", "wanted_rows"):
        np.testing.assert_array_equal(getattr(found, name), getattr(batch, name))
    assert (found.adapters, found.states, found.restored, found.snapshots) == (None, None, None, None)
    for length in range(len(payload)):
        with pytest.raises(BadFrame):
            read_step(memoryview(payload[:length]), 2)
    with pytest.raises(BadFrame, match="negative"):
        read_step(memoryview(struct.pack("<8i", -1, 0, 0, 0, 0, 0, 0, -1)), 2)


def test_a_stage_that_never_was_is_named():
    ours, theirs = socket.socketpair()
    theirs.close()
    link = StageLink(Stage(3, 5), "node-b", ours)
    with pytest.raises(StageLost, match="The stage of the layers 3-5 on node-b"):
        link.wait_ready()
    link.close()
