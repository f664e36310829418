"""LocalControl: the control port on this machine's database. A server on this machine follows what changes there."""

import socket
from functools import cached_property
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from llmos.cli.control import local_deployments, local_models, local_security
from llmos.core.config import Settings

if TYPE_CHECKING:
    from llmos.core.encryption.encryption import Encryption
    from llmos.data.files import Files
    from llmos.deployments.desired.deployments import Deployments
    from llmos.deployments.routing.routes import Routes
    from llmos.models.registry import Registry


class LocalControl:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.server_url = settings.endpoint
        self.models = local_models.LocalModels(self)
        self.cards = local_models.LocalCards(self)
        self.aliases = local_models.LocalAliases(self)
        self.jobs = local_deployments.LocalJobs(self)
        self.keys = local_security.LocalKeys(self)
        self.users = local_security.LocalUsers(self)
        self.labels = local_models.LocalLabels(self)
        self.policies = local_models.LocalPolicies(self)
        self.signing = local_models.LocalSigning(self)
        self.routes = local_deployments.LocalRoutes(self)
        self.projects = local_security.LocalProjects(self)
        self.guardrails = local_security.LocalGuardrails(self)
        self.encryption = local_security.LocalEncryption(self)
        self.providers = local_deployments.LocalProviders(self)
        self.rollouts = local_deployments.LocalRollouts(self)
        self.deployments = local_deployments.LocalDeployments(self)

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
        if "registry" in self.__dict__:
            self.registry.database.close()


def accepts_connections(endpoint: str) -> bool:
    """Return True if a program listens at the endpoint. Imports no HTTP library, which most commands don't need."""
    address = urlsplit(endpoint)
    try:
        with socket.create_connection((address.hostname or "", address.port or 80), timeout=1):
            return True
    except OSError:
        return False
