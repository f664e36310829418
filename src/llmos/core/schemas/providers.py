"""Providers: services that run models elsewhere."""

from datetime import datetime

import msgspec

from llmos.core.schemas.base import Description


class ProviderDescription(Description, frozen=True, kw_only=True):
    name: str = ""
    kind: str = ""
    """The wire format that it speaks: `openai` or `anthropic`."""
    base_url: str = ""
    has_key: bool = False
    created_at: datetime | None = None
    updated_at: datetime | None = None


class ProviderModels(Description, frozen=True, kw_only=True):
    """The models of a provider. The response shows that the provider can be reached and accepts the key."""

    name: str = ""
    models: list[str] = msgspec.field(default_factory=list)
