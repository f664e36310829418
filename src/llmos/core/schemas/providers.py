"""Providers: services that run models elsewhere."""

from datetime import datetime

import msgspec

from llmos.core.schemas.base import Description


class ProviderDescription(Description, frozen=True, kw_only=True):
    name: str = ""
    kind: str = ""
    """The wire format that it speaks: `openai`, `anthropic` or `open-inference`."""
    base_url: str = ""
    text_input: str | None = None
    """The input for texts of a model of the kind open-inference. None: it is seen from the model's description."""
    text_output: str | None = None
    has_key: bool = False
    created_at: datetime | None = None
    updated_at: datetime | None = None


class ProviderModels(Description, frozen=True, kw_only=True):
    """The models of a provider. The response shows that the provider can be reached and accepts the key."""

    name: str = ""
    models: list[str] = msgspec.field(default_factory=list)
