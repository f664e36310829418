"""Choose the implementation of the control port."""

from typing import TYPE_CHECKING

from llmos.core.config import Settings
from llmos.core.errors import BadRequest

if TYPE_CHECKING:
    from llmos.cli.control.port import ControlPort


def open_control(settings: Settings) -> "ControlPort":
    """Return the port of the server that LLMOS_ENDPOINT names; else the port of this machine.

    For a server on this machine that is its database, unless LLMOS_API_KEY is set: the server then says what the key
    may do, as it does to every other caller.
    """
    if is_remote(settings) or (settings.endpoint_is_set and settings.api_key):
        # httpx is slow to import, and most commands are about this machine.
        from llmos.cli.control.server import ServerControl

        return ServerControl()
    from llmos.cli.control.local import LocalControl

    return LocalControl(settings)


def check_local(settings: Settings, command: str) -> None:
    """Raise BadRequest if LLMOS_ENDPOINT names another machine and the command can only work on this one."""
    if is_remote(settings):
        raise BadRequest(
            f"`llmos {command}` works on this machine only, but LLMOS_ENDPOINT is {settings.endpoint}."
            " Run it on that machine, or unset LLMOS_ENDPOINT."
        )


def is_remote(settings: Settings) -> bool:
    """Return whether LLMOS_ENDPOINT names another machine."""
    if not settings.endpoint_is_set:
        return False
    from llmos.client.endpoint import resolve_endpoint

    return not resolve_endpoint().is_loopback
