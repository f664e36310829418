"""The interface that commands work on. LocalControl (local.py) and ServerControl (server.py) implement it.

One protocol per noun; where the client offers the same calls, they have the client's signatures.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from llmos.core.progress import Progress
from llmos.core.schemas.aliases import AliasMoveDescription
from llmos.core.schemas.audit import AuditEntryDescription, AuditVerification, CheckpointDescription
from llmos.core.schemas.cards import CardDescription
from llmos.core.schemas.dataset_cleaning import ForecastDescription, OperatorDescription
from llmos.core.schemas.dataset_reports import DatasetReportDescription
from llmos.core.schemas.datasets import (
    DatasetDescription,
    DatasetDetails,
    DatasetExportDescription,
    DifferenceDescription,
    PreviewDescription,
    QueryDescription,
    RowDescription,
)
from llmos.core.schemas.deployments import DeploymentDescription, DeploymentEventDescription
from llmos.core.schemas.encryption import EncryptedModelsDescription, EncryptionDescription, RotationDescription
from llmos.core.schemas.erasures import ErasureCertificate
from llmos.core.schemas.guardrails import GuardrailPolicyDescription, GuardrailReplayDescription
from llmos.core.schemas.jobs import JobDescription
from llmos.core.schemas.keys import KeyDescription, NewKeyDescription
from llmos.core.schemas.knowledge import (
    Citation,
    DocumentDescription,
    KnowledgeDescription,
    KnowledgeDetails,
    SearchDescription,
)
from llmos.core.schemas.knowledge_eval import KnowledgeEvalDescription
from llmos.core.schemas.labels import LabelChangeDescription, LabelsDescription
from llmos.core.schemas.models import (
    CatalogEntryDescription,
    MadeDescription,
    ModelDescription,
    RemovalDescription,
    VersionDetails,
)
from llmos.core.schemas.policies import PolicyDescription
from llmos.core.schemas.projects import ProjectDescription
from llmos.core.schemas.providers import ProviderDescription
from llmos.core.schemas.receipts import ReceiptDescription
from llmos.core.schemas.rollouts import RolloutDescription, RolloutEventDescription
from llmos.core.schemas.routes import RouteDescription, RouteEvidence, RouteMove
from llmos.core.schemas.signatures import SignedDescription
from llmos.core.schemas.signing_keys import SigningKeyDescription
from llmos.core.schemas.transfers import ExportDescription, PushDescription
from llmos.core.schemas.users import SignedOutDescription, UserDescription

if TYPE_CHECKING:
    from typing import Unpack

    from llmos.client.control_calls import DeploymentSettings, KeySettings, Limits, RolloutSettings, RouteSettings
    from llmos.client.dataset_calls import ImportSettings, Operators
    from llmos.client.knowledge_calls import AddSettings, SearchSettings
    from llmos.security.signing_key import PublicKey

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


class NamesPort(Protocol):
    """The aliases, tags and descriptions of a noun with versions."""

    def aliases(self, name: str) -> Sequence[AliasMoveDescription]: ...
    def alias_history(self, name: str, alias: str | None = None) -> Sequence[AliasMoveDescription]: ...
    def set_alias(
        self, name: str, alias: str, version: str, *, expected: str | None = None
    ) -> AliasMoveDescription: ...
    def remove_alias(self, name: str, alias: str) -> None: ...
    def labels(self, name: str) -> LabelsDescription: ...
    def change_labels(
        self,
        name: str,
        *,
        tags: Mapping[str, str] | None = None,
        remove_tags: Sequence[str] = (),
        description: str | None = None,
    ) -> LabelsDescription: ...
    def label_history(self, name: str) -> Sequence[LabelChangeDescription]: ...


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


class DatasetsPort(NamesPort, Protocol):
    def list(self) -> Sequence[DatasetDescription]: ...
    def get(self, name: str) -> DatasetDetails: ...
    def remove(self, name: str) -> RemovalDescription: ...
    def rows(self, name: str, *, limit: int = 10, skip: int = 0) -> Sequence[RowDescription]: ...
    def query(self, name: str, sql: str, *, limit: int = 1000) -> QueryDescription: ...
    def diff(self, older: str, newer: str, *, limit: int = 20) -> DifferenceDescription: ...
    def report(
        self, name: str, *, tokens: str | None = None, samples: int = 5, mask: bool = False
    ) -> DatasetReportDescription: ...
    def preview(self, path: Path, **settings: "Unpack[ImportSettings]") -> PreviewDescription:
        """Return what an import of files on this machine's disk would do."""

    def import_path(
        self, path: Path, name: str, progress: Progress, **settings: "Unpack[ImportSettings]"
    ) -> DatasetDescription: ...
    def import_location(
        self, location: str, name: str, progress: Progress, **settings: "Unpack[ImportSettings]"
    ) -> DatasetDescription: ...
    def operators(self) -> Sequence[OperatorDescription]: ...
    def clean(
        self, name: str, operators: "Operators", progress: Progress, *, as_name: str | None = None
    ) -> DatasetDescription: ...
    def check(self, name: str, operators: "Operators", progress: Progress) -> ForecastDescription: ...
    def export_to(
        self, name: str, path: Path, progress: Progress, *, shape: str | None = None, columns: bool = True
    ) -> DatasetExportDescription:
        """Write a Version to a file, or to a folder, on this machine's disk."""


class KnowledgePort(NamesPort, Protocol):
    def list(self) -> Sequence[KnowledgeDescription]: ...
    def details(self, name: str) -> KnowledgeDetails: ...
    def remove(self, name: str) -> RemovalDescription: ...
    def documents(self, name: str) -> Iterator[DocumentDescription]: ...
    def passage(self, name: str, document: str, *, start: int = 0, end: int | None = None) -> Citation: ...
    def search(self, name: str, query: str, **settings: "Unpack[SearchSettings]") -> SearchDescription: ...
    def add(
        self, name: str, paths: Sequence[Path | str], progress: Progress, **settings: "Unpack[AddSettings]"
    ) -> KnowledgeDescription: ...
    def sync(
        self, name: str, folder: Path | str, progress: Progress, **settings: "Unpack[AddSettings]"
    ) -> KnowledgeDescription: ...
    def remove_documents(self, name: str, documents: Sequence[str]) -> KnowledgeDescription: ...
    def evaluate(self, name: str, cases: str, progress: Progress) -> KnowledgeEvalDescription: ...
    def evaluation(self, name: str) -> KnowledgeEvalDescription: ...


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


class RoutesPort(Protocol):
    def list(self) -> Sequence[RouteDescription]: ...
    def get(self, name: str) -> RouteDescription: ...
    def set(
        self, name: str, target: str | Mapping[str, float], **settings: "Unpack[RouteSettings]"
    ) -> RouteDescription: ...
    def set_weights(self, name: str, percent_of: Mapping[str, float], *, reason: str) -> RouteDescription: ...
    def history(self, name: str) -> Sequence[RouteMove]: ...
    def evidence(self, name: str) -> RouteEvidence | None:
        """Return None if no server that runs the Route answers."""

    def remove(self, name: str) -> None: ...


class ProjectsPort(Protocol):
    def create(self, name: str, *, description: str = "", limits: "Limits | None" = None) -> ProjectDescription: ...
    def list(self) -> Sequence[ProjectDescription]: ...
    def get(self, name: str) -> ProjectDescription: ...
    def set_limits(self, name: str, **limits: "Unpack[Limits]") -> ProjectDescription: ...
    def set_retention(self, name: str, retention: str) -> ProjectDescription: ...
    def remove(self, name: str) -> None: ...


class ErasuresPort(Protocol):
    def forget(self, *, subject: str, project: str | None = None) -> ErasureCertificate: ...


class EncryptionPort(Protocol):
    def status(self) -> EncryptionDescription: ...
    def rotate(self, project: str | None = None) -> RotationDescription: ...
    def encrypt(self) -> EncryptionDescription: ...


class KeysPort(Protocol):
    def create(self, **settings: "Unpack[KeySettings]") -> NewKeyDescription: ...
    def list(self, project: str | None = None) -> Sequence[KeyDescription]: ...
    def get(self, id: str) -> KeyDescription: ...
    def set_limits(self, id: str, **limits: "Unpack[Limits]") -> KeyDescription: ...
    def rotate(self, id: str, *, overlap: timedelta | None = None) -> NewKeyDescription: ...
    def revoke(self, id: str) -> KeyDescription: ...


class UsersPort(Protocol):
    def create(
        self, name: str, *, role: str = "developer", project: str = "owner", password: str | None = None
    ) -> UserDescription: ...
    def list(self, project: str | None = None) -> Sequence[UserDescription]: ...
    def get(self, name: str) -> UserDescription: ...
    def set_password(self, name: str, password: str) -> UserDescription: ...
    def set_role(self, name: str, role: str, *, project: str | None = None) -> UserDescription: ...
    def disable(self, name: str) -> UserDescription: ...
    def enable(self, name: str) -> UserDescription: ...
    def sign_out(self, name: str) -> SignedOutDescription: ...
    def remove(self, name: str) -> None: ...


class GuardrailsPort(Protocol):
    def set(self, name: str, document: Mapping[str, Any]) -> GuardrailPolicyDescription: ...
    def list(self) -> Sequence[GuardrailPolicyDescription]: ...
    def get(self, name: str, *, version: int | None = None) -> GuardrailPolicyDescription: ...
    def history(self, name: str) -> Sequence[GuardrailPolicyDescription]: ...
    def apply(
        self, name: str, *, route: str | None = None, project: str | None = None, everywhere: bool = False
    ) -> GuardrailPolicyDescription: ...
    def unapply(
        self, name: str, *, route: str | None = None, project: str | None = None, everywhere: bool = False
    ) -> GuardrailPolicyDescription: ...
    def remove(self, name: str) -> None: ...
    def replay(
        self,
        name: str,
        progress: Progress,
        *,
        since: datetime,
        document: Mapping[str, Any] | None = None,
        project: str | None = None,
    ) -> GuardrailReplayDescription:
        """Screen kept calls with a policy, stored or not, and compare it with those that apply now."""


class AuditPort(Protocol):
    def list(
        self,
        *,
        since: datetime | None = None,
        actor: str | None = None,
        action: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> Sequence[AuditEntryDescription]: ...
    def verify(
        self, *, checkpoints: Sequence[Mapping[str, Any]] = (), keys: "Sequence[PublicKey]" = ()
    ) -> AuditVerification:
        """`checkpoints`: those that were kept elsewhere. `keys`: of other servers that may have signed them."""

    def checkpoint(self) -> CheckpointDescription: ...
    def export(self) -> Iterator[bytes]:
        """Yield every entry, oldest first, each as a line of JSON."""


class ReceiptsPort(Protocol):
    def get(self, id: str) -> ReceiptDescription: ...
    def signing_key(self) -> SigningKeyDescription: ...


class ProvidersPort(Protocol):
    def list(self) -> Sequence[ProviderDescription]: ...
    def add(self, name: str, *, base_url: str, kind: str = "openai", key: str | None = None) -> ProviderDescription: ...
    def models(self, name: str) -> Sequence[str]: ...
    def remove(self, name: str) -> None: ...


class RolloutsPort(Protocol):
    def promote(self, version: str, route: str, **settings: "Unpack[RolloutSettings]") -> RolloutDescription: ...
    def list(self, route: str | None = None) -> Sequence[RolloutDescription]: ...
    def get(self, id: int) -> RolloutDescription: ...
    def history(self, id: int) -> Sequence[RolloutEventDescription]: ...
    def roll_back(self, route: str) -> RolloutDescription: ...


class DeploymentsPort(Protocol):
    def list(self) -> Sequence[DeploymentDescription]:
        """Return what is deployed."""

    def running(self) -> Sequence[DeploymentDescription]:
        """Return what a server runs or is to run. Raises ConnectionFailed if no server answers."""

    def deploy(self, name: str, **settings: "Unpack[DeploymentSettings]") -> DeploymentDescription: ...
    def scale(
        self,
        name: str,
        *,
        replicas: int | None = None,
        min_replicas: int | None = None,
        max_replicas: int | None = None,
    ) -> DeploymentDescription: ...
    def sleep(self, name: str) -> DeploymentDescription: ...
    def wake(self, name: str) -> DeploymentDescription: ...
    def stop(self, name: str) -> DeploymentDescription:
        """Unload what a server runs. Raises ConnectionFailed if no server answers."""

    def remove(self, name: str) -> str:
        """Undeploy a Version and return its reference."""

    def history(self, name: str) -> Sequence[DeploymentEventDescription]: ...


class ControlPort(Protocol):
    """All nouns. A context manager that closes what it opened."""

    @property
    def server_url(self) -> str:
        """The server that runs the models."""

    @property
    def is_served(self) -> bool:
        """True if that server accepts connections."""

    @property
    def models(self) -> ModelsPort: ...
    @property
    def cards(self) -> CardsPort: ...
    @property
    def jobs(self) -> JobsPort: ...
    @property
    def keys(self) -> KeysPort: ...
    @property
    def datasets(self) -> DatasetsPort: ...
    @property
    def knowledge(self) -> KnowledgePort: ...
    @property
    def policies(self) -> PoliciesPort: ...
    @property
    def signing(self) -> SigningPort: ...
    @property
    def routes(self) -> RoutesPort: ...
    @property
    def projects(self) -> ProjectsPort: ...
    @property
    def users(self) -> UsersPort: ...
    @property
    def guardrails(self) -> GuardrailsPort: ...
    @property
    def encryption(self) -> EncryptionPort: ...
    @property
    def audit(self) -> AuditPort: ...
    @property
    def receipts(self) -> ReceiptsPort: ...
    @property
    def erasures(self) -> ErasuresPort: ...
    @property
    def providers(self) -> ProvidersPort: ...
    @property
    def rollouts(self) -> RolloutsPort: ...
    @property
    def deployments(self) -> DeploymentsPort: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
