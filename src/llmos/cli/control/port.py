"""The interface that commands work on. LocalControl (local.py) and ServerControl (server.py) implement it.

One protocol per noun, in ports/; where the client offers the same calls, they have the client's signatures.
"""

from typing import Protocol, Self

from llmos.cli.control.ports.applications import AppsPort, HandoffsPort, WebhooksPort
from llmos.cli.control.ports.billing import (
    BudgetsPort,
    CreditPort,
    ExportersPort,
    InvoicesPort,
    LedgerPort,
    PlansPort,
    PricesPort,
    UsagePort,
)
from llmos.cli.control.ports.data import (
    AnswersPort,
    ConversationsPort,
    DatasetsPort,
    EvalsPort,
    FeedbackPort,
    KnowledgePort,
    PromptsPort,
)
from llmos.cli.control.ports.deployments import (
    DeploymentsPort,
    LogsPort,
    NodesPort,
    ProvidersPort,
    RolloutsPort,
    RoutesPort,
)
from llmos.cli.control.ports.models import CardsPort, JobsPort, ModelsPort, PoliciesPort, SigningPort
from llmos.cli.control.ports.security import (
    AuditPort,
    EncryptionPort,
    ErasuresPort,
    GuardrailsPort,
    KeysPort,
    ProjectsPort,
    ReceiptsPort,
    UsersPort,
)


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
    def apps(self) -> AppsPort: ...
    @property
    def prompts(self) -> PromptsPort: ...
    @property
    def evals(self) -> EvalsPort: ...
    @property
    def nodes(self) -> NodesPort: ...
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
    def logs(self) -> LogsPort: ...
    @property
    def answers(self) -> AnswersPort: ...
    @property
    def usage(self) -> UsagePort: ...
    @property
    def budgets(self) -> BudgetsPort: ...
    @property
    def prices(self) -> PricesPort: ...
    @property
    def plans(self) -> PlansPort: ...
    @property
    def credit(self) -> CreditPort: ...
    @property
    def invoices(self) -> InvoicesPort: ...
    @property
    def ledger(self) -> LedgerPort: ...
    @property
    def exporters(self) -> ExportersPort: ...
    @property
    def erasures(self) -> ErasuresPort: ...
    @property
    def providers(self) -> ProvidersPort: ...
    @property
    def handoffs(self) -> HandoffsPort: ...
    @property
    def conversations(self) -> ConversationsPort: ...
    @property
    def feedback(self) -> FeedbackPort: ...
    @property
    def webhooks(self) -> WebhooksPort: ...
    @property
    def rollouts(self) -> RolloutsPort: ...
    @property
    def deployments(self) -> DeploymentsPort: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
