"""Ports of models, cards, jobs, policies and signatures."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from llmos.core.progress import Progress
from llmos.core.schemas.cards import CardDescription
from llmos.core.schemas.encryption import EncryptedModelsDescription
from llmos.core.schemas.jobs import JobDescription
from llmos.core.schemas.models import (
    CatalogEntryDescription,
    MadeDescription,
    ModelDescription,
    RemovalDescription,
    VersionDetails,
)
from llmos.core.schemas.policies import PolicyDescription
from llmos.core.schemas.signatures import SignedDescription
from llmos.core.schemas.transfers import ExportDescription, PushDescription

if TYPE_CHECKING:
    pass
from llmos.cli.control.ports.names import NamesPort

OnNotice = Callable[[str], None]
"""Called with a sentence when something didn't go as planned, such as a source that failed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MakeRequest:
    """A quantized or pruned Version to make."""

    kind: Literal["quantize", "prune"]
    model: str
    scheme: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the scheme; None means not given."""
    name: str | None = None
    """The name of the new model; None: PARENT-SCHEME."""
    calibration: Path | None = None
    """A text to calibrate on; None: a text that the model generates."""
    card: bool = True
    """Measure the new Version's card, too."""


class ModelsPort(NamesPort, Protocol):
    def list(self, *, tags: Sequence[str] = ()) -> Sequence[ModelDescription]: ...
    def get(self, name: str) -> ModelDescription:
        """`name`, here and below: a Route or a reference."""

    def details(self, name: str) -> VersionDetails: ...

    def catalog(self) -> Sequence[CatalogEntryDescription]: ...
    def remove(self, name: str) -> RemovalDescription: ...
    def stop_removed(self, versions: Sequence[str], on_notice: OnNotice) -> None:
        """Stop the replicas of Versions that were removed."""

    def pull(
        self,
        location: str,
        name: str | None,
        progress: Progress,
        on_notice: OnNotice,
        *,
        ignored_keys: Sequence[str] = (),
        task: str | None = None,
        encrypts: bool = False,
    ) -> ModelDescription:
        """Get a model of the catalog (by name) or from a location, and call it `name`.

        For a location: `ignored_keys` of its configuration, and the `task` as in import_path(). `encrypts`: store its
        files encrypted.
        """

    def import_path(
        self,
        path: Path,
        name: str | None,
        progress: Progress,
        *,
        license: str | None = None,
        ignored_keys: Sequence[str] = (),
        task: str | None = None,
        encrypts: bool = False,
    ) -> ModelDescription:
        """Store a model that is on this machine's disk. `ignored_keys`: of its configuration. `task`: "rerank" for a
        reranker whose files don't say so. `encrypts`: store its files encrypted."""

    def merge_adapter(self, path: Path, model: str, name: str, progress: Progress) -> ModelDescription:
        """Make a model of a stored model and an adapter that is on this machine's disk."""

    def make(self, request: MakeRequest, progress: Progress) -> MadeDescription:
        """Quantize or prune a model. Returns the new Version even if its card can't be measured: `remark` says why."""

    def push(
        self, name: str, target: str, progress: Progress, *, base: str | None = None, decrypts: bool = False
    ) -> PushDescription:
        """`decrypts`: send the files of an encrypted Version in the clear."""

    def export(self, name: str, path: Path | None, progress: Progress, *, decrypts: bool = False) -> ExportDescription:
        """Write a Version into an archive on this machine's disk. `decrypts`: that of an encrypted Version, in the
        clear."""

    def encrypt(self, name: str | None, progress: Progress) -> EncryptedModelsDescription:
        """Encrypt the stored files of a model, of a Version, or of all models."""


class CardsPort(Protocol):
    def get(self, name: str) -> CardDescription:
        """Raises NotFound for a Version without a card."""

    def measure(self, name: str, progress: Progress) -> CardDescription: ...
    def related(self, name: str) -> Sequence[CardDescription]:
        """Return the cards of Versions that were made from the same parents."""


class JobsPort(Protocol):
    """Long work on a server."""

    def list(self, *, kind: str | None = None, state: str | None = None) -> Sequence[JobDescription]: ...
    def get(self, id: str) -> JobDescription: ...
    def follow(self, id: str) -> Iterator[JobDescription]:
        """Yield the job now and after every change, until it has ended."""

    def cancel(self, id: str) -> JobDescription: ...


class PoliciesPort(Protocol):
    def list(self) -> Sequence[PolicyDescription]: ...
    def set(self, name: str, value: str) -> PolicyDescription: ...
    def unset(self, name: str) -> None: ...


class SigningPort(Protocol):
    def sign(self, name: str, key: Path, progress: Progress) -> SignedDescription: ...
    def verify(self, name: str, key: Path | None, progress: Progress) -> SignedDescription: ...
