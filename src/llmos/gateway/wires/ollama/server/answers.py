"""The answer of GET /api/version."""

import msgspec

SPOKEN_VERSION = "0.12.11"
"""Clients leave out what is newer than the server that they talk to."""


class OllamaVersion(msgspec.Struct):
    version: str
    """The version of Ollama's API that is spoken here."""
    llmos: str
