"""Whose models a command is about: this machine's, or those of the server that LLMOS_ENDPOINT names."""

from typing import TYPE_CHECKING

from llmos.core.config import Settings
from llmos.core.errors import BadRequest

if TYPE_CHECKING:
    from llmos.client import Client

_READ_SECONDS = 30
"""No command that asks here waits for a model."""


def remote_server(settings: Settings) -> "Client | None":
    """The server to ask, None where the files of this machine are meant."""
    if not settings.endpoint_is_set:
        return None
    # httpx is slow to load, and most commands are about this machine.
    from llmos.client import Client
    from llmos.client.endpoint import resolve_endpoint

    return None if resolve_endpoint().is_loopback else Client(timeout_seconds=_READ_SECONDS)


def refuse_remote(settings: Settings, command: str) -> None:
    """Raise BadRequest where the owner means a server on another machine and the command can only work on this one."""
    if remote_server(settings) is not None:
        raise BadRequest(
            f"`llmos {command}` works on the models of this machine, but LLMOS_ENDPOINT names {settings.endpoint}."
            " Run it there, or unset LLMOS_ENDPOINT."
        )
