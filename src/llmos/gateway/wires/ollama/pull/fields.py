"""The request of POST /api/pull."""

from llmos.gateway.wires.ollama.models.fields import ModelRequest


class PullRequest(ModelRequest, kw_only=True):
    stream: bool = True

    # Every byte is compared with its digest, whatever way it came.
    harmless = frozenset({"insecure"})
