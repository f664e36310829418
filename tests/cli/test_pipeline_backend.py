"""The pipeline in this process: pieces of an answer, failures, and Ctrl-C."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llmos.cli.pipeline_backend import PipelineBackend, open_pipeline
from llmos.core.config import load_settings
from llmos.core.errors import ModelNotFound, ReplicaFailed
from llmos.engine.messages import Delta
from llmos.gateway.calls.call import Call
from llmos.gateway.calls.pipeline import Pipeline

Item = Delta | Exception | threading.Event


class FakePipeline:
    """Answers every call with these deltas. Raises an error; waits at an event."""

    def __init__(self, *items: Item) -> None:
        self._items = items
        self.calls: list[Call] = []
        self.has_left = threading.Event()
        """The last call was stopped or has ended."""

    async def load(self, name: str, caller: Any, *, wait: bool) -> str:
        if name == "nobody":
            raise ModelNotFound("There is no model 'nobody'.")
        return f"{name}@1"

    @asynccontextmanager
    async def generate(self, call: Call) -> AsyncIterator[Any]:
        self.calls.append(call)
        try:
            yield SimpleNamespace(deltas=self._deltas())
        finally:
            self.has_left.set()

    async def _deltas(self) -> AsyncIterator[Delta]:
        import asyncio

        for item in self._items:
            if isinstance(item, threading.Event):
                item.set()
                await asyncio.Event().wait()  # for ever
            elif isinstance(item, Exception):
                raise item
            else:
                yield item


def backend_of(*items: Item) -> tuple[PipelineBackend, FakePipeline]:
    pipeline: Any = FakePipeline(*items)
    return PipelineBackend("m", pipeline), pipeline


def test_an_answer_comes_piece_by_piece() -> None:
    backend, _ = backend_of(Delta(id="1", text="Hel"), Delta(id="1"), Delta(id="1", text="lo", finish_reason="stop"))
    with backend, backend.generate("Hi", raw=False, sampling={}) as stream:
        assert list(stream) == ["Hel", "lo"]
        assert stream.finish_reason == "stop"
    assert backend.version == "m@1"


def test_without_a_server_nothing_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nobody to account to, and no stage that would write into the ledger."""
    monkeypatch.setenv("LLMOS_HOME", str(tmp_path))

    async def opened() -> Pipeline:
        pipeline, closing = open_pipeline(load_settings(), max_running=1)
        for close in closing:
            await close()
        return pipeline

    stages = asyncio.run(opened())._stages
    assert (stages.holds, stages.makes_receipts) == ((), False)


def test_a_failure_is_raised_as_what_it_is() -> None:
    backend, _ = backend_of(ReplicaFailed("Bad numbers."))
    stream = backend.generate("Hi", raw=False, sampling={})
    with backend, stream, pytest.raises(ReplicaFailed, match="Bad numbers"):
        list(stream)


def test_a_model_that_can_not_be_loaded_leaves_no_thread() -> None:
    pipeline: Any = FakePipeline()
    before = threading.active_count()
    with pytest.raises(ModelNotFound):
        PipelineBackend("nobody", pipeline)
    assert threading.active_count() == before


def test_leaving_an_answer_early_stops_the_model() -> None:
    is_waiting = threading.Event()
    backend, pipeline = backend_of(Delta(id="1", text="first"), is_waiting, Delta(id="1", text="too late"))
    heard: list[str] = []

    def interrupted() -> None:
        with backend.generate("Hi", raw=False, sampling={}) as stream:
            for piece in stream:
                heard.append(piece)
                assert is_waiting.wait(10)
                raise KeyboardInterrupt

    with backend:
        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert pipeline.has_left.wait(10)
    assert heard == ["first"]


def test_the_call_says_which_options_were_given() -> None:
    """The pipeline fills in the model's recommendation for the others."""
    backend, pipeline = backend_of(Delta(id="1", text="x", finish_reason="stop"))
    with backend, backend.generate("Hi", raw=False, sampling={"temperature": 0.0, "stop": "x"}) as stream:
        list(stream)
    sampling = pipeline.calls[0].sampling
    assert sampling.given == {"temperature", "stop"}
    params = sampling.with_defaults({"temperature": 0.2, "top_p": 0.9})
    assert (params.temperature, params.top_p, params.stop) == (0.0, 0.9, ["x"])


def test_a_prompt_goes_through_the_template_unless_it_is_raw() -> None:
    backend, pipeline = backend_of(Delta(id="1", text="x", finish_reason="stop"))
    with backend:
        for stream in (
            backend.generate("Hi", raw=False, sampling={}),
            backend.generate("Hi", raw=True, sampling={}),
            backend.chat([{"role": "user", "content": "Hi"}], sampling={}),
        ):
            with stream:
                list(stream)
    prompts = [prompt for call in pipeline.calls for prompt in call.prompts]
    assert [(each.messages, each.user_text, each.text) for each in prompts] == [
        (None, "Hi", None), (None, None, "Hi"), ([{"role": "user", "content": "Hi"}], None, None),
    ]  # fmt: skip
