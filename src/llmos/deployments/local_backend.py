"""LocalBackend: the replicas of a version on this machine."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from llmos.core.errors import BadRequest
from llmos.deployments.replicas.pool import Pool
from llmos.deployments.served_model import ServedModel, served_version
from llmos.engine.messages import Embed, Embedded, Event, Generate, Rate, Rated, Tokenize, Tokenized
from llmos.models.registry import Registry
from llmos.models.versions.versions import Loadable, Version

if TYPE_CHECKING:
    from llmos.engine.checkpoint.metadata import Metadata  # imports numpy
    from llmos.engine.encoder_spec import Task


@dataclass(frozen=True, slots=True)
class LocalTarget:
    """A version on this machine: the target of a model's name."""

    version: Version

    kind: ClassVar[str] = "local"

    @property
    def served(self) -> ServedModel:
        return served_version(self.version)

    @property
    def task(self) -> "Task | None":
        return _task_of(self.version.family)

    def local_version(self, name: str) -> Version:
        return self.version


class LocalBackends:
    """Opens versions of this machine over one pool of replicas."""

    def __init__(self, pool: Pool, registry: Registry, check_adapter: Callable[[str], None] = lambda ref: None) -> None:
        """`check_adapter` raises UntrustedModel for an adapter that must not be used. Requests bring adapters along,
        so the pool, which checks what it loads, does not see them."""
        self._pool, self._registry, self._check_adapter = pool, registry, check_adapter

    def open(self, target: LocalTarget) -> "LocalBackend":
        loadable = self._registry.loadable(target.version)
        if loadable.adapter is not None:
            self._check_adapter(target.version.ref)
        return LocalBackend(target.version, loadable, self._pool, self._registry)


class LocalBackend:
    def __init__(self, version: Version, loadable: Loadable, pool: Pool, registry: Registry) -> None:
        self._pool, self._registry, self._version = pool, registry, version
        self._base, self._files = loadable.version, loadable.files
        self.adapter = loadable.adapter
        self.served = served_version(version)
        self.replica_ref = loadable.version.ref

    async def check_generates(self) -> None:
        match self._task:
            case "embed":
                raise await self._cannot("turns texts into vectors and writes none", "generate")
            case "rerank":
                raise await self._cannot("scores pairs of texts and writes none", "generate")

    async def check_embeds(self) -> None:
        match self._task:
            case "rerank":
                raise await self._cannot("scores pairs of texts (/v1/rerank, /v1/score) and makes no vectors", "embed")
            case "generate" | None:
                raise await self._cannot("writes text and makes no vectors", "embed")

    async def check_compares(self) -> bool:
        if self._task == "rerank":
            return True
        await self.check_embeds()
        return False

    async def check_rates(self) -> None:
        match self._task:
            case "embed":
                raise await self._cannot("turns texts into vectors and can't score given texts", "generate")
            case "rerank":
                raise await self._cannot("scores pairs of texts and no text behind a prompt", "generate")

    async def check_counts(self) -> None:
        await self.check_generates()

    async def metadata(self) -> "Metadata | None":
        return await asyncio.to_thread(self._registry.metadata, self._base)

    async def ensure(self, *, wait: bool = False) -> None:
        await self._pool.ensure(self.replica_ref, self._files, wait=wait)

    def generate(self, request: Generate, given: frozenset[str]) -> AsyncGenerator[Event, None]:
        return self._pool.generate(self.replica_ref, self._files, request)

    async def embed(self, request: Embed) -> Embedded:
        return await self._pool.embed(self.replica_ref, self._files, request)

    async def rate(self, command: Rate) -> Rated:
        return await self._pool.rate(self.replica_ref, self._files, command)

    async def count(self, request: Generate) -> int:
        return await self._pool.count(self.replica_ref, self._files, request)

    async def tokenize(self, command: Tokenize) -> Tokenized:
        return await self._pool.tokenize(self.replica_ref, self._files, command)

    async def stop(self) -> None:
        await self._pool.stop(self.replica_ref)

    @property
    def _task(self) -> "Task | None":
        return _task_of(self._version.family)

    async def _cannot(self, why: str, task: "Task") -> BadRequest:
        """Return the error for a call of another task, `task`."""
        advice = await asyncio.to_thread(self._advice, task)
        return BadRequest(f"{self._version.ref} {why}. {advice}", param="model")

    def _advice(self, task: "Task") -> str:
        """Return a sentence that names the models here that do what is wanted."""
        models = {each.model for each in self._registry.list() if _task_of(each.family) == task}
        if models:
            return f"Ask for {' or '.join(sorted(models)[:3])}."
        return f"No model here does. Get one: llmos pull {'minilm' if task == 'embed' else 'smollm2'}"


def _task_of(family: str) -> "Task | None":
    # Imports numpy: `llmos run` without a server does that while its replica loads.
    from llmos.engine.architectures import task_of

    return task_of(family)
