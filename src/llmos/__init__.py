"""LLMOS, the operating system for large language models.

Importing this package loads nothing but this file: names are fetched when they are first used, so that a program
that only talks to a server never pays for the engine, a web framework or torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmos.client import AsyncClient, Client
    from llmos.core.errors import LLMOSError

__version__ = "0.1.0"
__all__ = ["AsyncClient", "Client", "LLMOSError", "__version__"]

_HOME_OF = {
    "Client": "llmos.client",
    "AsyncClient": "llmos.client",
    "LLMOSError": "llmos.core.errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'llmos' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)
