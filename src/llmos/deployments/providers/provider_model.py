"""A provider of hosted models, and one of its models as the target of a route."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Literal

from llmos.core.errors import BadRequest
from llmos.deployments.served_model import ServedModel
from llmos.deployments.targets import REMOTE
from llmos.models.versions.versions import Version

Kind = Literal["openai", "anthropic", "open-inference"]

KINDS: tuple[Kind, ...] = ("openai", "anthropic", "open-inference")
"""The wire formats that a provider may use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    name: str
    kind: Kind
    base_url: str
    """Without a trailing slash; /chat/completions, /messages or /v2 is appended."""
    text_input: str | None = None
    """The input for texts of a model of the kind open-inference. None: it is seen from the model's description."""
    text_output: str | None = None
    """The output with the text, in the same way."""
    sealed_key: bytes | None = field(default=None, repr=False)
    """Encrypted. None for a provider that asks for no key."""
    created_at: datetime
    updated_at: datetime

    @property
    def has_key(self) -> bool:
        return self.sealed_key is not None


@dataclass(frozen=True, slots=True)
class ProviderModel:
    """A model at a provider: the target of a route. Little is known of it."""

    provider: Provider
    name: str
    """The provider's name for it."""

    kind: ClassVar[str] = "provider"
    task: ClassVar[Literal["generate"]] = "generate"
    version: ClassVar[None] = None

    @property
    def ref(self) -> str:
        return f"{REMOTE}{self.provider.name}/{self.name}"

    @property
    def served(self) -> ServedModel:
        provider = self.provider
        return ServedModel(ref=self.ref, model=self.ref, source=provider.base_url, created_at=provider.created_at)

    def local_version(self, name: str) -> Version:
        raise BadRequest(
            f"{name} leads to {self.ref}, which runs at {self.provider.name} and not on this machine."
            " Name a model that is here (llmos list), or ask a server: llmos serve",
            param="model",
        )
