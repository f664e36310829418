"""A provider of remote models, and one of its models, which answers where a Version would."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from llmos.deployments.targets import REMOTE
from llmos.models.versions.versions import Version

Kind = Literal["openai", "anthropic"]

KINDS: tuple[Kind, ...] = ("openai", "anthropic")
"""The wire formats that a provider may speak."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    name: str
    kind: Kind
    base_url: str
    """Without a slash at its end; what follows is /chat/completions or /messages."""
    sealed_key: bytes | None = field(default=None, repr=False)
    """Encrypted. None for a provider that asks for no key."""
    created_at: datetime
    updated_at: datetime

    @property
    def has_key(self) -> bool:
        return self.sealed_key is not None


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """What a Version says of itself, where somebody else runs the model: little is known, and nothing is made up."""

    provider: Provider
    name: str
    """What the provider calls it."""

    @property
    def ref(self) -> str:
        return f"{REMOTE}{self.provider.name}/{self.name}"

    @property
    def model(self) -> str:
        return self.ref

    @property
    def created_at(self) -> datetime:
        """When its provider was added."""
        return self.provider.created_at

    @property
    def source(self) -> str:
        return self.provider.base_url

    number: int = field(default=1, init=False)
    """Providers don't tell their versions apart."""
    digest: None = field(default=None, init=False)
    family: str = field(default="remote", init=False)
    format: str = field(default="remote", init=False)
    license: None = field(default=None, init=False)
    parameters: None = field(default=None, init=False)
    quantization: None = field(default=None, init=False)
    context_length: None = field(default=None, init=False)
    size: int = field(default=0, init=False)
    parent: None = field(default=None, init=False)
    recipe: None = field(default=None, init=False)
    made_by: None = field(default=None, init=False)

    @property
    def sampling(self) -> Mapping[str, float]:
        return {}


Answering = Version | RemoteModel
"""What answers a call."""
