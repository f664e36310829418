"""The backends of `run` and `chat`: the running server, or else an engine in this process.

with open_backend("smollm2", settings) as backend, backend.generate("Hello", raw=False, sampling={}) as stream:
    for piece in stream: ...
"""

import signal
import sys
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol, Self

from llmos.cli.control.local import accepts_connections
from llmos.core.config import Settings
from llmos.core.errors import ModelNotFound, PermissionDenied, Unauthenticated

if TYPE_CHECKING:
    from llmos.client import Model
    from llmos.client.calls import Sampling
    from llmos.engine.engine import Engine
    from llmos.engine.messages import Generate
    from llmos.models.versions.versions import Loadable, Version

Message = Mapping[str, Any]


class ResponseStream(Protocol):
    """One answer, piece by piece. Closing it early stops the model. llmos.client.Stream is one."""

    @property
    def finish_reason(self) -> str | None: ...
    def __iter__(self) -> Iterator[str]: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...


class ChatBackend(Protocol):
    """A model that answers prompts."""

    @property
    def version(self) -> str: ...
    def generate(self, prompt: str, *, raw: bool, sampling: "Sampling") -> ResponseStream: ...
    def chat(self, messages: Sequence[Message], *, sampling: "Sampling") -> ResponseStream: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...


def open_backend(name: str, settings: Settings) -> ChatBackend:
    """Return the model on the running server; if none runs, load the model into this process.

    If LLMOS_ENDPOINT is set, only that server is used. A model of the catalog that isn't stored is pulled first.
    """
    if settings.endpoint_is_set:
        return ServerBackend(name)
    if accepts_connections(settings.endpoint):
        try:
            return ServerBackend(name)
        except (Unauthenticated, PermissionDenied):
            print(
                f"Note: the server at {settings.endpoint} rejected your key; running the model in this process.",
                file=sys.stderr,
            )
        except ModelNotFound:
            # The server on this machine uses the same store.
            find_or_pull(name, settings)
            return ServerBackend(name)
    version, loadable = find_or_pull(name, settings)
    _check_trusted(settings, {version.ref, loadable.version.ref})
    return EngineBackend(version, loadable, settings)


def find_or_pull(name: str, settings: Settings) -> tuple["Version", "Loadable"]:
    """Return the version behind a Route's or a model's name, and what an engine loads for it. Downloads a model of the
    catalog if it isn't stored."""
    from llmos.deployments.routing.routes import Routes
    from llmos.models import open_registry

    registry = open_registry(settings)
    routes = Routes(registry)
    try:
        version = routes.resolve_local(name)
    except ModelNotFound:
        target = next((route.target for route in routes.list() if route.name == name), name)
        if registry.catalog.get(target) is None:
            raise
        from llmos.cli.progress import progress_bar
        from llmos.models.transfer.transfers import Transfers

        print(f"Pulling {target} …", file=sys.stderr)
        with progress_bar() as progress:
            Transfers(registry).pull_from_catalog(target, progress, lambda notice: print(notice, file=sys.stderr))
        version = routes.resolve_local(name)
    return version, registry.loadable(version)


def _check_trusted(settings: Settings, refs: Collection[str]) -> None:
    """Raise UntrustedModel if a policy of the project forbids to load one of these versions."""
    from llmos.models import open_registry
    from llmos.models.signing.enforcement import open_signature_enforcer

    guard = open_signature_enforcer(settings, open_registry(settings))
    for ref in refs:
        guard.check(ref)


class ServerBackend:
    def __init__(self, name: str) -> None:
        from llmos.client import Client

        self._client = Client()
        try:
            self._model: Model = self._client.models.get(name)
        except BaseException:
            self._client.close()
            raise
        self.version = self._model.version

    def generate(self, prompt: str, *, raw: bool, sampling: "Sampling") -> ResponseStream:
        return self._model.generate_text(prompt, raw=raw, stream=True, **sampling)

    def chat(self, messages: Sequence[Message], *, sampling: "Sampling") -> ResponseStream:
        return self._model.chat(messages, stream=True, **sampling)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()


class EngineBackend:
    """A model that is loaded into this process, for one answer at a time."""

    def __init__(self, version: "Version", loadable: "Loadable", settings: Settings) -> None:
        from llmos.engine.config import EngineConfig
        from llmos.engine.loading import load_engine

        config = EngineConfig.from_options({**settings.engine_options, "max_sequences": 1})
        self._engine, _ = load_engine(loadable.files, config)
        self._adapter = loadable.adapter
        self.version = version.ref
        self._recommended = version.sampling

    def generate(self, prompt: str, *, raw: bool, sampling: "Sampling") -> ResponseStream:
        return self._stream(sampling, **{"text" if raw else "user_text": prompt})

    def chat(self, messages: Sequence[Message], *, sampling: "Sampling") -> ResponseStream:
        return self._stream(sampling, messages=[dict(message) for message in messages])

    def _stream(self, sampling: "Sampling", **prompt: Any) -> ResponseStream:
        from llmos.core.ids import new_id
        from llmos.engine.messages import Generate, SamplingParams

        stop = sampling.get("stop", [])
        options: dict[str, Any] = {
            **self._recommended,
            **sampling,
            "stop": [stop] if isinstance(stop, str) else list(stop),
        }
        request = Generate(id=new_id("run"), adapter=self._adapter, sampling=SamplingParams(**options), **prompt)
        return EngineStream(self._engine, request)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class EngineStream:
    def __init__(self, engine: "Engine", request: "Generate") -> None:
        self._engine, self._id = engine, request.id
        self.finish_reason: str | None = None
        engine.submit(request)

    def __iter__(self) -> Iterator[str]:
        from llmos.engine.messages import Delta, Failed

        # A KeyboardInterrupt inside a step would leave the engine in an inconsistent state.
        with _deferred_interrupts() as interrupt:
            while self.finish_reason is None:
                for event in self._engine.step():
                    if isinstance(event, Failed):
                        raise event.error()
                    if isinstance(event, Delta):
                        self.finish_reason = event.finish_reason
                        if event.text:
                            yield event.text
                if interrupt.is_set():
                    raise KeyboardInterrupt

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.abort(self._id)


@contextmanager
def _deferred_interrupts() -> Iterator[threading.Event]:
    """Set an event on Ctrl-C instead of raising KeyboardInterrupt."""
    interrupt = threading.Event()

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        interrupt.set()

    if threading.current_thread() is not threading.main_thread():
        yield interrupt  # signals interrupt only the main thread
        return
    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)
