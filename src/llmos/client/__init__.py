"""The client of an LLMOS server. It depends on httpx and msgspec only.

The rules of a call (what is sent, how a reply is read, when to retry) are written once and without input or output: in
calls.py and control_calls.py (requests and replies) and flows.py (retries and streams). blocking.py and asynchronous.py
run them.
"""

from llmos.client.answers import (
    Answer,
    DeploymentInfo,
    Embeddings,
    Likelihood,
    ModelInfo,
    RouteInfo,
    TokenCount,
    ToolCall,
    Usage,
)
from llmos.client.asynchronous import AsyncClient, AsyncModel, AsyncStream
from llmos.client.blocking import Client, Model, Stream

__all__ = [
    "Answer",
    "AsyncClient",
    "AsyncModel",
    "AsyncStream",
    "Client",
    "DeploymentInfo",
    "Embeddings",
    "Likelihood",
    "Model",
    "ModelInfo",
    "RouteInfo",
    "Stream",
    "TokenCount",
    "ToolCall",
    "Usage",
]
