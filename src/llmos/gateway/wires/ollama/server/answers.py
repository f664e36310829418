"""The answer of GET /api/version."""

import msgspec

API_VERSION = "0.12.11"
"""The version of Ollama's API that LLMOS implements. Clients don't use features that are newer."""


class OllamaVersion(msgspec.Struct):
    version: str
    """The version of Ollama's API that this server implements."""
    llmos: str
