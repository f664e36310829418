"""The server's pipeline without a server, over replicas that this process starts: PipelineBackend for `run` and `chat`,
PipelineEmbedding for knowledge."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import cached_property, partial
from importlib import import_module
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Self, TypeVar

from llmos.core.config import Settings
from llmos.deployments.backend import Backend, Backends
from llmos.deployments.local_backend import LocalBackends
from llmos.deployments.replicas.pool import Pool
from llmos.deployments.replicas.watchdog import ReplicaTimeouts
from llmos.deployments.routing.routes import Routes
from llmos.engine.config import EngineConfig
from llmos.engine.messages import Delta, SamplingParams
from llmos.gateway.calls.admission import Admission
from llmos.gateway.calls.build import build_pipeline
from llmos.gateway.calls.call import Call, Prompt, Sampling
from llmos.gateway.calls.pipeline import Pipeline
from llmos.gateway.calls.resolve import Resolver
from llmos.gateway.calls.text_vectors import TextsToEmbed, Vectors, embed_texts
from llmos.models import open_registry
from llmos.models.registry import Registry
from llmos.models.signing.enforcement import open_signature_enforcer
from llmos.security.callers import owner
from llmos.security.guardrails.policies import GuardrailPolicies

if TYPE_CHECKING:
    from llmos.client.calls import Sampling as SamplingOptions
    from llmos.core.schemas.knowledge import SearchDescription
    from llmos.data.knowledge.knowledge import ProjectKnowledge
    from llmos.data.knowledge.versions import KnowledgeVersion
    from llmos.deployments.providers.clients import ProviderClients
    from llmos.deployments.providers.provider_model import ProviderModel
    from llmos.gateway.knowledge_search import Search

T = TypeVar("T")

Closing = Sequence[Callable[[], Awaitable[None]]]
"""Called in this order."""

_EMBEDDING_AT_ONCE = 4


def open_pipeline_backend(name: str, settings: Settings) -> "PipelineBackend":
    """Start a replica of the model and return its backend. Raises UntrustedModel, and what is wrong with the model."""
    return PipelineBackend(name, *open_pipeline(settings, max_running=1))


def open_pipeline(settings: Settings, *, max_running: int) -> tuple[Pipeline, "Closing"]:
    """Return a pipeline for this many requests at once, and what closes it."""
    registry = open_registry(settings)
    config = EngineConfig.from_options({**settings.engine_options, "max_sequences": max_running})
    enforcer = open_signature_enforcer(settings, registry)
    timeouts = ReplicaTimeouts(silence_seconds=settings.stuck_seconds, load_seconds=settings.load_seconds)
    pool = Pool(config=config, timeouts=timeouts, wait_seconds=settings.load_seconds, check=enforcer.check)
    local, providers = LocalBackends(pool, registry, enforcer.check), _Providers(registry, settings)
    backends = Backends({"local": local.open, "provider": providers.open})
    resolver = Resolver(Routes(registry), backends, registry.database)
    guardrails = GuardrailPolicies(registry.database)
    pipeline = build_pipeline(resolver, pool, admission=Admission(max_running=max_running), guardrails=guardrails)
    return pipeline, [partial(pool.close, drain=False), providers.close]


class _Providers:
    """Providers that a route falls back to. HTTP clients are slow to import, and few routes have one."""

    def __init__(self, registry: Registry, settings: Settings) -> None:
        self._registry, self._settings = registry, settings
        self._clients: ProviderClients | None = None

    def open(self, model: "ProviderModel") -> Backend:
        from llmos.core.encryption.opening import open_encryption
        from llmos.deployments.providers.backend import ProviderBackend
        from llmos.deployments.providers.clients import ProviderClients
        from llmos.deployments.providers.providers import Providers

        if self._clients is None:
            encryption = open_encryption(self._settings, self._registry.database)
            self._clients = ProviderClients(Providers(self._registry.database, encryption))
        return ProviderBackend(model, self._clients)

    async def close(self) -> None:
        if self._clients is not None:
            await self._clients.close()


class PipelineBackend:
    """Loads a model when it is created. Answers one prompt at a time."""

    def __init__(self, name: str, pipeline: Pipeline, closing: Closing = ()) -> None:
        """`closing`: called, in this order, when the backend is closed."""
        self._name, self._pipeline, self._closing = name, pipeline, closing
        self._loop = LoopThread()
        try:
            loading = self._loop.start(pipeline.load(name, owner(), wait=True))
            import_module("llmos.engine.architectures")  # takes 0.1 s, and the first call needs it
            self.version = self._loop.wait(loading)
        except BaseException:
            self.close()
            raise

    def generate(self, prompt: str, *, raw: bool, sampling: "SamplingOptions") -> "PipelineStream":
        return self._stream(Prompt(text=prompt) if raw else Prompt(user_text=prompt), sampling)

    def chat(self, messages: Sequence[Mapping[str, Any]], *, sampling: "SamplingOptions") -> "PipelineStream":
        return self._stream(Prompt(messages=[dict(message) for message in messages]), sampling)

    def close(self) -> None:
        self._loop.run(self._close())
        self._loop.close()

    def _stream(self, prompt: Prompt, sampling: "SamplingOptions") -> "PipelineStream":
        stop = sampling.get("stop", [])
        options: dict[str, Any] = {**sampling, "stop": [stop] if isinstance(stop, str) else list(stop)}
        call = Call(
            model=self._name,
            caller=owner(),
            prompts=[prompt],
            sampling=Sampling(SamplingParams(**options), frozenset(sampling)),
            id_prefix="run",
        )
        return PipelineStream(self._loop, self._pipeline, call)

    async def _close(self) -> None:
        for close in self._closing:
            await close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class PipelineEmbedding:
    """Makes vectors, and searches with them. Loads a model with the first texts: work without new ones needs none."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loop = LoopThread()

    def embed(self, request: TextsToEmbed) -> "Future[Vectors]":
        """Begin to embed texts; several calls at once."""
        return self._loop.start(self._embed(request))

    def search(
        self, knowledge: "ProjectKnowledge", version: "KnowledgeVersion", search: "Search"
    ) -> "SearchDescription":
        """Return what the server's search returns to the owner."""
        from llmos.gateway.knowledge_search import KnowledgeSearch
        from llmos.gateway.question_reader import QuestionReader

        pipeline, _ = self._opened
        searching = KnowledgeSearch(pipeline, open_registry(self._settings), QuestionReader())
        return self._loop.run(searching.answer(knowledge, version, search, owner()))

    def close(self) -> None:
        if "_opened" in self.__dict__:
            self._loop.run(self._close())
        self._loop.close()

    async def _embed(self, request: TextsToEmbed) -> "Vectors":
        pipeline, _ = self._opened
        return await embed_texts(pipeline, owner(is_background=True), request)

    @cached_property
    def _opened(self) -> tuple[Pipeline, Closing]:
        return open_pipeline(self._settings, max_running=_EMBEDDING_AT_ONCE)

    async def _close(self) -> None:
        for close in self._opened[1]:
            await close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class PipelineStream:
    """The pieces of one answer. Leaving the context stops the model."""

    def __init__(self, loop: "LoopThread", pipeline: Pipeline, call: Call) -> None:
        self.finish_reason: str | None = None
        self._deltas: SimpleQueue[Delta | BaseException | None] = SimpleQueue()
        self._reading = loop.start(self._read(pipeline, call))

    async def _read(self, pipeline: Pipeline, call: Call) -> None:
        """Run the call in one task, from its first stage to its last."""
        try:
            async with pipeline.generate(call) as answer:
                async for delta in answer.deltas:
                    self._deltas.put(delta)
            self._deltas.put(None)
        except BaseException as error:
            self._deltas.put(error)
            raise

    def __iter__(self) -> Iterator[str]:
        while (delta := self._deltas.get()) is not None:
            if isinstance(delta, BaseException):
                raise delta
            self.finish_reason = delta.finish_reason or self.finish_reason
            if delta.text:
                yield delta.text

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._reading.cancel()


class LoopThread:
    """An event loop in a thread of its own, so that replicas are served while this process waits for the user."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="pipeline", daemon=True)
        self._thread.start()

    def start(self, coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Return the result. Ctrl-C cancels the coroutine."""
        return self.wait(self.start(coroutine))

    def wait(self, future: "Future[T]") -> T:
        """Return the result. Ctrl-C cancels what was started."""
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
