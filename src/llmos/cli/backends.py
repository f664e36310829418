"""The backends of `run` and `chat`: the running server, or else the pipeline in this process.

with open_backend("smollm2", settings) as backend, backend.generate("Hello", raw=False, sampling={}) as stream:
    for piece in stream: ...
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self

from llmos.cli.control.local import accepts_connections
from llmos.core.config import Settings
from llmos.core.errors import ModelNotFound, PermissionDenied, Unauthenticated, UnknownServer

if TYPE_CHECKING:
    from llmos.client import Model
    from llmos.client.calls import Sampling
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
    """Return the model on the running server; if none runs, load the model for this process.

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
        except UnknownServer:
            print(
                f"Note: the program at {settings.endpoint} isn't your LLMOS server; running the model in this process.",
                file=sys.stderr,
            )
        except ModelNotFound:
            # The server on this machine uses the same store.
            find_or_pull(name, settings)
            return ServerBackend(name)
    find_or_pull(name, settings)
    # The pipeline takes long to import, and most runs use a server.
    from llmos.cli.pipeline_backend import open_pipeline_backend

    return open_pipeline_backend(name, settings)


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


class ServerBackend:
    def __init__(self, name: str) -> None:
        from llmos.cli.retry_notes import show_retries
        from llmos.client import Client

        show_retries()
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
