"""Who answers `run` and `chat`: the running server, or else an engine in this process.

with open_speaker("smollm2", settings) as speaker, speaker.generate("Hello", raw=False, sampling={}) as speech:
    for piece in speech: ...
"""

import signal
import socket
import sys
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol, Self
from urllib.parse import urlsplit

from llmos.core.config import Settings
from llmos.core.errors import ModelNotFound, PermissionDenied, Unauthenticated
from llmos.models.transfer.transfers import Transfers

if TYPE_CHECKING:
    from llmos.client import Model
    from llmos.client.calls import Sampling
    from llmos.engine.engine import Engine
    from llmos.engine.messages import Generate
    from llmos.models.versions.versions import Loadable, Version

Message = Mapping[str, Any]


class Speech(Protocol):
    """One answer, piece by piece. Leaving it early stops the model. llmos.client.Stream is one."""

    @property
    def finish_reason(self) -> str | None: ...
    def __iter__(self) -> Iterator[str]: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...


class Speaker(Protocol):
    """A model that answers."""

    @property
    def version(self) -> str: ...
    def generate(self, prompt: str, *, raw: bool, sampling: "Sampling") -> Speech: ...
    def chat(self, messages: Sequence[Message], *, sampling: "Sampling") -> Speech: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...


def open_speaker(name: str, settings: Settings) -> Speaker:
    """Return the model of that name on the running server; where none runs, load it into this process.

    With LLMOS_ENDPOINT that server is meant and no other. A model of the catalog that isn't here is pulled first.
    """
    if settings.endpoint_is_set:
        return ServerSpeaker(name)
    if is_served(settings.endpoint):
        try:
            return ServerSpeaker(name)
        except (Unauthenticated, PermissionDenied):
            print(f"Note: the server at {settings.endpoint} is not yours; the model runs here.", file=sys.stderr)
        except ModelNotFound:
            # The server on this machine reads the same store, so what we pull it can serve.
            find_or_pull(name, settings)
            return ServerSpeaker(name)
    version, loadable = find_or_pull(name, settings)
    _check_trusted(settings, {version.ref, loadable.version.ref})
    return EngineSpeaker(version, loadable, settings)


def find_or_pull(name: str, settings: Settings) -> tuple["Version", "Loadable"]:
    """Return the version behind a Route or a model's name, and what an engine loads for it; download it where the
    catalog has it."""
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
        from llmos.cli.models import shown_progress

        print(f"Getting {target} …", file=sys.stderr)
        with shown_progress() as progress:
            Transfers(registry).pull_from_catalog(target, progress, lambda sentence: print(sentence, file=sys.stderr))
        version = routes.resolve_local(name)
    return version, registry.loadable(version)


def _check_trusted(settings: Settings, refs: Collection[str]) -> None:
    """Raise UntrustedModel where the project's policy keeps any of these versions from being loaded."""
    from llmos.models import open_registry
    from llmos.models.signing.enforcement import open_signature_enforcer

    guard = open_signature_enforcer(settings, open_registry(settings))
    for ref in refs:
        guard.check(ref)


def is_served(endpoint: str) -> bool:
    """Return whether anything listens there. Costs no import of an HTTP library, which most runs don't need."""
    address = urlsplit(endpoint)
    try:
        with socket.create_connection((address.hostname or "", address.port or 80), timeout=1):
            return True
    except OSError:
        return False


class ServerSpeaker:
    def __init__(self, name: str) -> None:
        from llmos.client import Client

        self._client = Client()
        try:
            self._model: Model = self._client.models.get(name)
        except BaseException:
            self._client.close()
            raise
        self.version = self._model.version

    def generate(self, prompt: str, *, raw: bool, sampling: "Sampling") -> Speech:
        return self._model.generate_text(prompt, raw=raw, stream=True, **sampling)

    def chat(self, messages: Sequence[Message], *, sampling: "Sampling") -> Speech:
        return self._model.chat(messages, stream=True, **sampling)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()


class EngineSpeaker:
    """A model loaded into this process, for one answer at a time."""

    def __init__(self, version: "Version", loadable: "Loadable", settings: Settings) -> None:
        from llmos.engine.config import EngineConfig
        from llmos.engine.loading import load_engine

        config = EngineConfig.from_options({**settings.engine_options, "max_sequences": 1})
        self._engine, _ = load_engine(loadable.files, config)
        self._adapter = loadable.adapter
        self.version = version.ref
        self._recommended = version.sampling

    def generate(self, prompt: str, *, raw: bool, sampling: "Sampling") -> Speech:
        return self._speech(sampling, **{"text" if raw else "user_text": prompt})

    def chat(self, messages: Sequence[Message], *, sampling: "Sampling") -> Speech:
        return self._speech(sampling, messages=[dict(message) for message in messages])

    def _speech(self, sampling: "Sampling", **prompt: Any) -> Speech:
        from llmos.core.ids import new_id
        from llmos.engine.messages import Generate, SamplingParams

        stop = sampling.get("stop", [])
        options: dict[str, Any] = {
            **self._recommended,
            **sampling,
            "stop": [stop] if isinstance(stop, str) else list(stop),
        }
        request = Generate(id=new_id("run"), adapter=self._adapter, sampling=SamplingParams(**options), **prompt)
        return EngineSpeech(self._engine, request)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class EngineSpeech:
    def __init__(self, engine: "Engine", request: "Generate") -> None:
        self._engine, self._id = engine, request.id
        self.finish_reason: str | None = None
        engine.submit(request)

    def __iter__(self) -> Iterator[str]:
        from llmos.engine.messages import Delta, Failed

        # A KeyboardInterrupt inside a step would leave the engine's books half written.
        with _interrupts_held_back() as interrupt:
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
def _interrupts_held_back() -> Iterator[threading.Event]:
    """Note Ctrl-C instead of raising KeyboardInterrupt wherever the program happens to be."""
    interrupt = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        interrupt.set()

    if threading.current_thread() is not threading.main_thread():
        yield interrupt  # only the main thread is interrupted by signals
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)
