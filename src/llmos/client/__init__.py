"""Ask a running LLMOS server from a program, with httpx and nothing heavier.

The rules of a call (what is sent, how a reply is read, when to try again) are written once, in calls.py and flows.py,
without any input or output; blocking.py and asynchronous.py only carry them out.
"""

from llmos.client.answers import Answer, DeploymentInfo, Embeddings, ModelInfo, RouteInfo, ToolCall, Usage
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
    "Model",
    "ModelInfo",
    "RouteInfo",
    "Stream",
    "ToolCall",
    "Usage",
]
