"""Backend: what runs a call. Target: the model that a name or a route stands for, before it is opened as a backend.

    Backends.open(target)  ──▶  backend

    LocalTarget     a version on this machine  ──▶  LocalBackend      its replicas (local_backend.py)
    ProviderModel   a model at a provider      ──▶  ProviderBackend   an HTTP client (providers/backend.py)

Callers work with these two protocols and never ask which implementation they have.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from llmos.deployments.served_model import ServedModel
from llmos.engine.messages import AdapterFiles, Embed, Embedded, Event, Generate, Rate, Rated, Tokenize, Tokenized
from llmos.models.versions.versions import Version

if TYPE_CHECKING:
    from llmos.engine.checkpoint.metadata import Metadata  # imports numpy
    from llmos.engine.encoder_spec import Task


class Backend(Protocol):
    """Runs requests on one model."""

    @property
    def served(self) -> ServedModel:
        """The model that answers."""

    @property
    def replica_ref(self) -> str:
        """The reference under which the work is admitted and measured. For an adapter, its base version's."""

    @property
    def adapter(self) -> AdapterFiles | None:
        """The adapter that every request carries."""

    async def check_generates(self) -> None:
        """Raise BadRequest, naming models that can, if this one writes no text."""

    async def check_embeds(self) -> None:
        """Raise BadRequest, naming models that can, if this one makes no vectors."""

    async def check_compares(self) -> bool:
        """Return whether this model scores pairs of texts itself. False: it makes vectors, which can be compared.

        Raises BadRequest, naming models that can, if it does neither.
        """

    async def check_counts(self) -> None:
        """Raise BadRequest if this model's tokens cannot be counted here."""

    async def metadata(self) -> "Metadata | None":
        """Return what the model's files say about it. None: the files are not on this machine."""

    async def ensure(self, *, wait: bool = False) -> None:
        """Return when the model is loaded; calls at the same time share one load.

        `wait`: however long loading takes; otherwise Unavailable is raised after the pool's limit.
        Raises what is wrong with the model, or ReplicaFailed if its process keeps dying.
        """

    def generate(self, request: Generate, given: frozenset[str]) -> AsyncGenerator[Event, None]:
        """Yield Started, then Deltas until every choice has a finish_reason. Closing the generator stops the work.

        `given`: the sampling parameters that the caller named; the others have default values.
        """

    async def embed(self, request: Embed) -> Embedded:
        """Return the vectors of the inputs. Cancelling stops the work."""

    async def check_rates(self) -> None:
        """Raise BadRequest, naming what can, if this model can't score given texts."""

    async def rate(self, command: Rate) -> Rated:
        """Return the scores of the given texts. Cancelling stops the work within a step."""

    async def count(self, request: Generate) -> int:
        """Return the number of tokens in the prompt."""

    async def tokenize(self, command: Tokenize) -> Tokenized:
        """Return the tokens of a prompt."""

    async def stop(self) -> None:
        """Unload the model after its running requests have ended. The next request loads it again."""


class Target(Protocol):
    """The model that a name stands for, as stored in the database. Opening it gives the backend."""

    @property
    def kind(self) -> str:
        """Chooses the function that opens it: `local` or `provider`."""

    @property
    def served(self) -> ServedModel: ...

    @property
    def task(self) -> "Task | None":
        """The model's task. None: this engine doesn't have its family."""

    @property
    def version(self) -> Version | None:
        """The version, if it is on this machine."""

    def local_version(self, name: str) -> Version:
        """Return the version on this machine. Raises BadRequest, quoting the `name` asked for, if it is elsewhere."""


class Backends:
    """Opens targets of every kind. A new kind of backend is one more entry."""

    def __init__(self, open_by_kind: Mapping[str, Callable[[Any], Backend]]) -> None:
        self._open_by_kind = open_by_kind

    def open(self, target: Target) -> Backend:
        """Raises UntrustedModel for a version that must not be loaded."""
        return self._open_by_kind[target.kind](target)
