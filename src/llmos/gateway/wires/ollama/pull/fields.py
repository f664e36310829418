"""The request of POST /api/pull."""

from llmos.gateway.wires.ollama.models.fields import ModelRequest


class PullRequest(ModelRequest, kw_only=True):
    stream: bool = True

    # Every file is compared with its digest, however it was transferred.
    harmless = frozenset({"insecure"})
