"""The worker process as its parent sees it: frames in, frames out, and a clean exit."""

import json
import signal
import socket
import subprocess
from collections import deque

import pytest

from llmos.engine.messages import (
    Abort,
    Command,
    Count,
    Counted,
    Delta,
    EngineStats,
    Failed,
    Frame,
    Generate,
    Grammar,
    LoadFailed,
    LoadModel,
    Ping,
    Pong,
    Rated,
    Ready,
    SamplingParams,
    Shutdown,
    Started,
)
from llmos.engine.replica.framing import FrameReader, FrameWriter
from llmos.engine.replica.pace import Pace
from llmos.engine.replica.worker import Worker
from support import FAKE_WORKER_COMMAND
from support.fakes import FakeRunner, continuation, generate, make_engine, tokens_of
from support.rated import check_rated, rate

pytestmark = pytest.mark.process


class Parent:
    """The other end of the socket."""

    def __init__(self, path):
        self.socket, theirs = socket.socketpair()
        self.socket.settimeout(60)
        self.model = {"model": str(path)}
        self.frames = []
        self._reader = FrameReader(Frame)
        with theirs:
            self.process = subprocess.Popen(
                [*FAKE_WORKER_COMMAND, "--fd", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stderr=subprocess.PIPE,
                text=True,
            )

    def send(self, *commands):
        self.socket.sendall(b"".join(FrameWriter().pack(command) for command in commands))

    def load(self, **config):
        self.send(LoadModel(files=self.model, config=config))

    def read_frames(self):
        """Yield frames until the worker closes the socket."""
        while data := self.socket.recv(1 << 16):
            yield from self._reader.feed(data)

    def read_until(self, wanted):
        """Return the events up to the first for which `wanted` holds."""
        events = []
        for frame in self.read_frames():
            self.frames.append(frame)
            events += frame.events
            if any(map(wanted, frame.events)):
                return events
        raise AssertionError(f"the worker ended; after {events}")

    def read_to_end(self):
        return [event for frame in self.read_frames() for event in frame.events]

    def wait(self):
        status = self.process.wait(60)
        return status, self.process.stderr.read()


@pytest.fixture
def start(tmp_path):
    """Return a function that starts a worker for a fake model with this behaviour."""
    parents = []

    def start(**behaviour):
        path = tmp_path / "model.json"
        path.write_text(json.dumps(behaviour))
        parents.append(Parent(path))
        return parents[-1]

    yield start
    for parent in parents:
        parent.socket.close()
        parent.process.kill()
        parent.process.wait()
        parent.process.stderr.close()


@pytest.fixture
def worker(start):
    parent = start()
    parent.load()
    assert isinstance(parent.read_until(lambda event: isinstance(event, Ready))[0], Ready)
    return parent


def is_last(id):
    return lambda event: getattr(event, "id", None) == id and bool(getattr(event, "finish_reason", None))


def deltas(events, id):
    return [event for event in events if isinstance(event, Delta) and event.id == id]


def test_all_sequences_of_a_step_are_in_one_frame(worker):
    # In one piece, so that the first steps have all of them.
    worker.send(*(generate(f"r{i}", [i + 1], max_tokens=400) for i in range(6)))
    events = worker.read_until(is_last("r5"))
    for i in range(6):
        assert tokens_of(deltas(events, f"r{i}")) == continuation([i + 1], 400)
    assert max(len([e for e in frame.events if isinstance(e, Delta)]) for frame in worker.frames) == 6
    for frame in worker.frames:
        ids = [event.id for event in frame.events if isinstance(event, Delta)]
        assert len(set(ids)) == len(ids), "a frame holds one step"


def test_started_precedes_the_first_delta_and_stats_report_the_load(worker):
    worker.send(generate(max_tokens=3))
    events = worker.read_until(is_last("r"))
    assert [type(event) for event in events] == [Started, Delta, EngineStats, Delta, EngineStats, Delta, EngineStats]
    first, *_, last = (event for event in events if isinstance(event, EngineStats))
    assert (first.num_running, first.num_waiting) == (1, 0)
    assert (last.num_running, last.num_output_tokens, last.num_prompt_tokens) == (0, 3, 3)


def test_an_abort_frees_the_sequence_and_no_more_events_follow(worker):
    worker.send(generate("gone", max_tokens=50_000))
    worker.read_until(lambda event: isinstance(event, Delta))
    worker.send(Abort("gone"), generate("next", max_tokens=2))
    events = worker.read_until(is_last("next"))
    after = events[events.index(Started("next", 3)) :]
    assert not deltas(after, "gone")
    assert [event for event in after if isinstance(event, EngineStats)][-1].num_running == 0


def test_an_abort_right_after_its_request_takes_effect(worker):
    worker.send(generate("gone", max_tokens=50_000), Abort("gone"), generate("next", max_tokens=2))
    worker.read_until(is_last("next"))
    worker.send(Shutdown())
    assert not deltas(worker.read_to_end(), "gone")
    assert worker.wait() == (0, "")


def test_a_wrong_request_fails_alone_and_names_the_field(worker):
    worker.send(generate("bad", min_p=3.0), generate("twice", max_tokens=50_000), generate("twice"))
    events = worker.read_until(lambda event: isinstance(event, Failed) and event.id == "twice")
    [bad, twice] = [event for event in events if isinstance(event, Failed)]
    assert (bad.id, bad.code, bad.param) == ("bad", "invalid_request", "min_p")
    assert twice.code == "conflict"


def test_a_prompt_is_counted_without_computing_anything(worker):
    wrong = Generate(id="wrong", tokens=[999])
    worker.send(Count(generate("c", range(200))), Count(wrong), Count(generate("d", [1, 2])))
    events = worker.read_until(lambda event: getattr(event, "id", None) == "d")
    assert [event for event in events if not isinstance(event, Failed)] == [Counted("c", 200), Counted("d", 2)]
    [failed] = [event for event in events if isinstance(event, Failed)]
    assert (failed.id, failed.param) == ("wrong", "prompt")


def test_texts_are_scored_beside_answers(worker):
    command = rate("s", range(1, 40), [[5, 6, 7], [5, 9], [8]], scores_prompt=True, num_top=2)
    worker.send(generate("g", max_tokens=3), command, rate("bad", [1], [[2], [999]]))
    events = worker.read_until(lambda event: isinstance(event, Rated))
    started, rated = (event for event in events if getattr(event, "id", None) == "s")
    assert started == Started("s", 39)
    check_rated(rated, command, FakeRunner())
    [failed] = [event for event in events if isinstance(event, Failed)]
    assert (failed.id, failed.code, failed.param) == ("bad", "invalid_request", "continuations[1]")


def test_an_abort_ends_the_scoring_of_texts(worker):
    worker.send(rate("gone", range(1, 250), [[i, *range(200)] for i in range(100)]))
    worker.read_until(lambda event: isinstance(event, EngineStats))
    worker.send(Abort("gone"), generate("next", max_tokens=2))
    events = worker.read_until(is_last("next"))
    assert not any(isinstance(event, Rated) for event in events)
    assert [event for event in events if isinstance(event, EngineStats)][-1].num_running == 0


def test_it_exits_when_the_parent_closes_the_socket(worker):
    worker.send(generate(max_tokens=50_000))
    worker.read_until(lambda event: isinstance(event, Delta))
    worker.socket.close()
    assert worker.wait() == (0, "")


def test_it_exits_when_the_parent_closes_the_socket_before_anything_is_loaded(start):
    parent = start()
    parent.socket.close()
    assert parent.wait() == (0, "")


def test_it_exits_when_the_parent_exits_while_it_loads(start):
    parent = start()
    parent.load()
    parent.socket.close()
    assert parent.wait() == (0, "")


@pytest.mark.parametrize("ending", ["shutdown", "sigterm"])
def test_it_finishes_running_requests_and_refuses_new_ones(worker, ending):
    worker.send(generate("runs", max_tokens=1500))
    events = worker.read_until(lambda event: isinstance(event, Delta))
    if ending == "shutdown":
        worker.send(Shutdown(), generate("late"))
    else:
        worker.process.send_signal(signal.SIGTERM)
    events += worker.read_to_end()
    assert tokens_of(deltas(events, "runs")) == continuation([1, 2, 3], 1500)
    if ending == "shutdown":
        [late] = [event for event in events if isinstance(event, Failed)]
        assert (late.id, late.code) == ("late", "unavailable")
    assert worker.wait() == (0, "")


def test_an_idle_worker_exits_on_shutdown(worker):
    worker.send(Shutdown())
    assert worker.read_to_end() == []
    assert worker.wait() == (0, "")


def test_an_error_in_the_model_files_is_reported(start):
    parent = start(refuse="its header is torn")
    parent.load()
    assert parent.read_to_end() == [LoadFailed("bad_model_file", "its header is torn")]
    assert parent.wait() == (1, "")


def test_an_unexpected_error_while_loading_is_reported_and_logged(start):
    parent = start(stumble="over a stone")
    parent.load()
    message = "The model could not be loaded: ValueError: over a stone"
    assert parent.read_to_end() == [LoadFailed("internal_error", message)]
    status, log = parent.wait()
    assert status == 1
    assert "ValueError: over a stone" in log


def test_an_unknown_option_names_the_nearest(start):
    parent = start()
    parent.load(max_sequence=3)
    [failed] = parent.read_to_end()
    assert failed == LoadFailed("invalid_request", "The engine has no option max_sequence. Did you mean max_sequences?")


def is_pong(event):
    return isinstance(event, Pong)


def test_a_pong_has_the_expected_seconds_of_a_step(worker):
    worker.send(Ping())
    assert worker.read_until(is_pong) == [Pong(None)]
    worker.send(generate(max_tokens=3), Ping())
    worker.read_until(is_last("r"))
    worker.send(Ping())
    [pong] = filter(is_pong, worker.read_until(is_pong)[-1:])
    assert pong.step_seconds > 0


def test_each_step_is_recorded_with_the_tokens_that_it_computed():
    recorded = []

    class RecordingPace(Pace):
        def record(self, seconds, num_tokens):
            recorded.append(num_tokens)

    ours, theirs = socket.socketpair()
    with ours, theirs:
        engine = make_engine(max_batched_tokens=16, max_sequences=4, max_draft_tokens=0)
        worker = Worker(theirs, engine, RecordingPace(16))
        commands = deque([generate(tokens=[1] * 40, max_tokens=3), Shutdown()])
        assert worker.serve(FrameReader(Command), commands) == 0
    assert recorded == [16, 16, 8, 1, 1], "the last chunk is not the whole prompt"


def test_a_ping_is_answered_between_two_steps(worker):
    worker.send(generate(max_tokens=50_000))
    worker.read_until(lambda event: isinstance(event, Delta))
    worker.send(Ping())
    events = worker.read_until(is_pong)
    assert deltas(events, "r")


@pytest.mark.parametrize(
    ("behaviour", "stuck"),
    [
        ({"hang_computing": 1}, generate(tokens=[13])),
        ({"hang_encoding": 1}, Generate(id="r", text="13")),
    ],
)
def test_a_ping_is_not_answered_while_either_thread_is_stuck(start, behaviour, stuck):
    parent = start(**behaviour)
    parent.load()
    parent.read_until(lambda event: isinstance(event, Ready))
    parent.send(stuck, Ping())
    parent.socket.settimeout(0.2)
    with pytest.raises(TimeoutError):
        parent.read_until(is_pong)


def test_invalid_data_on_the_socket_ends_it(worker):
    worker.socket.sendall(b"\0\0\0\4nope")
    worker.read_to_end()
    status, log = worker.wait()
    assert status != 0
    assert "ValidationError" in log or "DecodeError" in log


# --- grammars

ENDLESS = Grammar("lark", 'start: %json {"type": "integer", "multipleOf": 123456789}')


def held(id, grammar):
    return Generate(id=id, tokens=[1, 2], grammar=grammar, sampling=SamplingParams(temperature=0.0, max_tokens=40))


def test_others_are_answered_while_an_endless_grammar_is_compiled(worker):
    worker.send(held("endless", ENDLESS), generate("quick"), Ping())
    events = worker.read_until(lambda event: isinstance(event, Failed))
    assert any(isinstance(event, Pong) for event in events)
    assert any(is_last("quick")(event) for event in events)
    failed = events[-1]
    assert (failed.id, failed.code, failed.param) == ("endless", "invalid_request", "response_format")


def test_a_request_that_is_aborted_while_its_grammar_is_compiled_is_never_answered(worker):
    worker.send(held("endless", ENDLESS), held("unwanted", Grammar("regex", "a+")), Abort("unwanted"))
    worker.send(held("wanted", Grammar("choice", '["yes"]')), Abort("endless"))
    events = worker.read_until(is_last("wanted"))
    assert {event.id for event in events if hasattr(event, "id")} == {"wanted"}


def test_a_draining_worker_exits_only_after_grammars_are_compiled(worker):
    worker.send(held("held", Grammar("choice", '["yes"]')), Shutdown())
    events = worker.read_to_end()
    events = [event for event in events if getattr(event, "id", None) == "held"]
    assert isinstance(events[-1], Failed) or events[-1].finish_reason == "stop"
    assert worker.wait()[0] == 0
