"""PipelineAsker: the requests of evals without a server, over replicas that this process starts."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Self, TypeVar

import msgspec
from fastapi import FastAPI

from llmos.applications.code.assertions import run_in_sandbox
from llmos.cli.pipeline_backend import LoopThread, open_pipeline
from llmos.core.config import Settings
from llmos.engine.config import EngineConfig
from llmos.gateway.inference_app import inference_app
from llmos.gateway.jobs.internal_requests import post
from llmos.gateway.jobs.job_asking import UNCACHED, read_reply
from llmos.security.callers import owner

T = TypeVar("T")


class PipelineAsker:
    """Asks the models of this machine, each loaded with its first request."""

    def __init__(self, settings: Settings) -> None:
        self.num_in_flight = EngineConfig.from_options(settings.engine_options).max_sequences
        self._pipeline, self._closing = open_pipeline(settings, max_running=self.num_in_flight)
        self._app: FastAPI = inference_app(self._pipeline)
        self._loop = LoopThread()
        self._caller = owner(is_background=True)

    def load(self, model: str) -> None:
        """Load a model. Raises what is wrong with it before anything is asked."""
        self._loop.run(self._pipeline.load(model, self._caller, wait=True))

    def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the result of what asks. Ctrl-C ends it."""
        return self._loop.run(work())

    async def post(self, path: str, body: Mapping[str, Any], key: str = "") -> Mapping[str, Any]:
        return read_reply(await post(self._app, path, msgspec.json.encode(body), self._caller, UNCACHED))

    async def run_python(self, program: str) -> str:
        return await asyncio.to_thread(run_in_sandbox, program)

    def close(self) -> None:
        self._loop.run(self._close())
        self._loop.close()

    async def _close(self) -> None:
        for close in self._closing:
            await close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
