"""The client of an LLMOS server. It depends on httpx and msgspec only.

The rules of a call (what is sent, how a reply is read, when to retry) are written once and without input or output: in
calls.py and the files NOUN_calls.py (requests and replies), and in flows.py (retries and streams). blocking.py and
asynchronous.py run them.

Names are fetched when they are first used: an application framework that only needs the kinds of answers doesn't load
httpx.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_MODULES = {
    "llmos.client.asynchronous": {"AsyncClient", "AsyncModel", "AsyncStream"},
    "llmos.client.blocking": {"Client", "Model", "Stream"},
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'llmos.client' has no attribute {name!r}")
    home = next((module for module, names in _MODULES.items() if name in names), "llmos.client.answers")
    return getattr(import_module(home), name)
