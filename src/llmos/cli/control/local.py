"""LocalControl: the control port on this machine's database. A server on this machine follows what changes there."""

import socket
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from llmos.cli.control import (
    local_answers,
    local_app_versions,
    local_apps,
    local_audit,
    local_billing,
    local_datasets,
    local_deployments,
    local_evals,
    local_exporters,
    local_feedback,
    local_knowledge,
    local_logs,
    local_models,
    local_nodes,
    local_prompts,
    local_security,
)
from llmos.cli.control.recording import recorded
from llmos.core.actions import Action
from llmos.core.config import Settings

if TYPE_CHECKING:
    from llmos.core.encryption.encryption import Encryption
    from llmos.data.files import Files
    from llmos.deployments.desired.deployments import Deployments
    from llmos.deployments.routing.routes import Routes
    from llmos.models.registry import Registry
    from llmos.security.audit.audit import Audit


class LocalControl:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.server_url = settings.endpoint
        self.models = recorded("models", local_models.LocalModels(self), self)
        self.cards = recorded("cards", local_models.LocalCards(self), self)
        self.jobs = recorded("jobs", local_deployments.LocalJobs(self), self)
        self.keys = recorded("keys", local_security.LocalKeys(self), self)
        self.users = recorded("users", local_security.LocalUsers(self), self)
        self.datasets = recorded("datasets", local_datasets.LocalDatasets(self), self)
        self.knowledge = recorded("knowledge", local_knowledge.LocalKnowledge(self), self)
        self.prompts = recorded("prompts", local_prompts.LocalPrompts(self), self)
        self.evals = recorded("evals", local_evals.LocalEvals(self), self)
        self.apps = recorded("apps", local_app_versions.LocalApps(self), self)
        self.nodes = recorded("nodes", local_nodes.LocalNodes(self), self)
        self.policies = recorded("policies", local_models.LocalPolicies(self), self)
        self.signing = recorded("signing", local_models.LocalSigning(self), self)
        self.routes = recorded("routes", local_deployments.LocalRoutes(self), self)
        self.projects = recorded("projects", local_security.LocalProjects(self), self)
        self.guardrails = recorded("guardrails", local_security.LocalGuardrails(self), self)
        self.encryption = recorded("encryption", local_security.LocalEncryption(self), self)
        self.erasures = recorded("erasures", local_security.LocalErasures(self), self)
        self.providers = recorded("providers", local_deployments.LocalProviders(self), self)
        self.handoffs = recorded("handoffs", local_apps.LocalHandoffs(self), self)
        self.conversations = recorded("conversations", local_feedback.LocalConversations(self), self)
        self.feedback = recorded("feedback", local_feedback.LocalFeedback(self), self)
        self.webhooks = recorded("webhooks", local_apps.LocalWebhooks(self), self)
        self.rollouts = recorded("rollouts", local_deployments.LocalRollouts(self), self)
        self.deployments = recorded("deployments", local_deployments.LocalDeployments(self), self)
        self.audit = recorded("audit", local_audit.LocalAudit(self), self)
        self.answers = recorded("answers", local_answers.LocalAnswers(self), self)
        self.logs = recorded("logs", local_logs.LocalLogs(self), self)
        self.receipts = recorded("receipts", local_audit.LocalReceipts(self), self)
        self.prices = recorded("prices", local_billing.LocalPrices(self), self)
        self.budgets = recorded("budgets", local_billing.LocalBudgets(self), self)
        self.plans = recorded("plans", local_billing.LocalPlans(self), self)
        self.invoices = recorded("invoices", local_billing.LocalInvoices(self), self)
        self.credit = recorded("credit", local_billing.LocalCredit(self), self)
        self.ledger = recorded("ledger", local_billing.LocalLedger(self), self)
        self.exporters = recorded("exporters", local_exporters.LocalExporters(self), self)
        self.usage = recorded("usage", local_billing.LocalUsage(self), self)

    @cached_property
    def registry(self) -> "Registry":
        from llmos.models import open_registry

        return open_registry(self.settings)

    @cached_property
    def keys_of_data(self) -> "Encryption":
        from llmos.core.encryption.opening import open_encryption

        return open_encryption(self.settings, self.registry.database)

    @cached_property
    def files(self) -> "Files":
        from llmos.data.files import Files

        return Files(self.registry.database, self.settings.files_path, self.keys_of_data)

    @cached_property
    def audit_room(self) -> "Audit":
        from llmos.security.audit.audit import open_audit
        from llmos.security.signing_key import SigningKey

        key = SigningKey(self.settings.signing_key_path)
        return open_audit(self.registry.database, key, self.settings.checkpoints_path)

    def acting(self, action: Action) -> AbstractContextManager[Action]:
        return self.audit_room.recorder.acting(action)

    @cached_property
    def route_table(self) -> "Routes":
        from llmos.deployments.routing.routes import Routes

        return Routes(self.registry)

    @cached_property
    def desired(self) -> "Deployments":
        from llmos.deployments.opening import open_deployments

        return open_deployments(self.registry, self.settings)

    @property
    def is_served(self) -> bool:
        return accepts_connections(self.server_url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if "audit_room" in self.__dict__:
            self.audit_room.recorder.close()
        if "registry" in self.__dict__:
            self.registry.database.close()


def accepts_connections(endpoint: str) -> bool:
    """Return True if a program listens at the endpoint. Imports no HTTP library, which most commands don't need."""
    address = urlsplit(endpoint)
    default_port = 443 if address.scheme == "https" else 80
    try:
        with socket.create_connection((address.hostname or "", address.port or default_port), timeout=1):
            return True
    except OSError:
        return False
